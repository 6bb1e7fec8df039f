/*
 * plan.c — which timeline path, which backup, which WAL.
 *
 * A path is tried whole: its history must be archived, a backup must lie on it and end before the
 * target, and the WAL from that backup on must be there without a hole up to the target. What fails
 * is a refusal that names the first missing thing and the nearest that is possible; nothing is ever
 * downgraded to "the latest", and no other branch is taken instead. Branches that were fenced as a
 * whole are taken only when the timeline is named; a target behind the place where two branches
 * parted that are contested is refused with both of them (repo/owner.h).
 *
 * The path of the newest timeline is the default, with two exceptions that lead nowhere else. For a
 * time, it is the newest timeline that had begun by then (a PITR to yesterday must not decide what
 * "this morning" was), or one that forked from its very end later. For a position below the fork,
 * it is the parent when the child's own WAL is missing: the bytes are the same.
 */
#include "plan_refuse.h"
#include <string.h>
#include "base/poison.h"

void restore_plan_release(struct restore_plan *plan)
{
	free(plan->cluster);
	free(plan->generation);
	free(plan->pgdata);
	free(plan->config);
	history_release(&plan->path);
	for (size_t i = 0; i < plan->tablespaces; i++) {
		free(plan->tablespace[i].name);
		free(plan->tablespace[i].original);
		free(plan->tablespace[i].path);
	}
	free(plan->tablespace);
	*plan = (struct restore_plan){0};
}

/* ---- the path ---- */

static bool path_of(const struct catalog *catalog, uint32_t tli, struct history *ret,
                    struct err *err)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);

	history_release(ret);
	history_init(ret, tli);
	if (!timeline)
		return err_set(err, ERR_NOTFOUND, "timeline %u is not in the archive", tli);
	if (timeline->history_archived) {
		history_copy(ret, &timeline->history);
	} else if (tli > 1) {
		err_set(err, ERR_REFUSED,
		        "%08X.history is not in the archive, so it is not known where timeline %u "
		        "comes from",
		        tli, tli);
		err_hint(err,
		         "Archive it from the pg_wal of the server that began that timeline, or "
		         "choose another one with --timeline.");
		return false;
	}
	return true;
}

bool plan_holds_backup(const struct history *path, const struct manifest_head *head)
{
	if (head->stop_lsn <= head->start_lsn)
		return false;
	return history_tli_at(path, head->start_lsn) == head->start_tli &&
	       history_tli_at(path, head->stop_lsn - 1) == head->stop_tli;
}

/* The highest archived segment of the path above segno. */
static void look_behind(const struct catalog *catalog, const struct history *path, uint64_t segno,
                        struct restore_hole *hole)
{
	for (size_t t = 0; t < catalog->timelines; t++) {
		const struct catalog_timeline *timeline = &catalog->timeline[t];

		for (size_t r = 0; r < timeline->runs; r++) {
			uint64_t last = timeline->run[r].last;
			lsn begin, end;

			if (!history_span(path, timeline->tli, &begin, &end))
				continue;
			if (end != LSN_MAX) {
				/* whole segments of it only: the one with the fork is the child's
				 */
				uint64_t own = lsn_segno(end, catalog->segment_bytes);

				if (own == 0)
					continue;
				last = MIN(last, own - 1);
			}
			if (last <= segno || last < timeline->run[r].first ||
			    history_tli_of_segment(path, last, catalog->segment_bytes) !=
			            timeline->tli ||
			    (hole->found && last <= hole->behind_segno))
				continue;
			hole->found = true;
			hole->behind_tli = timeline->tli;
			hole->behind_segno = last;
		}
	}
}

/* What is known of the segment at which the path breaks off; one that is damaged was archived, so
 * it is no end of the archive. */
static void look_at_hole(const struct catalog *catalog, const struct history *path,
                         struct restore_hole *hole)
{
	const struct catalog_harm *harm = catalog_harm_at(catalog, hole->tli, hole->segno);

	hole->damaged = harm != NULL;
	hole->accepted = harm && harm->accepted;
	for (size_t i = 0; i < catalog->harms; i++) {
		harm = &catalog->harm[i];
		if (harm->segno < hole->segno ||
		    (hole->found && harm->segno <= hole->behind_segno) ||
		    history_tli_of_segment(path, harm->segno, catalog->segment_bytes) != harm->tli)
			continue;
		hole->found = true;
		hole->behind_tli = harm->tli;
		hole->behind_segno = harm->segno;
	}
}

/* From segment first on, the last one up to which the path is archived. False: not even the first.
 * Fills hole.tli and hole.segno with the first missing one in any case. */
static bool path_extent(const struct catalog *catalog, const struct history *path, uint64_t first,
                        uint64_t *ret_last, struct restore_hole *hole)
{
	uint64_t segno = first;

	*hole = (struct restore_hole){0};
	for (;;) {
		uint32_t tli = history_tli_of_segment(path, segno, catalog->segment_bytes);
		uint64_t run_last;
		lsn begin, end;

		if (!catalog_contiguous(catalog, tli, segno, &run_last)) {
			hole->tli = tli;
			hole->segno = segno;
			look_behind(catalog, path, segno, hole);
			look_at_hole(catalog, path, hole);
			break;
		}
		if (history_span(path, tli, &begin, &end) && end != LSN_MAX) {
			uint64_t own = lsn_segno(end, catalog->segment_bytes);

			run_last = MIN(run_last, MAX(own, segno + 1) - 1);
		}
		segno = run_last + 1;
	}
	*ret_last = segno - 1;
	return segno > first;
}

/* ---- one path, tried whole ---- */

bool plan_backup_whole(const struct restore_ask *ask, const struct history *path,
                       const struct manifest_head *head)
{
	uint32_t bytes = ask->catalog->segment_bytes;
	struct restore_hole hole;
	uint64_t last;

	return path_extent(ask->catalog, path, lsn_segno(head->start_lsn, bytes), &last, &hole) &&
	       last >= lsn_segno_before(head->stop_lsn, bytes);
}

static bool backup_before_target(const struct restore_ask *ask, const struct manifest_head *head)
{
	const struct restore_target *target = ask->target;

	if (target->kind == RESTORE_TIME && ask->beyond && head->stop_lsn > ask->beyond)
		return false;
	if (target->kind == RESTORE_TIME)
		return target->before ? head->stop_time_us < target->time_us
		                      : head->stop_time_us <= target->time_us;
	if (target->kind == RESTORE_LSN)
		return head->stop_lsn <= target->position;
	if (ask->searched.found)
		return head->stop_lsn <= ask->searched.start;
	return true;
}

static void take_backup(struct restore_plan *plan, const struct manifest_head *head)
{
	memcpy(plan->backup, head->id, sizeof(plan->backup));
	plan->start_lsn = head->start_lsn;
	plan->stop_lsn = head->stop_lsn;
	plan->start_tli = head->start_tli;
	plan->stop_tli = head->stop_tli;
	plan->backup_stop_us = head->stop_time_us;
	plan->system_identifier = head->system_identifier;
	plan->major = head->major;
	plan->files = head->files;
	plan->logical_bytes = head->logical_bytes;
	plan->stored_bytes = head->stored_bytes;
	if (!str_copy(plan->time_zone, sizeof(plan->time_zone), head->time_zone))
		plan->time_zone[0] = 0; /* then a time needs its offset */
}

/* The newest backup of the path that ends before the target and whose own WAL is there. In ret: the
 * head, and the count of backups that would do if the target were anywhere. */
static const struct manifest_head *choose_backup(const struct restore_ask *ask,
                                                 struct restore_plan *plan, unsigned *ret_usable)
{
	const struct manifest_head *best = NULL;
	uint32_t bytes = ask->catalog->segment_bytes;

	*ret_usable = 0;
	for (size_t i = 0; i < ask->heads; i++) {
		const struct manifest_head *head = &ask->head[i];
		struct restore_hole hole;
		uint64_t last, first = lsn_segno(head->start_lsn, bytes);
		bool whole;

		if (!plan_holds_backup(&plan->path, head))
			continue;
		whole = path_extent(ask->catalog, &plan->path, first, &last, &hole) &&
		        last >= lsn_segno_before(head->stop_lsn, bytes);
		*ret_usable += whole;
		/* One whose WAL is missing is remembered only so that the hole can be named. */
		if (!backup_before_target(ask, head) ||
		    (best && (best->stop_lsn > head->stop_lsn || !whole)))
			continue;
		best = head;
		plan->first_segno = first;
		plan->last_segno = last;
		plan->hole = hole;
		if (!whole)
			best = NULL;
	}
	return best;
}

/* Whether the archive reaches the begin of the path's last timeline, in its own WAL. */
static bool reaches_timeline(const struct restore_ask *ask, const struct restore_plan *plan)
{
	lsn begin, end;

	if (!history_span(&plan->path, plan->path.tli, &begin, &end))
		return false;
	return plan->last_segno >= lsn_segno(begin, ask->catalog->segment_bytes) &&
	       catalog_has(ask->catalog, plan->path.tli, plan->last_segno);
}

bool plan_try_path(const struct restore_ask *ask, uint32_t tli, struct restore_plan *plan,
                   unsigned *ret_usable, struct err *err)
{
	const struct restore_target *target = ask->target;
	const struct manifest_head *head;
	AUTO_BUF struct buf what;

	buf_init(&what, 256);
	plan_what_text(ask, &what);
	plan->stop_lsn = 0;
	if (!path_of(ask->catalog, tli, &plan->path, err))
		return false;
	plan->segment_bytes = ask->catalog->segment_bytes;
	plan->last_segno = 0;
	plan->hole = (struct restore_hole){0};
	head = choose_backup(ask, plan, ret_usable);
	if (!head && plan->hole.segno)
		return plan_refuse_hole(ask, plan, "the end of the backup", err);
	if (!head)
		return plan_refuse_before(ask, &plan->path, buf_text(&what), err);
	take_backup(plan, head);
	/* What is there and cannot be read is no end: who wants less says how much. */
	if (target->kind == RESTORE_LATEST && plan->hole.damaged)
		return plan_refuse_hole(ask, plan, "the end of the archive", err);
	if (target->kind == RESTORE_BACKUP_END) {
		plan->last_segno = lsn_segno_before(head->stop_lsn, plan->segment_bytes);
		return true;
	}
	if (target->kind == RESTORE_LSN &&
	    lsn_segno(target->position, plan->segment_bytes) > plan->last_segno + ask->local)
		return plan_refuse_hole(ask, plan, buf_text(&what), err);
	if ((target->kind == RESTORE_LATEST || target->kind == RESTORE_NAME ||
	     target->kind == RESTORE_XID) &&
	    !ask->searched.found && !reaches_timeline(ask, plan))
		return plan_refuse_unreached(ask, plan, err);
	return true;
}

/* ---- choosing the timeline ---- */

bool plan_next_stretch(const struct restore_ask *ask, struct restore_plan *plan)
{
	uint64_t below = ask->searched.stretches ? ask->searched.from : UINT64_MAX;
	bool any = false;

	for (size_t i = 0; i < ask->heads; i++) {
		uint64_t last, first = lsn_segno(ask->head[i].start_lsn, plan->segment_bytes);
		struct restore_hole hole;

		if (!plan_holds_backup(&plan->path, &ask->head[i]) ||
		    !path_extent(ask->catalog, &plan->path, first, &last, &hole) || last >= below ||
		    last < lsn_segno_before(ask->head[i].stop_lsn, plan->segment_bytes))
			continue;
		if (any && (last < plan->last_segno ||
		            (last == plan->last_segno && first >= plan->first_segno)))
			continue;
		any = true;
		plan->first_segno = first;
		plan->last_segno = last;
		plan->hole = hole;
	}
	return any;
}

/* A refusal names what is possible before it when the end of the plan's WAL is known. */
static bool refused(const struct restore_ask *ask, const struct restore_plan *plan,
                    enum restore_need *ret_need, uint32_t *ret_tli)
{
	const struct timeline_facts *fact = plan_facts(ask, plan->path.tli);

	*ret_tli = plan->path.tli;
	if (plan->stop_lsn && (!fact || !fact->end_known))
		*ret_need = RESTORE_NEEDS_END;
	return false;
}

/* For a target whose place only the WAL knows. */
static bool choose_searched(const struct restore_ask *ask, struct restore_plan *plan,
                            enum restore_need *ret_need, uint32_t *ret_tli, struct err *err)
{
	const struct restore_searched *searched = &ask->searched;
	struct restore_plan stretch = {.path = plan->path, .segment_bytes = plan->segment_bytes};
	AUTO_BUF struct buf what;

	buf_init(&what, 256);
	plan_what_text(ask, &what);
	if (searched->found) {
		if (lsn_segno(searched->start, plan->segment_bytes) > plan->last_segno)
			return plan_refuse_hole(ask, plan, buf_text(&what), err) ||
			       refused(ask, plan, ret_need, ret_tli);
		if (searched->again)
			return plan_refuse_twice(ask, plan, err);
		if (ask->target->kind == RESTORE_NAME && !searched->again_searched)
			*ret_need = RESTORE_NEEDS_AGAIN;
		return true;
	}
	if (plan_next_stretch(ask, &stretch)) {
		plan->first_segno = stretch.first_segno;
		plan->last_segno = stretch.last_segno;
		*ret_need = RESTORE_NEEDS_SEARCH;
		return true;
	}
	/* It may be in what PostgreSQL did not archive; the end of the replay tells. */
	return ask->local || plan_refuse_not_found(ask, plan, buf_text(&what), err);
}

static bool choose_latest(const struct restore_ask *ask, struct restore_plan *plan,
                          enum restore_need *ret_need, uint32_t *ret_tli, struct err *err)
{
	unsigned usable;

	if (!plan_try_path(ask, *ret_tli, plan, &usable, err))
		return refused(ask, plan, ret_need, ret_tli);
	if (ask->target->kind == RESTORE_LATEST || ask->target->kind == RESTORE_BACKUP_END)
		return true;
	return choose_searched(ask, plan, ret_need, ret_tli, err);
}

/* The newest timeline that nobody has fenced as a whole; if all are, the newest; 0: none. */
uint32_t plan_default_timeline(const struct restore_ask *ask)
{
	if (ask->timeline)
		return ask->timeline;
	for (size_t i = ask->catalog->timelines; i-- > 0;)
		if (!owner_fence_whole(ask->catalog, ask->catalog->timeline[i].tli))
			return ask->catalog->timeline[i].tli;
	return catalog_highest_tli(ask->catalog);
}

/* Nothing here chooses between two branches that both went on. */
static bool refuse_contested(const struct restore_ask *ask, const struct restore_plan *plan,
                             struct err *err)
{
	const struct restore_target *target = ask->target;
	const struct owner_note *note;
	AUTO_BUF struct buf text = {0};
	lsn until = LSN_MAX, begin, end;

	if (ask->timeline)
		return true;
	if (target->kind == RESTORE_LSN)
		until = target->position;
	else if (target->kind == RESTORE_BACKUP_END)
		until = plan->stop_lsn;
	else if (ask->searched.found)
		until = ask->searched.start;
	note = owner_contest_on(ask->catalog, &plan->path, until);
	/* A time before the child had begun was only ever the parent's. */
	if (!note || (target->kind == RESTORE_TIME && plan->path.tli < note->tli &&
	              !history_span(&plan->path, note->tli, &begin, &end)))
		return true;
	buf_init(&text, ERR_TEXT_MAX);
	owner_contest_text(ask->catalog, note, &text);
	err_set(err, ERR_REFUSED, "%s", buf_text(&text));
	err_hint(err,
	         "Say which one with --timeline %u or --timeline %u, or settle it: `seawall adopt` "
	         "on the server that is right fences the other branch.",
	         note->other, note->tli);
	return false;
}

static bool choose_lsn(const struct restore_ask *ask, struct restore_plan *plan,
                       enum restore_need *ret_need, uint32_t *ret_tli, struct err *err)
{
	uint32_t newest = plan_default_timeline(ask);
	uint32_t tli = newest;
	unsigned usable;

	while (!plan_try_path(ask, tli, plan, &usable, err)) {
		size_t count = plan->path.count;
		const struct history_entry *fork = count ? &plan->path.entry[count - 1] : NULL;

		if (ask->timeline || err->code == ERR_NOTFOUND || !fork ||
		    ask->target->position >= fork->switch_lsn) {
			plan_hint_others(ask, newest, err);
			return refused(ask, plan, ret_need, ret_tli);
		}
		tli = fork->tli;
		err_clear(err);
	}
	return true;
}

const struct timeline_facts *plan_facts(const struct restore_ask *ask, uint32_t tli)
{
	for (size_t i = 0; i < ask->facts; i++)
		if (ask->fact[i].tli == tli)
			return &ask->fact[i];
	return NULL;
}

/* A record that is as late says that no earlier transaction is missing, also when it is none
 * itself. */
static bool reaches_time(const struct restore_ask *ask, const struct timeline_facts *fact)
{
	return MAX(fact->last_commit_us, fact->proven_us) >= ask->target->time_us;
}

/* A child of base that began where base ended: on its path the time after base's last commit is
 * known. Highest last. */
static bool choose_heir(const struct restore_ask *ask, uint32_t base, struct restore_plan *plan,
                        enum restore_need *ret_need, uint32_t *ret_tli)
{
	const struct timeline_facts *end = plan_facts(ask, base);

	for (size_t i = 0; i < ask->catalog->timelines; i++) {
		uint32_t tli = ask->catalog->timeline[i].tli;
		const struct timeline_facts *fact = plan_facts(ask, tli);
		struct err ignored = {0};
		unsigned usable;
		lsn fork;

		if (tli <= base || owner_fence_whole(ask->catalog, tli) ||
		    !plan_try_path(ask, tli, plan, &usable, &ignored) ||
		    !history_switch(&plan->path, base, &fork) || fork < end->last_commit_lsn)
			continue;
		*ret_tli = tli;
		if (!fact || !fact->end_known) {
			*ret_need = RESTORE_NEEDS_END;
			return true;
		}
		if (reaches_time(ask, fact))
			return true;
	}
	return false;
}

static bool choose_time(const struct restore_ask *ask, struct restore_plan *plan,
                        enum restore_need *ret_need, uint32_t *ret_tli, struct err *err)
{
	uint32_t base = ask->timeline;
	const struct timeline_facts *fact;
	unsigned usable;

	for (size_t i = ask->catalog->timelines; !base && i-- > 0;) {
		uint32_t tli = ask->catalog->timeline[i].tli;

		if (owner_fence_whole(ask->catalog, tli))
			continue;
		fact = plan_facts(ask, tli);
		*ret_tli = tli;
		if (tli > 1 && (!fact || !fact->begun_known)) {
			*ret_need = RESTORE_NEEDS_BEGIN;
			return true;
		}
		if (tli == 1 || fact->begun_us <= ask->target->time_us)
			base = tli;
	}
	/* None had begun by then: the first one tells what is possible. */
	for (size_t i = 0; !base && i < ask->catalog->timelines; i++)
		if (!owner_fence_whole(ask->catalog, ask->catalog->timeline[i].tli))
			base = ask->catalog->timeline[i].tli;
	if (!base)
		return err_set(err, ERR_REFUSED, "there is no WAL in the archive");
	if (!plan_try_path(ask, base, plan, &usable, err))
		return false;
	*ret_tli = base;
	fact = plan_facts(ask, base);
	if (!fact || !fact->end_known) {
		*ret_need = RESTORE_NEEDS_END;
		return true;
	}
	if (reaches_time(ask, fact))
		return true;
	if (!ask->timeline && choose_heir(ask, base, plan, ret_need, ret_tli))
		return true;
	*ret_tli = base;
	return plan_try_path(ask, base, plan, &usable, err) &&
	       plan_refuse_after(ask, base, plan, err);
}

static bool timeline_known(const struct restore_ask *ask, struct err *err)
{
	AUTO_BUF struct buf list;

	buf_init(&list, 200);
	if (!ask->timeline || catalog_timeline(ask->catalog, ask->timeline))
		return true;
	for (size_t i = 0; i < ask->catalog->timelines; i++)
		buf_addf(&list, "%s%u", i ? ", " : "", ask->catalog->timeline[i].tli);
	err_set(err, ERR_NOTFOUND, "timeline %u is not in the archive", ask->timeline);
	err_hint(err, "There are: %s.", buf_text(&list));
	return false;
}

static bool choose_path(const struct restore_ask *ask, struct restore_plan *plan,
                        enum restore_need *ret_need, uint32_t *ret_tli, struct err *err)
{
	if (ask->target->kind == RESTORE_TIME)
		return choose_time(ask, plan, ret_need, ret_tli, err);
	if (ask->target->kind == RESTORE_LSN)
		return choose_lsn(ask, plan, ret_need, ret_tli, err);
	*ret_tli = plan_default_timeline(ask);
	if (*ret_tli == 0)
		return err_set(err, ERR_REFUSED, "there is no WAL in the archive");
	return choose_latest(ask, plan, ret_need, ret_tli, err);
}

bool restore_choose(const struct restore_ask *ask, struct restore_plan *plan,
                    enum restore_need *ret_need, uint32_t *ret_tli, struct err *err)
{
	*ret_need = RESTORE_NEEDS_NOTHING;
	*ret_tli = 0;
	plan->target = *ask->target;
	if (ask->heads == 0) {
		err_set(err, ERR_NOTFOUND, "there is no backup");
		err_hint(err, "`seawall backup` makes one; `seawall list` shows what is there.");
		return false;
	}
	if (!timeline_known(ask, err))
		return false;
	return choose_path(ask, plan, ret_need, ret_tli, err) &&
	       (*ret_need != RESTORE_NEEDS_NOTHING || refuse_contested(ask, plan, err));
}

/* ---- delivering ---- */

enum restore_verdict restore_plan_judge(const struct restore_plan *plan, uint32_t tli,
                                        uint64_t segno)
{
	uint32_t own = history_tli_of_segment(&plan->path, segno, plan->segment_bytes);
	lsn left;

	if (tli == own)
		return segno > plan->last_segno ? RESTORE_BEYOND : RESTORE_MAY;
	if (history_switch(&plan->path, tli, &left) &&
	    lsn_of_segno(segno + 1, plan->segment_bytes) > left)
		return RESTORE_LEFT;
	return RESTORE_OTHER;
}

bool restore_plan_replays(const struct restore_plan *plan, lsn start)
{
	if (start < plan->start_lsn)
		return false;
	if (plan->end_start)
		return start <= plan->end_start;
	if (plan->target.kind == RESTORE_BACKUP_END)
		return start < plan->stop_lsn;
	return plan->target.kind != RESTORE_LSN || start <= plan->target.position;
}

bool restore_plan_owns(const struct restore_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->tablespaces; i++)
		if (strcmp(plan->tablespace[i].path, path) == 0)
			return true;
	return false;
}

bool restore_plan_has_history(const struct restore_plan *plan, uint32_t tli)
{
	lsn ignored;

	return tli == plan->path.tli || history_switch(&plan->path, tli, &ignored);
}
