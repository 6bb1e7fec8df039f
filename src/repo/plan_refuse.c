/*
 * plan_refuse.c — see plan_refuse.h.
 *
 * Each hint is made of targets that can be typed: the last one before what is missing and the first
 * one behind it. What only the WAL knows about the end of a stretch comes as timeline_facts; as
 * long as they are not there, the hint does without.
 */
#include "plan_refuse.h"
#include "base/clock.h"
#include "base/str.h"
#include <string.h>
#include "base/poison.h"

enum { OTHERS_MAX = 8, STRETCHES_TOLD_MAX = 3, POINT_TOLD_MAX = 40 };

static void segment_text(const struct restore_ask *ask, uint32_t tli, uint64_t segno,
                         char out[SEGMENT_NAME_BYTES])
{
	segment_name(tli, segno, ask->catalog->segment_bytes, out);
}

const char *restore_hole_text(const struct restore_hole *hole)
{
	if (hole->accepted)
		return "was archived as damaged, with --accept-damaged";
	return hole->damaged ? "is damaged in the archive" : "is not in the archive";
}

void plan_what_text(const struct restore_ask *ask, struct buf *out)
{
	char time[TIME_TEXT_BYTES];

	switch (ask->target->kind) {
	case RESTORE_TIME:
		clock_text_utc(ask->target->time_us, time);
		buf_addf(out, "the target time %s", time);
		break;
	case RESTORE_LSN:
		buf_addf(out, "the target lsn " LSN_FORMAT, LSN_ARGS(ask->target->position));
		break;
	case RESTORE_XID:
		buf_addf(out, "transaction %u", ask->target->xid);
		break;
	case RESTORE_NAME:
		buf_addf(out, "restore point \"%s\"", ask->target->name);
		break;
	default:
		buf_addstr(out, "the target");
	}
}

/* ---- the nearest ---- */

/* A target as it is typed. us: a time; else position. --timeline only when it would be another
 * one. */
static void add_target(const struct restore_ask *ask, uint32_t tli, int64_t us, lsn position,
                       struct buf *out)
{
	bool timed = us != INT64_MIN;
	char time[TIME_TEXT_BYTES];

	if (timed) {
		clock_text_utc(us, time);
		buf_addf(out, "\"--to '%s'", time);
	} else {
		buf_addf(out, "\"--to lsn:" LSN_FORMAT, LSN_ARGS(position));
	}
	if (ask->timeline ||
	    (timed ? ask->target->kind != RESTORE_TIME : tli != plan_default_timeline(ask)))
		buf_addf(out, " --timeline %u", tli);
	buf_addc(out, '"');
}

/* The last possible one of the plan's stretch; false: it is not known. */
static bool add_last(const struct restore_ask *ask, const struct restore_plan *plan,
                     struct buf *out)
{
	const struct timeline_facts *fact = plan_facts(ask, plan->path.tli);
	char time[TIME_TEXT_BYTES];
	int64_t last;
	bool timed;

	if (!fact || !fact->end_known || fact->end_start < plan->stop_lsn || !plan->stop_lsn)
		return false;
	last = MAX(fact->last_commit_us, fact->proven_us);
	timed = ask->target->kind == RESTORE_TIME && last >= plan->backup_stop_us;
	add_target(ask, plan->path.tli, timed ? last : INT64_MIN, fact->end_start, out);
	if (fact->last_commit_us == INT64_MIN) {
		buf_addstr(out, " (no transaction ended since the backup)");
	} else if (timed && last == fact->last_commit_us) {
		buf_addstr(out, " (the last transaction)");
	} else {
		clock_text_utc(fact->last_commit_us, time);
		buf_addf(out, " (the last transaction ended at %s)", time);
	}
	return true;
}

/* The first backup on the path that ends behind what is missing, with WAL of its own. */
static const struct manifest_head *first_behind(const struct restore_ask *ask,
                                                const struct restore_plan *plan)
{
	const struct restore_target *target = ask->target;
	const struct manifest_head *first = NULL;
	lsn above = plan->stop_lsn;

	if (target->kind == RESTORE_LSN)
		above = target->position;
	else if (ask->searched.found)
		above = ask->searched.start;
	for (size_t i = 0; i < ask->heads; i++) {
		const struct manifest_head *head = &ask->head[i];

		if (head->stop_lsn <= above || (first && head->stop_lsn >= first->stop_lsn) ||
		    (target->kind == RESTORE_TIME && head->stop_time_us <= target->time_us) ||
		    !plan_holds_backup(&plan->path, head) ||
		    !plan_backup_whole(ask, &plan->path, head))
			continue;
		first = head;
	}
	return first;
}

/* For a time: a newer timeline that begins before the next backup ends. 0: none. */
static uint32_t timeline_behind(const struct restore_ask *ask, uint32_t base, int64_t until_us,
                                int64_t *ret_us)
{
	uint32_t best = 0;

	for (size_t i = 0; ask->target->kind == RESTORE_TIME && i < ask->facts; i++) {
		const struct timeline_facts *fact = &ask->fact[i];
		struct restore_target target = *ask->target;
		struct restore_ask then = *ask;
		struct restore_plan plan = {0};
		struct err ignored = {0};
		unsigned usable;

		if (fact->tli <= base || !fact->begun_known || fact->begun_us == INT64_MAX ||
		    fact->begun_us <= target.time_us || fact->begun_us >= until_us ||
		    owner_fence_whole(ask->catalog, fact->tli))
			continue;
		target.time_us = fact->begun_us;
		then.target = &target;
		if (plan_try_path(&then, fact->tli, &plan, &usable, &ignored)) {
			best = fact->tli;
			*ret_us = until_us = fact->begun_us;
		}
		restore_plan_release(&plan);
	}
	return best;
}

/* The first possible one behind what is missing; false: there is none. */
static bool add_first(const struct restore_ask *ask, const struct restore_plan *plan,
                      struct buf *out)
{
	const struct manifest_head *head = first_behind(ask, plan);
	char time[TIME_TEXT_BYTES];
	int64_t begun;
	uint32_t tli =
	        timeline_behind(ask, plan->path.tli, head ? head->stop_time_us : INT64_MAX, &begun);

	if (tli && !ask->timeline) {
		clock_text_utc(begun, time);
		buf_addf(out, "\"--to '%s' --timeline %u\" (timeline %u begins)", time, tli, tli);
		return true;
	}
	if (!head)
		return false;
	clock_text_utc(head->stop_time_us, time);
	add_target(ask, plan->path.tli, INT64_MIN, head->stop_lsn, out);
	buf_addf(out, " (the end of backup %s at %s)", head->id, time);
	return true;
}

static void hint_nearest(const struct restore_ask *ask, const struct restore_plan *plan,
                         struct err *err)
{
	AUTO_BUF struct buf last, first;
	bool before, behind;

	buf_init(&last, ERR_HINT_MAX);
	buf_init(&first, ERR_HINT_MAX);
	before = add_last(ask, plan, &last);
	behind = add_first(ask, plan, &first);
	if (before && behind)
		err_hint(err, "The last possible before it is %s, the first behind it %s.",
		         buf_text(&last), buf_text(&first));
	else if (before)
		err_hint(err, "The last possible is %s.%s", buf_text(&last),
		         plan->hole.found ? " No backup lies behind the hole." : "");
	else if (behind)
		err_hint(err, "The first possible behind it is %s.", buf_text(&first));
	else
		err_hint(err, "`seawall list` shows what can be restored.");
}

bool restore_refuse_end(const struct restore_ask *ask, const struct restore_plan *plan, lsn end_lsn,
                        struct err *err)
{
	char missing[SEGMENT_NAME_BYTES];

	if (plan->hole.found) {
		segment_text(ask, plan->hole.tli, plan->hole.segno, missing);
		err_set(err, ERR_REFUSED,
		        "the target lsn " LSN_FORMAT
		        " lies behind a hole: the last record before it ends at " LSN_FORMAT
		        ", and segment \"%s\" %s",
		        LSN_ARGS(plan->target.position), LSN_ARGS(end_lsn), missing,
		        restore_hole_text(&plan->hole));
	} else {
		err_set(err, ERR_REFUSED,
		        "the target lsn " LSN_FORMAT
		        " lies after the end of the archive: the last record ends at " LSN_FORMAT,
		        LSN_ARGS(plan->target.position), LSN_ARGS(end_lsn));
	}
	hint_nearest(ask, plan, err);
	return false;
}

/* ---- sentences ---- */

bool plan_refuse_hole(const struct restore_ask *ask, const struct restore_plan *plan,
                      const char *what, struct err *err)
{
	char missing[SEGMENT_NAME_BYTES], behind[SEGMENT_NAME_BYTES];

	segment_text(ask, plan->hole.tli, plan->hole.segno, missing);
	segment_text(ask, plan->hole.behind_tli, plan->hole.behind_segno, behind);
	if (plan->hole.found && strcmp(missing, behind) == 0)
		err_set(err, ERR_REFUSED, "%s lies behind a hole: segment \"%s\" %s", what, missing,
		        restore_hole_text(&plan->hole));
	else if (plan->hole.found)
		err_set(err, ERR_REFUSED,
		        "%s lies behind a hole: segment \"%s\" %s, the WAL behind it up to "
		        "\"%s\" is there",
		        what, missing, restore_hole_text(&plan->hole), behind);
	else
		err_set(err, ERR_REFUSED,
		        "%s lies behind the end of the archive: segment \"%s\" is not there", what,
		        missing);
	hint_nearest(ask, plan, err);
	return false;
}

/* The end of the first backup that can be restored is the earliest possible target. */
bool plan_refuse_before(const struct restore_ask *ask, const struct history *path, const char *what,
                        struct err *err)
{
	const struct manifest_head *first = NULL;
	AUTO_BUF struct buf target;
	char time[TIME_TEXT_BYTES];

	for (size_t i = 0; i < ask->heads; i++)
		if (plan_holds_backup(path, &ask->head[i]) &&
		    plan_backup_whole(ask, path, &ask->head[i]) &&
		    (!first || ask->head[i].stop_lsn < first->stop_lsn))
			first = &ask->head[i];
	if (!first) {
		err_set(err, ERR_REFUSED, "no backup lies on the path to timeline %u", path->tli);
		err_hint(err,
		         "`seawall list` shows the backups and their timelines; choose one with "
		         "--timeline.");
		return false;
	}
	buf_init(&target, 200);
	add_target(ask, path->tli, INT64_MIN, first->stop_lsn, &target);
	clock_text_utc(first->stop_time_us, time);
	err_set(err, ERR_REFUSED, "%s lies before the end of every backup", what);
	err_hint(err, "The first possible is %s, the end of backup %s at %s.", buf_text(&target),
	         first->id, time);
	return false;
}

bool plan_refuse_unreached(const struct restore_ask *ask, const struct restore_plan *plan,
                           struct err *err)
{
	char missing[SEGMENT_NAME_BYTES];
	uint32_t parent = plan->path.count ? plan->path.entry[plan->path.count - 1].tli : 1;
	lsn fork = plan->path.count ? plan->path.entry[plan->path.count - 1].switch_lsn : 0;

	segment_text(ask, plan->hole.tli, plan->hole.segno, missing);
	err_set(err, ERR_REFUSED,
	        "timeline %u cannot be reached: it began at " LSN_FORMAT ", and segment \"%s\" %s",
	        plan->path.tli, LSN_ARGS(fork), missing, restore_hole_text(&plan->hole));
	err_hint(err,
	         "Archive it from the server that wrote it. If that is lost: \"--timeline %u\" "
	         "follows timeline %u instead, \"--timeline %u --to lsn:" LSN_FORMAT
	         " --before\" ends where timeline %u began.",
	         parent, parent, parent, LSN_ARGS(fork), plan->path.tli);
	return false;
}

void restore_near_xid(struct restore_near *near, uint32_t wanted, uint32_t xid)
{
	int32_t off = (int32_t)(xid - wanted); /* transaction numbers go round */

	if (xid < 3 || off == 0)
		return;
	if (off < 0 && (!near->below || off > (int32_t)(near->below - wanted)))
		near->below = xid;
	if (off > 0 && (!near->above || off < (int32_t)(near->above - wanted)))
		near->above = xid;
}

void restore_near_point(struct restore_near *near, const char *name, lsn start, int64_t time_us)
{
	unsigned at = 0;

	while (at < near->points && near->point[at].start > start)
		at++;
	if (at == RESTORE_NEAR_POINTS || (at < near->points && near->point[at].start == start))
		return;
	near->points = MIN(near->points + 1, (unsigned)RESTORE_NEAR_POINTS);
	for (unsigned i = near->points - 1; i > at; i--)
		near->point[i] = near->point[i - 1];
	near->point[at] = (struct restore_near_point){.start = start, .time_us = time_us};
	(void)!str_copy(near->point[at].name, sizeof(near->point[at].name), name);
}

/* What there is instead. */
static void near_text(const struct restore_ask *ask, struct buf *out)
{
	const struct restore_near *near = &ask->searched.near;
	char time[TIME_TEXT_BYTES];

	if (near->below && near->above)
		buf_addf(out, "The nearest are \"--to xid:%u\" and \"--to xid:%u\". ", near->below,
		         near->above);
	else if (near->below || near->above)
		buf_addf(out, "The %s is \"--to xid:%u\". ", near->below ? "last" : "first",
		         near->below ? near->below : near->above);
	for (unsigned i = 0; i < near->points; i++) {
		clock_text_utc(near->point[i].time_us - near->point[i].time_us % US_PER_S, time);
		buf_addf(out, "%s\"%.*s\" (%s)", i ? ", " : "There are ", POINT_TOLD_MAX,
		         near->point[i].name, time);
	}
	if (near->points)
		buf_addstr(out, ". ");
}

/* Not in any WAL that a backup leads to: what was looked at, and what nobody can look at. */
bool plan_refuse_not_found(const struct restore_ask *ask, const struct restore_plan *plan,
                           const char *what, struct err *err)
{
	struct restore_ask again = *ask;
	struct restore_plan at = {.path = plan->path, .segment_bytes = plan->segment_bytes};
	char first[SEGMENT_NAME_BYTES], last[SEGMENT_NAME_BYTES], missing[SEGMENT_NAME_BYTES];
	AUTO_BUF struct buf list, near;
	bool hole = false;

	buf_init(&list, ERR_HINT_MAX);
	buf_init(&near, ERR_HINT_MAX);
	near_text(ask, &near);
	again.searched = (struct restore_searched){0};
	while (again.searched.stretches < STRETCHES_TOLD_MAX && plan_next_stretch(&again, &at)) {
		segment_text(ask,
		             history_tli_of_segment(&at.path, at.first_segno, at.segment_bytes),
		             at.first_segno, first);
		segment_text(ask, history_tli_of_segment(&at.path, at.last_segno, at.segment_bytes),
		             at.last_segno, last);
		buf_addf(&list, "%s%s to %s", again.searched.stretches ? ", and " : "", first,
		         last);
		if (at.hole.found) {
			segment_text(ask, at.hole.tli, at.hole.segno, missing);
			buf_addf(&list, " (%s is %s)", missing,
			         at.hole.damaged ? "damaged" : "missing");
			hole = true;
		}
		again.searched.stretches++;
		again.searched.from = at.first_segno;
	}
	err_set(err, ERR_NOTFOUND, "%s is not in the WAL of the path to timeline %u", what,
	        plan->path.tli);
	err_hint(err, "%sSearched was the WAL that a backup leads to: %s.%s", buf_text(&near),
	         buf_text(&list),
	         hole ? " What lies between such a segment and the next backup is out of reach."
	              : "");
	return false;
}

bool plan_refuse_twice(const struct restore_ask *ask, const struct restore_plan *plan,
                       struct err *err)
{
	const struct restore_searched *searched = &ask->searched;
	char first[TIME_TEXT_BYTES], second[TIME_TEXT_BYTES];

	clock_text_utc(searched->again_us, first);
	clock_text_utc(searched->time_us, second);
	err_set(err, ERR_REFUSED,
	        "behind backup %s there is more than one restore point \"%s\": at " LSN_FORMAT
	        " (%s) and at " LSN_FORMAT " (%s)",
	        plan->backup, ask->target->name, LSN_ARGS(searched->again_start), first,
	        LSN_ARGS(searched->start), second);
	err_hint(err,
	         "PostgreSQL would stop at the first it meets. Say which one by its place: \"--to "
	         "lsn:" LSN_FORMAT "\" or \"--to lsn:" LSN_FORMAT "\".",
	         LSN_ARGS(searched->again_start), LSN_ARGS(searched->start));
	return false;
}

/* The other timelines whose own path leads to the position. */
void plan_hint_others(const struct restore_ask *ask, uint32_t not_tli, struct err *err)
{
	char list[OTHERS_MAX * 12] = "", hint[ERR_HINT_MAX];
	unsigned found = 0;

	for (size_t i = ask->catalog->timelines; i-- > 0 && found < OTHERS_MAX;) {
		uint32_t tli = ask->catalog->timeline[i].tli;
		struct restore_plan other = {0};
		struct err ignored = {0};
		unsigned usable;

		if (tli != not_tli && plan_try_path(ask, tli, &other, &usable, &ignored)) {
			size_t length = strlen(list);

			snprintf(list + length, sizeof(list) - length, "%s%u", found++ ? ", " : "",
			         tli);
		}
		restore_plan_release(&other);
	}
	if (found) {
		memcpy(hint, err->hint, sizeof(hint));
		err->hint[0] = 0;
		err_hint(err, "Timeline %s leads there: say so with --timeline. %s", list, hint);
	}
}

bool plan_refuse_after(const struct restore_ask *ask, uint32_t tli, const struct restore_plan *plan,
                       struct err *err)
{
	char target[TIME_TEXT_BYTES];

	clock_text_utc(ask->target->time_us, target);
	if (plan->hole.found) {
		char missing[SEGMENT_NAME_BYTES];

		segment_text(ask, plan->hole.tli, plan->hole.segno, missing);
		err_set(err, ERR_REFUSED,
		        "the target time %s lies behind a hole: segment \"%s\" %s", target, missing,
		        restore_hole_text(&plan->hole));
	} else {
		err_set(err, ERR_REFUSED,
		        "the target time %s lies after the last archived commit of timeline %u, "
		        "and no other record is as late",
		        target, tli);
	}
	hint_nearest(ask, plan, err);
	return false;
}
