/*
 * walquery.c — START -> READING (one piece after the other, downwards) -> done
 *
 * A record belongs to the segment where it ends; it may begin in the one before, which is therefore
 * named, too: who reads that one finds it.
 */
#include "repo/walquery.h"

#include <string.h>

#include "base/poison.h"

enum { ENOUGH = 64 };

static void add(struct walquery *query, uint64_t segno)
{
	if (query->count > 0 && query->segno[query->count - 1] <= segno)
		return;
	if ((query->count & (query->count - 1)) == 0)
		query->segno = xrealloc(query->segno, (query->count ? 2 * query->count : 1) *
		                                              sizeof(*query->segno));
	query->segno[query->count++] = segno;
}

static bool holds_point(const struct walquery *query, const struct walindex_piece *piece,
                        uint64_t segno)
{
	for (size_t i = 0; i < piece->events; i++) {
		const struct walindex_event *event = &piece->event[i];

		if (event->kind == WALINDEX_RESTORE_POINT && event->text && event->end > 0 &&
		    lsn_segno_before(event->end, piece->segment_bytes) == segno &&
		    strcmp(event->text, query->point) == 0)
			return true;
	}
	return piece->crowded;
}

/* What cannot be what is wanted may be near to it. */
static void near_add(const struct walquery *query, const struct walindex_segment *segment)
{
	if (!query->near || query->point || segment->commits + segment->aborts == 0 ||
	    segment->first_xact < query->possible)
		return;
	restore_near_xid(query->near, query->xid, segment->min_xid);
	restore_near_xid(query->near, query->xid, segment->max_xid);
}

static void near_points(const struct walquery *query, const struct walindex_piece *piece)
{
	for (size_t i = 0; query->near && query->point && i < piece->events; i++) {
		const struct walindex_event *event = &piece->event[i];
		uint64_t segno = lsn_segno_before(event->end, piece->segment_bytes);

		if (event->kind == WALINDEX_RESTORE_POINT && event->text &&
		    event->start >= query->possible && segno >= query->first &&
		    segno <= query->last &&
		    history_tli_of_segment(query->path, segno, piece->segment_bytes) == piece->tli)
			restore_near_point(query->near, event->text, event->start, event->time_us);
	}
}

static bool holds(const struct walquery *query, const struct walindex_piece *piece, uint64_t segno)
{
	const struct walindex_segment *segment = walindex_segment(piece, segno);

	if (query->point)
		return piece->events > 0 && holds_point(query, piece, segno);
	return segment->commits + segment->aborts > 0 && segment->min_xid <= query->xid &&
	       segment->max_xid >= query->xid;
}

/* Below `segno` nothing was looked at yet. */
static void query_end(struct walquery *query, uint64_t segno)
{
	query->more = segno > query->first;
	query->next = segno - 1;
	op_done(&query->op);
}

/* segno: the next to be looked at; one above it in the loops, so that it can go below the first. */
static void query_from(struct walquery *query, uint64_t above)
{
	uint32_t segment_bytes = query->pieces->segment_bytes;

	while (above > query->first && query->count < ENOUGH) {
		uint64_t segno = above - 1;
		uint32_t tli = history_tli_of_segment(query->path, segno, segment_bytes);

		if (!walpieces_at(query->pieces, tli, segno)) {
			add(query, segno);
			above--;
			continue;
		}
		if (query->count > 0)
			break;
		query->next = segno;
		query->read = (struct walpieces_read){.repo = query->repo,
		                                      .generation = query->generation,
		                                      .pieces = query->pieces,
		                                      .tli = tli,
		                                      .segno = segno};
		walpieces_read_start(&query->op, &query->read);
		return op_wait(&query->op, 1);
	}
	query_end(query, above);
}

/* All of the piece that is on the path, from query->next downwards. */
static void query_take(struct walquery *query)
{
	const struct walindex_piece *piece = &query->read.piece;
	uint64_t above = query->next + 1, lowest = MAX(query->first, piece->first);

	if (op_failed(&query->read.op)) /* nothing covers it any more */
		return query_from(query, above);
	near_points(query, piece);
	for (; above > lowest; above--) {
		uint64_t segno = above - 1;

		if (history_tli_of_segment(query->path, segno, query->pieces->segment_bytes) !=
		    piece->tli)
			break;
		if (!holds(query, piece, segno)) {
			near_add(query, walindex_segment(piece, segno));
			continue;
		}
		add(query, segno);
		if (segno > query->first)
			add(query, segno - 1);
	}
	walindex_release(&query->read.piece);
	query_from(query, above);
}

static void query_step(struct op *op)
{
	struct walquery *query = container_of(op, struct walquery, op);

	if (op->state == 0)
		return query_from(query, query->last + 1);
	if (op->cancelled) {
		walindex_release(&query->read.piece);
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	}
	query_take(query);
}

static const struct op_type query_type = {.name = "index query", .step = query_step};

void walquery_start(struct op *parent, struct walquery *query)
{
	query->segno = NULL;
	query->count = 0;
	op_start(parent, &query->op, &query_type);
}
