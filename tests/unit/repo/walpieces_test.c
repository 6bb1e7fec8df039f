/* walpieces_test.c — the pieces of the index: which of them count, with how few requests they are
 * found, written and read; and where in the WAL something can be. */
#include "unit/repo/place.h"

#include <string.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_long_archive_is_known_after_a_few_lists),
	        cmocka_unit_test(what_overlaps_is_left_out),
	        TEST(the_same_piece_stays_and_another_one_gets_the_next_number),
	        TEST(only_segments_that_can_hold_it_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
