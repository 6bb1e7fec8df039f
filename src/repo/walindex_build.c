/*
 * walindex_build.c — a piece of the WAL index, record by record, in bounded memory.
 *
 * Blocks are appended to an array of their relation (walindex_log.c has swallowed most
 * repetitions); an array that is full is sorted and made unique before it grows. Everything here
 * depends on the records alone and on what the piece before left open, never on time, addresses or
 * how often somebody looked: the same WAL gives the same piece.
 */
#include "walindex_rows.h"

#include <assert.h>
#include <string.h>

#include "base/poison.h"

enum {
	BLOCKS_FIRST = 16, /* room in a new array */
	SORT_SMALL = 48,   /* below it the simple way is the fastest */
	RELATIONS_FIRST = 64,
};

struct relation {
	struct walindex_marks marks;
	size_t size; /* room in marks.block */
	uint32_t chain;
};

struct walindex_builder {
	struct walindex_piece piece; /* what is complete; its relations stand apart */
	size_t segments_size;
	struct walindex_segment now; /* the segment at hand */
	struct relation *relation;
	size_t relations, relations_size;
	uint32_t *head; /* of hash chains: index + 1; as many as relations_size */
	size_t marks, touched;
	uint32_t last; /* relation of the last block: index + 1 */
	struct rows *rows;
	struct walindex_touched *sum; /* of the transaction at hand */
	size_t sums, sums_size;
};

struct walindex_builder *walindex_builder_new(uint32_t tli, uint64_t first, uint32_t segment_bytes,
                                              const struct walindex_piece *before)
{
	struct walindex_builder *builder = xcalloc(1, sizeof(*builder));

	builder->piece = (struct walindex_piece){
	        .tli = tli, .segment_bytes = segment_bytes, .first = first, .last = first};
	builder->rows = rows_new();
	for (size_t i = 0; before && i < before->opens; i++)
		rows_restore(builder->rows, &before->open[i]);
	return builder;
}

static void builder_empty(struct walindex_builder *builder)
{
	for (size_t i = 0; i < builder->relations; i++)
		free(builder->relation[i].marks.block);
	free(builder->relation);
	free(builder->head);
	walindex_release(&builder->piece);
	builder->relation = NULL;
	builder->head = NULL;
	builder->relations = builder->relations_size = 0;
	builder->segments_size = 0;
	builder->marks = builder->touched = 0;
	builder->last = 0;
}

void walindex_builder_free(struct walindex_builder *builder)
{
	if (!builder)
		return;
	builder_empty(builder);
	rows_free(builder->rows);
	free(builder->sum);
	free(builder);
}

/* ---- relations ---- */

static size_t rel_hash(const struct walindex_rel *rel, size_t buckets)
{
	uint64_t x = (uint64_t)rel->number * 0x9E3779B97F4A7C15 ^
	             (uint64_t)rel->database * 0xC2B2AE3D27D4EB4F ^ rel->tablespace;

	return (x ^ x >> 29) & (buckets - 1);
}

static bool rel_equal(const struct walindex_rel *a, const struct walindex_rel *b)
{
	return a->number == b->number && a->database == b->database &&
	       a->tablespace == b->tablespace;
}

static void relations_grow(struct walindex_builder *builder)
{
	size_t size = builder->relations_size ? 2 * builder->relations_size : RELATIONS_FIRST;

	builder->relation = xrealloc(builder->relation, size * sizeof(*builder->relation));
	free(builder->head);
	builder->head = xcalloc(size, sizeof(*builder->head));
	builder->relations_size = size;
	for (size_t i = 0; i < builder->relations; i++) {
		size_t at = rel_hash(&builder->relation[i].marks.rel, size);

		builder->relation[i].chain = builder->head[at];
		builder->head[at] = (uint32_t)i + 1;
	}
}

/* Its index + 1. */
static uint32_t relation_of(struct walindex_builder *builder, const struct walindex_rel *rel)
{
	size_t at;

	if (builder->last && rel_equal(&builder->relation[builder->last - 1].marks.rel, rel))
		return builder->last;
	if (builder->relations == builder->relations_size)
		relations_grow(builder);
	at = rel_hash(rel, builder->relations_size);
	for (uint32_t i = builder->head[at]; i; i = builder->relation[i - 1].chain)
		if (rel_equal(&builder->relation[i - 1].marks.rel, rel))
			return builder->last = i;
	builder->relation[builder->relations] = (struct relation){
	        .marks = {.rel = *rel, .limit = WALINDEX_NO_LIMIT}, .chain = builder->head[at]};
	builder->head[at] = (uint32_t)++builder->relations;
	return builder->last = (uint32_t)builder->relations;
}

/* ---- blocks ---- */

static void sort_small(uint32_t *item, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint32_t value = item[i];
		size_t at = i;

		for (; at > 0 && item[at - 1] > value; at--)
			item[at] = item[at - 1];
		item[at] = value;
	}
}

/* By one byte after the other, the lowest first; a byte that is the same in all costs nothing. */
static void sort_blocks(uint32_t *item, size_t count)
{
	uint32_t *from = item, *to, *spare;

	if (count < SORT_SMALL)
		return sort_small(item, count);
	spare = to = xmalloc(count * sizeof(*spare));
	for (unsigned shift = 0; shift < 32; shift += 8) {
		size_t place[256] = {0}, sum = 0;
		uint32_t *swap;

		for (size_t i = 0; i < count; i++)
			place[from[i] >> shift & 0xFF]++;
		if (place[from[0] >> shift & 0xFF] == count)
			continue;
		for (unsigned byte = 0; byte < 256; byte++) {
			size_t here = place[byte];

			place[byte] = sum;
			sum += here;
		}
		for (size_t i = 0; i < count; i++)
			to[place[from[i] >> shift & 0xFF]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != item)
		memcpy(item, from, count * sizeof(*item));
	free(spare);
}

static void marks_settle(struct walindex_marks *marks)
{
	size_t count = 0;

	if (marks->blocks == 0)
		return;
	sort_blocks(marks->block, marks->blocks);
	for (size_t i = 0; i < marks->blocks; i++)
		if (i == 0 || marks->block[i] != marks->block[i - 1])
			marks->block[count++] = marks->block[i];
	marks->blocks = count;
}

static void relation_settle(struct walindex_builder *builder, struct relation *relation)
{
	builder->marks -= relation->marks.blocks;
	marks_settle(&relation->marks);
	builder->marks += relation->marks.blocks;
}

static void settle_all(struct walindex_builder *builder)
{
	for (size_t i = 0; i < builder->relations; i++)
		relation_settle(builder, &builder->relation[i]);
}

/* More than can be told: all of it counts as changed. */
static void relation_give_up(struct walindex_builder *builder, struct relation *relation)
{
	builder->marks -= relation->marks.blocks;
	free(relation->marks.block);
	relation->marks.block = NULL;
	relation->marks.blocks = relation->size = 0;
	relation->marks.limit = 0;
}

static void relation_add(struct walindex_builder *builder, struct relation *relation,
                         uint32_t block)
{
	struct walindex_marks *marks = &relation->marks;

	if (builder->marks >= WALINDEX_MARKS_MAX) {
		settle_all(builder);
		if (builder->marks >= WALINDEX_MARKS_MAX / 8 * 7)
			return relation_give_up(builder, relation);
	}
	if (marks->blocks == relation->size) {
		relation_settle(builder, relation);
		if (marks->blocks >= relation->size / 2) {
			relation->size = relation->size ? 2 * relation->size : BLOCKS_FIRST;
			marks->block =
			        xrealloc(marks->block, relation->size * sizeof(*marks->block));
		}
	}
	marks->block[marks->blocks++] = block;
	builder->marks++;
}

void walindex_add_block(struct walindex_builder *builder, const struct walindex_rel *rel,
                        uint32_t block)
{
	uint32_t number = relation_of(builder, rel);

	if (block != WALINDEX_NO_LIMIT) /* which is no block */
		relation_add(builder, &builder->relation[number - 1], block);
}

void walindex_add_limit(struct walindex_builder *builder, const struct walindex_rel *rel,
                        uint32_t limit)
{
	uint32_t number = relation_of(builder, rel); /* first: it may move them */
	struct relation *relation = &builder->relation[number - 1];

	relation->marks.limit = MIN(relation->marks.limit, limit);
}

/* ---- events ---- */

static struct walindex_event *event_new(struct walindex_builder *builder)
{
	struct walindex_piece *piece = &builder->piece;

	if (piece->events >= WALINDEX_EVENTS_MAX) {
		piece->crowded = true;
		return NULL;
	}
	if (piece->events == piece->events_size) {
		piece->events_size = piece->events_size ? 2 * piece->events_size : 16;
		piece->event = xrealloc(piece->event, piece->events_size * sizeof(*piece->event));
	}
	return &piece->event[piece->events++];
}

void walindex_add_event(struct walindex_builder *builder, const struct walindex_record *record,
                        const struct walindex_event *event)
{
	struct walindex_event *new = event_new(builder);

	if (!new)
		return;
	*new = *event;
	new->start = record->start;
	new->end = record->end;
	new->tli = record->tli;
	new->text = event->text && event->text[0] ? xstrndup(event->text, WALINDEX_TEXT_MAX) : NULL;
	new->touched = NULL;
	new->toucheds = 0;
	if (event->toucheds == 0)
		return;
	new->touched = xmalloc(event->toucheds * sizeof(*new->touched));
	memcpy(new->touched, event->touched, event->toucheds * sizeof(*new->touched));
	new->toucheds = event->toucheds;
	builder->touched += event->toucheds;
}

void walindex_add_poison(struct walindex_builder *builder, const struct walindex_record *record,
                         const char *why)
{
	struct walindex_event event = {
	        .kind = WALINDEX_POISON, .xid = record->xid, .text = (char *)(uintptr_t)why};

	builder->piece.poisoned = true;
	walindex_add_event(builder, record, &event);
}

/* ---- records ---- */

void walindex_add_rows(struct walindex_builder *builder, uint32_t xid,
                       const struct walindex_rel *rel, const struct walindex_rows *rows)
{
	if (xid != 0 && !rows_add(builder->rows, xid, rel, rows))
		builder->piece.crowded = true;
}

void walindex_forget(struct walindex_builder *builder, uint32_t oldest_xid)
{
	rows_forget(builder->rows, oldest_xid);
}

static void count_xact(struct walindex_segment *now, const struct walindex_record *record,
                       const struct walindex_end *end)
{
	if (now->commits + now->aborts == 0) {
		now->first_xact = record->start;
		now->first_us = now->min_us = now->max_us = end->time_us;
		now->min_xid = now->max_xid = end->xid;
	}
	now->commits += end->commit;
	now->aborts += !end->commit;
	now->last_xact = record->start;
	now->last_xact_end = record->end;
	now->last_us = end->time_us;
	now->min_us = MIN(now->min_us, end->time_us);
	now->max_us = MAX(now->max_us, end->time_us);
	now->min_xid = MIN(now->min_xid, end->xid);
	now->max_xid = MAX(now->max_xid, end->xid);
	if (end->commit)
		now->last_commit_us = end->time_us;
}

static int by_rel(const void *a, const void *b)
{
	const struct walindex_touched *left = a, *right = b;

	return walindex_rel_compare(&left->rel, &right->rel);
}

static void sum_add(struct walindex_builder *builder, const struct walindex_touched *touched)
{
	if (builder->sums == builder->sums_size) {
		builder->sums_size = builder->sums_size ? 2 * builder->sums_size : 16;
		builder->sum = xrealloc(builder->sum, builder->sums_size * sizeof(*builder->sum));
	}
	builder->sum[builder->sums++] = *touched;
}

/* One for each relation, in order. */
static void sum_settle(struct walindex_builder *builder)
{
	struct walindex_touched *sum = builder->sum;
	size_t count = 0;

	qsort(sum, builder->sums, sizeof(*sum), by_rel);
	for (size_t i = 0; i < builder->sums; i++) {
		if (count > 0 && rel_equal(&sum[count - 1].rel, &sum[i].rel)) {
			sum[count - 1].flags |= sum[i].flags;
			sum[count - 1].deleted += sum[i].deleted;
			sum[count - 1].updated += sum[i].updated;
			sum[count - 1].inserted += sum[i].inserted;
		} else {
			sum[count++] = sum[i];
		}
	}
	builder->sums = count;
}

static bool worth_finding(const struct walindex_builder *builder)
{
	for (size_t i = 0; i < builder->sums; i++)
		if ((builder->sum[i].flags & (WALINDEX_DROPPED | WALINDEX_TRUNCATED)) ||
		    builder->sum[i].deleted >= WALINDEX_ROWS_MIN ||
		    builder->sum[i].updated >= WALINDEX_ROWS_MIN)
			return true;
	return false;
}

static void sum_transaction(struct walindex_builder *builder, const struct walindex_end *end,
                            struct walindex_event *event)
{
	struct walindex_open open;

	builder->sums = 0;
	for (size_t i = 0; i <= end->subs; i++) {
		if (!rows_take(builder->rows, i == 0 ? end->xid : end->sub[i - 1], &open))
			continue;
		event->number += open.class_deleted;
		event->position += open.created;
		for (size_t n = 0; n < open.toucheds; n++)
			sum_add(builder, &open.touched[n]);
		free(open.touched);
	}
	for (size_t i = 0; i < end->droppeds; i++)
		sum_add(builder, &(struct walindex_touched){.rel = end->dropped[i],
		                                            .flags = WALINDEX_DROPPED});
	if (builder->sums > 1)
		sum_settle(builder);
}

void walindex_add_end(struct walindex_builder *builder, const struct walindex_record *record,
                      const struct walindex_end *end)
{
	struct walindex_event event = {
	        .kind = WALINDEX_TRANSACTION, .xid = end->xid, .time_us = end->time_us};

	count_xact(&builder->now, record, end);
	for (size_t i = 0; i < end->droppeds; i++)
		walindex_add_limit(builder, &end->dropped[i], 0);
	sum_transaction(builder, end, &event);
	if (!end->commit || !worth_finding(builder))
		return;
	event.touched = builder->sum;
	event.toucheds = MIN(builder->sums, WALINDEX_TOUCHED_MAX - builder->touched);
	builder->piece.crowded |= event.toucheds < builder->sums;
	walindex_add_event(builder, record, &event);
}

/* ---- segments and pieces ---- */

bool walindex_next_segment(struct walindex_builder *builder, const struct walindex_tail *tail)
{
	struct walindex_piece *piece = &builder->piece;
	uint64_t count = walindex_builder_segments(builder);

	if (count == builder->segments_size) {
		builder->segments_size = builder->segments_size ? 2 * builder->segments_size : 16;
		piece->segment =
		        xrealloc(piece->segment, builder->segments_size * sizeof(*piece->segment));
	}
	builder->now.records = tail->records;
	builder->now.last_start = tail->last_start;
	builder->now.last_end = tail->last_end;
	builder->now.last_tli = tail->last_tli;
	builder->now.lost_bytes = tail->lost_bytes;
	piece->segment[count] = builder->now;
	piece->last = piece->first + count;
	builder->now = (struct walindex_segment){0};
	if (builder->marks > WALINDEX_MARKS_FULL)
		settle_all(builder);
	if ((piece->last + 1) % walindex_span(0, piece->segment_bytes) == 0)
		return true;
	piece->full = builder->marks > WALINDEX_MARKS_FULL || piece->events > WALINDEX_EVENTS_FULL;
	return piece->full;
}

uint64_t walindex_builder_segments(const struct walindex_builder *builder)
{
	const struct walindex_piece *piece = &builder->piece;

	return piece->segment ? piece->last - piece->first + 1 : 0;
}

static int by_marks_rel(const void *a, const void *b)
{
	const struct walindex_marks *left = a, *right = b;

	return walindex_rel_compare(&left->rel, &right->rel);
}

static void copy_piece(const struct walindex_piece *from, struct walindex_piece *to)
{
	uint64_t segments = from->last - from->first + 1;

	*to = *from;
	to->segment = xmalloc(segments * sizeof(*to->segment));
	memcpy(to->segment, from->segment, segments * sizeof(*to->segment));
	to->event = xcalloc(from->events + 1, sizeof(*to->event));
	for (size_t i = 0; i < from->events; i++) {
		struct walindex_event *event = &to->event[i];

		*event = from->event[i];
		event->text = event->text ? xstrdup(event->text) : NULL;
		if (event->toucheds > 0) {
			event->touched = xmalloc(event->toucheds * sizeof(*event->touched));
			memcpy(event->touched, from->event[i].touched,
			       event->toucheds * sizeof(*event->touched));
		}
	}
}

void walindex_builder_take(struct walindex_builder *builder, bool keep, struct walindex_piece *ret)
{
	uint64_t next = builder->piece.last + 1;

	assert(walindex_builder_segments(builder) > 0);
	copy_piece(&builder->piece, ret);
	ret->relations = builder->relations;
	ret->marks = xcalloc(builder->relations + 1, sizeof(*ret->marks));
	for (size_t i = 0; i < builder->relations; i++) {
		const struct walindex_marks *marks = &builder->relation[i].marks;

		ret->marks[i] = *marks;
		ret->marks[i].block = xmalloc((marks->blocks + 1) * sizeof(*marks->block));
		if (marks->blocks > 0)
			memcpy(ret->marks[i].block, marks->block,
			       marks->blocks * sizeof(*marks->block));
		marks_settle(&ret->marks[i]);
	}
	qsort(ret->marks, ret->relations, sizeof(*ret->marks), by_marks_rel);
	rows_list(builder->rows, &ret->open, &ret->opens);
	if (keep)
		return;
	builder_empty(builder);
	builder->piece = (struct walindex_piece){
	        .tli = ret->tli, .segment_bytes = ret->segment_bytes, .first = next, .last = next};
}
