/*
 * walindex_log.c — numbers of seven bits and a sign that there are more, differences where the next
 * value is near the last one; relations by the order in which they come.
 */
#include "walindex_log.h"

#include <assert.h>
#include <string.h>

#include "walindex_rows.h"

#include "base/poison.h"

enum item { ITEM_BLOCK, ITEM_LIMIT, ITEM_ROWS, ITEM_END, ITEM_EVENT, ITEM_FORGET };
enum { ITEM_BITS = 3 };
enum {
	RECENT = 8192, /* remembered blocks */
	NUMBER_BYTES_MAX = 10,
	KEPT_BYTES = 1 << 20, /* of room, from one segment to the next */
	/* numbers in an item, without its lists */
	PLACE_NUMBERS = 2,
	ROWS_NUMBERS = 6,
	END_NUMBERS = 8,
	EVENT_NUMBERS = 10,
	TOUCHED_NUMBERS = 5,
	RELATIONS_FIRST = 64,
};

struct recent {
	uint32_t relation, block; /* relation: number + 1 */
};

void walindex_log_init(struct walindex_log *log, size_t bytes_max)
{
	*log = (struct walindex_log){0};
	buf_init(&log->bytes, bytes_max);
	log->recent = xcalloc(RECENT, sizeof(*log->recent));
}

void walindex_log_release(struct walindex_log *log)
{
	buf_release(&log->bytes);
	free(log->rel);
	free(log->chain);
	free(log->head);
	free(log->recent);
	*log = (struct walindex_log){0};
}

static void bytes_clear(struct walindex_log *log)
{
	buf_clear(&log->bytes);
	log->start = 0;
	log->xid = 0;
	log->time_us = 0;
}

void walindex_log_clear(struct walindex_log *log)
{
	bytes_clear(log);
	if (log->bytes.size > KEPT_BYTES) {
		size_t bytes_max = log->bytes.max;

		buf_release(&log->bytes);
		buf_init(&log->bytes, bytes_max);
	}
	log->rows_rel = 0;
	if (log->rels == 0)
		return;
	memset(log->head, 0, log->rels_size * sizeof(*log->head));
	memset(log->recent, 0, RECENT * sizeof(*log->recent));
	log->rels = 0;
	log->last_rel = 0;
}

/* ---- relations ---- */

static size_t bucket_of(const struct walindex_log *log, const struct walindex_rel *rel)
{
	uint64_t x = (uint64_t)rel->number * 0x9E3779B97F4A7C15 ^
	             (uint64_t)rel->database * 0xC2B2AE3D27D4EB4F ^ rel->tablespace;

	return (x ^ x >> 29) & (log->rels_size - 1);
}

static bool rel_equal(const struct walindex_rel *a, const struct walindex_rel *b)
{
	return a->number == b->number && a->database == b->database &&
	       a->tablespace == b->tablespace;
}

static void rels_grow(struct walindex_log *log)
{
	size_t size = log->rels_size ? 2 * log->rels_size : RELATIONS_FIRST;

	log->rel = xrealloc(log->rel, size * sizeof(*log->rel));
	log->chain = xrealloc(log->chain, size * sizeof(*log->chain));
	free(log->head);
	log->head = xcalloc(size, sizeof(*log->head));
	log->rels_size = size;
	for (size_t i = 0; i < log->rels; i++) {
		size_t at = bucket_of(log, &log->rel[i]);

		log->chain[i] = log->head[at];
		log->head[at] = (uint32_t)i + 1;
	}
}

static uint32_t rel_new(struct walindex_log *log, const struct walindex_rel *rel)
{
	size_t at;

	if (log->rels == log->rels_size)
		rels_grow(log);
	at = bucket_of(log, rel);
	log->rel[log->rels] = *rel;
	log->chain[log->rels] = log->head[at];
	log->head[at] = (uint32_t)++log->rels;
	return log->head[at];
}

/* Its number + 1. */
static uint32_t rel_of(struct walindex_log *log, const struct walindex_rel *rel)
{
	uint32_t number;

	if (log->last_rel && rel_equal(&log->rel[log->last_rel - 1], rel))
		return log->last_rel;
	number = log->rels ? log->head[bucket_of(log, rel)] : 0;
	while (number && !rel_equal(&log->rel[number - 1], rel))
		number = log->chain[number - 1];
	log->last_rel = number ? number : rel_new(log, rel);
	return log->last_rel;
}

/* ---- writing ---- */

/* Room for an item of so many numbers; NULL: beyond the limit. */
static uint8_t *item_begin(struct walindex_log *log, size_t numbers)
{
	return buf_reserve(&log->bytes, numbers * NUMBER_BYTES_MAX);
}

static void item_finish(struct walindex_log *log, const uint8_t *end)
{
	log->bytes.length = (size_t)(end - (const uint8_t *)log->bytes.data);
}

static uint8_t *put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

/* Small when the difference is, whatever its sign; differences wrap around. */
static uint8_t *put_signed(uint8_t *at, uint64_t difference)
{
	return put(at, difference << 1 ^ (0 - (difference >> 63)));
}

static uint8_t *put_xid(struct walindex_log *log, uint8_t *at, uint32_t xid)
{
	at = put_signed(at, (uint64_t)(int64_t)(int32_t)(xid - log->xid));
	log->xid = xid;
	return at;
}

static uint8_t *put_time(struct walindex_log *log, uint8_t *at, int64_t time_us)
{
	at = put_signed(at, (uint64_t)time_us - (uint64_t)log->time_us);
	log->time_us = time_us;
	return at;
}

static uint8_t *put_tag(uint8_t *at, enum item item, uint64_t number)
{
	return put(at, number << ITEM_BITS | item);
}

static uint8_t *put_record(struct walindex_log *log, uint8_t *at,
                           const struct walindex_record *record)
{
	at = put_signed(at, record->start - log->start);
	log->start = record->start;
	at = put(at, record->end - record->start);
	return put(at, record->tli);
}

void walindex_log_block(struct walindex_log *log, const struct walindex_rel *rel, uint32_t block)
{
	uint32_t number = rel_of(log, rel);
	uint32_t mix = (block ^ number * 0x9E3779B1U) * 0x85EBCA6BU;
	struct recent *recent = &log->recent[mix >> 19];
	uint8_t *at;

	_Static_assert(RECENT == 1 << (32 - 19), "the memory has as many places as the hash");
	if (recent->relation == number && recent->block == block)
		return;
	*recent = (struct recent){.relation = number, .block = block};
	at = item_begin(log, PLACE_NUMBERS);
	if (at)
		item_finish(log, put(put_tag(at, ITEM_BLOCK, number - 1), block));
}

void walindex_log_limit(struct walindex_log *log, const struct walindex_rel *rel, uint32_t limit)
{
	uint32_t number = rel_of(log, rel);
	uint8_t *at = item_begin(log, PLACE_NUMBERS);

	if (at)
		item_finish(log, put(put_tag(at, ITEM_LIMIT, number - 1), limit));
}

/* One row, or none, of each kind is the rule: that fits into one byte. */
static uint8_t *put_rows(uint8_t *at, const struct walindex_rows *rows)
{
	if ((rows->deleted | rows->updated | rows->inserted) <= 1)
		return put(at, (rows->flags << 3 | rows->deleted << 2 | rows->updated << 1 |
		                rows->inserted)
		                       << 1);
	at = put(at, rows->flags << 1 | 1);
	return put(put(put(at, rows->deleted), rows->updated), rows->inserted);
}

/* Rows stand back while more of the same may come; blocks and limits pass by, ends do not. */
static void rows_settle(struct walindex_log *log)
{
	uint8_t *at = log->rows_rel ? item_begin(log, ROWS_NUMBERS) : NULL;

	if (at) {
		at = put_tag(at, ITEM_ROWS, log->rows_rel - 1);
		at = put_xid(log, at, log->rows_xid);
		item_finish(log, put_rows(at, &log->rows));
	}
	log->rows_rel = 0;
}

static bool only_inserts(const struct walindex_rows *rows)
{
	return rows->deleted + rows->updated == 0 && rows->flags == 0;
}

void walindex_log_rows(struct walindex_log *log, uint32_t xid, const struct walindex_rel *rel,
                       const struct walindex_rows *rows)
{
	uint32_t number;

	if (xid == 0 || !rows_matter(rel, rows))
		return;
	number = rel_of(log, rel);
	/* rows that are only inserted do not count until something else happens to the relation */
	if (number != log->rows_rel || xid != log->rows_xid ||
	    (only_inserts(&log->rows) && !only_inserts(rows))) {
		rows_settle(log);
		log->rows = *rows;
		log->rows_rel = number;
		log->rows_xid = xid;
		return;
	}
	log->rows.deleted += rows->deleted;
	log->rows.updated += rows->updated;
	log->rows.inserted += rows->inserted;
	log->rows.flags |= rows->flags;
}

void walindex_log_forget(struct walindex_log *log, uint32_t oldest_xid)
{
	uint8_t *at;

	rows_settle(log);
	at = item_begin(log, PLACE_NUMBERS);
	if (at)
		item_finish(log, put_xid(log, put_tag(at, ITEM_FORGET, 0), oldest_xid));
}

void walindex_log_end(struct walindex_log *log, const struct walindex_record *record,
                      const struct walindex_end *end)
{
	unsigned lists;
	uint8_t *at;

	lists = end->subs + end->droppeds > 0;
	rows_settle(log);
	at = item_begin(log, END_NUMBERS + end->subs + end->droppeds);
	if (!at)
		return;
	at = put_record(log, put_tag(at, ITEM_END, end->commit | lists << 1), record);
	at = put_xid(log, at, end->xid);
	at = put_time(log, at, end->time_us);
	if (lists)
		at = put(put(at, end->subs), end->droppeds);
	for (size_t i = 0; i < end->subs; i++)
		at = put_signed(at, (uint64_t)(int64_t)(int32_t)(end->sub[i] - end->xid));
	for (size_t i = 0; i < end->droppeds; i++)
		at = put(at, rel_of(log, &end->dropped[i]) - 1);
	item_finish(log, at);
}

void walindex_log_event(struct walindex_log *log, const struct walindex_record *record,
                        const struct walindex_event *event)
{
	const char *text = event->text ? event->text : "";
	size_t text_bytes = strlen(text) + 1;
	uint8_t *at =
	        item_begin(log, EVENT_NUMBERS + TOUCHED_NUMBERS * event->toucheds + text_bytes);

	if (!at)
		return;
	at = put_record(log, put_tag(at, ITEM_EVENT, event->kind), record);
	at = put_time(log, at, event->time_us);
	at = put(put(put(at, event->xid), event->number), event->position);
	at = put(put(at, text_bytes), event->toucheds);
	memcpy(at, text, text_bytes);
	at += text_bytes;
	for (size_t i = 0; i < event->toucheds; i++) {
		const struct walindex_touched *touched = &event->touched[i];

		at = put(put(at, rel_of(log, &touched->rel) - 1), touched->flags);
		at = put(put(put(at, touched->deleted), touched->updated), touched->inserted);
	}
	item_finish(log, at);
}

void walindex_log_poison(struct walindex_log *log, const struct walindex_record *record,
                         const char *why)
{
	struct walindex_event event = {
	        .kind = WALINDEX_POISON, .xid = record->xid, .text = (char *)(uintptr_t)why};

	walindex_log_event(log, record, &event);
}

void walindex_log_finish(struct walindex_log *log)
{
	rows_settle(log);
	free(log->recent);
	free(log->chain);
	free(log->head);
	log->recent = NULL;
	log->chain = log->head = NULL;
	log->rel = xrealloc(log->rel, (log->rels + 1) * sizeof(*log->rel));
	log->rels_size = log->rels;
	if (log->bytes.data) {
		log->bytes.data = xrealloc(log->bytes.data, log->bytes.length + 1);
		log->bytes.size = log->bytes.length + 1;
	}
}

size_t walindex_log_bytes(const struct walindex_log *log)
{
	return log->bytes.size + log->rels_size * sizeof(*log->rel);
}

/* ---- reading ---- */

struct reader {
	const struct walindex_log *log;
	struct walindex_builder *builder;
	const uint8_t *at;
	struct walindex_record record; /* what the last item was told from, as it was written */
	int64_t time_us;
};

static uint64_t get(struct reader *reader)
{
	uint64_t value = 0;
	unsigned shift = 0;

	for (; *reader->at >= 0x80; shift += 7)
		value |= (uint64_t)(*reader->at++ & 0x7F) << shift;
	return value | (uint64_t)*reader->at++ << shift;
}

static uint64_t get_signed(struct reader *reader)
{
	uint64_t value = get(reader);

	return value >> 1 ^ (0 - (value & 1));
}

static uint32_t get_xid(struct reader *reader)
{
	reader->record.xid += (uint32_t)get_signed(reader);
	return reader->record.xid;
}

static int64_t get_time(struct reader *reader)
{
	reader->time_us = (int64_t)((uint64_t)reader->time_us + get_signed(reader));
	return reader->time_us;
}

static const struct walindex_rel *get_rel(struct reader *reader)
{
	return &reader->log->rel[get(reader)];
}

static void get_record(struct reader *reader)
{
	reader->record.start += get_signed(reader);
	reader->record.end = reader->record.start + get(reader);
	reader->record.tli = (uint32_t)get(reader);
}

static void rows_apply(struct reader *reader, const struct walindex_rel *rel)
{
	uint32_t xid = get_xid(reader);
	uint64_t first = get(reader);
	struct walindex_rows rows;

	if (first & 1) {
		rows.flags = (uint32_t)(first >> 1);
		rows.deleted = get(reader);
		rows.updated = get(reader);
		rows.inserted = get(reader);
	} else {
		rows = (struct walindex_rows){.flags = (uint32_t)(first >> 4),
		                              .deleted = first >> 3 & 1,
		                              .updated = first >> 2 & 1,
		                              .inserted = first >> 1 & 1};
	}
	walindex_add_rows(reader->builder, xid, rel, &rows);
}

static void end_apply(struct reader *reader, bool commit, bool lists)
{
	struct walindex_end end = {.commit = commit};
	uint32_t *sub;
	struct walindex_rel *dropped;

	get_record(reader);
	end.xid = get_xid(reader);
	end.time_us = get_time(reader);
	end.subs = lists ? get(reader) : 0;
	end.droppeds = lists ? get(reader) : 0;
	sub = end.subs ? xmalloc(end.subs * sizeof(*sub)) : NULL;
	dropped = end.droppeds ? xmalloc(end.droppeds * sizeof(*dropped)) : NULL;
	for (size_t i = 0; i < end.subs; i++)
		sub[i] = end.xid + (uint32_t)get_signed(reader);
	for (size_t i = 0; i < end.droppeds; i++)
		dropped[i] = *get_rel(reader);
	end.sub = sub;
	end.dropped = dropped;
	walindex_add_end(reader->builder, &reader->record, &end);
	free(sub);
	free(dropped);
}

static void event_apply(struct reader *reader, enum walindex_kind kind)
{
	struct walindex_event event = {.kind = kind};
	size_t text_bytes;

	get_record(reader);
	event.time_us = get_time(reader);
	event.xid = (uint32_t)get(reader);
	event.number = get(reader);
	event.position = get(reader);
	text_bytes = get(reader);
	event.toucheds = get(reader);
	event.text = (char *)(uintptr_t)reader->at;
	reader->at += text_bytes;
	if (event.toucheds > 0)
		event.touched = xmalloc(event.toucheds * sizeof(*event.touched));
	for (size_t i = 0; i < event.toucheds; i++) {
		struct walindex_touched *touched = &event.touched[i];

		*touched = (struct walindex_touched){.rel = *get_rel(reader)};
		touched->flags = (uint32_t)get(reader);
		touched->deleted = get(reader);
		touched->updated = get(reader);
		touched->inserted = get(reader);
	}
	if (kind == WALINDEX_POISON) {
		struct walindex_record record = reader->record;

		record.xid = event.xid;
		walindex_add_poison(reader->builder, &record, event.text);
	} else {
		walindex_add_event(reader->builder, &reader->record, &event);
	}
	free(event.touched);
}

static void item_apply(struct reader *reader)
{
	uint64_t tag = get(reader), number = tag >> ITEM_BITS;
	const struct walindex_rel *rel = &reader->log->rel[number];

	switch ((enum item)(tag & ((1 << ITEM_BITS) - 1))) {
	case ITEM_BLOCK:
		return walindex_add_block(reader->builder, rel, (uint32_t)get(reader));
	case ITEM_LIMIT:
		return walindex_add_limit(reader->builder, rel, (uint32_t)get(reader));
	case ITEM_ROWS:
		return rows_apply(reader, rel);
	case ITEM_END:
		return end_apply(reader, number & 1, number & 2);
	case ITEM_EVENT:
		return event_apply(reader, (enum walindex_kind)number);
	case ITEM_FORGET:
		return walindex_forget(reader->builder, get_xid(reader));
	}
}

void walindex_log_apply(struct walindex_log *log, struct walindex_builder *builder)
{
	struct reader reader = {.log = log, .builder = builder};
	const uint8_t *end;

	rows_settle(log);
	reader.at = (const uint8_t *)log->bytes.data;
	end = reader.at + log->bytes.length;
	while (reader.at < end)
		item_apply(&reader);
	assert(reader.at == end && !log->bytes.overflow);
	bytes_clear(log);
}
