/*
 * walcraft.h — makes WAL in memory, as a server would write it, for tests of what reads WAL.
 *
 * A craft holds some segments of one timeline in a row; records are put one after the other and run
 * over pages and segments by themselves. Nothing here is shared with the code under test but the
 * CRC.
 */
#ifndef TESTS_UNIT_PG_WALCRAFT_H
#define TESTS_UNIT_PG_WALCRAFT_H

#include "base/bytes.h"
#include "base/clock.h"
#include "pg/crc32c.h"
#include "pg/lsn.h"
#include <assert.h>

enum { CRAFT_SEGMENT_BYTES = 1 << 20, CRAFT_PAGE_BYTES = 8192, CRAFT_MAGIC_15 = 0xD110 };
#define CRAFT_SYSTEM UINT64_C(0x6B01020304050607)

struct craft {
	uint8_t *bytes;
	size_t segments;
	uint64_t segno;
	lsn start, at, previous;
	uint16_t magic;
	uint32_t tli;
};

static inline void craft_init(struct craft *craft, uint64_t segno, size_t segments)
{
	*craft = (struct craft){
	        .bytes = xcalloc(segments, CRAFT_SEGMENT_BYTES),
	        .segments = segments,
	        .segno = segno,
	        .start = segno * CRAFT_SEGMENT_BYTES,
	        .at = segno * CRAFT_SEGMENT_BYTES,
	        .previous = segno * CRAFT_SEGMENT_BYTES - 64, /* somewhere before */
	        .magic = CRAFT_MAGIC_15,
	        .tli = 1,
	};
}

static inline void craft_release(struct craft *craft)
{
	free(craft->bytes);
}

static inline uint8_t *craft_byte(struct craft *craft, lsn position)
{
	assert(position >= craft->start &&
	       position < craft->start + craft->segments * CRAFT_SEGMENT_BYTES);
	return craft->bytes + (position - craft->start);
}

static inline uint8_t *craft_segment(struct craft *craft, size_t i)
{
	return craft->bytes + i * CRAFT_SEGMENT_BYTES;
}

/* At a page's start: its header. flags without the "long" bit. */
static inline void craft_page(struct craft *craft, uint16_t flags, uint32_t rem_bytes)
{
	bool first = craft->at % CRAFT_SEGMENT_BYTES == 0;
	uint8_t *p = craft_byte(craft, craft->at);

	put_u16(p, craft->magic);
	put_u16(p + 2, (uint16_t)(flags | (first ? 2 : 0)));
	put_u32(p + 4, craft->tli);
	put_u64(p + 8, craft->at);
	put_u32(p + 16, rem_bytes);
	if (first) {
		put_u64(p + 24, CRAFT_SYSTEM);
		put_u32(p + 32, CRAFT_SEGMENT_BYTES);
		put_u32(p + 36, CRAFT_PAGE_BYTES);
	}
	craft->at += first ? 40 : 24;
}

/* Bytes of a record, over as many pages as they need; rem_bytes are left when they begin. */
static inline void craft_bytes(struct craft *craft, const uint8_t *bytes, size_t length,
                               bool begins)
{
	while (length) {
		size_t room = CRAFT_PAGE_BYTES - craft->at % CRAFT_PAGE_BYTES;
		size_t n = MIN(room, length);

		if (room == CRAFT_PAGE_BYTES) {
			craft_page(craft, begins ? 0 : 1, begins ? 0 : (uint32_t)length);
			continue;
		}
		memcpy(craft_byte(craft, craft->at), bytes, n);
		craft->at += n;
		bytes += n;
		length -= n;
		begins = false;
	}
}

/* A whole record (header and body as given, CRC and previous pointer filled in); returns its start.
 */
static inline lsn craft_raw(struct craft *craft, uint8_t *record, size_t length)
{
	lsn start;

	put_u32(record, (uint32_t)length);
	put_u64(record + 8, craft->previous);
	put_u32(record + 20,
	        crc32c_portable(crc32c_portable(0, record + 24, length - 24), record, 20));
	if (craft->at % CRAFT_PAGE_BYTES == 0)
		craft_page(craft, 0, 0);
	start = craft->at;
	craft_bytes(craft, record, length, true);
	craft->at = (craft->at + 7) & ~UINT64_C(7);
	craft->previous = start;
	return start;
}

/* A record whose body is main data only. */
static inline lsn craft_record(struct craft *craft, uint8_t manager, uint8_t info, const void *main,
                               size_t length)
{
	uint8_t *record = xcalloc(1, 24 + 5 + length);
	size_t item = length > 255 ? 5 : length ? 2 : 0;
	lsn start;

	record[16] = info;
	record[17] = manager;
	put_u32(record + 4, 777); /* xid */
	if (item)
		record[24] = length > 255 ? 254 : 255;
	if (item == 5)
		put_u32(record + 25, (uint32_t)length);
	if (item == 2)
		record[25] = (uint8_t)length;
	if (length)
		memcpy(record + 24 + item, main, length);
	start = craft_raw(craft, record, 24 + item + length);
	free(record);
	return start;
}

/* A record of the heap of about this many bytes, with a pattern in it. */
static inline lsn craft_filler(struct craft *craft, size_t bytes)
{
	uint8_t *main = xmalloc(bytes);
	lsn start;

	for (size_t i = 0; i < bytes; i++)
		main[i] = (uint8_t)(i * 31 + bytes);
	start = craft_record(craft, 10, 0, main, bytes);
	free(main);
	return start;
}

static inline lsn craft_commit(struct craft *craft, int64_t unix_us)
{
	uint8_t main[8];

	put_u64(main, (uint64_t)clock_to_pg(unix_us));
	return craft_record(craft, 1, 0x00, main, sizeof(main));
}

static inline lsn craft_switch(struct craft *craft)
{
	lsn start = craft_record(craft, 0, 0x40, NULL, 0);

	craft->at =
	        (craft->at + CRAFT_SEGMENT_BYTES - 1) / CRAFT_SEGMENT_BYTES * CRAFT_SEGMENT_BYTES;
	return start;
}

/* Records up to the end of segment i, the last one running into the next segment. */
static inline void craft_fill(struct craft *craft, size_t i)
{
	lsn end = craft->start + (i + 1) * CRAFT_SEGMENT_BYTES;

	for (size_t n = 0; craft->at + 10 < end; n++)
		craft_filler(craft, 300 + n * 37 % 9000);
}

#endif
