/*
 * walindex.c — pieces of the WAL index as values: released, merged, asked.
 */
#include "repo/walindex.h"

#include <inttypes.h>
#include <string.h>

#include "base/poison.h"

int walindex_rel_compare(const struct walindex_rel *a, const struct walindex_rel *b)
{
	if (a->database != b->database)
		return a->database < b->database ? -1 : 1;
	if (a->tablespace != b->tablespace)
		return a->tablespace < b->tablespace ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return 0;
}

static void release_marks(struct walindex_piece *piece)
{
	for (size_t i = 0; i < piece->relations; i++)
		free(piece->marks[i].block);
	free(piece->marks);
	piece->marks = NULL;
	piece->relations = 0;
}

static void release_opens(struct walindex_piece *piece)
{
	for (size_t i = 0; i < piece->opens; i++)
		free(piece->open[i].touched);
	free(piece->open);
	piece->open = NULL;
	piece->opens = 0;
}

void walindex_release(struct walindex_piece *piece)
{
	for (size_t i = 0; i < piece->events; i++) {
		free(piece->event[i].text);
		free(piece->event[i].touched);
	}
	free(piece->event);
	free(piece->segment);
	release_marks(piece);
	release_opens(piece);
	*piece = (struct walindex_piece){0};
}

uint64_t walindex_span(uint32_t level, uint32_t segment_bytes)
{
	uint64_t span = MIN(WALINDEX_FANOUT, MAX(1, WALINDEX_GROUP_BYTES / segment_bytes));

	while (level-- > 0)
		span *= WALINDEX_FANOUT;
	return span;
}

bool walindex_append(struct walindex_piece *piece, struct walindex_piece *next, struct err *err)
{
	uint64_t have = piece->last - piece->first + 1, more = next->last - next->first + 1;

	if (next->tli != piece->tli || next->segment_bytes != piece->segment_bytes ||
	    next->first != piece->last + 1 || have + more > WALINDEX_SPAN_MAX)
		return err_set(err, ERR_INTERNAL,
		               "pieces of the WAL index do not follow each other: %" PRIX64
		               " and %" PRIX64,
		               piece->last, next->first);
	piece->segment = xrealloc(piece->segment, (have + more) * sizeof(*piece->segment));
	memcpy(piece->segment + have, next->segment, more * sizeof(*piece->segment));
	piece->event =
	        xrealloc(piece->event, (piece->events + next->events + 1) * sizeof(*piece->event));
	memcpy(piece->event + piece->events, next->event, next->events * sizeof(*piece->event));
	piece->events += next->events;
	piece->events_size = piece->events + 1;
	next->events = 0; /* the strings are the other's now */
	release_marks(piece);
	release_opens(piece);
	piece->open = next->open;
	piece->opens = next->opens;
	next->open = NULL;
	next->opens = 0;
	piece->last = next->last;
	piece->poisoned |= next->poisoned;
	piece->crowded |= next->crowded;
	piece->full = next->full;
	walindex_release(next);
	return true;
}

const struct walindex_segment *walindex_segment(const struct walindex_piece *piece, uint64_t segno)
{
	if (!piece->segment || segno < piece->first || segno > piece->last)
		return NULL;
	return &piece->segment[segno - piece->first];
}
