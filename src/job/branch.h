/*
 * branch.h — which branch a recovery follows, and whether a segment belongs to it (architecture.md
 * 7, "The right branch"). Private to this layer.
 *
 * PostgreSQL asks for a segment on its newest timeline first and, when that is missing, takes the
 * parent's copy: it then replays the dead branch past the fork, cleanly and in silence (observed on
 * 15). So a segment that holds or lies behind the switch point of a timeline that the recovery's
 * path has left is never delivered.
 */
#ifndef JOB_BRANCH_H
#define JOB_BRANCH_H

#include "base/err.h"
#include "pg/timeline.h"

struct catalog;

/* What a recovery without a plan aims at, from its settings: PostgreSQL's own rules. */
struct branch_aim {
	bool known;   /* false: no signal file, so not a recovery (pg_rewind): everything may be
	                 fetched */
	bool latest;  /* recovery_target_timeline = 'latest' (default) */
	uint32_t tli; /* else this one ('current': the control file's) */
	uint32_t current_tli; /* of the control file's checkpoint */
};
/* Reads the signal files, postgresql.auto.conf and postgresql.conf of a data directory. Blocks: for
 * workers. */
MUST_USE bool branch_aim_read(const char *folder, struct branch_aim *ret, struct err *err);
/* The path that PostgreSQL will follow, from the histories in the catalog: copies into ret. False:
 * not to be known (a history is missing). */
bool branch_path(const struct branch_aim *aim, const struct catalog *catalog, struct history *ret);

/* Whether the recovery's path leaves tli at or before the end of segment segno. Timelines that are
 * not on the path are not judged. */
bool branch_is_left(const struct history *path, uint32_t tli, uint64_t segno,
                    uint32_t segment_bytes, lsn *ret_switch_lsn);

#endif
