/* walwalk_test.c — the record walker on crafted WAL, with everything broken once. */
#include "pg/walwalk.h"
#include "walcraft.h"
#include "real_wal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { NOTED_MAX = 64 };

struct noted {
	struct walrecord record[NOTED_MAX];
	char text[NOTED_MAX][WALWALK_PATH_BYTES];
	struct pg_parameters parameters;
	size_t count;
};

static struct noted noted;

static void note(void *context, const struct walrecord *record)
{
	struct noted *into = context;

	assert_true(into->count < NOTED_MAX);
	into->record[into->count] = *record;
	snprintf(into->text[into->count], sizeof(into->text[0]), "%s", record->text);
	if (record->parameters)
		into->parameters = *record->parameters;
	into->count++;
}

static struct walwalk walk_new(bool tail)
{
	struct walwalk_options options = {
	        .segment_bytes = CRAFT_SEGMENT_BYTES,
	        .tail = tail,
	        .each = note,
	        .context = &noted,
	};
	struct walwalk walk;

	memset(&noted, 0, sizeof(noted));
	walwalk_init(&walk, &options);
	return walk;
}

static bool walk_all(struct walwalk *walk, struct craft *craft, struct err *err)
{
	for (size_t i = 0; i < craft->segments; i++)
		if (!walwalk_segment(walk, craft->tli, craft->segno + i, craft_segment(craft, i),
		                     err))
			return false;
	return true;
}

static void assert_valid(struct walwalk *walk, struct craft *craft)
{
	struct err err = {0};

	if (!walk_all(walk, craft, &err))
		fail_msg("%s", err.text);
}

/* Walks one segment alone; it must fail, and say this. */
static void assert_damaged(struct craft *craft, const char *expected)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};

	assert_false(walk_all(&walk, craft, &err));
	assert_int_equal(err.code, ERR_DAMAGED);
	if (!strstr(err.text, expected))
		fail_msg("\"%s\" does not say \"%s\"", err.text, expected);
}

static void a_switched_segment_is_walked_to_its_end(void **state)
{
	struct walwalk walk = walk_new(false);
	struct craft craft;
	lsn commit, at_switch;

	(void)state;
	craft_init(&craft, 7, 1);
	craft_filler(&craft, 100);
	craft_filler(&craft, 20000);
	commit = craft_commit(&craft, 1700000000123456);
	at_switch = craft_switch(&craft);
	assert_valid(&walk, &craft);
	assert_int_equal(walk.seen.records, 4);
	assert_int_equal(walk.seen.major, 15);
	assert_int_equal(walk.seen.system_identifier, CRAFT_SYSTEM);
	assert_int_equal(walk.seen.first_start, craft.start + 40);
	assert_int_equal(walk.seen.last_start, at_switch);
	assert_int_equal(walk.seen.last_end, craft.start + CRAFT_SEGMENT_BYTES);
	assert_true(walk.seen.switched);
	assert_false(walk.seen.open);
	assert_int_equal(walk.seen.commits, 1);
	assert_int_equal(walk.seen.last_commit_start, commit);
	assert_int_equal(walk.seen.last_commit_us, 1700000000123456);
	assert_int_equal(noted.count, 2);
	assert_int_equal(noted.record[0].xid, 777);
	craft_release(&craft);
}

static void records_that_cross_segments_are_proven_when_both_are_walked(void **state)
{
	struct walwalk walk = walk_new(false);
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 3);
	craft_fill(&craft, 0);
	craft_fill(&craft, 1);
	craft_switch(&craft);
	assert_valid(&walk, &craft);
	assert_int_equal(walk.seen.skipped_bytes, 0);
	assert_true(walk.seen.switched);
	/* A byte of the record that runs over the boundary: just behind the second segment's
	 * header. */
	craft_segment(&craft, 1)[41] ^= 1;
	assert_damaged(&craft, "wrong checksum");
	craft_release(&craft);
}

static void a_segment_alone_skips_the_tail_from_before(void **state)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 3);
	craft_fill(&craft, 0);
	craft_fill(&craft, 1);
	craft_switch(&craft);
	assert_true(walwalk_segment(&walk, 1, 8, craft_segment(&craft, 1), &err));
	assert_true(walk.seen.skipped_bytes > 0);
	assert_true(walk.seen.first_start > craft.start + CRAFT_SEGMENT_BYTES + 40);
	assert_true(walk.seen.open);
	assert_true(walk.seen.open_start >= walk.seen.last_end);
	assert_true(walk.seen.open_left_bytes > 0);
	craft_release(&craft);
}

static void a_record_longer_than_a_segment_is_walked(void **state)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 4);
	craft_filler(&craft, 100);
	craft_filler(&craft, 2500000);
	craft_filler(&craft, 100);
	craft_switch(&craft);
	craft.segments = 3;
	assert_valid(&walk, &craft);
	assert_int_equal(walk.seen.records, 4);
	walk = walk_new(false);
	assert_true(walwalk_segment(&walk, 1, 8, craft_segment(&craft, 1), &err));
	assert_int_equal(walk.seen.records, 0);
	assert_true(walk.seen.open);
	assert_int_equal(walk.seen.open_start, 0);
	assert_int_equal(walk.seen.first_start, 0);
	craft_release(&craft);
}

static void pieces_of_any_size_give_the_same(void **state)
{
	static const size_t piece[] = {1, 3, 7, 8, 24, 40, 100, 8191, 8192, 8193, 131072};
	struct walwalk whole = walk_new(false);
	struct err err = {0};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	for (size_t n = 0; craft.at < craft.start + 600000; n++)
		n % 50 ? craft_filler(&craft, n * 53 % 5000)
		       : craft_commit(&craft, 1700000000000000);
	craft_switch(&craft);
	assert_valid(&whole, &craft);
	for (size_t i = 0; i < ARRAY_LENGTH(piece); i++) {
		struct walwalk walk = walk_new(false);

		assert_true(walwalk_begin(&walk, 1, 7, &err));
		for (size_t at = 0; at < CRAFT_SEGMENT_BYTES; at += piece[i])
			assert_true(walwalk_feed(&walk, craft.bytes + at,
			                         MIN(piece[i], CRAFT_SEGMENT_BYTES - at), &err));
		assert_true(walwalk_end(&walk, &err));
		assert_memory_equal(&walk.seen, &whole.seen, sizeof(walk.seen));
	}
	craft_release(&craft);
}

/* Each flip of a bit in a header or a record must be found; what is only padding may pass. */
static void every_flipped_byte_is_found(void **state)
{
	struct craft craft;
	size_t end, missed = 0;

	(void)state;
	craft_init(&craft, 7, 1);
	for (size_t n = 0; n < 12; n++)
		craft_filler(&craft, 8 * (n * 531 % 700) + 3); /* 24 + 5 + 3: no padding after it */
	craft_commit(&craft, 1700000000000000);
	end = (size_t)(craft.at - craft.start);
	craft_switch(&craft);
	for (size_t at = 0; at < CRAFT_SEGMENT_BYTES; at += at < end + 24 ? 1 : 4099) {
		size_t page = at % CRAFT_PAGE_BYTES;
		bool padding = at < end && page >= 20 && page < 24;
		struct walwalk walk = walk_new(false);
		struct err err = {0};

		craft.bytes[at] ^= (uint8_t)(1 << at % 8);
		if (walk_all(&walk, &craft, &err) && !padding && !walk.seen.dirty_lsn)
			missed++;
		craft.bytes[at] ^= (uint8_t)(1 << at % 8);
	}
	/* 6 bytes align the commit (34 bytes); short records (253 bytes and less) have 3 more each.
	 */
	assert_in_range(missed, 0, 6 + 12 * 7);
	craft_release(&craft);
}

/* Breaks 4 bytes at a place and tells what is then said. */
struct breakage {
	size_t offset;
	uint32_t value;
	const char *said;
};

enum { BROKEN_PAGES = CRAFT_SEGMENT_BYTES / CRAFT_PAGE_BYTES };

static bool is_damaged(struct craft *craft)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};

	return !walk_all(&walk, craft, &err) && err.code == ERR_DAMAGED;
}

/* Of two segments, of which the second ends with a switch. */
static void each_zeroed_or_swapped_page_is_found(void **state)
{
	uint8_t page[CRAFT_PAGE_BYTES];
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 2);
	craft_fill(&craft, 0);
	craft_filler(&craft, 100);
	craft_switch(&craft);
	for (size_t i = 0; i < BROKEN_PAGES; i++) {
		uint8_t *here = craft.bytes + i * CRAFT_PAGE_BYTES, *next = here + CRAFT_PAGE_BYTES;

		memcpy(page, here, CRAFT_PAGE_BYTES);
		memset(here, 0, CRAFT_PAGE_BYTES);
		assert_true(is_damaged(&craft));
		memcpy(here, next, CRAFT_PAGE_BYTES);
		memcpy(next, page, CRAFT_PAGE_BYTES);
		assert_true(is_damaged(&craft));
		memcpy(next, here, CRAFT_PAGE_BYTES);
		memcpy(here, page, CRAFT_PAGE_BYTES);
	}
	assert_false(is_damaged(&craft));
	craft_release(&craft);
}

/* The WAL ends with the last record that is whole; strictly, a short file is no segment at all. */
static void a_file_cut_at_any_byte_ends_with_its_last_whole_record(void **state)
{
	lsn start[64];
	uint64_t records = 0, seen = 0;
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	for (; craft.at < craft.start + 3 * CRAFT_PAGE_BYTES; records++)
		start[records] = craft_filler(&craft, 300 + records * 97 % 900);
	for (size_t cut = 0; cut <= craft.at - craft.start; cut++)
		for (int tail = 0; tail < 2; tail++) {
			struct walwalk walk = walk_new(tail);
			struct err err = {0};

			assert_true(walwalk_begin(&walk, 1, 7, &err));
			assert_true(walwalk_feed(&walk, craft.bytes, cut, &err));
			assert_int_equal(walwalk_end(&walk, &err), tail);
			assert_true(walk.seen.last_end < craft.start + cut + 8);
			assert_true(walk.seen.records - seen <= 1);
			seen = walk.seen.records;
			assert_true(walk.seen.last_start == (seen ? start[seen - 1] : 0));
		}
	assert_int_equal(seen, records);
	craft_release(&craft);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct breakage breakage[] = {
	        {0, 0x00071234, "page magic is 0x1234"},
	        {2, 0x00010012, "page flags are 0x0012"},
	        {4, 2, "page is of timeline 2, its file of 1"},
	        {4, 0, "page is of timeline 0"},
	        {8, 0x00800000, "page address is 0/800000"},
	        {32, 16 << 20, "segments of 16777216 bytes, not 1048576"},
	        {36, 100, "pages of 100 bytes"},
	        {16, 77, "page continues nothing, by 77 bytes"},
	        {40, 0, "record length is 0"},
	        {40, 23, "record length is 23"},
	        {40, 0x7FFFFFFF, "record length is 2147483647"},
	        {48, 0x00700000, "the record before is said to be at 0/700000"},
	        {56, 0x00001600, "record is of resource manager 22"},
	        {60, 1, "wrong checksum"},
	        {8192 + 8, 0, "page address is 0/0"},
	        {8192 + 16, 5, "page continues a record by 5 bytes"},
	        {8192 + 2, 4, "page does not continue the record at 0/700028"},
	        {8192 + 2, 3, "page flags are 0x0003"},
	        {8192 + 2, 9, "page flags are 0x0009"},
	};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	craft_filler(&craft, 30000);
	craft_switch(&craft);
	for (size_t i = 0; i < ARRAY_LENGTH(breakage); i++) {
		uint8_t *at = craft.bytes + breakage[i].offset, saved[4];

		memcpy(saved, at, sizeof(saved));
		if (breakage[i].offset % 8192 == 2) /* flags are 2 bytes */
			put_u16(at, (uint16_t)breakage[i].value);
		else
			put_u32(at, breakage[i].value);
		assert_damaged(&craft, breakage[i].said);
		memcpy(at, saved, sizeof(saved));
	}
	craft_release(&craft);
}

/* Killed while it wrote the zeros, a server leaves an older segment's pages behind the switch. */
static void what_follows_a_switch_is_no_damage_but_told(void **state)
{
	struct walwalk walk = walk_new(false);
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 2);
	craft_filler(&craft, 30000);
	craft_switch(&craft);
	craft_filler(&craft, 30000);
	craft_switch(&craft);
	craft.bytes[500000] = 7;
	craft.bytes[600000] = 7;
	craft.segments = 1;
	assert_valid(&walk, &craft);
	assert_true(walk.seen.switched);
	assert_int_equal(walk.seen.dirty_lsn, craft.start + 500000);
	craft.segments = 2;
	walk = walk_new(false);
	assert_valid(&walk, &craft);
	assert_int_equal(walk.seen.dirty_lsn, 0);
	assert_int_equal(walk.seen.records, 4);
	craft_release(&craft);
}

static void another_cluster_or_version_is_refused(void **state)
{
	struct walwalk_options options = {.segment_bytes = CRAFT_SEGMENT_BYTES,
	                                  .system_identifier = 1};
	struct err err = {0};
	struct walwalk walk;
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	craft_filler(&craft, 100);
	craft_switch(&craft);
	walwalk_init(&walk, &options);
	assert_false(walk_all(&walk, &craft, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "system identifier"));
	options = (struct walwalk_options){.segment_bytes = CRAFT_SEGMENT_BYTES, .major = 16};
	walwalk_init(&walk, &options);
	err_clear(&err);
	assert_false(walk_all(&walk, &craft, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	put_u16(craft.bytes, 0xD101); /* 12 */
	options.tail = true;
	walwalk_init(&walk, &options);
	err_clear(&err);
	assert_false(walk_all(&walk, &craft, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "0xD101"));
	craft_release(&craft);
}

static void a_short_file_is_damaged_and_so_is_a_long_one(void **state)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	craft_filler(&craft, 100);
	craft_switch(&craft);
	assert_true(walwalk_begin(&walk, 1, 7, &err));
	assert_true(walwalk_feed(&walk, craft.bytes, 5000, &err));
	assert_false(walwalk_end(&walk, &err));
	assert_non_null(strstr(err.text, "the file ends after 5000 of 1048576 bytes"));
	walk = walk_new(false);
	err_clear(&err);
	assert_true(walwalk_begin(&walk, 1, 7, &err));
	assert_true(walwalk_feed(&walk, craft.bytes, CRAFT_SEGMENT_BYTES, &err));
	assert_false(walwalk_feed(&walk, "x", 1, &err));
	assert_int_equal(err.code, ERR_DAMAGED);
	craft_release(&craft);
}

static void the_tail_mode_finds_the_end_of_the_wal(void **state)
{
	struct walwalk walk = walk_new(true);
	struct craft craft, old;
	lsn end;

	(void)state;
	craft_init(&craft, 7, 1);
	craft_filler(&craft, 20000);
	craft_commit(&craft, 1700000000000000);
	end = craft.at;
	assert_valid(&walk, &craft); /* zeros follow */
	assert_true(walk.seen.ended);
	assert_int_equal(walk.seen.end_lsn, end);
	assert_string_equal(walk.seen.end_reason, "record length is 0");
	/* A recycled file: what follows is of an older segment, and looks valid. */
	craft_init(&old, 3, 2);
	craft_fill(&old, 0);
	memcpy(old.bytes, craft.bytes, (size_t)(end - craft.start));
	walk = walk_new(true);
	old.segments = 1;
	old.segno = 7;
	assert_valid(&walk, &old);
	assert_true(walk.seen.ended);
	assert_int_equal(walk.seen.end_lsn, end);
	assert_int_equal(walk.seen.records, 2);
	craft_release(&craft);
	craft_release(&old);
}

static void the_tail_mode_never_counts_an_unfinished_record(void **state)
{
	struct walwalk walk = walk_new(true);
	struct craft craft;
	lsn end;

	(void)state;
	craft_init(&craft, 7, 1);
	end = craft_filler(&craft, 3000) + 24 + 5 + 3000;
	end = (end + 7) & ~UINT64_C(7);
	craft_filler(&craft, 30000);
	memset(craft.bytes + 16384, 0, CRAFT_SEGMENT_BYTES - 16384);
	assert_valid(&walk, &craft);
	assert_true(walk.seen.ended);
	assert_int_equal(walk.seen.records, 1);
	assert_int_equal(walk.seen.end_lsn, end);
	assert_int_equal(walk.seen.last_end, end);
	craft_release(&craft);
}

/* A crash in the middle of a record: the rest of it is given up on the next page. */
static void craft_give_up(struct craft *craft, lsn abandoned, lsn last)
{
	uint8_t main[16] = {0};

	craft->at = (craft->at + CRAFT_PAGE_BYTES - 1) & ~(lsn)(CRAFT_PAGE_BYTES - 1);
	craft->previous = last;
	craft_page(craft, 8, 0);
	put_u64(main, abandoned);
	craft_record(craft, 0, 0xD0, main, sizeof(main));
}

static void a_given_up_record_is_passed_over(void **state)
{
	struct walwalk walk = walk_new(false);
	struct craft craft;
	lsn last, abandoned;

	(void)state;
	craft_init(&craft, 7, 1);
	last = craft_filler(&craft, 100);
	abandoned = craft_filler(&craft, 30000);
	craft.at = craft.start + 2 * CRAFT_PAGE_BYTES;
	memset(craft.bytes + 2 * CRAFT_PAGE_BYTES, 0, CRAFT_SEGMENT_BYTES - 2 * CRAFT_PAGE_BYTES);
	craft_give_up(&craft, abandoned, last);
	craft_switch(&craft);
	assert_valid(&walk, &craft);
	assert_int_equal(walk.seen.records, 3);
	/* It must name the record that was open. */
	memset(craft.bytes + 2 * CRAFT_PAGE_BYTES, 0, CRAFT_SEGMENT_BYTES - 2 * CRAFT_PAGE_BYTES);
	craft.at = craft.start + 2 * CRAFT_PAGE_BYTES;
	craft_give_up(&craft, abandoned + 8, last);
	craft_switch(&craft);
	assert_damaged(&craft, "gives up another record");
	craft_release(&craft);
}

static void a_record_can_be_given_up_at_a_segments_start(void **state)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};
	struct craft craft;
	lsn last = 0, abandoned = 0;

	(void)state;
	craft_init(&craft, 7, 2);
	while (craft.at < craft.start + CRAFT_SEGMENT_BYTES) {
		last = abandoned;
		abandoned = craft_filler(&craft, 20000);
	}
	craft.at = craft.start + CRAFT_SEGMENT_BYTES;
	memset(craft_segment(&craft, 1), 0, CRAFT_SEGMENT_BYTES);
	craft_give_up(&craft, abandoned, last);
	craft_switch(&craft);
	assert_valid(&walk, &craft);
	walk = walk_new(false); /* and the second segment alone */
	assert_true(walwalk_segment(&walk, 1, 8, craft_segment(&craft, 1), &err));
	assert_int_equal(walk.seen.records, 2);
	craft_release(&craft);
}

static void records_of_interest_are_told(void **state)
{
	uint8_t main[256] = {0};
	struct walwalk walk = walk_new(false);
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	put_u64(main, (uint64_t)clock_to_pg(1700000001000000));
	memcpy(main + 8, "before the drop", 16);
	craft_record(&craft, 0, 0x70, main, 72);
	memset(main, 0, sizeof(main));
	put_u32(main, 16400);
	memcpy(main + 4, "/srv/a b", 9);
	craft_record(&craft, 5, 0x00, main, 13);
	memset(main, 0, sizeof(main));
	put_u64(main, 0x700028);
	craft_record(&craft, 0, 0x50, main, 8);
	for (uint32_t i = 0; i < 6; i++)
		put_u32(main + 4 * i, 100 + i);
	main[24] = 1;
	craft_record(&craft, 0, 0x60, main, 28);
	craft_switch(&craft);
	assert_valid(&walk, &craft);
	assert_int_equal(noted.count, 5);
	assert_int_equal(noted.record[0].kind, WALRECORD_RESTORE_POINT);
	assert_string_equal(noted.text[0], "before the drop");
	assert_int_equal(noted.record[0].time_us, 1700000001000000);
	assert_int_equal(noted.record[1].kind, WALRECORD_CREATE_TABLESPACE);
	assert_int_equal(noted.record[1].tablespace, 16400);
	assert_string_equal(noted.text[1], "/srv/a b");
	assert_int_equal(noted.record[2].kind, WALRECORD_BACKUP_END);
	assert_int_equal(noted.record[2].other, 0x700028);
	assert_int_equal(noted.record[3].kind, WALRECORD_PARAMETER_CHANGE);
	assert_int_equal(noted.parameters.max_connections, 100);
	assert_int_equal(noted.parameters.wal_level, 105);
	assert_true(noted.parameters.wal_log_hints);
	assert_int_equal(noted.record[4].kind, WALRECORD_SWITCH);
	craft_release(&craft);
}

/* A prepared transaction's own xid comes behind its lists, however long these are. */
static void the_xid_of_a_prepared_transaction_is_found_behind_long_lists(void **state)
{
	enum { SUBXACTS = 70000, FILES = 3 };
	static uint8_t main[8 + 4 + 8 + 4 + 4 * SUBXACTS + 4 + 12 * FILES + 4];
	struct walwalk walk = walk_new(false);
	uint8_t *p = main;
	struct craft craft;

	(void)state;
	put_u64(p, (uint64_t)clock_to_pg(1700000002000000));
	put_u32(p + 8, 0x001 | 0x002 | 0x004 | 0x010);
	p += 12 + 8;
	put_u32(p, SUBXACTS);
	memset(p + 4, 0xEE, 4 * SUBXACTS);
	p += 4 + 4 * SUBXACTS;
	put_u32(p, FILES);
	p += 4 + 12 * FILES;
	put_u32(p, 4711);
	craft_init(&craft, 7, 1);
	craft_record(&craft, 1, 0x30 | 0x80, main, sizeof(main));
	craft_record(&craft, 1, 0x40 | 0x80, main, sizeof(main));
	craft_switch(&craft);
	assert_valid(&walk, &craft);
	assert_int_equal(noted.record[0].kind, WALRECORD_COMMIT);
	assert_int_equal(noted.record[0].xid, 4711);
	assert_true(noted.record[0].prepared);
	assert_int_equal(noted.record[1].kind, WALRECORD_ABORT);
	assert_int_equal(noted.record[1].xid, 4711);
	assert_int_equal(walk.seen.commits, 1);
	assert_int_equal(walk.seen.aborts, 1);
	craft_release(&craft);
}

static void a_timeline_begins_in_the_middle_of_a_page(void **state)
{
	uint8_t main[16] = {0};
	struct walwalk walk = walk_new(false);
	struct err err = {0};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	craft_filler(&craft, 100);
	put_u64(main, (uint64_t)clock_to_pg(1700000002000000));
	put_u32(main + 8, 2);
	put_u32(main + 12, 1);
	craft_record(&craft, 0, 0x90, main, sizeof(main));
	craft_switch(&craft);
	assert_true(walwalk_segment(&walk, 2, 7, craft.bytes, &err));
	assert_int_equal(noted.record[0].kind, WALRECORD_END_OF_RECOVERY);
	assert_int_equal(noted.record[0].tli, 2);
	assert_int_equal(noted.record[0].new_tli, 2);
	assert_int_equal(noted.record[0].previous_tli, 1);
	assert_int_equal(walk.seen.tli, 1);
	assert_int_equal(walk.seen.last_tli, 2);
	craft_release(&craft);
}

static void timelines_of_pages_never_go_down(void **state)
{
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 1);
	craft.tli = 3;
	craft_filler(&craft, 30000);
	craft_switch(&craft);
	put_u32(craft.bytes + 8192 + 4, 2);
	assert_damaged(&craft, "page is of timeline 2 after one of 3");
	craft_release(&craft);
}

static void a_segment_after_a_hole_starts_anew(void **state)
{
	struct walwalk walk = walk_new(false);
	struct err err = {0};
	struct craft craft;

	(void)state;
	craft_init(&craft, 7, 4);
	for (size_t i = 0; i < 3; i++)
		craft_fill(&craft, i);
	assert_true(walwalk_segment(&walk, 1, 7, craft_segment(&craft, 0), &err));
	assert_true(walk.seen.open);
	assert_true(walwalk_segment(&walk, 1, 9, craft_segment(&craft, 2), &err));
	assert_true(walk.seen.skipped_bytes > 0);
	craft_release(&craft);
}

/* Every byte of it counts, but for padding. */
static void assert_flips_are_found(const struct real_wal *real, uint8_t *bytes, uint64_t system)
{
	for (size_t at = 0; at < real->length; at++) {
		struct walwalk walk = walk_new(false);
		struct err err = {0};

		walk.options.system_identifier = system;
		bytes[at] ^= 0x40;
		if (walwalk_segment(&walk, real->tli, real->segno, bytes, &err) &&
		    real->bytes[at] && !walk.seen.dirty_lsn)
			fail_msg("%u: a flip at %zu is not found", real->major, at);
		bytes[at] ^= 0x40;
	}
}

static void real_segments_of_all_versions_are_walked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(real_wal); i++) {
		const struct real_wal *real = &real_wal[i];
		struct walwalk walk = walk_new(false);
		struct err err = {0};
		AUTO_FREE
		uint8_t *bytes = xcalloc(1, CRAFT_SEGMENT_BYTES);

		memcpy(bytes, real->bytes, real->length);
		if (!walwalk_segment(&walk, real->tli, real->segno, bytes, &err))
			fail_msg("%u: %s", real->major, err.text);
		assert_int_equal(walk.seen.major, real->major);
		assert_true(walk.seen.switched);
		assert_int_equal(walk.seen.last_tli, 2);
		assert_true(noted.count >= 3);
		assert_int_equal(noted.record[0].kind, WALRECORD_RESTORE_POINT);
		assert_string_equal(noted.text[0], "after");
		assert_flips_are_found(real, bytes, walk.seen.system_identifier);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_switched_segment_is_walked_to_its_end),
	        cmocka_unit_test(records_that_cross_segments_are_proven_when_both_are_walked),
	        cmocka_unit_test(a_segment_alone_skips_the_tail_from_before),
	        cmocka_unit_test(a_record_longer_than_a_segment_is_walked),
	        cmocka_unit_test(pieces_of_any_size_give_the_same),
	        cmocka_unit_test(every_flipped_byte_is_found),
	        cmocka_unit_test(each_zeroed_or_swapped_page_is_found),
	        cmocka_unit_test(a_file_cut_at_any_byte_ends_with_its_last_whole_record),
	        cmocka_unit_test(what_is_wrong_is_named),
	        cmocka_unit_test(what_follows_a_switch_is_no_damage_but_told),
	        cmocka_unit_test(another_cluster_or_version_is_refused),
	        cmocka_unit_test(a_short_file_is_damaged_and_so_is_a_long_one),
	        cmocka_unit_test(the_tail_mode_finds_the_end_of_the_wal),
	        cmocka_unit_test(the_tail_mode_never_counts_an_unfinished_record),
	        cmocka_unit_test(a_given_up_record_is_passed_over),
	        cmocka_unit_test(a_record_can_be_given_up_at_a_segments_start),
	        cmocka_unit_test(records_of_interest_are_told),
	        cmocka_unit_test(the_xid_of_a_prepared_transaction_is_found_behind_long_lists),
	        cmocka_unit_test(a_timeline_begins_in_the_middle_of_a_page),
	        cmocka_unit_test(timelines_of_pages_never_go_down),
	        cmocka_unit_test(a_segment_after_a_hole_starts_anew),
	        cmocka_unit_test(real_segments_of_all_versions_are_walked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
