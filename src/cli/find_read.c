/*
 * find_read.c — see find_read.h.
 *
 *   START -> NAMES -> HOLDINGS (what is archived, which pieces) -> READING (one piece after the
 *         other, each timeline upwards) -> ASIDE -> [HEADS] -> done
 *
 * What is archived and was in no piece that could be read is a gap.
 */
#include "find_read.h"

#include <stdlib.h>

#include "base/poison.h"

enum find_read_state {
	READ_START,
	READ_NAMES,
	READ_HOLDINGS,
	READ_READING,
	READ_ASIDE,
	READ_HEADS
};
enum { HEADS_MAX = 32 }; /* with more, it is left to the restore to say what is too old */

const char *find_cause_name(enum find_cause cause)
{
	static const char *const names[] = {"not_yet", "missing", "damaged", "newer"};

	return names[cause];
}

const char *find_cause_text(enum find_cause cause)
{
	static const char *const texts[] = {
	        "not indexed yet",
	        "no piece of the WAL index tells of it",
	        "the piece of the WAL index that tells of it is damaged",
	        "the piece of the WAL index that tells of it was written by a newer version",
	};

	return texts[cause];
}

/* ---- what was not seen ---- */

static void span_add(struct find_read *read, const struct walindex_piece *piece)
{
	struct find_span *span;

	if (read->spans == read->spans_size) {
		read->spans_size = read->spans_size ? 2 * read->spans_size : 64;
		read->span = xrealloc(read->span, read->spans_size * sizeof(*read->span));
	}
	span = &read->span[read->spans++];
	*span = (struct find_span){.tli = piece->tli, .first = piece->first, .last = piece->last};
	for (uint64_t segno = piece->first; segno <= piece->last; segno++) {
		const struct walindex_segment *segment = walindex_segment(piece, segno);

		if (segment->commits + segment->aborts == 0)
			continue;
		if (!span->first_us)
			span->first_us = segment->first_us;
		span->last_us = segment->last_us;
	}
}

/* spans: those of the gap's timeline, ascending. */
static void gap_window(struct find_gap *gap, const struct find_span *span, size_t spans)
{
	for (size_t i = 0; i < spans; i++) {
		if (span[i].last < gap->first && span[i].last_us)
			gap->from_us = span[i].last_us;
		if (span[i].first > gap->last && span[i].first_us && !gap->until_us)
			gap->until_us = span[i].first_us;
	}
}

static enum find_cause cause_of(const struct find_read *read, const struct find_gap *gap,
                                const struct find_span *span, size_t spans)
{
	const struct walpieces_bad *bad =
	        walpieces_bad_in(&read->pieces, gap->tli, gap->first, gap->last);

	if (bad)
		return bad->code == ERR_REFUSED ? FIND_NEWER : FIND_DAMAGED;
	return spans == 0 || span[spans - 1].last < gap->first ? FIND_NOT_YET : FIND_MISSING;
}

static void gap_add(struct find_read *read, struct find_gap gap, const struct find_span *span,
                    size_t spans)
{
	gap.cause = cause_of(read, &gap, span, spans);
	gap_window(&gap, span, spans);
	read->gap = xrealloc(read->gap, (read->gaps + 1) * sizeof(*read->gap));
	read->gap[read->gaps++] = gap;
}

/* A run of archived segments, without what was read. */
static void run_gaps(struct find_read *read, uint32_t tli, const struct catalog_run *run,
                     const struct find_span *span, size_t spans)
{
	uint64_t from = run->first;

	for (size_t i = 0; i < spans && from <= run->last; i++) {
		if (span[i].last < from)
			continue;
		if (span[i].first > from)
			gap_add(read,
			        (struct find_gap){.tli = tli,
			                          .first = from,
			                          .last = MIN(span[i].first - 1, run->last)},
			        span, spans);
		from = span[i].last + 1;
	}
	if (from <= run->last)
		gap_add(read, (struct find_gap){.tli = tli, .first = from, .last = run->last}, span,
		        spans);
}

static void gaps_find(struct find_read *read)
{
	const struct catalog *catalog = &read->catalog;

	for (size_t i = 0; i < catalog->timelines; i++) {
		const struct catalog_timeline *timeline = &catalog->timeline[i];
		size_t begin = 0, end;

		while (begin < read->spans && read->span[begin].tli != timeline->tli)
			begin++;
		for (end = begin; end < read->spans && read->span[end].tli == timeline->tli; end++)
			;
		for (size_t r = 0; r < timeline->runs; r++)
			run_gaps(read, timeline->tli, &timeline->run[r], read->span + begin,
			         end - begin);
	}
}

const struct find_gap *find_read_lacks(const struct find_read *read)
{
	const struct find_gap *found = NULL;

	for (size_t i = 0; i < read->gaps; i++)
		if (read->gap[i].cause != FIND_NOT_YET &&
		    (!found || (found->cause == FIND_NEWER && read->gap[i].cause != FIND_NEWER)))
			found = &read->gap[i];
	return found;
}

/* ---- the story ---- */

static void read_next(struct find_read *read)
{
	for (; read->timeline < read->pieces.timelines; read->timeline++, read->next = 0) {
		uint32_t tli = read->pieces.timeline[read->timeline].tli;
		const struct name_index *piece = walpieces_from(&read->pieces, tli, read->next);

		if (!piece)
			continue;
		read->read = (struct walpieces_read){.repo = read->repo,
		                                     .generation = read->generation,
		                                     .pieces = &read->pieces,
		                                     .tli = tli,
		                                     .segno = MAX(read->next, piece->first)};
		walpieces_read_start(&read->op, &read->read);
		return op_wait(&read->op, READ_READING);
	}
	gaps_find(read);
	read->aside.repo = read->repo;
	read->aside.generation = read->generation;
	read->aside.segment_bytes = read->segment_bytes;
	read->aside.system_identifier = read->system_identifier;
	read->aside.find = read->find;
	find_aside_start(&read->op, &read->aside);
	op_wait(&read->op, READ_ASIDE);
}

static void read_taken(struct find_read *read)
{
	struct walpieces_read *taken = &read->read;

	if (err_is(&taken->first) && !err_is(&read->first))
		read->first = taken->first;
	if (op_failed(&taken->op)) {
		if (!walpiece_is_bad(&taken->op.err))
			return op_fail(&read->op, &taken->op.err, "could not read the WAL index");
		read->next = taken->segno + 1;
		return read_next(read);
	}
	walfind_add(read->find, &taken->piece);
	span_add(read, &taken->piece);
	read->next = taken->piece.last + 1;
	walindex_release(&taken->piece);
	read_next(read);
}

static void read_heads(struct find_read *read)
{
	if (read->others || read->catalog.backups > HEADS_MAX)
		return op_done(&read->op);
	read->heads_load = (struct heads_load){.repo = read->repo,
	                                       .generation = read->generation,
	                                       .catalog = &read->catalog,
	                                       .ret = &read->heads};
	heads_load_start(&read->op, &read->heads_load);
	op_wait(&read->op, READ_HEADS);
}

/* One that cannot be read may be the oldest. */
static void heads_taken(struct find_read *read)
{
	if (op_failed(&read->heads_load.op) || read->heads.unreadables)
		return;
	read->restorable_lsn = LSN_MAX;
	for (size_t i = 0; i < read->heads.count; i++)
		read->restorable_lsn = MIN(read->restorable_lsn, read->heads.head[i].stop_lsn);
}

static void read_step(struct op *op)
{
	struct find_read *read = container_of(op, struct find_read, op);

	switch ((enum find_read_state)op->state) {
	case READ_START:
		read->names =
		        (struct find_names){.repo = read->repo, .generation = read->generation};
		find_names_start(op, &read->names);
		return op_wait(op, READ_NAMES);
	case READ_NAMES:
		if (op_failed(&read->names.op)) {
			op->err = read->names.op.err;
			return op_fail_own(op);
		}
		read->find->names = &read->names.names;
		read->load = (struct holdings_load){.repo = read->repo,
		                                    .generation = read->generation,
		                                    .segment_bytes = read->segment_bytes,
		                                    .tolerant = true,
		                                    .class = GATE_VERIFY,
		                                    .catalog = &read->catalog,
		                                    .pieces = &read->pieces};
		holdings_load_start(op, &read->load);
		return op_wait(op, READ_HOLDINGS);
	case READ_HOLDINGS:
		if (op_failed(&read->load.op))
			return op_fail(op, &read->load.op.err, "could not look for the WAL index");
		return read_next(read);
	case READ_READING:
		return read_taken(read);
	case READ_ASIDE:
		if (!op_failed(&read->aside.op))
			return read_heads(read);
		return op_fail(op, &read->aside.op.err,
		               "could not look for WAL that was set aside");
	case READ_HEADS:
		heads_taken(read);
		return op_done(op);
	}
}

void find_read_start(struct op *parent, struct find_read *read)
{
	static const struct op_type type = {.name = "find", .step = read_step};

	op_start(parent, &read->op, &type);
}

void find_read_release(struct find_read *read)
{
	walpieces_release(&read->pieces);
	catalog_release(&read->catalog);
	heads_release(&read->heads);
	find_names_release(&read->names);
	find_aside_release(&read->aside);
	free(STEAL(read->gap));
	free(STEAL(read->span));
}
