/* walscan_test.c — segments that were walked alone, in any order, say the same to the index as all
 * of them read one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "repo/walscan.h"
#include "unit/pg/walcraft.h"

enum { FIRST = 33, SEGMENTS = 12, RECORD_MAX = 4096, FILES = 5 };

static uint32_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* ---- records ---- */

struct draft {
	uint8_t bytes[RECORD_MAX];
	size_t length;
};

static void u8(struct draft *draft, unsigned value)
{
	draft->bytes[draft->length++] = (uint8_t)value;
}

static void u16(struct draft *draft, unsigned value)
{
	u8(draft, value & 255);
	u8(draft, value >> 8);
}

static void u32(struct draft *draft, uint32_t value)
{
	u16(draft, value & 65535);
	u16(draft, value >> 16);
}

static void relation(struct draft *draft, uint32_t which)
{
	u32(draft, 1663);
	u32(draft, 5);
	u32(draft, which == 0 ? 1259 : 16384 + which);
}

static void begin(struct draft *draft, unsigned manager, unsigned info)
{
	*draft = (struct draft){.length = 24};
	draft->bytes[16] = (uint8_t)info;
	draft->bytes[17] = (uint8_t)manager;
	put_u32(draft->bytes + 4, 1000 + any(8) + any(100) / 99 * 100);
}

static void reference(struct draft *draft, unsigned id, uint32_t which)
{
	u8(draft, id);
	u8(draft, any(20) == 0 ? 1 : 0); /* now and then of the free space map */
	u16(draft, 0);
	relation(draft, which);
	u32(draft, any(3) ? any(40) : any(100000));
}

static void main_data(struct draft *draft, const struct draft *main)
{
	u8(draft, 255);
	u8(draft, (unsigned)main->length);
	memcpy(draft->bytes + draft->length, main->bytes, main->length);
	draft->length += main->length;
}

static void rows(struct draft *draft)
{
	static const uint8_t operation[] = {0x00, 0x00, 0x10, 0x20, 0x40};
	struct draft main = {.length = 14};
	uint32_t which = any(FILES);

	begin(draft, 10, operation[any(5)]);
	for (unsigned id = 0, count = 1 + any(3); id < count; id++)
		reference(draft, id, any(4) ? which : any(FILES));
	main_data(draft, &main);
}

static void end(struct draft *draft)
{
	struct draft main = {0};
	uint32_t subs = any(3), files = any(3), xinfo = (subs ? 2U : 0) | (files ? 4U : 0);

	begin(draft, 1, (any(4) ? 0x00 : 0x20) | (xinfo ? 0x80 : 0));
	u32(&main, 5000000 + any(1000000));
	u32(&main, 100);
	if (xinfo)
		u32(&main, xinfo);
	if (subs)
		u32(&main, subs);
	for (uint32_t i = 0; i < subs; i++)
		u32(&main, 1000 + any(12));
	if (files)
		u32(&main, files);
	for (uint32_t i = 0; i < files; i++)
		relation(&main, 1 + any(FILES));
	main_data(draft, &main);
}

static void file(struct draft *draft)
{
	bool create = any(2);
	struct draft main = {0};

	begin(draft, 2, create ? 0x10 : 0x20);
	if (!create)
		u32(&main, any(3));
	relation(&main, 1 + any(FILES));
	u32(&main, create ? 0 : 7);
	main_data(draft, &main);
}

static void database(struct draft *draft)
{
	bool create = any(2);
	struct draft main = {0};

	begin(draft, 4, create ? 0x00 : 0x20);
	u32(&main, 16000 + any(3));
	u32(&main, create ? 1663 : 2);
	u32(&main, create ? 1 : 1663);
	u32(&main, create ? 1663 : 16777);
	main_data(draft, &main);
}

static void xlog(struct draft *draft)
{
	struct draft main = {0};

	if (any(3) == 0) {
		begin(draft, 0, 0x70);
		main.length = 72;
		snprintf((char *)main.bytes + 8, 64, "point %u", any(1000));
	} else if (any(2)) {
		begin(draft, 0, 0x60);
		main.length = 28;
		put_u32(main.bytes + 20, any(3));
	} else {
		begin(draft, 0, 0x10);
		main.length = 88;
		put_u32(main.bytes + 8, 1);
		put_u32(main.bytes + 12, 1);
		put_u32(main.bytes + 80, 1000 + any(4));
	}
	main_data(draft, &main);
}

static void any_record(struct craft *craft)
{
	struct draft draft;
	uint32_t kind = any(100);

	if (kind < 4) {
		craft_filler(craft, 256 + any(20000));
		return;
	}
	if (kind < 80)
		rows(&draft);
	else if (kind < 92)
		end(&draft);
	else if (kind < 95)
		file(&draft);
	else if (kind < 96)
		database(&draft);
	else if (kind < 97)
		xlog(&draft);
	else
		rows(&draft);
	craft_raw(craft, draft.bytes, draft.length);
}

/* Up to about the end of segment i, or over it. */
static void fill(struct craft *craft, size_t i)
{
	lsn to = craft->start + (i + 1) * CRAFT_SEGMENT_BYTES;

	while (craft->at + 24000 < to)
		any_record(craft);
}

static void craft_any(struct craft *craft)
{
	craft_init(craft, FIRST, SEGMENTS);
	for (size_t i = 0; i + 1 < SEGMENTS; i++) {
		lsn to = craft->start + (i + 1) * CRAFT_SEGMENT_BYTES;

		fill(craft, i);
		if (i % 4 == 2) { /* a record that is near the end, or goes on in the next */
			craft_switch(craft);
			continue;
		}
		while (craft->at < to)
			any_record(craft);
	}
	fill(craft, SEGMENTS - 1);
	craft_switch(craft);
}

/* ---- the two ways ---- */

/* NULL: the segment leaves none. */
static struct walpart *part_of(struct craft *craft, size_t i, size_t piece)
{
	struct walpart *part = walpart_new();
	struct walwalk_options options = {.segment_bytes = CRAFT_SEGMENT_BYTES,
	                                  .sink = walpart_sink(part)};
	struct walwalk *walk = xmalloc(sizeof(*walk));
	struct err err = {0};
	bool good;

	walwalk_init(walk, &options);
	good = walwalk_begin(walk, craft->tli, craft->segno + i, &err);
	for (size_t at = 0; good && at < CRAFT_SEGMENT_BYTES; at += piece) {
		size_t n = MIN(piece, CRAFT_SEGMENT_BYTES - at);

		good = walwalk_feed(walk, craft_segment(craft, i) + at, n, &err);
		if (good)
			walpart_fed(part, walk, craft_segment(craft, i) + at, n);
	}
	if (!good || !walwalk_end(walk, &err))
		fail_msg("%s", err.text);
	if (!walpart_end(part, walk)) {
		walpart_free(part);
		part = NULL;
	}
	free(walk);
	return part;
}

static void take_whole(struct walscan *scan, struct craft *craft, size_t i)
{
	struct err err = {0};
	bool full;

	if (!walscan_begin(scan, craft->tli, craft->segno + i, &err) ||
	    !walscan_feed(scan, craft_segment(craft, i), CRAFT_SEGMENT_BYTES, &err) ||
	    !walscan_end(scan, &full, &err))
		fail_msg("%s", err.text);
}

/* The piece as bytes; part[i] NULL: segment i is read. From segment `from` on it counts. */
static void index_bytes(struct craft *craft, struct walpart **part, size_t from, struct buf *out)
{
	struct walscan *scan = walscan_new(CRAFT_SYSTEM, CRAFT_SEGMENT_BYTES);
	struct walindex_builder *builder =
	        walindex_builder_new(craft->tli, craft->segno + from, CRAFT_SEGMENT_BYTES, NULL);
	struct walindex_piece piece;
	struct err err = {0};
	bool full;

	for (size_t i = 0; i < craft->segments; i++) {
		walscan_into(scan, i < from ? NULL : builder);
		if (!part || !part[i])
			take_whole(scan, craft, i);
		else if (!walscan_part(scan, part[i], &full, &err))
			fail_msg("segment %zu: %s", i, err.text);
	}
	walindex_builder_take(builder, false, &piece);
	buf_init(out, WALINDEX_BYTES_MAX);
	assert_true(walindex_encode(&piece, out));
	assert_true(piece.events > 0 && piece.relations > 0);
	walindex_release(&piece);
	walindex_builder_free(builder);
	walscan_free(scan);
}

static void parts_say_the_same_as_the_segments(void **state)
{
	static const size_t pieces[] = {CRAFT_SEGMENT_BYTES, 128 << 10, 32 << 10, 10000};

	(void)state;
	for (uint32_t round = 0; round < 12; round++) {
		AUTO_BUF struct buf read = {0}, told = {0};
		struct walpart *part[SEGMENTS] = {0};
		struct craft craft;
		size_t made = 0;

		seed = round;
		craft_any(&craft);
		for (size_t i = SEGMENTS; i-- > 0;) /* some come later, some never */
			if (round < 6 || any(3) > 0) {
				part[i] = part_of(&craft, i, pieces[round % 4]);
				made += part[i] != NULL;
			}
		assert_true(made > SEGMENTS / 4);
		index_bytes(&craft, NULL, round % 3, &read);
		index_bytes(&craft, part, round % 3, &told);
		assert_int_equal(read.length, told.length);
		assert_memory_equal(read.data, told.data, read.length);
		for (size_t i = 0; i < SEGMENTS; i++)
			walpart_free(part[i]);
		craft_release(&craft);
	}
}

static void a_part_is_small(void **state)
{
	struct craft craft;
	struct walpart *part;

	(void)state;
	seed = 1;
	craft_any(&craft);
	part = part_of(&craft, 1, 128 << 10);
	assert_non_null(part);
	assert_in_range(walpart_bytes(part), 1, CRAFT_SEGMENT_BYTES / 4);
	walpart_free(part);
	craft_release(&craft);
}

/* A segment of another history with the same name: its first record says what was before it. */
static void a_part_of_another_history_is_refused(void **state)
{
	struct craft craft, other;
	struct walscan *scan = walscan_new(CRAFT_SYSTEM, CRAFT_SEGMENT_BYTES);
	struct walpart *part;
	struct err err = {0};
	bool full;

	(void)state;
	seed = 5;
	craft_any(&craft);
	seed = 6;
	craft_any(&other);
	take_whole(scan, &craft, 0);
	part = part_of(&other, 1, 128 << 10);
	assert_non_null(part);
	assert_false(walscan_part(scan, part, &full, &err));
	assert_int_equal(err.code, ERR_DAMAGED);
	walpart_free(part);
	walscan_free(scan);
	craft_release(&craft);
	craft_release(&other);
}

static void what_is_longer_than_a_part_may_be_leaves_none(void **state)
{
	struct craft craft;
	struct walpart *part;

	(void)state;
	craft_init(&craft, FIRST, 3);
	craft_filler(&craft, 1000);
	craft_filler(&craft, CRAFT_SEGMENT_BYTES - 2000 - 600000);
	craft_filler(&craft, 1200000); /* from the middle of one segment into that of the next */
	craft_fill(&craft, 1);
	assert_null(part_of(&craft, 0, 128 << 10));
	assert_null(part_of(&craft, 1, 128 << 10));
	craft_filler(&craft, 1000);
	craft_switch(&craft);
	part = part_of(&craft, 2, 128 << 10);
	assert_non_null(part);
	walpart_free(part);
	craft_release(&craft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(parts_say_the_same_as_the_segments),
	        cmocka_unit_test(a_part_is_small),
	        cmocka_unit_test(a_part_of_another_history_is_refused),
	        cmocka_unit_test(what_is_longer_than_a_part_may_be_leaves_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
