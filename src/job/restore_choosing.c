/*
 * restore_choosing.c — which backup, which path, and the exact record at which the replay ends,
 * before anything is written.
 *
 *   START -> [INDEXING] -> FINDING (as often as the choice of a path needs one)
 *         -> ENDING (the last record) -> [MOMENT] -> CHECKING -> done
 *                                         (WAL is missing) -> chosen again without it
 *                        [MARKING] what was found damaged -> CHECKING (is it good elsewhere)
 *                        [REFUSING] what a refusal can name as the nearest possible
 *
 * A transaction, a restore point and, with the WAL index, a time become the one record that is the
 * last to be replayed. For a time that is the record before the first commit or abort beyond it, in
 * the order of the WAL and not of the clock, as PostgreSQL would stop; if that lies inside the
 * chosen backup, an older one is taken. Without the index PostgreSQL looks for a time itself.
 */
#include "restore_internal.h"
#include "base/clock.h"
#include <stdlib.h>
#include "base/poison.h"

enum choosing_state {
	CHOOSING_START,
	CHOOSING_INDEXING,
	CHOOSING_FINDING,
	CHOOSING_ENDING,
	CHOOSING_MOMENT,
	CHOOSING_MARKING,
	CHOOSING_CHECKING,
	CHOOSING_REFUSING
};

static bool read_timeline(const struct restore *restore, uint32_t *ret, struct err *err)
{
	const char *text = restore->options->timeline;

	*ret = 0;
	if (!text)
		return true;
	if (strcmp(text, "latest") == 0)
		*ret = catalog_highest_tli(&restore->detail->load.catalog);
	else if (!str_u32(text, ret) || *ret == 0)
		return err_set(err, ERR_USAGE, "\"--timeline %s\" is no timeline", text);
	return true;
}

/* The zone of the newest backup that knows one. */
static const char *zone_of(const struct restore_detail *detail)
{
	const struct manifest_head *newest = NULL;

	for (size_t i = 0; i < detail->load.backups.heads.count; i++) {
		const struct manifest_head *head = &detail->load.backups.heads.head[i];

		if (head->time_zone[0] && (!newest || head->stop_time_us > newest->stop_time_us))
			newest = head;
	}
	return newest ? newest->time_zone : detail->load.facts.time_zone;
}

static struct timeline_facts *facts_for(struct restore_choosing *choosing, uint32_t tli)
{
	for (size_t i = 0; i < choosing->facts; i++)
		if (choosing->fact[i].tli == tli)
			return &choosing->fact[i];
	choosing->fact =
	        xrealloc(choosing->fact, (choosing->facts + 1) * sizeof(choosing->fact[0]));
	choosing->fact[choosing->facts] = (struct timeline_facts){
	        .tli = tli, .last_commit_us = INT64_MIN, .proven_us = INT64_MIN};
	return &choosing->fact[choosing->facts++];
}

/* In place, the unfinished last segment holds the last commits. */
static bool looks_local(const struct restore *restore)
{
	return restore->options->in_place && !restore->detail->place.empty;
}

/* Of the backups that begin there, the first end. */
static lsn first_end(const struct restore_detail *detail, uint64_t segno)
{
	lsn first = LSN_MAX;

	for (size_t i = 0; i < detail->load.backups.heads.count; i++) {
		const struct manifest_head *head = &detail->load.backups.heads.head[i];

		if (lsn_segno(head->start_lsn, detail->load.facts.segment_bytes) == segno)
			first = MIN(first, head->stop_lsn);
	}
	return first;
}

static void find_start(struct restore_choosing *choosing, enum find_what what, uint32_t tli,
                       int state)
{
	struct restore *restore = choosing->restore;
	struct restore_detail *detail = restore->detail;
	struct restore_plan *plan = &restore->plan;

	if (what == FIND_BEGIN) { /* no path was chosen yet: that of the timeline itself */
		const struct catalog_timeline *timeline =
		        catalog_timeline(&detail->load.catalog, tli);

		history_release(&plan->path);
		history_init(&plan->path, tli);
		for (size_t i = 0; timeline && i < timeline->history.count; i++)
			history_add(&plan->path, timeline->history.entry[i].tli,
			            timeline->history.entry[i].switch_lsn, "");
	}
	plan->segment_bytes = detail->load.facts.segment_bytes;
	choosing->find = (struct restore_find){
	        .site = restore->site,
	        .plan = plan,
	        .generation = detail->load.generation,
	        .system_identifier = detail->load.facts.system_identifier,
	        .what = what,
	        .tli = tli,
	        .below = what == FIND_AGAIN ? choosing->searched.start : LSN_MAX,
	        .moment = choosing->moment,
	        .possible = first_end(detail, plan->first_segno),
	        .harm = &detail->load.harm,
	        .near = choosing->searched.near,
	        .local = looks_local(restore) ? detail->place.path : NULL,
	};
	if (what == FIND_END && plan->target.kind == RESTORE_TIME)
		choosing->find.sketched =
		        restore_sketch_newest(&choosing->sketch, plan, &choosing->find.xacts_segno,
		                              &choosing->find.sketched_us);
	if (what != FIND_MOMENT)
		choosing->find_path_tli = what == FIND_END ? plan->path.tli : 0;
	restore_find_start(&choosing->op, &choosing->find);
	op_wait(&choosing->op, state);
}

static bool needs_end(const struct restore *restore)
{
	enum restore_target_kind kind = restore->plan.target.kind;

	return kind == RESTORE_LATEST || kind == RESTORE_LSN || kind == RESTORE_TIME ||
	       kind == RESTORE_NAME || kind == RESTORE_XID;
}

static void ended(struct restore_choosing *choosing);

static struct restore_ask ask_of(const struct restore_choosing *choosing)
{
	const struct restore *restore = choosing->restore;
	const struct restore_detail *detail = restore->detail;

	return (struct restore_ask){.catalog = &detail->load.catalog,
	                            .head = detail->load.backups.heads.head,
	                            .heads = detail->load.backups.heads.count,
	                            .target = &detail->target,
	                            .timeline = detail->timeline,
	                            .fact = choosing->fact,
	                            .facts = choosing->facts,
	                            .searched = choosing->searched,
	                            .beyond = choosing->beyond,
	                            .local = looks_local(restore)};
}

/* The end of the WAL that there is makes the refusal a better one, but is not worth another. */
static void refused(struct restore_choosing *choosing, enum restore_need need, uint32_t tli)
{
	if (need != RESTORE_NEEDS_END)
		return op_fail_own(&choosing->op);
	choosing->refusal = choosing->op.err;
	err_clear(&choosing->op.err);
	find_start(choosing, FIND_END, tli, CHOOSING_REFUSING);
}

/* The last segment that the plan needs. */
static uint64_t last_needed(const struct restore_plan *plan)
{
	uint64_t last = plan->last_segno;

	if (plan->end_lsn)
		last = MIN(last, lsn_segno_before(plan->end_lsn, plan->segment_bytes));
	else if (plan->target.kind == RESTORE_LSN)
		last = MIN(last, lsn_segno(plan->target.position, plan->segment_bytes));
	return MAX(last, lsn_segno_before(plan->stop_lsn, plan->segment_bytes));
}

/* The catalogue is the index's word: is it all there, up to `last`? */
static void check_start(struct restore_choosing *choosing, const struct restore_plan *plan,
                        uint64_t last)
{
	choosing->check = (struct restore_check){
	        .load = &choosing->restore->detail->load, .plan = plan, .last = last};
	restore_check_start(&choosing->op, &choosing->check);
	op_wait(&choosing->op, CHOOSING_CHECKING);
}

static void chosen(struct restore_choosing *choosing)
{
	check_start(choosing, &choosing->restore->plan, last_needed(&choosing->restore->plan));
}

static void choose(struct restore_choosing *choosing)
{
	static const enum find_what wanted[] = {[RESTORE_NEEDS_BEGIN] = FIND_BEGIN,
	                                        [RESTORE_NEEDS_END] = FIND_END,
	                                        [RESTORE_NEEDS_SEARCH] = FIND_TARGET,
	                                        [RESTORE_NEEDS_AGAIN] = FIND_AGAIN};
	struct restore *restore = choosing->restore;
	struct restore_ask ask = ask_of(choosing);
	enum restore_need need;
	uint32_t tli;

	if (!restore_choose(&ask, &restore->plan, &need, &tli, &choosing->op.err))
		return refused(choosing, need, tli);
	if (need != RESTORE_NEEDS_NOTHING)
		return find_start(choosing, wanted[need], tli, CHOOSING_FINDING);
	if (!needs_end(restore))
		return chosen(choosing);
	/* It may have been looked up already, to choose the path. */
	if (choosing->find_path_tli != restore->plan.path.tli)
		return find_start(choosing, FIND_END, tli, CHOOSING_ENDING);
	ended(choosing);
}

static void take_facts(struct restore_choosing *choosing)
{
	struct restore *restore = choosing->restore;
	const struct restore_find *find = &choosing->find;
	struct timeline_facts *fact;

	switch (find->what) {
	case FIND_BEGIN:
		fact = facts_for(choosing, find->tli);
		fact->begun_known = true;
		fact->begun_us = find->begun_us;
		return;
	case FIND_END:
		fact = facts_for(choosing, restore->plan.path.tli);
		fact->end_known = true;
		fact->last_commit_us = find->last_commit_us;
		fact->last_commit_lsn = find->last_commit_lsn;
		fact->proven_us = find->proven_us;
		fact->end_start = find->end_start;
		fact->end_lsn = find->end_lsn;
		return;
	case FIND_TARGET:
		choosing->searched.stretches++;
		choosing->searched.from = restore->plan.first_segno;
		choosing->searched.found = find->found;
		choosing->searched.start = find->found_start;
		choosing->searched.time_us = find->found_us;
		choosing->searched.near = find->near;
		choosing->record = choosing->find;
		return;
	case FIND_AGAIN:
		choosing->searched.again_searched = true;
		choosing->searched.again = find->found;
		choosing->searched.again_start = find->found_start;
		choosing->searched.again_us = find->found_us;
		return;
	case FIND_MOMENT:
		return;
	}
}

static bool refuse_end(struct restore_choosing *choosing, struct err *err)
{
	struct restore_plan *plan = &choosing->restore->plan;
	struct restore_ask ask;

	choosing->find = choosing->end;
	take_facts(choosing);
	ask = ask_of(choosing);
	return restore_refuse_end(&ask, plan, choosing->end.end_lsn, err);
}

/* The last record is what "the latest" means; also for a target that lies exactly behind it. */
static bool take_end(struct restore_choosing *choosing, struct err *err)
{
	struct restore *restore = choosing->restore;
	const struct restore_find *find = &choosing->end;
	struct restore_plan *plan = &restore->plan;
	bool is_target = plan->target.kind == RESTORE_LATEST;

	plan->last_commit_us = find->last_commit_us == INT64_MIN ? 0 : find->last_commit_us;
	plan->last_commit_lsn = find->last_commit_lsn;
	plan->kept_segno = find->local_found ? plan->last_segno + 1 : 0;
	if (find->end_start == 0 || find->end_lsn < plan->stop_lsn)
		return err_set(err, ERR_REFUSED,
		               "the archived WAL ends at " LSN_FORMAT
		               ", before the end of backup %s at " LSN_FORMAT,
		               LSN_ARGS(find->end_lsn), plan->backup, LSN_ARGS(plan->stop_lsn));
	if (plan->target.kind == RESTORE_TIME)
		is_target = plan->target.before ? plan->target.time_us > find->last_commit_us
		                                : plan->target.time_us >= find->last_commit_us;
	if (plan->target.kind == RESTORE_LSN && plan->target.position > find->end_start) {
		if (plan->target.position > find->end_lsn)
			return refuse_end(choosing, err);
		is_target = true;
	}
	if (!is_target)
		return true;
	plan->end_start = find->end_start;
	plan->end_lsn = find->end_lsn;
	plan->end_tli = find->end_tli;
	return true;
}

/* The replay ends with this record, or with the one before it. */
static void take_record(struct restore_plan *plan, const struct restore_find *find, bool before)
{
	plan->end_start = before ? find->found_previous : find->found_start;
	plan->end_lsn = before ? find->found_start : find->found_end;
	plan->end_tli =
	        before ? history_tli_at(&plan->path, find->found_previous) : find->found_tli;
}

static void ended(struct restore_choosing *choosing)
{
	struct restore_plan *plan = &choosing->restore->plan;
	bool named = plan->target.kind == RESTORE_XID || plan->target.kind == RESTORE_NAME;

	if (!take_end(choosing, &choosing->op.err))
		return op_fail_own(&choosing->op);
	if (named && choosing->searched.found)
		take_record(plan, &choosing->record, plan->target.before);
	if (plan->target.kind != RESTORE_TIME ||
	    !restore_sketch_beyond(&choosing->sketch, plan, &choosing->moment) || !choosing->moment)
		return chosen(choosing);
	find_start(choosing, FIND_MOMENT, 0, CHOOSING_MOMENT);
}

/* Where PostgreSQL would stop; inside the backup it would refuse to. */
static void moment_found(struct restore_choosing *choosing)
{
	struct restore_plan *plan = &choosing->restore->plan;
	const struct restore_find *find = &choosing->find;

	if (!find->found)
		return op_fail_as(&choosing->op, ERR_DAMAGED,
		                  "the WAL index says that a transaction ended after the target "
		                  "time in segment %llu, but the WAL does not",
		                  (unsigned long long)choosing->moment);
	if (find->found_start >= plan->stop_lsn) {
		take_record(plan, find, true);
		return chosen(choosing);
	}
	choosing->beyond = find->found_start;
	choosing->find_path_tli = 0;
	choose(choosing);
}

/* Only what lies behind the oldest backup is of any use. */
static void index_start(struct restore_choosing *choosing)
{
	struct restore_detail *detail = choosing->restore->detail;
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < detail->load.backups.heads.count; i++)
		first = MIN(first, lsn_segno(detail->load.backups.heads.head[i].start_lsn,
		                             detail->load.facts.segment_bytes));
	choosing->sketch =
	        (struct restore_sketch){.repo = choosing->restore->site->repo,
	                                .generation = detail->load.generation,
	                                .segment_bytes = detail->load.facts.segment_bytes,
	                                .first = first};
	restore_sketch_start(&choosing->op, &choosing->sketch);
	op_wait(&choosing->op, CHOOSING_INDEXING);
}

static void begin(struct restore_choosing *choosing)
{
	struct restore_detail *detail = choosing->restore->detail;
	struct op *op = &choosing->op;

	if (!read_timeline(choosing->restore, &detail->timeline, &op->err) ||
	    !restore_target_resolve(&detail->target, zone_of(detail), clock_now_us(), &op->err))
		return op_fail_own(op);
	if (detail->target.kind == RESTORE_TIME)
		return index_start(choosing);
	choose(choosing);
}

/* The same refusal, with what was found out about it. */
static void refused_with(struct restore_choosing *choosing)
{
	struct restore_ask ask;
	enum restore_need need;
	uint32_t tli;

	if (!op_failed(&choosing->find.op)) {
		take_facts(choosing);
		ask = ask_of(choosing);
		err_clear(&choosing->refusal);
		if (restore_choose(&ask, &choosing->restore->plan, &need, &tli, &choosing->refusal))
			err_set(&choosing->refusal, ERR_INTERNAL, "the target became possible");
	}
	choosing->op.err = choosing->refusal;
	op_fail_own(&choosing->op);
}

static void plan_forget_end(struct restore_plan *plan)
{
	plan->end_start = plan->end_lsn = plan->last_commit_lsn = 0;
	plan->end_tli = 0;
	plan->last_commit_us = 0;
	plan->kept_segno = 0;
}

/* A copy that was just read. The next restore need not find it out again, nor `seawall status`; if
 * it cannot be marked, this one knows. */
static void damaged(struct restore_choosing *choosing)
{
	struct restore_load *load = &choosing->restore->detail->load;
	const struct find_damage *damage = &choosing->find.damage;

	harm_found(&load->harm, damage->site->repo, damage->tli, damage->segno);
	choosing->again = true;
	choosing->only = (struct restore_plan){.path = choosing->restore->plan.path,
	                                       .segment_bytes = load->facts.segment_bytes,
	                                       .first_segno = damage->segno};
	choosing->mark = (struct harm_write){.repo = damage->site->repo,
	                                     .generation = load->generation,
	                                     .segment_bytes = load->facts.segment_bytes,
	                                     .tli = damage->tli,
	                                     .segno = damage->segno,
	                                     .word = HARM_DAMAGED,
	                                     .why = choosing->find.op.err.text};
	harm_write_start(&choosing->op, &choosing->mark);
	op_wait(&choosing->op, CHOOSING_MARKING);
}

static bool found_damage(const struct restore_choosing *choosing)
{
	const struct restore_find *find = &choosing->find;

	return op_failed(&find->op) && find->op.err.code == ERR_DAMAGED && find->damage.site &&
	       !choosing->op.cancelled &&
	       !harm_at(&choosing->restore->detail->load.harm, find->damage.site->repo,
	                find->damage.tli, find->damage.segno);
}

/* With what is missing or damaged taken out of the catalogue, everything is chosen anew. */
static void checked(struct restore_choosing *choosing)
{
	struct op *op = &choosing->op;

	if (op_failed(&choosing->check.op))
		return op_fail(op, &choosing->check.op.err, "could not plan the restore");
	if (choosing->check.missing == 0 && err_is(&choosing->not_found))
		return op_fail(op, &choosing->not_found, "could not plan the restore");
	if (choosing->check.missing == 0 && !choosing->again)
		return op_done(op);
	choosing->again = false;
	err_clear(&choosing->not_found);
	err_clear(&choosing->refusal);
	choosing->searched = (struct restore_searched){0};
	choosing->facts = 0;
	choosing->find_path_tli = 0;
	choosing->beyond = choosing->moment = 0;
	plan_forget_end(&choosing->restore->plan);
	choose(choosing);
}

static void choosing_step(struct op *op)
{
	struct restore_choosing *choosing = container_of(op, struct restore_choosing, op);
	bool found = op->state > CHOOSING_INDEXING && op->state < CHOOSING_MARKING;

	if ((found || op->state == CHOOSING_REFUSING) && found_damage(choosing))
		return damaged(choosing);
	if (op->state == CHOOSING_REFUSING)
		return refused_with(choosing);
	/* a segment that is not there: not on the archive's word, then */
	if (found && op_failed(&choosing->find.op) && choosing->find.what != FIND_BEGIN &&
	    choosing->find.op.err.code == ERR_NOTFOUND) {
		choosing->not_found = choosing->find.op.err;
		return check_start(choosing, &choosing->restore->plan,
		                   choosing->restore->plan.last_segno);
	}
	if (found && op_failed(&choosing->find.op))
		return op_fail(op, &choosing->find.op.err, "could not plan the restore");
	switch ((enum choosing_state)op->state) {
	case CHOOSING_START:
		return begin(choosing);
	case CHOOSING_INDEXING:
		return choose(choosing);
	case CHOOSING_FINDING:
		take_facts(choosing);
		if (choosing->find.what == FIND_END)
			choosing->end = choosing->find;
		return choose(choosing);
	case CHOOSING_ENDING:
		choosing->end = choosing->find;
		return ended(choosing);
	case CHOOSING_MOMENT:
		return moment_found(choosing);
	case CHOOSING_MARKING:
		return check_start(choosing, &choosing->only, choosing->only.first_segno);
	case CHOOSING_CHECKING:
		return checked(choosing);
	case CHOOSING_REFUSING:
		return;
	}
}

void restore_choosing_start(struct op *parent, struct restore_choosing *choosing)
{
	static const struct op_type type = {.name = "restore_choosing", .step = choosing_step};

	op_start(parent, &choosing->op, &type);
}

void restore_choosing_release(struct restore_choosing *choosing)
{
	restore_sketch_release(&choosing->sketch);
	free(choosing->fact);
	choosing->fact = NULL;
}
