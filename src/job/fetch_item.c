/*
 * fetch_item.c — one file on its way to a recovery, and the proof of absence.
 *
 *   START -> LOOKING -> [OPENING] -> [MAPPING] -> FETCHING -> READY -> DELIVERING -> "delivered"
 *               ^                                    |  ^                   |
 *               +----------- RESTING <---------------+  +-- prefetched      |
 *                               ^                    |                      |
 *                               +---- PROVING <------+  "not found"         |
 *                               |        '-> "absent"                       |
 *                               +---------- the spool was removed ----------+
 *
 * LOOKING ... FETCHING may also end in "failed": the dead branch, damaged, foreign.
 *
 * An item is one file for one data directory, wanted by a question or prefetched. LOOKING (worker)
 * learns what kind of recovery asks; OPENING finds its generation; MAPPING finds its branch when
 * there is no plan. A prefetched item begins at FETCHING, with the guide that the last wanted one
 * left, and sleeps in READY until it is asked for. An item whose answer nobody is there to hear
 * (the hook asks again and again) sleeps in READY or TOLD.
 *
 * Three outcomes: delivered; proven absent (repo/catalog.h decides); unknown, which is tried again
 * for UNKNOWN_MS and then "failed", so that PostgreSQL stops instead of opening short. In standby
 * mode "not yet", "hole" and "unknown" are all "absent", soon and with a warning, since there an
 * end is no end. Nothing negative is remembered (pg_rewind walks backwards).
 */
#include "fetch_item.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "pg/control.h"
#include "repo/plan.h"

#include "base/poison.h"

enum {
	UNKNOWN_MS = 5 * 60 * 1000, /* architecture.md 7 */
	HOLE_MS =
	        30 *
	        1000, /* a hole may be filled by an archiver that works in parallel, not for long */
	UNKNOWN_STANDBY_MS = 8000, /* below the 10 s after which the hook answers by itself */
	REST_MS_MIN = 250,
	REST_MS_MAX = 5000,
	KEEP_MS = 2000, /* an answer that nobody hears just now: the hook asks again at once */
	KEEP_READY_MS = 60 * 1000,      /* a file whose hook has left */
	KEEP_AHEAD_MS = 10 * 60 * 1000, /* one that no replay came for */
};

OP_STATES_NAME(item_state, ITEM_STATES)

void guide_release(struct fetch_guide *guide)
{
	free(guide->folder);
	history_release(&guide->path);
	*guide = (struct fetch_guide){0};
}

void guide_copy(struct fetch_guide *to, const struct fetch_guide *from)
{
	struct fetch_guide copy = *from;

	copy.folder = xstrdup(from->folder);
	copy.path = (struct history){0};
	if (from->has_path)
		history_copy(&copy.path, &from->path);
	guide_release(to);
	*to = copy;
}

/* ---- answers ---- */

void fetch_item_tell(struct fetch_item *item, enum answer answer)
{
	for (struct fetch_ask *ask = item->asks, *next; ask; ask = next) {
		next = ask->next;
		ask->item = NULL;
		ask->answer = answer;
		ask->warning = item->warning;
		if (answer == ANSWER_FAILED)
			ask->op.err = item->op.err;
		op_wake(&ask->op);
	}
	item->asks = NULL;
}

static void item_tell(struct fetch_item *item)
{
	fetch_item_tell(item, item->answer);
}

static void item_figures(const struct fetch_item *item)
{
	struct fetcher_figures *figures = &item->fetcher->figures;

	if (item->answer == ANSWER_DELIVERED) {
		figures->delivered++;
		figures->last_us = clock_now_us();
		snprintf(figures->last, sizeof(figures->last), "%s", item->text);
	} else if (item->answer == ANSWER_ABSENT) {
		figures->absent++;
	} else {
		figures->failed++;
	}
}

static void item_end(struct fetch_item *item)
{
	timer_release(&item->keep);
	if (item->spool && item->answer != ANSWER_DELIVERED)
		unlink(item->spool);
	if (err_is(&item->op.err))
		return op_fail_own(&item->op);
	op_done(&item->op);
}

/* In the server's log. A command (which does not fetch ahead) says the end itself. */
static void item_speak(const struct fetch_item *item, enum answer answer)
{
	if (item->fetcher->ahead_max == 0)
		return;
	if (answer == ANSWER_FAILED)
		log_err(LOG_ERROR, &item->op.err, ", PostgreSQL is told to stop");
	else if (err_is(&item->warning))
		log_err(LOG_WARNING, &item->warning, ", the standby will ask again");
}

/* The answer is known: say it, or keep it until somebody comes to hear it. */
static void item_decide(struct fetch_item *item, enum answer answer, const struct err *why)
{
	item->answer = answer;
	if (why)
		*(answer == ANSWER_FAILED ? &item->op.err : &item->warning) = *why;
	if (!item->wanted || item->op.cancelled)
		return item_end(item);
	item_figures(item);
	item_speak(item, answer);
	if (item->asks) {
		item_tell(item);
		return item_end(item);
	}
	/* Who asks again gets it delivered again: the file may have been taken away since. */
	if (answer == ANSWER_DELIVERED)
		return item_end(item);
	timer_set(&item->keep, KEEP_MS);
	op_wait(&item->op, ITEM_TOLD);
}

static void item_fail(struct fetch_item *item, const struct err *cause, const char *what)
{
	struct err err = *cause;

	err_wrap(&err, "%s \"%s\"", what, item->text);
	item_decide(item, ANSWER_FAILED, &err);
}

/* ---- looking: on a worker ---- */

static void item_look(struct work *work)
{
	struct fetch_item *item = container_of(work, struct fetch_item, work);
	AUTO_FREE char *standby = path_join(item->guide.folder, "standby.signal");
	AUTO_FREE char *recovery = path_join(item->guide.folder, "recovery.signal");
	struct control control;

	item->guide.standby = access(standby, F_OK) == 0;
	item->guide.recovery = !item->guide.standby && access(recovery, F_OK) == 0;
	if (!control_read(item->guide.folder, &control, &work->op.err))
		return;
	item->guide.system_identifier = control.system_identifier;
	item->guide.segment_bytes = control.segment_bytes;
	if (!item->fetcher->plan &&
	    !branch_aim_read(item->guide.folder, &item->guide.aim, &work->op.err))
		return;
}

static bool item_check_plan(struct fetch_item *item, struct err *err)
{
	const struct restore_plan *plan = item->fetcher->plan;

	if (plan->system_identifier != item->guide.system_identifier)
		return err_set(err, ERR_REFUSED,
		               "the data directory \"%s\" has system identifier %" PRIu64
		               ", the restore's plan is for %" PRIu64,
		               item->guide.folder, item->guide.system_identifier,
		               plan->system_identifier);
	snprintf(item->guide.generation, sizeof(item->guide.generation), "%s", plan->generation);
	history_copy(&item->guide.path, &plan->path);
	item->guide.has_path = true;
	return true;
}

/* ---- unknown: again, within the budget ---- */

static int64_t item_budget_ms(const struct fetch_item *item)
{
	if (item->guide.standby)
		return UNKNOWN_STANDBY_MS;
	return item->hole ? HOLE_MS : UNKNOWN_MS;
}

static void item_unknown(struct fetch_item *item, const struct err *why)
{
	int64_t spent_ms = loop_now_ms(item->op.loop) - item->begun_ms;
	int64_t rest_ms = MIN((int64_t)REST_MS_MIN << MIN(item->tries, 5U), (int64_t)REST_MS_MAX);
	struct err err = *why;

	if (!item->wanted || item->op.cancelled)
		return item_end(item);
	if (spent_ms + rest_ms > item_budget_ms(item)) {
		err_wrap(&err, "could not find out whether \"%s\" is in the archive", item->text);
		return item_decide(item, item->guide.standby ? ANSWER_ABSENT : ANSWER_FAILED, &err);
	}
	if (item->tries++ == 0)
		log_err(LOG_WARNING, why, ", will try again");
	nap_start(&item->op, &item->nap, fault_rest_ms(rest_ms));
	op_wait(&item->op, ITEM_RESTING);
}

/* Of all repositories: what only one of them knows counts. */
static void item_load_catalog(struct fetch_item *item, unsigned what, bool any)
{
	catalog_release(&item->catalog);
	item->catalog = (struct catalog){0};
	item->load = (struct nearest_catalog){.nearest.first = item->fetcher->site,
	                                      .any = any,
	                                      .load = {.generation = item->guide.generation,
	                                               .segment_bytes = item->guide.segment_bytes,
	                                               .what = what,
	                                               .class = GATE_RESTORE,
	                                               .ret = &item->catalog}};
	nearest_catalog_start(&item->op, &item->load);
}

static enum restore_verdict item_judge(const struct fetch_item *item);

/* The repository says that it is not there. What does that prove? */
static void item_prove(struct fetch_item *item)
{
	enum absence absence =
	        item->name.kind == WALNAME_HISTORY
	                ? absent_history_verdict(&item->catalog, item->name.tli)
	                : absent_verdict(&item->catalog, item->name.tli,
	                                 walname_segno(&item->name, item->guide.segment_bytes));
	struct err err = {0};

	if (absence_proven(absence))
		return item_decide(item, ANSWER_ABSENT, NULL);
	/* A recovery with a plan has an explicit end at or before the plan's last segment, and
	 * reads ahead of it: behind that, a hole is not its concern. Should it need more after all,
	 * it stops with an error, since its target was not reached. */
	if (absence != ABSENCE_PRESENT && item->fetcher->plan && item_judge(item) == RESTORE_BEYOND)
		return item_decide(item, ANSWER_ABSENT, NULL);
	item->hole = absence != ABSENCE_PRESENT;
	err_set(&err, ERR_NOTFOUND, "\"%s\" is missing from the archive: %s", item->text,
	        absence_text(absence));
	err_hint(&err, "If the file still exists in a pg_wal directory of this cluster, archive it "
	               "with `seawall "
	               "wal push`. Else restore to a target before it.");
	if (item->guide.standby && item->hole)
		return item_decide(item, ANSWER_ABSENT, &err);
	item_unknown(item, &err);
}

/* ---- fetching and delivering ---- */

/* With a plan: what it says about this segment. RESTORE_MAY without one, and for everything but
 * segments. */
static enum restore_verdict item_judge(const struct fetch_item *item)
{
	lsn switch_lsn;
	uint64_t segno;

	if (item->name.kind != WALNAME_SEGMENT)
		return RESTORE_MAY;
	segno = walname_segno(&item->name, item->guide.segment_bytes);
	if (item->fetcher->plan)
		return restore_plan_judge(item->fetcher->plan, item->name.tli, segno);
	if (item->guide.has_path && branch_is_left(&item->guide.path, item->name.tli, segno,
	                                           item->guide.segment_bytes, &switch_lsn))
		return RESTORE_LEFT;
	return RESTORE_MAY;
}

static void item_refuse_branch(struct fetch_item *item)
{
	struct err err = {0};
	lsn switch_lsn = 0;

	history_switch(&item->guide.path, item->name.tli, &switch_lsn);
	err_set(&err, ERR_REFUSED,
	        "segment \"%s\" lies on a dead branch: this recovery leaves timeline %" PRIu32
	        " at " LSN_FORMAT " for timeline %" PRIu32 ", whose own copy is missing",
	        item->text, item->name.tli, LSN_ARGS(switch_lsn), item->guide.path.tli);
	err_hint(&err,
	         "The WAL of timeline %" PRIu32
	         " was not archived from its beginning. Restore to a target "
	         "before the fork, or along timeline %" PRIu32 " with --timeline %" PRIu32 ".",
	         item->guide.path.tli, item->name.tli, item->name.tli);
	/* A standby looks for newer timelines only after it has heard "not there". */
	item_decide(item, item->guide.standby ? ANSWER_ABSENT : ANSWER_FAILED, &err);
}

/* The plan was made from the word of all repositories: what lies behind its end ends nothing, and a
 * timeline that nobody knew then is one whose number the recovery may take. For this one of them
 * is not waited for, when another says that it is not there. */
static bool item_ends_nothing(const struct fetch_item *item)
{
	const struct restore_plan *plan = item->fetcher->plan;

	if (plan && item->name.kind == WALNAME_HISTORY)
		return item->name.tli == 1 || /* the first one never has a history */
		       (plan->known_tli > 0 && item->name.tli > plan->known_tli);
	return plan && item->name.kind == WALNAME_SEGMENT && item_judge(item) == RESTORE_BEYOND;
}

static void item_unanswered(struct fetch_item *item, const struct err *why)
{
	if (!item->wanted || !err_is(&item->file.nearest.missing) || !item_ends_nothing(item))
		return item_unknown(item, why);
	log_err(LOG_WARNING, why, ", the restore does without it");
	item_decide(item, ANSWER_ABSENT, NULL);
}

static void item_spool_make(struct fetch_item *item)
{
	AUTO_FREE char *folder = path_folder(item->path);
	struct fetcher *fetcher = item->fetcher;

	free(item->spool);
	if (fetcher->ahead_max == 0)
		item->spool = xasprintf("%s/.seawall.%s.%ld", folder, item->text, (long)getpid());
	else
		item->spool = xasprintf("%s/seawall.spool/%s/%s", folder,
		                        fetcher->restore_id ? fetcher->restore_id : "standby",
		                        item->text);
}

static void item_fetch(struct op *op, struct fetch_item *item)
{
	switch (item_judge(item)) {
	case RESTORE_LEFT:
		return item_refuse_branch(item);
	case RESTORE_OTHER: /* PostgreSQL tries the newer timelines' names first: it goes on */
		return item_decide(item, ANSWER_ABSENT, NULL);
	case RESTORE_MAY:
	case RESTORE_BEYOND:
		break;
	}
	if (!item->spool)
		item_spool_make(item);
	item->file = (struct nearest_file){
	        .nearest = {.first = item->fetcher->site, .hasty = item_ends_nothing(item)},
	        .file = {.generation = item->guide.generation,
	                 .name = item->name,
	                 .system_identifier = item->guide.system_identifier,
	                 .segment_bytes = item->guide.segment_bytes,
	                 .target = item->spool,
	                 .likely_bytes = item->fetcher->likely_bytes,
	                 .plan = item->fetcher->plan,
	                 .class = item->wanted ? GATE_RESTORE : GATE_WAL}};
	nearest_file_start(op, &item->file);
	op_wait(op, ITEM_FETCHING);
}

/* The next one is likely as big as this one, or a little bigger; one that is not costs a second
 * request. */
static void likely_learn(struct fetch_item *item)
{
	uint64_t bytes = item->file.file.stored_bytes, before = item->fetcher->likely_bytes;

	if (item->name.kind == WALNAME_SEGMENT)
		item->fetcher->likely_bytes = MAX(bytes + bytes / 8, before - before / 8);
}

static void item_fetched(struct op *op, struct fetch_item *item)
{
	struct err *err = &item->file.nearest.op.err;

	if (op->cancelled)
		return item_end(item);
	if (!op_failed(&item->file.nearest.op)) {
		item->fetcher->figures.bytes_got += item->file.file.bytes;
		item->fetcher->figures.prefetched += !item->wanted;
		likely_learn(item);
		op_wait(op, ITEM_READY);
		ahead_pump(item->fetcher);
		return op_wake(op);
	}
	if (!item->wanted) {                   /* the question, if it comes, gets a fresh look */
		if (err->code == ERR_NOTFOUND) /* near the end, there is little to look ahead to */
			item->fetcher->window =
			        MAX(item->fetcher->window / 2,
			            MIN((unsigned)WINDOW_MIN, item->fetcher->ahead_max));
		return item_end(item);
	}
	if (err->code == ERR_NOTFOUND) {
		item_load_catalog(item, CATALOG_HISTORIES | CATALOG_TIMELINES, false);
		return op_wait(op, ITEM_PROVING);
	}
	/* As a hole there, see item_prove(): the plan ends before it. */
	if (err->code == ERR_DAMAGED && item->fetcher->plan && item_judge(item) == RESTORE_BEYOND)
		return item_decide(item, ANSWER_ABSENT, NULL);
	if (err->code == ERR_DAMAGED || err->code == ERR_REFUSED)
		return item_fail(item, err, "could not deliver");
	item_unanswered(item, err);
}

static void item_move(struct work *work)
{
	struct fetch_item *item = container_of(work, struct fetch_item, work);
	struct statvfs disk;

	item->guide.room_bytes = statvfs(item->guide.folder, &disk) == 0
	                                 ? (uint64_t)disk.f_bavail * disk.f_frsize
	                                 : 0;
	(void)!durable_move(item->spool, item->path, &work->op.err);
}

/* Whether a file is being moved to the path of this one just now. */
static bool item_path_busy(const struct fetch_item *item)
{
	for (const struct fetch_item *other = item->fetcher->items; other; other = other->next)
		if (other != item && other->op.state == ITEM_DELIVERING &&
		    strcmp(other->path, item->path) == 0)
			return true;
	return false;
}

/* Those that wait for a path to be free. */
static void items_wake_ready(struct fetcher *fetcher)
{
	for (struct fetch_item *item = fetcher->items; item; item = item->next)
		if (item->op.state == ITEM_READY && item->asks)
			op_wake(&item->op);
}

static void item_ready(struct op *op, struct fetch_item *item)
{
	if (op->cancelled)
		return item_end(item);
	if (!item->asks) { /* sleep until somebody asks */
		timer_set(&item->keep, item->wanted ? KEEP_READY_MS : KEEP_AHEAD_MS);
		return;
	}
	timer_stop(&item->keep);
	if (item_path_busy(item))
		return;
	work_start_look(op, &item->work, WORK_RESTORE, item_move);
	op_wait(op, ITEM_DELIVERING);
}

/* The spool may have been removed: what was in it can be fetched again. */
static void item_moved(struct fetch_item *item)
{
	items_wake_ready(item->fetcher);
	if (op_failed(&item->work.op)) {
		item_unknown(item, &item->work.op.err);
	} else {
		if (item->ahead)
			haste_note(item->fetcher->site->haste, loop_now_ms(item->op.loop));
		ahead_from(item);
		item_decide(item, ANSWER_DELIVERED, NULL);
	}
}

/* ---- the story of an item ---- */

static void item_map(struct op *op, struct fetch_item *item)
{
	if (item->fetcher->plan || !item->guide.aim.known || item->name.kind != WALNAME_SEGMENT)
		return item_fetch(op, item);
	/* A standby may follow an older branch for a while, a recovery may not end on it. */
	item_load_catalog(item, CATALOG_HISTORIES, item->guide.standby);
	op_wait(op, ITEM_MAPPING);
}

static void item_looked(struct op *op, struct fetch_item *item)
{
	struct err err = {0};

	if (op_failed(&item->work.op))
		return item_unknown(item, &item->work.op.err);
	if (item->fetcher->plan) {
		if (!item_check_plan(item, &err))
			return item_decide(item, ANSWER_FAILED, &err);
		return item_fetch(op, item);
	}
	item->opening =
	        (struct nearest_generation){.nearest.first = item->fetcher->site,
	                                    .system_identifier = item->guide.system_identifier};
	nearest_generation_start(op, &item->opening);
	op_wait(op, ITEM_OPENING);
}

static void item_opened(struct op *op, struct fetch_item *item)
{
	const struct err *err = &item->opening.nearest.op.err;

	if (op_failed(&item->opening.nearest.op)) {
		if (err->code == ERR_NOTFOUND && item->guide.standby) /* nothing archived yet */
			return item_decide(item, ANSWER_ABSENT, err);
		if (err->code == ERR_NOTFOUND || err->code == ERR_REFUSED ||
		    err->code == ERR_DAMAGED)
			return item_fail(item, err, "could not deliver");
		return item_unknown(item, err);
	}
	memcpy(item->guide.generation, item->opening.generation, sizeof(item->guide.generation));
	item_map(op, item);
}

static void item_mapped(struct op *op, struct fetch_item *item)
{
	if (op_failed(&item->load.nearest.op))
		return item_unknown(item, &item->load.nearest.op.err);
	history_release(&item->guide.path);
	item->guide.has_path = branch_path(&item->guide.aim, &item->catalog, &item->guide.path);
	item_fetch(op, item);
}

static void item_step(struct op *op)
{
	struct fetch_item *item = container_of(op, struct fetch_item, op);

	switch ((enum item_state)op->state) {
	case ITEM_START:
		timer_init(&item->keep, op->loop, item->keep.fired);
		item->begun_ms = loop_now_ms(op->loop);
		if (!item->wanted)
			return item_fetch(op, item);
		work_start_look(op, &item->work, WORK_RESTORE, item_look);
		return op_wait(op, ITEM_LOOKING);
	case ITEM_LOOKING:
		return item_looked(op, item);
	case ITEM_OPENING:
		return item_opened(op, item);
	case ITEM_MAPPING:
		return item_mapped(op, item);
	case ITEM_FETCHING:
		return item_fetched(op, item);
	case ITEM_READY:
		return item_ready(op, item);
	case ITEM_PROVING:
		if (op_failed(&item->load.nearest.op))
			return item_unanswered(item, &item->load.nearest.op.err);
		return item_prove(item);
	case ITEM_RESTING:
		if (op->cancelled)
			return item_end(item);
		work_start_look(op, &item->work, WORK_RESTORE, item_look);
		return op_wait(op, ITEM_LOOKING);
	case ITEM_DELIVERING:
		return item_moved(item);
	case ITEM_TOLD:
		if (item->asks)
			item_tell(item);
		return item_end(item);
	}
}

static void item_cancel(struct op *op)
{
	if (op->children == 0)
		op_wake(op);
}

static const struct op_type item_type = {
        .name = "fetch", .step = item_step, .cancel = item_cancel, .state_name = item_state_name};

static void item_keep_over(struct timer *timer)
{
	struct fetch_item *item = container_of(timer, struct fetch_item, keep);

	op_cancel(&item->op);
}

static void fetcher_wake_closing(struct fetcher *fetcher)
{
	if (fetcher->closing && !fetcher->items)
		op_wake(&fetcher->closing->op);
}

static void item_done(struct op *op)
{
	struct fetch_item *item = container_of(op, struct fetch_item, op);
	struct fetcher *fetcher = item->fetcher;
	struct fetch_item **at = &fetcher->items;

	while (*at != item)
		at = &(*at)->next;
	*at = item->next;
	if (item->asks) { /* cancelled with somebody waiting */
		item->answer = ANSWER_WORKING;
		item_tell(item);
	}
	guide_release(&item->guide);
	catalog_release(&item->catalog);
	free(item->path);
	free(item->spool);
	free(item);
	fetcher_wake_closing(fetcher);
}

struct fetch_item *fetch_item_begin(struct fetcher *fetcher, const struct walname *name,
                                    const char *path)
{
	struct fetch_item *item = xcalloc(1, sizeof(*item));

	item->fetcher = fetcher;
	item->name = *name;
	walname_format(name, item->text);
	item->path = xstrdup(path);
	item->keep.fired = item_keep_over;
	item->next = fetcher->items;
	fetcher->items = item;
	op_start_root(fetcher->site->loop, &item->op, &item_type, item_done);
	return item;
}
