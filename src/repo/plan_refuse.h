/* plan_refuse.h — why a target cannot be reached, and the nearest that can, on both sides. Private
 * to this layer; plan.c decides, plan_refuse.c speaks. */
#ifndef REPO_PLAN_REFUSE_H
#define REPO_PLAN_REFUSE_H

#include "repo/plan.h"

/* ---- plan.c ---- */

bool plan_holds_backup(const struct history *path, const struct manifest_head *head);
/* Whether the backup's own WAL is there; the segments from its start on. */
bool plan_backup_whole(const struct restore_ask *ask, const struct history *path,
                       const struct manifest_head *head);
/* One path tried whole: the backup, the WAL up to the target. */
bool plan_try_path(const struct restore_ask *ask, uint32_t tli, struct restore_plan *plan,
                   unsigned *ret_usable, struct err *err);
/* The next stretch of WAL to be searched, below what was: it ends at the end of the archive or
 * before a hole, and begins with the oldest backup whose WAL leads there. False: there is none. */
bool plan_next_stretch(const struct restore_ask *ask, struct restore_plan *plan);
uint32_t plan_default_timeline(const struct restore_ask *ask);
/* NULL: nothing is known yet. */
const struct timeline_facts *plan_facts(const struct restore_ask *ask, uint32_t tli);

/* ---- plan_refuse.c: all return false ---- */

/* "the target time …", "transaction 4711". */
void plan_what_text(const struct restore_ask *ask, struct buf *out);
bool plan_refuse_hole(const struct restore_ask *ask, const struct restore_plan *plan,
                      const char *what, struct err *err);
bool plan_refuse_before(const struct restore_ask *ask, const struct history *path, const char *what,
                        struct err *err);
bool plan_refuse_unreached(const struct restore_ask *ask, const struct restore_plan *plan,
                           struct err *err);
bool plan_refuse_not_found(const struct restore_ask *ask, const struct restore_plan *plan,
                           const char *what, struct err *err);
bool plan_refuse_twice(const struct restore_ask *ask, const struct restore_plan *plan,
                       struct err *err);
bool plan_refuse_after(const struct restore_ask *ask, uint32_t tli, const struct restore_plan *plan,
                       struct err *err);
/* Adds to a refusal that other timelines lead to the target. */
void plan_hint_others(const struct restore_ask *ask, uint32_t not_tli, struct err *err);

#endif
