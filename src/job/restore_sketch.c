/*
 * restore_sketch.c — reads the WAL index for a search, piece by piece, and keeps one time of
 * each segment.
 *
 * A record counts for the segment in which it ends, so it may begin in the one before.
 */
#include "restore_sketch.h"

#include "base/search.h"
#include <stdlib.h>

#include "base/poison.h"

enum sketch_state { SKETCH_START, SKETCH_LISTING, SKETCH_READING };

static struct sketch_segment *segment_add(struct restore_sketch *sketch)
{
	if (sketch->segments == sketch->size) {
		sketch->size = MAX(2 * sketch->size, (size_t)256);
		sketch->segment =
		        xrealloc(sketch->segment, sketch->size * sizeof(*sketch->segment));
	}
	return &sketch->segment[sketch->segments++];
}

/* Events come by position. A checkpoint at work says when it began, and it may have taken long. */
static void event_take(struct sketch_segment *to, const struct walindex_segment *from,
                       const struct walindex_event *event)
{
	if (event->kind != WALINDEX_CHECKPOINT && event->kind != WALINDEX_TIMELINE &&
	    event->kind != WALINDEX_RESTORE_POINT)
		return;
	if (event->start < from->last_xact || event->time_us == 0)
		return;
	if (event->kind == WALINDEX_CHECKPOINT && event->number == 0)
		to->seen_us = MAX(to->seen_us, event->time_us);
	else
		to->seen_us = event->time_us;
}

static void piece_take(struct restore_sketch *sketch, const struct walindex_piece *piece)
{
	size_t at = sketch->segments;

	for (uint64_t i = 0; i <= piece->last - piece->first; i++) {
		const struct walindex_segment *from = &piece->segment[i];

		*segment_add(sketch) =
		        (struct sketch_segment){.tli = piece->tli,
		                                .segno = piece->first + i,
		                                .xacts = from->commits + from->aborts,
		                                .max_us = from->max_us,
		                                .seen_us = from->last_us};
	}
	for (size_t i = 0; i < piece->events; i++) {
		const struct walindex_event *event = &piece->event[i];
		uint64_t segno = lsn_segno_before(event->end, piece->segment_bytes);

		if (event->end > 0 && segno >= piece->first && segno <= piece->last)
			event_take(&sketch->segment[at + (segno - piece->first)],
			           &piece->segment[segno - piece->first], event);
	}
}

static void read_next(struct restore_sketch *sketch)
{
	struct walpieces *pieces = &sketch->pieces;

	for (; sketch->timeline < pieces->timelines; sketch->timeline++, sketch->next = 0) {
		uint32_t tli = pieces->timeline[sketch->timeline].tli;
		const struct name_index *piece =
		        walpieces_from(pieces, tli, MAX(sketch->next, sketch->first));

		if (!piece)
			continue;
		sketch->next = MAX(sketch->next, piece->first);
		sketch->read = (struct walpieces_read){
		        .repo = sketch->repo,
		        .generation = sketch->generation,
		        .pieces = pieces,
		        .tli = tli,
		        .segno = MAX(sketch->next, sketch->first),
		};
		walpieces_read_start(&sketch->op, &sketch->read);
		return op_wait(&sketch->op, SKETCH_READING);
	}
	op_done(&sketch->op);
}

static void sketch_step(struct op *op)
{
	struct restore_sketch *sketch = container_of(op, struct restore_sketch, op);

	switch ((enum sketch_state)op->state) {
	case SKETCH_START:
		sketch->load = (struct walpieces_load){.repo = sketch->repo,
		                                       .generation = sketch->generation,
		                                       .segment_bytes = sketch->segment_bytes,
		                                       .ret = &sketch->pieces};
		walpieces_load_start(op, &sketch->load);
		return op_wait(op, SKETCH_LISTING);
	case SKETCH_LISTING:
		if (op_failed(&sketch->load.op))
			return op_done(op);
		return read_next(sketch);
	case SKETCH_READING:
		if (op_failed(&sketch->read.op)) {
			sketch->next = sketch->read.segno + 1;
		} else {
			piece_take(sketch, &sketch->read.piece);
			sketch->next = sketch->read.piece.last + 1;
			walindex_release(&sketch->read.piece);
		}
		return read_next(sketch);
	}
}

void restore_sketch_start(struct op *parent, struct restore_sketch *sketch)
{
	static const struct op_type type = {.name = "restore_sketch", .step = sketch_step};

	op_start(parent, &sketch->op, &type);
}

void restore_sketch_release(struct restore_sketch *sketch)
{
	walpieces_release(&sketch->pieces);
	free(sketch->segment);
	sketch->segment = NULL;
	sketch->segments = sketch->size = 0;
}

struct segment_wanted {
	const struct restore_sketch *sketch;
	uint32_t tli;
	uint64_t segno;
};

static bool segment_below(const void *context, size_t i)
{
	const struct segment_wanted *wanted = context;
	const struct sketch_segment *at = &wanted->sketch->segment[i];

	return at->tli < wanted->tli || (at->tli == wanted->tli && at->segno < wanted->segno);
}

static const struct sketch_segment *segment_at(const struct restore_sketch *sketch, uint32_t tli,
                                               uint64_t segno)
{
	struct segment_wanted wanted = {sketch, tli, segno};
	size_t at = search_sorted(sketch->segments, segment_below, &wanted);
	const struct sketch_segment *segment = &sketch->segment[at];

	return at < sketch->segments && segment->tli == tli && segment->segno == segno ? segment
	                                                                               : NULL;
}

static const struct sketch_segment *on_path(const struct restore_sketch *sketch,
                                            const struct restore_plan *plan, uint64_t segno)
{
	return segment_at(sketch, history_tli_of_segment(&plan->path, segno, plan->segment_bytes),
	                  segno);
}

bool restore_sketch_beyond(const struct restore_sketch *sketch, const struct restore_plan *plan,
                           uint64_t *ret_segno)
{
	const struct restore_target *target = &plan->target;

	*ret_segno = 0;
	for (uint64_t segno = plan->first_segno; segno <= plan->last_segno; segno++) {
		const struct sketch_segment *segment = on_path(sketch, plan, segno);

		if (!segment)
			return false;
		if (!segment->xacts || (target->before ? segment->max_us < target->time_us
		                                       : segment->max_us <= target->time_us))
			continue;
		*ret_segno = segno;
		return true;
	}
	return true;
}

bool restore_sketch_newest(const struct restore_sketch *sketch, const struct restore_plan *plan,
                           uint64_t *ret_segno, int64_t *ret_us)
{
	*ret_segno = 0;
	*ret_us = INT64_MIN;
	for (uint64_t segno = plan->last_segno; segno >= plan->first_segno && segno > 0; segno--) {
		const struct sketch_segment *segment = on_path(sketch, plan, segno);

		/* the last one is read in any case */
		if (segno == plan->last_segno && (!segment || !segment->xacts))
			continue;
		if (!segment)
			return false;
		if (*ret_us == INT64_MIN && segment->seen_us && segno < plan->last_segno)
			*ret_us = segment->seen_us;
		if (segment->xacts) {
			*ret_segno = segno;
			return true;
		}
	}
	return true;
}
