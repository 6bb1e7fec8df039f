/* walpieces_test.c — the pieces of the index: which of them count, with how few requests they are
 * found, written and read; and where in the WAL something can be; what is archived, by them. */
#include "unit/repo/place.h"

#include <string.h>

#include "repo/holdings.h"
#include "repo/walquery.h"

#define GENERATION "main/7-15-1"
enum { SEGMENT = 16 << 20, LISTS_MAX = 16 };

static void name_piece(struct fixture *f, uint32_t level, uint64_t first, uint64_t last)
{
	struct name_index piece = {.tli = 1, .level = level, .n = 1, .first = first, .last = last};
	char name[NAME_BYTES];

	name_index(name, GENERATION, &piece, SEGMENT);
	assert_int_equal(put_text(f->store, name, "x"), ERR_NONE);
}

static void load(struct fixture *f, struct walpieces *pieces)
{
	struct walpieces_load load = {
	        .repo = f->repo, .generation = GENERATION, .segment_bytes = SEGMENT, .ret = pieces};

	*pieces = (struct walpieces){0};
	assert_true(RUN(f->loop, walpieces_load_start, &load));
}

static void a_long_archive_is_known_after_a_few_lists(void **state)
{
	static const uint64_t span[] = {16, 256, 4096, 65536};
	struct fixture *f = *state;
	uint64_t last = 65536 + 2 * 4096 + 3 * 256 + 20;
	struct walpieces pieces;
	struct catalog catalog = {.segment_bytes = SEGMENT};
	const struct name_index *at;
	uint64_t lists;

	for (uint32_t level = 0; level < ARRAY_LENGTH(span); level++)
		for (uint64_t from = 0; from + span[level] - 1 <= last; from += span[level])
			if (level > 0 || from >= 65536)
				name_piece(f, level, MAX(from, 1), from + span[level] - 1);
	name_piece(f, 0, last - 4, last - 1);
	name_piece(f, 0, last - 4, last); /* reaches further */
	lists = store_counts(f->store)->lists;
	load(f, &pieces);
	assert_in_range(store_counts(f->store)->lists - lists, 1, LISTS_MAX);
	walpieces_into_catalog(&pieces, &catalog);
	assert_int_equal(catalog_timeline(&catalog, 1)->runs, 1);
	assert_int_equal(catalog.segments, last);
	at = walpieces_at(&pieces, 1, 5);
	assert_int_equal(at->level, 3);
	at = walpieces_at(&pieces, 1, last);
	assert_int_equal(at->first, last - 4);
	assert_null(walpieces_at(&pieces, 1, last + 1));
	assert_null(walpieces_at(&pieces, 2, 5));
	walpieces_release(&pieces);
	catalog_release(&catalog);
}

static void what_overlaps_is_left_out(void **state)
{
	static const struct name_index found[] = {
	        {.tli = 1, .first = 3, .last = 5, .n = 1},
	        {.tli = 1, .first = 3, .last = 9, .n = 1},
	        {.tli = 1, .first = 3, .last = 9, .n = 2},
	        {.tli = 1, .first = 6, .last = 15, .n = 1},
	        {.tli = 1, .first = 16, .last = 31, .n = 1},
	};
	struct walpieces pieces = {.segment_bytes = SEGMENT};

	(void)state;
	walpieces_add(&pieces, 1, found, ARRAY_LENGTH(found));
	assert_int_equal(pieces.timeline[0].count, 2);
	assert_int_equal(pieces.timeline[0].piece[0].n, 2);
	assert_int_equal(pieces.timeline[0].piece[0].last, 9);
	assert_null(walpieces_at(&pieces, 1, 12));
	walpieces_release(&pieces);
}

/* Segments 32 to 47: in each one commit, of transaction 100 × segment, and in 40 a restore point.
 */
static void make_piece(struct walindex_piece *ret)
{
	struct walindex_builder *builder = walindex_builder_new(1, 32, SEGMENT, NULL);

	for (uint64_t segno = 32; segno < 48; segno++) {
		lsn start = segno * SEGMENT + 4000;
		struct walindex_record record = {.start = start, .end = start + 40, .tli = 1};
		struct walindex_end end = {
		        .commit = true, .xid = (uint32_t)segno * 100, .time_us = (int64_t)segno};
		struct walindex_event point = {.kind = WALINDEX_RESTORE_POINT,
		                               .text = (char *)(uintptr_t) "here"};
		struct walindex_tail tail = {
		        .records = 1, .last_start = start, .last_end = start + 40, .last_tli = 1};

		walindex_add_end(builder, &record, &end);
		if (segno == 40)
			walindex_add_event(builder, &record, &point);
		(void)walindex_next_segment(builder, &tail);
	}
	walindex_builder_take(builder, false, ret);
	walindex_builder_free(builder);
}

static void write_piece(struct fixture *f, const struct walindex_piece *piece, uint32_t n,
                        bool repeated)
{
	struct walpiece_write write = {.repo = f->repo,
	                               .generation = GENERATION,
	                               .piece = piece,
	                               .class = GATE_VERIFY,
	                               .check = true};

	assert_true(RUN(f->loop, walpiece_write_start, &write));
	assert_int_equal(write.which.n, n);
	assert_int_equal(write.repeated, repeated);
}

static void the_same_piece_stays_and_another_one_gets_the_next_number(void **state)
{
	struct fixture *f = *state;
	struct walindex_piece piece;
	struct walpieces pieces;
	struct walpiece_read read = {
	        .repo = f->repo, .generation = GENERATION, .segment_bytes = SEGMENT};

	make_piece(&piece);
	write_piece(f, &piece, 1, false);
	write_piece(f, &piece, 1, true);
	piece.poisoned = true;
	write_piece(f, &piece, 2, false);
	load(f, &pieces);
	read.which = *walpieces_at(&pieces, 1, 40);
	assert_true(RUN(f->loop, walpiece_read_start, &read));
	assert_true(read.piece.poisoned);
	assert_int_equal(read.piece.events, 1);
	walindex_release(&read.piece);
	read.which.n = 3;
	assert_false(RUN(f->loop, walpiece_read_start, &read));
	assert_int_equal(read.op.err.code, ERR_NOTFOUND);
	walpieces_release(&pieces);
	walindex_release(&piece);
}

static void ask(struct fixture *f, struct walquery *query, uint64_t first, uint64_t last)
{
	query->repo = f->repo;
	query->generation = GENERATION;
	query->first = first;
	query->last = last;
	assert_true(RUN(f->loop, walquery_start, query));
}

static void only_segments_that_can_hold_it_are_named(void **state)
{
	struct fixture *f = *state;
	struct history path;
	struct walindex_piece piece;
	struct walpieces pieces;
	struct walquery query = {.path = &path, .pieces = &pieces};

	history_init(&path, 1);
	make_piece(&piece);
	write_piece(f, &piece, 1, false);
	load(f, &pieces);
	query.xid = 3500;
	ask(f, &query, 32, 47);
	assert_int_equal(query.count, 2); /* it may begin in the segment before */
	assert_int_equal(query.segno[0], 35);
	assert_int_equal(query.segno[1], 34);
	assert_false(query.more);
	free(query.segno);
	query.xid = 3501;
	ask(f, &query, 32, 47);
	assert_int_equal(query.count, 0);
	assert_false(query.more);
	free(query.segno);
	query.point = "here";
	ask(f, &query, 33, 47);
	assert_int_equal(query.count, 2);
	assert_int_equal(query.segno[0], 40);
	free(query.segno);
	/* what is not indexed comes first, and then the rest on another question */
	ask(f, &query, 30, 50);
	assert_int_equal(query.count, 3);
	assert_int_equal(query.segno[0], 50);
	assert_true(query.more);
	assert_int_equal(query.next, 47);
	free(query.segno);
	ask(f, &query, 30, query.next);
	assert_int_equal(query.segno[0], 40);
	assert_int_equal(query.segno[1], 39);
	assert_int_equal(query.segno[2], 31);
	free(query.segno);
	walpieces_release(&pieces);
	walindex_release(&piece);
	history_release(&path);
}

/* A piece under its name, with the byte at `at` of its content changed. */
static void write_spoiled(struct fixture *f, const struct walindex_piece *piece, uint32_t n,
                          size_t at)
{
	struct name_index which = {.tli = 1, .n = n, .first = piece->first, .last = piece->last};
	AUTO_BUF struct buf bytes = {0};
	char name[NAME_BYTES];
	struct object_write write = {.repo = f->repo, .name = name, .kind = SEALED_INDEX};

	buf_init(&bytes, WALINDEX_BYTES_MAX);
	assert_true(walindex_encode(piece, &bytes));
	bytes.data[at]++;
	name_index(name, GENERATION, &which, SEGMENT);
	write.bytes = bytes.data;
	write.length = bytes.length;
	assert_true(RUN(f->loop, object_write_start, &write));
}

enum { AT_VERSION = 0, AT_LAST = 24 };

static void a_piece_that_is_damaged_newer_or_gone_hides_nothing(void **state)
{
	static const struct {
		size_t at;
		enum err_code code;
	} each[] = {{0, ERR_NONE}, {AT_VERSION, ERR_REFUSED}, {AT_LAST, ERR_DAMAGED}};
	struct fixture *f = *state;
	struct history path;
	struct walindex_piece piece;

	history_init(&path, 1);
	make_piece(&piece);
	for (uint32_t n = 0; n < ARRAY_LENGTH(each); n++) {
		struct walpieces pieces;
		struct walquery query = {.path = &path, .pieces = &pieces, .xid = 3500};
		struct walpiece_read read = {
		        .repo = f->repo, .generation = GENERATION, .segment_bytes = SEGMENT};

		if (n > 0)
			write_spoiled(f, &piece, n, each[n].at);
		load(f, &pieces);
		assert_int_equal(walpieces_at(&pieces, 1, 40) != NULL, n > 0);
		if (n > 0) {
			read.which = *walpieces_at(&pieces, 1, 40);
			assert_int_equal(read.which.n, n);
			assert_false(RUN(f->loop, walpiece_read_start, &read));
			assert_int_equal(read.op.err.code, each[n].code);
			assert_non_null(strstr(read.op.err.text, "could not read object"));
		}
		ask(f, &query, 32, 47); /* all of it can hold the transaction now */
		assert_int_equal(query.count, 16);
		free(query.segno);
		walpieces_release(&pieces);
	}
	walindex_release(&piece);
	history_release(&path);
}

static bool read_at(struct fixture *f, struct walpieces *pieces, uint64_t segno,
                    struct walpieces_read *ret)
{
	*ret = (struct walpieces_read){.repo = f->repo,
	                               .generation = GENERATION,
	                               .pieces = pieces,
	                               .tli = 1,
	                               .segno = segno};
	return RUN(f->loop, walpieces_read_start, ret);
}

static void the_levels_below_stand_for_a_piece_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	struct walindex_piece piece;
	struct walpieces pieces;
	struct walpieces_read read;

	make_piece(&piece);
	write_piece(f, &piece, 1, false); /* 32 to 47 */
	name_piece(f, 0, 48, 63);         /* no object at all */
	name_piece(f, 0, 64, 79);
	name_piece(f, 1, 1, 255);
	load(f, &pieces);
	assert_int_equal(walpieces_at(&pieces, 1, 40)->level, 1);
	assert_null(walpieces_bad_in(&pieces, 1, 0, 1000));
	assert_true(read_at(f, &pieces, 40, &read));
	assert_int_equal(read.piece.first, 32);
	assert_int_equal(read.first.code, ERR_DAMAGED);
	walindex_release(&read.piece);
	assert_null(walpieces_at(&pieces, 1, 31));
	assert_int_equal(walpieces_from(&pieces, 1, 0)->first, 32);
	assert_int_equal(walpieces_at(&pieces, 1, 50)->level, 0);
	/* and where they do not reach, it says so, once and for all */
	assert_false(read_at(f, &pieces, 50, &read));
	assert_int_equal(read.op.err.code, ERR_DAMAGED);
	assert_null(walpieces_at(&pieces, 1, 50));
	assert_false(read_at(f, &pieces, 50, &read));
	assert_int_equal(read.op.err.code, ERR_NOTFOUND);
	assert_int_equal(walpieces_bad_in(&pieces, 1, 48, 50)->which.level, 1);
	assert_int_equal(pieces.bads, 2);
	assert_int_equal(walpieces_at(&pieces, 1, 70)->first, 64);
	assert_null(walpieces_bad_in(&pieces, 2, 48, 50));
	assert_null(walpieces_bad_in(&pieces, 1, 256, 300));
	/* the next number cannot be read, either: the one before it is as good */
	walpieces_release(&pieces);
	write_spoiled(f, &piece, 2, AT_LAST);
	load(f, &pieces);
	assert_true(read_at(f, &pieces, 40, &read));
	assert_int_equal(walpieces_at(&pieces, 1, 40)->n, 1);
	assert_int_equal(pieces.bads, 2);
	walindex_release(&read.piece);
	walpieces_release(&pieces);
	walindex_release(&piece);
}

static void what_is_no_object_is_written_again_beside_it(void **state)
{
	struct fixture *f = *state;
	struct walindex_piece piece;

	make_piece(&piece);
	name_piece(f, 0, 32, 47);
	write_piece(f, &piece, 2, false);
	write_piece(f, &piece, 2, true);
	walindex_release(&piece);
}

static void put_segment(struct fixture *f, uint64_t segno)
{
	char text[SEGMENT_NAME_BYTES], object[NAME_BYTES];
	struct walname name;

	segment_name(1, segno, SEGMENT, text);
	assert_true(walname_parse(text, &name));
	name_wal(object, GENERATION, &name, NULL);
	assert_int_equal(put_text(f->store, object, "x"), ERR_NONE);
}

static void remove_segment(struct fixture *f, uint64_t segno)
{
	char text[SEGMENT_NAME_BYTES], object[NAME_BYTES];
	const char *names[] = {object};
	struct store_remove remove = {.store = f->store, .name = names, .names = 1};
	struct walname name;

	segment_name(1, segno, SEGMENT, text);
	assert_true(walname_parse(text, &name));
	name_wal(object, GENERATION, &name, NULL);
	assert_true(RUN(f->loop, store_remove_start, &remove));
}

/* Returns how many lists it took. */
static uint64_t hold(struct fixture *f, struct catalog *catalog)
{
	struct walpieces pieces = {0};
	struct holdings_load load = {.repo = f->repo,
	                             .generation = GENERATION,
	                             .segment_bytes = SEGMENT,
	                             .catalog = catalog,
	                             .pieces = &pieces};
	uint64_t lists = store_counts(f->store)->lists;

	*catalog = (struct catalog){0};
	assert_true(RUN(f->loop, holdings_load_start, &load));
	walpieces_release(&pieces);
	return store_counts(f->store)->lists - lists;
}

/* What a pass of the indexer does when it has listed everything. */
static size_t mark(struct fixture *f)
{
	struct catalog catalog = {0};
	struct catalog_load list = {.repo = f->repo,
	                            .generation = GENERATION,
	                            .segment_bytes = SEGMENT,
	                            .what = CATALOG_WAL,
	                            .ret = &catalog};
	struct walpieces pieces;
	struct lost known = {0}, found = {0};
	struct lost_load read = {
	        .repo = f->repo, .generation = GENERATION, .segment_bytes = SEGMENT, .ret = &known};
	struct lost_write write = {.repo = f->repo,
	                           .generation = GENERATION,
	                           .segment_bytes = SEGMENT,
	                           .lost = &found};
	size_t count;

	load(f, &pieces);
	assert_true(RUN(f->loop, catalog_load_start, &list));
	assert_true(RUN(f->loop, lost_load_start, &read));
	lost_find(&pieces, &catalog, &known, &found);
	assert_true(RUN(f->loop, lost_write_start, &write));
	count = found.count;
	lost_release(&known);
	lost_release(&found);
	walpieces_release(&pieces);
	catalog_release(&catalog);
	return count;
}

static void what_was_taken_away_is_seen_once_it_is_marked(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;

	for (uint64_t segno = 1; segno <= 50; segno++)
		put_segment(f, segno);
	name_piece(f, 0, 1, 15);
	name_piece(f, 0, 16, 31);
	name_piece(f, 0, 32, 47);
	remove_segment(f, 14);
	remove_segment(f, 15);
	remove_segment(f, 16);
	remove_segment(f, 40);
	assert_int_equal(mark(f), 2);
	assert_int_equal(mark(f), 0); /* they are marked */
	(void)hold(f, &catalog);
	assert_int_equal(catalog.segments, 46);
	assert_int_equal(catalog_timeline(&catalog, 1)->runs, 3);
	assert_false(catalog_has(&catalog, 1, 15));
	assert_true(catalog_has(&catalog, 1, 17));
	catalog_release(&catalog);
	/* what comes back is there again, though it stays marked; what is lost again is not */
	put_segment(f, 15);
	put_segment(f, 40);
	(void)hold(f, &catalog);
	assert_int_equal(catalog.segments, 48);
	assert_int_equal(catalog_timeline(&catalog, 1)->runs, 3);
	assert_true(catalog_has(&catalog, 1, 15));
	catalog_release(&catalog);
	remove_segment(f, 15);
	(void)hold(f, &catalog);
	assert_false(catalog_has(&catalog, 1, 15));
	catalog_release(&catalog);
}

static void what_is_archived_costs_the_same_however_much_it_is(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;

	/* nearly a million segments, of which only the last are listed */
	for (uint64_t from = 0; from < 15 * 65536; from += 65536)
		name_piece(f, 3, MAX(from, 1), from + 65535);
	for (uint64_t segno = 15 * 65536; segno < 15 * 65536 + 20; segno++)
		put_segment(f, segno);
	assert_in_range(hold(f, &catalog), 1, LISTS_MAX);
	assert_int_equal(catalog.segments, 15 * 65536 + 19);
	assert_int_equal(catalog_timeline(&catalog, 1)->runs, 1);
	catalog_release(&catalog);
}

static void a_path_is_listed_only_where_it_is_needed(void **state)
{
	struct fixture *f = *state;
	struct history path;
	struct catalog found = {.segment_bytes = SEGMENT};
	struct holdings_path list = {.repo = f->repo,
	                             .generation = GENERATION,
	                             .segment_bytes = SEGMENT,
	                             .path = &path,
	                             .first = 9,
	                             .last = 12,
	                             .found = &found};
	uint64_t lists;

	history_init(&path, 1);
	for (uint64_t segno = 1; segno <= 3000; segno++)
		if (segno != 11)
			put_segment(f, segno);
	lists = store_counts(f->store)->lists;
	assert_true(RUN(f->loop, holdings_path_start, &list));
	assert_int_equal(store_counts(f->store)->lists - lists, 1);
	assert_true(catalog_has(&found, 1, 9));
	assert_false(catalog_has(&found, 1, 11));
	assert_true(catalog_has(&found, 1, 12));
	assert_false(catalog_has(&found, 1, 8));
	catalog_release(&found);
	history_release(&path);
}

static void what_cannot_be_restored_has_no_ends_to_be_read(void **state)
{
	struct fixture *f = *state;
	struct walpieces pieces = {.segment_bytes = SEGMENT};
	struct catalog catalog = {.segment_bytes = SEGMENT};
	struct intervals intervals = {0};
	struct intervals_times times = {.repo = f->repo,
	                                .generation = GENERATION,
	                                .pieces = &pieces,
	                                .catalog = &catalog,
	                                .intervals = &intervals};

	assert_true(RUN(f->loop, intervals_times_start, &times));
	assert_int_equal(intervals.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_long_archive_is_known_after_a_few_lists),
	        cmocka_unit_test(what_overlaps_is_left_out),
	        TEST(the_same_piece_stays_and_another_one_gets_the_next_number),
	        TEST(only_segments_that_can_hold_it_are_named),
	        TEST(a_piece_that_is_damaged_newer_or_gone_hides_nothing),
	        TEST(the_levels_below_stand_for_a_piece_that_cannot_be_read),
	        TEST(what_is_no_object_is_written_again_beside_it),
	        TEST(what_was_taken_away_is_seen_once_it_is_marked),
	        TEST(what_is_archived_costs_the_same_however_much_it_is),
	        TEST(what_cannot_be_restored_has_no_ends_to_be_read),
	        TEST(a_path_is_listed_only_where_it_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
