/*
 * restore_find.c — looks into archived WAL for what a listing cannot tell: when a timeline began,
 * where the archive ends, where a transaction or a restore point is.
 *
 *   START -> [PIECES -> ASKING] -> READING (one segment after the other) -> done
 *
 * From the newest segment backwards, since what is asked for is near the end; a transaction or a
 * restore point only where the WAL index says that it can be (PIECES, ASKING; what the index does
 * not know is read). Each segment is a
 * walk of its own; only for the last record, when the newest segment has none that is complete, the
 * walk begins earlier and goes on to the newest. A record that goes on into the next segment is
 * completed from the beginning of that one, which is kept. Everything that is read is proven on the
 * way: of a damaged segment `damage` says which copy it is, for a plan without it.
 */
#include "restore_load.h"
#include "base/file.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/poison.h"

enum { PIECE_BYTES = 256 * 1024, COMMIT_SEGMENTS_MAX = 16, HEAD_BYTES = 64 * 1024 };
enum find_state { FIND_START, FIND_LOOKING, FIND_PIECES, FIND_ASKING, FIND_READING };

static void take_found(struct restore_find *find, const struct walrecord *record)
{
	find->found = true;
	find->found_start = record->start;
	find->found_end = record->end;
	find->found_previous = record->previous;
	find->found_tli = record->tli;
	find->found_us = record->time_us;
}

/* Where PostgreSQL would stop for a time (recoveryStopsBefore, access/transam/xlogrecovery.c). */
static bool is_beyond(const struct restore_target *target, const struct walrecord *record)
{
	if (record->kind != WALRECORD_COMMIT && record->kind != WALRECORD_ABORT)
		return false;
	return target->before ? record->time_us >= target->time_us
	                      : record->time_us > target->time_us;
}

/* A checkpoint at work says when it began, and it may have taken long. */
static void seen_add(struct restore_find *find, const struct walrecord *record)
{
	if (!record->time_us)
		return;
	if (record->kind == WALRECORD_CHECKPOINT && !record->shutdown)
		find->seen_us = MAX(find->seen_us, record->time_us);
	else
		find->seen_us = record->time_us;
}

static void near_add(struct restore_find *find, const struct walrecord *record)
{
	const struct restore_target *target = &find->plan->target;

	if (target->kind == RESTORE_XID &&
	    (record->kind == WALRECORD_COMMIT || record->kind == WALRECORD_ABORT))
		restore_near_xid(&find->near, target->xid, record->xid);
	if (target->kind == RESTORE_NAME && record->kind == WALRECORD_RESTORE_POINT)
		restore_near_point(&find->near, record->text, record->start, record->time_us);
}

static void find_record(void *context, const struct walrecord *record)
{
	struct restore_find *find = context;
	const struct restore_target *target = &find->plan->target;

	if (find->what == FIND_BEGIN) {
		bool begins = record->kind == WALRECORD_END_OF_RECOVERY ||
		              record->kind == WALRECORD_CHECKPOINT;

		if (find->begun_us == INT64_MAX && begins && record->new_tli == find->tli &&
		    record->time_us)
			find->begun_us = record->time_us;
		return;
	}
	if (find->what == FIND_END)
		return seen_add(find, record);
	if (record->start >= find->below)
		return;
	if ((find->what == FIND_AGAIN || find->what == FIND_MOMENT) &&
	    record->start < find->plan->start_lsn)
		return;
	if (find->what == FIND_MOMENT) {
		if (!find->found && is_beyond(target, record))
			take_found(find, record);
		return;
	}
	if (find->what == FIND_TARGET && record->start >= find->possible)
		near_add(find, record);
	if (target->kind == RESTORE_XID
	            ? (record->kind == WALRECORD_COMMIT || record->kind == WALRECORD_ABORT) &&
	                      record->xid == target->xid
	            : record->kind == WALRECORD_RESTORE_POINT &&
	                      strcmp(record->text, target->name) == 0) {
		take_found(find, record);
	}
}

static void head_keep(struct find_head *head, uint64_t offset, const uint8_t *bytes, size_t length)
{
	if (!head->bytes || head->whole || offset != head->length || head->length == HEAD_BYTES)
		return;
	length = MIN(length, HEAD_BYTES - head->length);
	memcpy(head->bytes + head->length, bytes, length);
	head->length += length;
}

/* The record at the segment's end, if it goes on behind it. */
static bool complete_last(struct restore_find *find, struct err *err)
{
	const struct find_head *next = &find->next;
	char name[SEGMENT_NAME_BYTES];
	uint32_t tli;

	if (!find->walk->seen.open || next->length == 0 || next->segno != find->segno + 1)
		return true;
	tli = history_tli_of_segment(&find->plan->path, next->segno, find->plan->segment_bytes);
	if (walwalk_begin(find->walk, tli, next->segno, err) &&
	    walwalk_feed(find->walk, next->bytes, next->length, err))
		return true;
	segment_name(tli, next->segno, find->plan->segment_bytes, name);
	find->damage = (struct find_damage){next->site, tli, next->segno};
	return err_wrap(err, "segment \"%s\" does not go on where the one before it ended", name);
}

static bool find_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct restore_find *find = stream->context;

	find->consumed = true;
	head_keep(&find->head, offset, bytes, length);
	return walwalk_feed(find->walk, bytes, length, err);
}

static uint32_t tli_of(const struct restore_find *find)
{
	return history_tli_of_segment(&find->plan->path, find->segno, find->plan->segment_bytes);
}

/* The next repository from `at` on that may have it whole. */
static struct site *site_from(const struct restore_find *find, struct site *at)
{
	while (at && (!(at->repo && at->repo->opened) ||
	              harm_at(find->harm, at->repo, tli_of(find), find->segno)))
		at = at->next;
	return at;
}

static void read_from(struct restore_find *find)
{
	find->consumed = false;
	if (!find->head.whole)
		find->head.site = find->at;
	find->damage = (struct find_damage){find->at, tli_of(find), find->segno};
	find->stream = (struct object_stream){.repo = find->at->repo,
	                                      .name = find->name,
	                                      .kind = SEALED_WAL,
	                                      .class = GATE_RESTORE,
	                                      .consume = find_consume,
	                                      .context = find};
	object_stream_start(&find->op, &find->stream);
}

/* Another repository may have it; false: there is none, or a part was taken in already. Those that
 * hold anything were opened when they were listed. */
static bool read_elsewhere(struct restore_find *find)
{
	struct site *next = site_from(find, find->at->next);

	if (find->consumed || find->op.cancelled || !next)
		return false;
	if (find->stream.op.err.code == ERR_DAMAGED) {
		find->worse = find->stream.op.err;
		find->worse_at = find->damage;
	}
	find->at = next;
	read_from(find);
	op_wait(&find->op, FIND_READING);
	return true;
}

/* Starts reading find->segno; a walk that is not going on begins there. */
static bool read_start(struct restore_find *find, bool goes_on, struct err *err)
{
	struct walname name = {.kind = WALNAME_SEGMENT, .tli = tli_of(find)};
	char text[SEGMENT_NAME_BYTES];

	find->damage = (struct find_damage){0};
	err_clear(&find->worse);
	segment_name(name.tli, find->segno, find->plan->segment_bytes, text);
	if (!walname_parse(text, &name))
		return err_set(err, ERR_INTERNAL, "segment \"%s\" has no name", text);
	name_wal(find->name, find->generation, &name, NULL);
	if (!goes_on) {
		struct walwalk_options options = {.system_identifier = find->system_identifier,
		                                  .segment_bytes = find->plan->segment_bytes,
		                                  .each = find_record,
		                                  .context = find};

		walwalk_init(find->walk, &options);
		find->from = find->segno;
		find->seen_us = INT64_MIN;
	}
	if (!walwalk_begin(find->walk, name.tli, find->segno, err))
		return err_wrap(err, "segment \"%s\" in the archive is not valid", text);
	find->segments++;
	find->head.whole = goes_on;
	if (find->head.bytes && !goes_on) {
		struct find_head old = find->next;

		find->next = find->head;
		find->head = old;
		find->head.segno = find->segno;
		find->head.length = 0;
		find->head.whole = false;
	}
	find->at = site_from(find, find->site);
	if (!find->at)
		find->at = find->site;
	read_from(find);
	return true;
}

static void read_again(struct restore_find *find, uint64_t segno, bool goes_on)
{
	find->segno = segno;
	if (!read_start(find, goes_on, &find->op.err))
		return op_fail_own(&find->op);
	op_wait(&find->op, FIND_READING);
}

static void take_end(struct restore_find *find)
{
	const struct walwalk_seen *seen = &find->walk->seen;

	find->end_start = seen->last_start;
	find->end_lsn = seen->last_end;
	find->end_tli = seen->last_tli;
}

static void take_commits(struct restore_find *find)
{
	const struct walwalk_seen *seen = &find->walk->seen;

	find->last_commit_us = seen->max_xact_us;
	find->last_commit_lsn = seen->last_commit_end;
}

/* On a worker: the segment behind the last archived one, as far as it is valid. */
static void look_run(struct work *work)
{
	struct restore_find *find = container_of(work, struct restore_find, look);
	struct walwalk_options options = {.system_identifier = find->system_identifier,
	                                  .segment_bytes = find->plan->segment_bytes,
	                                  .tail = true};
	uint64_t segno = find->plan->last_segno + 1;
	char name[SEGMENT_NAME_BYTES];
	AUTO_FREE char *path = NULL;
	AUTO_FREE uint8_t *piece = xmalloc(PIECE_BYTES);
	AUTO_FD int fd = -1;
	ssize_t got = 0;
	bool good;

	segment_name(find->plan->path.tli, segno, find->plan->segment_bytes, name);
	path = xasprintf("%s/pg_wal/%s", find->local, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	walwalk_init(find->walk, &options);
	good = walwalk_begin(find->walk, find->plan->path.tli, segno, &work->op.err);
	while (good && (got = file_read_full(fd, piece, PIECE_BYTES)) > 0)
		good = walwalk_feed(find->walk, piece, (size_t)got, &work->op.err);
	if (got < 0)
		err_sys(&work->op.err, "could not read file \"%s\"", path);
	if (!good || got < 0 || find->walk->seen.records == 0)
		return;
	find->local_found = true;
	take_end(find);
	if (find->walk->seen.commits + find->walk->seen.aborts > 0)
		take_commits(find);
}

/* The newest segment comes first, alone; it is walked again from further back until a record is
 * complete in it or before. Then only for commits, backwards. */
static void end_step(struct restore_find *find)
{
	const struct walwalk_seen *seen = &find->walk->seen;
	uint64_t first = find->plan->first_segno, last = find->plan->last_segno;

	if (!find->have_end) {
		if (find->segno < last)
			return read_again(find, find->segno + 1, true);
		if (seen->records == 0 && find->from > first)
			return read_again(find, find->from - 1, false);
		find->have_end = true;
		find->segno = find->from;
		if (!find->local_found)
			take_end(find);
	} else if (!complete_last(find, &find->op.err)) {
		return op_fail_own(&find->op);
	}
	if (find->proven_us == INT64_MIN)
		find->proven_us = find->seen_us;
	if (seen->commits + seen->aborts > 0 && find->last_commit_us == INT64_MIN) {
		take_commits(find);
		return op_done(&find->op);
	}
	if (find->sketched) {
		find->sketched = false; /* of a record that began in the one before, too */
		if (find->proven_us == INT64_MIN)
			find->proven_us = find->sketched_us;
		if (find->xacts_segno == 0)
			return op_done(&find->op);
		if (find->xacts_segno < find->segno)
			return read_again(find, find->xacts_segno, false);
	}
	/* For a time it decides; else it is only shown. */
	if (find->segno > first &&
	    (find->plan->target.kind == RESTORE_TIME || last - find->segno < COMMIT_SEGMENTS_MAX))
		return read_again(find, find->segno - 1, false);
	op_done(&find->op);
}

static void candidates_ask(struct restore_find *find, uint64_t last)
{
	const struct restore_target *target = &find->plan->target;

	free(find->query.segno);
	find->candidate = 0;
	find->query = (struct walquery){.repo = find->site->repo,
	                                .generation = find->generation,
	                                .pieces = &find->pieces,
	                                .path = &find->plan->path,
	                                .first = find->plan->first_segno,
	                                .last = last,
	                                .xid = target->xid,
	                                .near = find->what == FIND_TARGET ? &find->near : NULL,
	                                .possible = find->possible,
	                                .point = target->kind == RESTORE_XID ? NULL : target->name};
	walquery_start(&find->op, &find->query);
	op_wait(&find->op, FIND_ASKING);
}

/* The next segment in which it can be; without any more it is not there. */
static void candidate_next(struct restore_find *find)
{
	if (find->candidate < find->query.count)
		return read_again(find, find->query.segno[find->candidate++], false);
	if (find->query.more)
		return candidates_ask(find, find->query.next);
	op_done(&find->op);
}

static void find_end(struct restore_find *find)
{
	switch (find->what) {
	case FIND_BEGIN:
		if (find->begun_us == INT64_MAX && find->walk->seen.first_xact_us)
			find->begun_us = find->walk->seen.first_xact_us;
		return op_done(&find->op);
	case FIND_END:
		return end_step(find);
	case FIND_TARGET:
	case FIND_AGAIN:
		if (!complete_last(find, &find->op.err))
			return op_fail_own(&find->op);
		if (!find->found)
			return candidate_next(find);
		return op_done(&find->op);
	case FIND_MOMENT:
		if (!find->found && find->segno < find->moment)
			return read_again(find, find->segno + 1, true);
		return op_done(&find->op);
	}
}

static uint64_t find_first(const struct restore_find *find)
{
	lsn begin, end;

	if (find->what == FIND_AGAIN)
		return lsn_segno(find->below, find->plan->segment_bytes);
	if (find->what == FIND_MOMENT)
		return MAX(find->plan->first_segno, find->moment - 1);
	if (find->what != FIND_BEGIN)
		return find->plan->last_segno;
	if (!history_span(&find->plan->path, find->tli, &begin, &end))
		return 0;
	return lsn_segno(begin, find->plan->segment_bytes);
}

static void release(struct restore_find *find)
{
	free(STEAL(find->walk));
	free(STEAL(find->head.bytes));
	free(STEAL(find->next.bytes));
	free(STEAL(find->query.segno));
	walpieces_release(&find->pieces);
}

static void pieces_start(struct restore_find *find)
{
	find->pieces_load = (struct walpieces_load){.repo = find->site->repo,
	                                            .generation = find->generation,
	                                            .segment_bytes = find->plan->segment_bytes,
	                                            .ret = &find->pieces};
	walpieces_load_start(&find->op, &find->pieces_load);
	op_wait(&find->op, FIND_PIECES);
}

/* Without the index everything is read, as if it were empty. */
static void asked(struct restore_find *find)
{
	const struct op *op =
	        find->op.state == FIND_PIECES ? &find->pieces_load.op : &find->query.op;

	if (op_failed(op) && (op->err.code == ERR_CANCELLED || find->op.state == FIND_ASKING)) {
		find->op.err = op->err;
		return op_fail_own(&find->op);
	}
	if (find->op.state == FIND_ASKING)
		return candidate_next(find);
	find->pieces.segment_bytes = find->plan->segment_bytes;
	candidates_ask(find, find_first(find));
}

static void find_begin(struct restore_find *find)
{
	struct op *op = &find->op;

	find->begun_us = INT64_MAX;
	find->last_commit_us = find->proven_us = INT64_MIN;
	find->walk = xmalloc(sizeof(*find->walk));
	if (find->what == FIND_TARGET || find->what == FIND_AGAIN || find->what == FIND_END) {
		find->head.bytes = xmalloc(HEAD_BYTES);
		find->next.bytes = xmalloc(HEAD_BYTES);
	}
	if (find->what == FIND_TARGET || find->what == FIND_AGAIN)
		return pieces_start(find);
	if (find->what == FIND_END && find->local) {
		work_start_class(op, &find->look, WORK_RESTORE, look_run);
		return op_wait(op, FIND_LOOKING);
	}
	read_again(find, find_first(find), false);
	if (op->done)
		release(find);
}

static void find_step(struct op *op)
{
	struct restore_find *find = container_of(op, struct restore_find, op);

	switch ((enum find_state)op->state) {
	case FIND_START:
		return find_begin(find);

	case FIND_PIECES:
	case FIND_ASKING:
		asked(find);
		if (op->done)
			release(find);
		return;

	case FIND_LOOKING:
		if (op_failed(&find->look.op) || find->last_commit_us != INT64_MIN) {
			release(find);
			if (op_failed(&find->look.op))
				return op_fail(op, &find->look.op.err,
				               "could not look into pg_wal");
			return op_done(op);
		}
		read_again(find, find_first(find), false);
		if (op->done)
			release(find);
		return;

	case FIND_READING:
		if (op_failed(&find->stream.op) && read_elsewhere(find))
			return;
		if (op_failed(&find->stream.op)) {
			/* A timeline without its first segment never was, for times. */
			const struct err *why = &find->stream.op.err;
			bool never;

			if (why->code == ERR_NOTFOUND && err_is(&find->worse)) {
				why = &find->worse;
				find->damage = find->worse_at;
			}
			never = find->what == FIND_BEGIN && why->code == ERR_NOTFOUND;
			release(find);
			if (never)
				return op_done(op);
			return op_fail(op, why, "could not look into the archive");
		}
		if (!walwalk_end(find->walk, &op->err)) {
			err_wrap(&op->err, "object \"%s\" is no valid segment", find->name);
			release(find);
			return op_fail_own(op);
		}
		find_end(find);
		if (op->done)
			release(find);
		return;
	}
}

void restore_find_start(struct op *parent, struct restore_find *find)
{
	static const struct op_type type = {.name = "restore_find", .step = find_step};

	op_start(parent, &find->op, &type);
}
