/*
 * waldecode_test.c — block references and events, of crafted records; those of real servers are in
 * tests/pg/test_walwalk.py.
 */
#include "pg/waldecode.h"
#include "walcraft.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEGNO = 7, SEEN_MAX = 64, RECORD_BYTES = 65536 };

/* What the decoder told, kept. */
struct seen {
	unsigned records;
	bool unclear;
	struct wal_decoded record[SEEN_MAX];
	struct walevent event[SEEN_MAX];
	uint8_t last_main[32];
	uint32_t last_file, last_subxid;
};

static void note(void *context, const struct wal_decoded *record)
{
	struct seen *seen = context;
	struct walevent event;

	assert_true(seen->records < SEEN_MAX);
	seen->unclear |= !walevent_of(record, &event);
	seen->record[seen->records] = *record;
	seen->event[seen->records++] = event;
	if (record->main_bytes && !record->cut)
		memcpy(seen->last_main, record->main, MIN(record->main_bytes, (uint32_t)32));
	if (event.files.count)
		seen->last_file = walevent_relation(&event.files, event.files.count - 1).file;
	if (event.subxids.count)
		seen->last_subxid = walevent_u32(&event.subxids, event.subxids.count - 1);
}

/* Walks all segments of a craft in pieces; whether they are valid. */
static bool walk(struct craft *craft, size_t piece, struct seen *seen, struct err *err)
{
	struct waldecode decode;
	struct walwalk_options options = {.segment_bytes = CRAFT_SEGMENT_BYTES};
	struct walwalk w;
	bool good = true;

	*seen = (struct seen){0};
	waldecode_init(&decode, note, seen);
	options.sink = &decode.sink;
	walwalk_init(&w, &options);
	for (size_t i = 0; i < craft->segments && good; i++) {
		good = walwalk_begin(&w, craft->tli, craft->segno + i, err);
		for (size_t at = 0; good && at < CRAFT_SEGMENT_BYTES; at += piece)
			good = walwalk_feed(&w, craft_segment(craft, i) + at,
			                    MIN(piece, CRAFT_SEGMENT_BYTES - at), err);
		good = good && walwalk_end(&w, err);
	}
	waldecode_release(&decode);
	return good;
}

/* A record being made: items, then payload. */
struct draft {
	uint8_t bytes[RECORD_BYTES];
	size_t length;
};

static void draft_begin(struct draft *draft, uint8_t manager, uint8_t info)
{
	memset(draft, 0, sizeof(*draft));
	draft->bytes[16] = info;
	draft->bytes[17] = manager;
	put_u32(draft->bytes + 4, 4711);
	draft->length = 24;
}

static void draft_u8(struct draft *draft, unsigned value)
{
	draft->bytes[draft->length++] = (uint8_t)value;
}

static void draft_u16(struct draft *draft, unsigned value)
{
	put_u16(draft->bytes + draft->length, (uint16_t)value);
	draft->length += 2;
}

static void draft_u32(struct draft *draft, uint32_t value)
{
	put_u32(draft->bytes + draft->length, value);
	draft->length += 4;
}

static void draft_relation(struct draft *draft, uint32_t file)
{
	draft_u32(draft, 1663);
	draft_u32(draft, 5);
	draft_u32(draft, file);
}

/* A reference with an image (compressed, with a hole: the longest header) and data; then one to the
 * same relation's visibility map. */
static void draft_two_blocks(struct draft *draft)
{
	draft_u8(draft, 0);
	draft_u8(draft, 0x10 | 0x20);
	draft_u16(draft, 11);
	draft_u16(draft, 3000);
	draft_u16(draft, 40);
	draft_u8(draft, 0x01 | 0x04);
	draft_u16(draft, 500);
	draft_relation(draft, 16384);
	draft_u32(draft, 77);
	draft_u8(draft, 2);
	draft_u8(draft, 0x80 | 0x40 | 2);
	draft_u16(draft, 0);
	draft_u32(draft, 3);
}

static void heap_insert(struct craft *craft)
{
	struct draft draft;

	draft_begin(&draft, WAL_HEAP, 0x00);
	draft_two_blocks(&draft);
	draft_u8(&draft, 253);
	draft_u16(&draft, 9);
	draft_u8(&draft, 252);
	draft_u32(&draft, 4000);
	draft_u8(&draft, 255);
	draft_u8(&draft, 3);
	draft.length += 3000 + 11;
	draft_u16(&draft, 8);
	draft_u8(&draft, 0);
	craft_raw(craft, draft.bytes, draft.length);
}

static void assert_insert(const struct seen *seen, unsigned i)
{
	const struct wal_decoded *record = &seen->record[i];

	assert_int_equal(record->blocks, 2);
	assert_int_equal(record->images, 1);
	assert_int_equal(record->xid, 4711);
	assert_int_equal(record->top_xid, 4000);
	assert_int_equal(record->block[0].relation.file, 16384);
	assert_int_equal(record->block[0].relation.database, 5);
	assert_int_equal(record->block[0].relation.tablespace, 1663);
	assert_int_equal(record->block[0].number, 77);
	assert_int_equal(record->block[0].image_bytes, 3000);
	assert_int_equal(record->block[0].data_bytes, 11);
	assert_int_equal(record->block[1].id, 2);
	assert_int_equal(record->block[1].fork, WAL_FORK_VM);
	assert_int_equal(record->block[1].relation.file, 16384);
	assert_int_equal(record->block[1].number, 3);
	assert_true(record->block[1].init && !record->block[1].image);
	assert_int_equal(seen->event[i].kind, WALEVENT_ROWS);
	assert_int_equal(seen->event[i].inserted, 1);
	assert_int_equal(seen->event[i].relation.file, 16384);
}

static void a_record_is_the_same_in_pieces_of_any_size(void **state)
{
	static const size_t pieces[] = {CRAFT_SEGMENT_BYTES, 8192, 4096, 1000, 24, 7, 1};
	struct seen *seen = xcalloc(1, sizeof(*seen));
	struct craft craft;
	struct err err = {0};

	(void)state;
	craft_init(&craft, SEGNO, 1);
	craft_page(&craft, 0, 0);
	for (int i = 0; i < 6; i++) { /* over page ends, at several places of the record */
		heap_insert(&craft);
		craft_record(&craft, WAL_CLOG, 0, NULL, 0);
	}
	craft_record(&craft, WAL_XLOG, 0x40, NULL, 0);
	for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++) {
		assert_true(walk(&craft, pieces[i], seen, &err));
		assert_int_equal(seen->records, 13);
		for (unsigned n = 0; n < 12; n += 2)
			assert_insert(seen, n);
		assert_int_equal(seen->event[12].kind, WALEVENT_SWITCH);
		assert_false(seen->unclear);
	}
	craft_release(&craft);
	free(seen);
}

/* Of a commit: files dropped, subtransactions, statistics, invalidations, prepared. */
static size_t commit_main(uint8_t *main, uint32_t subxids, uint32_t files)
{
	uint8_t *p = main;

	put_u64(p, 1000000);
	put_u32(p + 8, 0x001 | 0x002 | 0x004 | 0x100 | 0x008 | 0x010);
	put_u32(p + 12, 5);
	put_u32(p + 16, 1663);
	put_u32(p + 20, subxids);
	for (p += 24; subxids; subxids--, p += 4)
		put_u32(p, 9000 + subxids);
	put_u32(p, files);
	for (p += 4; files; files--, p += 12) {
		put_u32(p, 1663);
		put_u32(p + 4, 5);
		put_u32(p + 8, 20000 + files);
	}
	put_u32(p, 1); /* statistics */
	p += 4 + 12;
	put_u32(p, 2); /* invalidations */
	p += 4 + 2 * 16;
	put_u32(p, 8888);
	return (size_t)(p + 4 - main);
}

static void a_commit_of_any_length_names_what_it_drops(void **state)
{
	static const uint32_t files[] = {1, 60, 5000};
	struct seen *seen = xcalloc(1, sizeof(*seen));
	uint8_t *main = xcalloc(1, 256 * 1024);
	size_t length;
	struct craft craft;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
		craft_init(&craft, SEGNO, 1);
		craft_page(&craft, 0, 0);
		length = commit_main(main, 3, files[i]);
		craft_record(&craft, WAL_XACT, 0x30 | 0x80, main, length);
		craft_record(&craft, WAL_XLOG, 0x40, NULL, 0);
		assert_true(walk(&craft, 4096, seen, &err));
		assert_int_equal(seen->event[0].kind, WALEVENT_COMMIT);
		assert_int_equal(seen->event[0].xid, 8888);
		assert_int_equal(seen->event[0].database, 5);
		assert_int_equal(seen->event[0].files.count, files[i]);
		assert_int_equal(seen->last_file, 20001);
		assert_int_equal(seen->last_subxid, 9001);
		assert_int_equal(seen->event[0].time_us, PG_EPOCH_OFFSET_S * US_PER_S + 1000000);
		assert_false(seen->unclear);
		craft_release(&craft);
	}
	free(main);
	free(seen);
}

/* The GID and the origin come last; after them nothing may come. */
static void a_commit_ends_where_its_lists_say(void **state)
{
	uint8_t main[64] = {0};
	struct seen *seen = xcalloc(1, sizeof(*seen));
	struct err err = {0};

	(void)state;
	put_u64(main, 1000000);
	put_u32(main + 8, 0x010 | 0x080 | 0x020);
	put_u32(main + 12, 4711);
	memcpy(main + 16, "gid", 4);
	put_u64(main + 20, 0x123456789);
	put_u64(main + 28, 2000000);
	for (size_t length = 16; length <= 44; length++) {
		struct craft craft;

		craft_init(&craft, SEGNO, 1);
		craft_page(&craft, 0, 0);
		craft_record(&craft, WAL_XACT, 0x30 | 0x80, main, length);
		craft_record(&craft, WAL_XLOG, 0x40, NULL, 0);
		assert_true(walk(&craft, 8192, seen, &err));
		assert_int_equal(seen->unclear, length != 36);
		craft_release(&craft);
		if (length != 36)
			continue;
		assert_int_equal(seen->event[0].xid, 4711);
		assert_true(seen->event[0].origin_lsn == 0x123456789);
		assert_int_equal(seen->event[0].origin_us, PG_EPOCH_OFFSET_S * US_PER_S + 2000000);
	}
	free(seen);
}

/* The image of a page must fill it, with its hole. */
struct image_case {
	uint16_t magic, bytes, offset, hole;
	uint8_t info;
	bool good;
	enum wal_image compression;
};

static bool image_walk(const struct image_case *image, struct seen *seen, struct err *err)
{
	uint8_t record[24 + 4 + 7 + 16 + 8192] = {0};
	uint8_t *p = record + 24;
	struct craft craft;
	bool good;

	record[17] = WAL_XLOG;
	record[16] = 0xB0;
	p[1] = 0x10;
	put_u16(p + 4, image->bytes);
	put_u16(p + 6, image->offset);
	p[8] = image->info;
	put_u16(p + 9, image->hole);
	p += image->info & 1 && image->compression != WAL_IMAGE_PLAIN ? 11 : 9;
	put_u32(p + 12, 77);
	craft_init(&craft, SEGNO, 1);
	craft.magic = image->magic;
	craft_page(&craft, 0, 0);
	craft_raw(&craft, record, (size_t)(p + 16 - record) + image->bytes);
	craft_record(&craft, WAL_XLOG, 0x40, NULL, 0);
	good = walk(&craft, 8192, seen, err);
	craft_release(&craft);
	return good;
}

static void a_page_image_has_the_length_of_its_page(void **state)
{
	static const struct image_case images[] = {
	        {0xD110, 8192, 0, 0, 0x02, true, WAL_IMAGE_PLAIN},
	        {0xD110, 8191, 0, 0, 0x02, false, WAL_IMAGE_PLAIN},
	        {0xD110, 8000, 100, 0, 0x03, true, WAL_IMAGE_PLAIN},
	        {0xD110, 8000, 8100, 0, 0x03, false, WAL_IMAGE_PLAIN},
	        {0xD110, 8000, 0, 0, 0x03, false, WAL_IMAGE_PLAIN},
	        {0xD110, 300, 0, 0, 0x06, true, WAL_IMAGE_PGLZ},
	        {0xD110, 300, 100, 0, 0x06, false, WAL_IMAGE_PGLZ},
	        {0xD110, 300, 100, 7000, 0x0B, true, WAL_IMAGE_LZ4},
	        {0xD110, 300, 100, 0, 0x0B, false, WAL_IMAGE_LZ4},
	        {0xD110, 300, 2000, 7000, 0x13, false, WAL_IMAGE_ZSTD},
	        {0xD110, 8192, 0, 0, 0x12, false, WAL_IMAGE_ZSTD},
	        {0xD10D, 300, 0, 0, 0x06, true, WAL_IMAGE_PGLZ},
	        {0xD10D, 8192, 0, 0, 0x04, true, WAL_IMAGE_PLAIN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(images); i++) {
		struct seen *seen = xcalloc(1, sizeof(*seen));
		const struct wal_block *block = &seen->record[0].block[0];
		struct err err = {0};

		assert_int_equal(image_walk(&images[i], seen, &err), images[i].good);
		assert_int_equal(err.code, images[i].good ? ERR_NONE : ERR_DAMAGED);
		if (images[i].good) {
			assert_true(block->image_applies);
			assert_int_equal(block->number, 77);
			assert_int_equal(block->compression, images[i].compression);
			if (images[i].info & 1)
				assert_int_equal(block->hole_bytes,
				                 images[i].hole ? images[i].hole
				                                : 8192 - images[i].bytes);
		}
		free(seen);
	}
}

static void a_commit_that_is_too_long_to_keep_is_cut_and_unclear(void **state)
{
	uint32_t files = WALDECODE_MAIN_MAX / 12 + 1;
	size_t length;
	struct seen *seen = xcalloc(1, sizeof(*seen));
	uint8_t *main = xcalloc(1, 2 * (size_t)WALDECODE_MAIN_MAX);
	struct craft craft;
	struct err err = {0};

	(void)state;
	craft_init(&craft, SEGNO, 6);
	craft_page(&craft, 0, 0);
	length = commit_main(main, 3, files);
	craft_record(&craft, WAL_XACT, 0x30 | 0x80, main, length);
	craft_record(&craft, WAL_XLOG, 0x40, NULL, 0);
	craft.segments = craft.at / CRAFT_SEGMENT_BYTES - SEGNO + 1;
	assert_true(walk(&craft, 65536, seen, &err));
	assert_true(seen->record[0].cut);
	assert_true(seen->unclear);
	craft_release(&craft);
	free(main);
	free(seen);
}

static void what_contradicts_itself_is_damaged(void **state)
{
	static const struct {
		uint8_t body[32];
		size_t length;
		const char *reason;
	} bad[] = {
	        {{0, 0x80, 0, 0, 1, 0, 0, 0}, 8, "names no relation"},
	        {{0, 0x20, 0, 0}, 4, "wrong length of data"},
	        {{0, 0x00, 5, 0}, 4, "wrong length of data"},
	        {{0, 0x07, 0, 0}, 4, "unknown fork"},
	        {{33}, 1, "unknown kind"},
	        {{255, 9, 1, 2}, 4, "do not have the record's length"},
	        {{254, 1}, 2, "cut off"},
	        {{0, 0x10, 0, 0, 0, 0, 0, 0, 0}, 9, "no bytes"},
	        {{0, 0x10, 0, 0, 9, 0, 4, 0, 0}, 9, "offset of a hole"},
	        {{0, 0x10, 0, 0, 9, 0, 4, 0, 5, 0, 0}, 11, "hole of no bytes"},
	        {{0, 0, 0, 0, 1, 0, 0, 0,    2, 0, 0, 0, 3, 0,
	          0, 0, 4, 0, 0, 0, 0, 0x80, 0, 0, 1, 0, 0, 0},
	         28,
	         "not in order"},
	};
	struct seen *seen = xcalloc(1, sizeof(*seen));
	struct craft craft;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		for (size_t piece = 1; piece <= 8192; piece *= 8192 / 2) {
			struct draft draft;
			struct err err = {0};

			craft_init(&craft, SEGNO, 1);
			craft_page(&craft, 0, 0);
			draft_begin(&draft, WAL_HEAP, 0);
			memcpy(draft.bytes + 24, bad[i].body, bad[i].length);
			craft_raw(&craft, draft.bytes, 24 + bad[i].length);
			assert_false(walk(&craft, piece, seen, &err));
			assert_int_equal(err.code, ERR_DAMAGED);
			assert_non_null(strstr(err.text, bad[i].reason));
			craft_release(&craft);
		}
	free(seen);
}

/* info, main data, what it is; PostgreSQL 15. */
static void events_are_told_apart(void **state)
{
	static const struct {
		uint8_t manager, info, main[40];
		size_t length;
		enum walevent_kind kind;
	} told[] = {
	        {WAL_STORAGE, 0x10, {1, 0, 0, 0, 2, 0, 0, 0, 3}, 16, WALEVENT_FILE_CREATE},
	        {WAL_STORAGE, 0x21, {9, 0, 0, 0, 1, 0, 0, 0, 2}, 20, WALEVENT_FILE_TRUNCATE},
	        {WAL_DATABASE, 0x00, {7}, 16, WALEVENT_DATABASE_CREATE},
	        {WAL_DATABASE, 0x10, {7}, 8, WALEVENT_DATABASE_CREATE},
	        {WAL_DATABASE, 0x20, {7, 0, 0, 0, 1, 0, 0, 0, 4}, 12, WALEVENT_DATABASE_DROP},
	        {WAL_TABLESPACE, 0x00, {7, 0, 0, 0, '/', 'x', 0}, 7, WALEVENT_TABLESPACE_CREATE},
	        {WAL_TABLESPACE, 0x10, {7}, 4, WALEVENT_TABLESPACE_DROP},
	        {WAL_RELMAP, 0x00, {7}, 12, WALEVENT_RELMAP},
	        {WAL_STANDBY, 0x00, {1, 0, 0, 0, 2}, 16, WALEVENT_LOCKS},
	        {WAL_HEAP, 0x30, {7, 0, 0, 0, 1}, 16, WALEVENT_TRUNCATE},
	        {WAL_XACT, 0x10, {0}, 72, WALEVENT_PREPARE},
	        {WAL_XLOG, 0x80, {1}, 1, WALEVENT_FULL_PAGE_WRITES},
	        {WAL_XLOG, 0x60, {0}, 28, WALEVENT_PARAMETERS},
	        {WAL_XLOG, 0x50, {0}, 8, WALEVENT_BACKUP_END},
	        {WAL_XLOG, 0x30, {7}, 4, WALEVENT_NEXT_OID},
	        {WAL_XACT, 0x50, {7, 0, 0, 0, 1, 0, 0, 0, 9}, 12, WALEVENT_ASSIGNMENT},
	        {128, 0x01, {0}, 4, WALEVENT_UNKNOWN_CHANGE},
	        {128, 0x00, {0}, 4, WALEVENT_NONE},
	};
	struct seen *seen = xcalloc(1, sizeof(*seen));
	struct craft craft;
	struct err err = {0};

	(void)state;
	craft_init(&craft, SEGNO, 1);
	craft_page(&craft, 0, 0);
	for (size_t i = 0; i < ARRAY_LENGTH(told); i++) {
		uint8_t main[128] = {0};

		memcpy(main, told[i].main, sizeof(told[i].main));
		craft_record(&craft, told[i].manager, told[i].info, main, told[i].length);
	}
	craft_record(&craft, WAL_XLOG, 0x40, NULL, 0);
	assert_true(walk(&craft, 8192, seen, &err));
	for (size_t i = 0; i < ARRAY_LENGTH(told); i++)
		assert_int_equal(seen->event[i].kind, told[i].kind);
	assert_false(seen->unclear);
	assert_int_equal(seen->event[0].relation.file, 3);
	assert_int_equal(seen->event[1].length_blocks, 9);
	assert_true(seen->event[2].file_copy && !seen->event[3].file_copy);
	assert_int_equal(seen->event[12].wal_level, WAL_LEVEL_MINIMAL);
	assert_int_equal(seen->event[14].number, 7);
	assert_int_equal(seen->event[15].xid, 7);
	assert_int_equal(seen->last_subxid, 9);
	craft_release(&craft);
	free(seen);
}

static void main_data_that_is_too_short_is_unclear(void **state)
{
	static const struct {
		uint8_t manager, info, main[12];
		size_t length;
	} bad[] = {
	        {WAL_STORAGE, 0x10, {1}, 15},
	        {WAL_STORAGE, 0x10, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 12},
	        {WAL_XACT, 0x00, {1}, 7},
	        {WAL_XACT, 0x80, {0, 0, 0, 0, 0, 0, 0, 0, 2}, 12},
	        {WAL_DATABASE, 0x20, {7, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF}, 12},
	        {WAL_TABLESPACE, 0x00, {7, 0, 0, 0, '/', 'x'}, 6},
	        {WAL_STANDBY, 0x00, {9}, 12},
	        {WAL_HEAP, 0x10, {9}, 8},
	};
	struct seen *seen = xcalloc(1, sizeof(*seen));

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct wal_decoded record = {.manager = bad[i].manager,
		                             .info = bad[i].info,
		                             .major = 15,
		                             .main = bad[i].main,
		                             .main_bytes = (uint32_t)bad[i].length};
		struct walevent event;
		uint8_t *main = xcalloc(1, bad[i].length); /* the sanitizer watches its end */

		memcpy(main, bad[i].main, MIN(bad[i].length, sizeof(bad[i].main)));
		record.main = main;
		assert_false(walevent_of(&record, &event));
		free(main);
	}
	free(seen);
}

static void a_drop_of_a_database_has_another_number_up_to_14(void **state)
{
	uint8_t main[12] = {7, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0};
	struct wal_decoded record = {
	        .manager = WAL_DATABASE, .info = 0x10, .major = 14, .main = main, .main_bytes = 12};
	struct walevent event;

	(void)state;
	assert_true(walevent_of(&record, &event));
	assert_int_equal(event.kind, WALEVENT_DATABASE_DROP);
	assert_int_equal(event.tablespaces.count, 1);
	assert_int_equal(walevent_u32(&event.tablespaces, 0), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_record_is_the_same_in_pieces_of_any_size),
	        cmocka_unit_test(a_commit_of_any_length_names_what_it_drops),
	        cmocka_unit_test(a_commit_ends_where_its_lists_say),
	        cmocka_unit_test(a_page_image_has_the_length_of_its_page),
	        cmocka_unit_test(a_commit_that_is_too_long_to_keep_is_cut_and_unclear),
	        cmocka_unit_test(what_contradicts_itself_is_damaged),
	        cmocka_unit_test(events_are_told_apart),
	        cmocka_unit_test(main_data_that_is_too_short_is_unclear),
	        cmocka_unit_test(a_drop_of_a_database_has_another_number_up_to_14),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
