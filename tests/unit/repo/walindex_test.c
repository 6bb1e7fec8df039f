/* walindex_test.c — pieces of the WAL index: built, written, read, merged. */
#include "store/place.h"

#include <string.h>

#include "repo/walindex.h"

enum { SEGMENT = 16 << 20, FIRST = 32 };

static const struct walindex_rel orders = {1663, 5, 16400}, items = {1663, 5, 16403},
                                 other = {1663, 7, 16400}, pg_class = {1663, 5, 1259};

/* The n-th record of a segment. */
static struct walindex_record at(uint64_t segno, unsigned n, uint32_t xid)
{
	lsn start = segno * SEGMENT + 40 + 100 * n;

	return (struct walindex_record){.start = start, .end = start + 96, .tli = 3, .xid = xid};
}

static struct walindex_builder *builder_at(uint64_t first, const struct walindex_piece *before)
{
	return walindex_builder_new(3, first, SEGMENT, before);
}

static bool next_segment(struct walindex_builder *builder)
{
	struct walindex_tail tail = {.records = 3,
	                             .last_start = FIRST * SEGMENT + 240,
	                             .last_end = FIRST * SEGMENT + 336,
	                             .last_tli = 2};

	return walindex_next_segment(builder, &tail);
}

static void commit(struct walindex_builder *builder, const struct walindex_record *record,
                   int64_t time_us, const struct walindex_rel *dropped)
{
	struct walindex_end end = {.commit = true,
	                           .xid = record->xid,
	                           .time_us = time_us,
	                           .dropped = dropped,
	                           .droppeds = dropped != NULL};

	walindex_add_end(builder, record, &end);
}

static void encode(const struct walindex_piece *piece, struct buf *out)
{
	buf_init(out, WALINDEX_BYTES_MAX);
	assert_true(walindex_encode(piece, out));
}

static void decode(const struct buf *bytes, struct walindex_piece *ret)
{
	struct err err = {0};

	if (!walindex_decode(bytes->data, bytes->length, ret, &err))
		fail_msg("%s", err.text);
}

/* Written and read, a piece is the same. */
static void round_trip(const struct walindex_piece *piece)
{
	AUTO_BUF struct buf once = {0}, twice = {0};
	struct walindex_piece back;

	encode(piece, &once);
	decode(&once, &back);
	encode(&back, &twice);
	assert_int_equal(once.length, twice.length);
	assert_memory_equal(once.data, twice.data, once.length);
	walindex_release(&back);
}

static const struct walindex_marks *marks_of(const struct walindex_piece *piece,
                                             const struct walindex_rel *rel)
{
	for (size_t i = 0; i < piece->relations; i++)
		if (walindex_rel_compare(&piece->marks[i].rel, rel) == 0)
			return &piece->marks[i];
	return NULL;
}

static void times_that_run_backwards_keep_their_smallest_and_greatest(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	struct walindex_record record;
	struct walindex_piece piece;
	const struct walindex_segment *segment;

	(void)state;
	record = at(FIRST, 0, 700);
	commit(builder, &record, 5000, NULL);
	record = at(FIRST, 1, 702);
	commit(builder, &record, 9000, NULL);
	record = at(FIRST, 2, 701);
	commit(builder, &record, 1000, NULL);
	assert_false(next_segment(builder));
	assert_false(walindex_next_segment(
	        builder, &(struct walindex_tail){.lost_bytes = 77})); /* one without anything */
	walindex_builder_take(builder, false, &piece);
	assert_int_equal(piece.last, FIRST + 1);
	segment = walindex_segment(&piece, FIRST);
	assert_int_equal(segment->first_us, 5000);
	assert_int_equal(segment->last_us, 1000);
	assert_int_equal(segment->min_us, 1000);
	assert_int_equal(segment->max_us, 9000);
	assert_int_equal(segment->min_xid, 700);
	assert_int_equal(segment->max_xid, 702);
	assert_int_equal(segment->commits, 3);
	assert_int_equal(segment->last_start, FIRST * SEGMENT + 240);
	assert_int_equal(segment->last_tli, 2);
	assert_int_equal(walindex_segment(&piece, FIRST + 1)->lost_bytes, 77);
	assert_null(walindex_segment(&piece, FIRST + 2));
	round_trip(&piece);
	walindex_release(&piece);
	walindex_builder_free(builder);
}

static void d47_a_limit_never_erases_marks(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	const struct walindex_marks *marks;
	struct walindex_piece piece;

	(void)state;
	for (uint32_t block = 50; block-- > 20;)
		walindex_add_block(builder, &orders, block);
	walindex_add_limit(builder, &orders, 10);
	walindex_add_block(builder, &orders, 30);
	walindex_add_limit(builder, &orders, 40);
	walindex_add_limit(builder, &other, 0);
	next_segment(builder);
	walindex_builder_take(builder, false, &piece);
	marks = marks_of(&piece, &orders);
	assert_int_equal(marks->limit, 10);
	assert_int_equal(marks->blocks, 30);
	assert_int_equal(marks->block[0], 20);
	assert_int_equal(marks->block[29], 49);
	assert_int_equal(marks_of(&piece, &other)->blocks, 0);
	assert_int_equal(marks_of(&piece, &other)->limit, 0);
	assert_null(marks_of(&piece, &items));
	round_trip(&piece);
	walindex_release(&piece);
	walindex_builder_free(builder);
}

/* Sparse, dense and in runs: what goes in comes out, and none takes more than it should. */
static void blocks_of_any_density_are_small_and_come_back(void **state)
{
	static const struct {
		uint32_t step, length, count;
		size_t bytes_max;
	} cases[] = {{1, 1, 100000, 80},     {3, 1, 30000, 12000}, {1000, 1, 10000, 20100},
	             {500, 200, 40000, 900}, {2, 1, 50000, 12700}, {100000, 1, 20000, 60100}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct walindex_builder *builder = builder_at(FIRST, NULL);
		struct walindex_piece piece, back;
		const struct walindex_marks *marks;
		AUTO_BUF struct buf bytes = {0};
		uint32_t block = 7;

		for (uint32_t n = 0; n < cases[i].count; n++, block++) {
			if (n % cases[i].length == 0)
				block += cases[i].step - 1;
			walindex_add_block(builder, &orders, block);
			walindex_add_block(builder, &orders, block ^ 0);
			if (n % 5 == 0)
				walindex_add_block(builder, &items, n % 3);
		}
		next_segment(builder);
		walindex_builder_take(builder, false, &piece);
		encode(&piece, &bytes);
		assert_in_range(bytes.length, 1, cases[i].bytes_max);
		decode(&bytes, &back);
		marks = marks_of(&back, &orders);
		assert_int_equal(marks->blocks, cases[i].count);
		assert_memory_equal(marks->block, marks_of(&piece, &orders)->block,
		                    marks->blocks * sizeof(*marks->block));
		assert_int_equal(marks->block[marks->blocks - 1], block - 1);
		walindex_release(&back);
		walindex_release(&piece);
		walindex_builder_free(builder);
	}
}

static void rows_are_counted_over_segments_pieces_and_subtransactions(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	const struct walindex_rows deleted = {.deleted = 1}, updated = {.updated = 1};
	struct walindex_record record = at(FIRST + 1, 0, 900);
	static const uint32_t sub[] = {901};
	struct walindex_end end = {
	        .commit = true, .xid = 900, .time_us = 77, .sub = sub, .subs = ARRAY_LENGTH(sub)};
	struct walindex_piece first, second;
	const struct walindex_event *event;

	(void)state;
	for (unsigned i = 0; i < 150; i++) {
		walindex_add_rows(builder, 900, &orders, &deleted);
		walindex_add_rows(builder, 901, &orders, &deleted);
		walindex_add_rows(builder, 901, &items, &updated);
	}
	walindex_add_rows(builder, 900, &pg_class, &deleted);
	next_segment(builder);
	walindex_builder_take(builder, false, &first);
	assert_int_equal(first.opens, 2);
	assert_int_equal(first.events, 0);
	round_trip(&first);
	walindex_builder_free(builder);

	/* another process goes on */
	builder = builder_at(FIRST + 1, &first);
	walindex_add_end(builder, &record, &end);
	next_segment(builder);
	walindex_builder_take(builder, false, &second);
	assert_int_equal(second.events, 1);
	assert_int_equal(second.opens, 0);
	event = &second.event[0];
	assert_int_equal(event->kind, WALINDEX_TRANSACTION);
	assert_int_equal(event->xid, 900);
	assert_int_equal(event->number, 1);
	assert_int_equal(event->toucheds, 2);
	assert_int_equal(event->touched[0].deleted, 300);
	assert_int_equal(event->touched[1].updated, 150);
	assert_int_equal(event->start, record.start);
	round_trip(&second);
	walindex_release(&first);
	walindex_release(&second);
	walindex_builder_free(builder);
}

static void only_what_is_worth_finding_is_an_event(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	const struct walindex_rows deleted = {.deleted = WALINDEX_ROWS_MIN - 1};
	const struct walindex_rows created = {.flags = WALINDEX_CREATED};
	struct walindex_end abort = {.xid = 12, .time_us = 30, .dropped = &orders, .droppeds = 1};
	struct walindex_record record;
	struct walindex_piece piece;

	(void)state;
	walindex_add_rows(builder, 10, &orders, &deleted);
	record = at(FIRST, 0, 10);
	commit(builder, &record, 10, NULL);
	walindex_add_rows(builder, 11, &items, &created);
	record = at(FIRST, 1, 11);
	commit(builder, &record, 20, &orders);
	record = at(FIRST, 2, 12);
	walindex_add_end(builder, &record, &abort);
	walindex_add_rows(builder, 13, &orders, &deleted);
	walindex_add_rows(builder, 14, &orders, &deleted);
	walindex_forget(builder, 14);
	next_segment(builder);
	walindex_builder_take(builder, false, &piece);
	assert_int_equal(piece.events, 1);
	assert_int_equal(piece.event[0].xid, 11);
	assert_int_equal(piece.event[0].position, 1);
	assert_int_equal(piece.event[0].touched[0].flags, WALINDEX_DROPPED);
	assert_int_equal(piece.event[0].touched[1].flags, WALINDEX_CREATED);
	assert_int_equal(piece.segment[0].aborts, 1);
	assert_int_equal(marks_of(&piece, &orders)->limit, 0);
	assert_int_equal(piece.opens, 1);
	assert_int_equal(piece.open[0].xid, 14);
	walindex_release(&piece);
	walindex_builder_free(builder);
}

static void fill_segment(struct walindex_builder *builder, uint64_t segno)
{
	struct walindex_event point = {.kind = WALINDEX_RESTORE_POINT,
	                               .time_us = (int64_t)segno * 1000,
	                               .text = (char *)(uintptr_t) "before"};
	struct walindex_record record = at(segno, 0, (uint32_t)segno);

	for (uint32_t n = 0; n < 500; n++)
		walindex_add_block(builder, &orders, (uint32_t)(n * segno % 911));
	commit(builder, &record, (int64_t)segno * 1000, NULL);
	record = at(segno, 1, 0);
	walindex_add_event(builder, &record, &point);
}

static void how_often_somebody_looks_changes_nothing(void **state)
{
	struct walindex_builder *quiet = builder_at(FIRST, NULL),
	                        *watched = builder_at(FIRST, NULL);
	AUTO_BUF struct buf a = {0}, b = {0};
	struct walindex_piece one, two;

	(void)state;
	for (uint64_t segno = FIRST; segno < FIRST + 16; segno++) {
		bool full = segno == FIRST + 15;

		fill_segment(quiet, segno);
		fill_segment(watched, segno);
		assert_int_equal(next_segment(quiet), full);
		assert_int_equal(next_segment(watched), full);
		walindex_builder_take(watched, true, &two);
		walindex_release(&two);
	}
	walindex_builder_take(quiet, false, &one);
	walindex_builder_take(watched, false, &two);
	encode(&one, &a);
	encode(&two, &b);
	assert_int_equal(a.length, b.length);
	assert_memory_equal(a.data, b.data, a.length);
	walindex_release(&one);
	walindex_release(&two);
	walindex_builder_free(quiet);
	walindex_builder_free(watched);
}

static void pieces_that_follow_each_other_become_one(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	struct walindex_piece all = {0}, piece;
	struct err err = {0};

	(void)state;
	for (uint64_t segno = FIRST; segno < FIRST + 48; segno++) {
		fill_segment(builder, segno);
		if (!next_segment(builder))
			continue;
		walindex_builder_take(builder, false, &piece);
		if (!all.segment) {
			all = piece;
			all.level = 1;
			continue;
		}
		assert_true(walindex_append(&all, &piece, &err));
	}
	assert_int_equal(all.last, FIRST + 47);
	assert_int_equal(all.events, 48);
	assert_int_equal(all.relations, 0);
	assert_int_equal(walindex_segment(&all, FIRST + 40)->max_us, (FIRST + 40) * 1000);
	round_trip(&all);
	fill_segment(builder, FIRST + 49);
	next_segment(builder);
	walindex_builder_take(builder, false, &piece);
	piece.first++;
	piece.last++;
	assert_false(walindex_append(&all, &piece, &err));
	piece.first--;
	piece.last--;
	walindex_release(&piece);
	walindex_release(&all);
	walindex_builder_free(builder);
}

static void more_blocks_than_fit_become_all_of_the_relation(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	struct walindex_piece piece;

	(void)state;
	for (uint32_t block = 0; block < WALINDEX_MARKS_MAX + 100; block++)
		walindex_add_block(builder, &orders, 2 * block);
	walindex_add_block(builder, &items, 3);
	next_segment(builder);
	walindex_builder_take(builder, false, &piece);
	assert_int_equal(marks_of(&piece, &orders)->limit, 0);
	assert_int_equal(marks_of(&piece, &items)->blocks, 1);
	assert_int_equal(marks_of(&piece, &items)->limit, WALINDEX_NO_LIMIT);
	round_trip(&piece);
	walindex_release(&piece);
	walindex_builder_free(builder);
}

static void a_newer_version_and_every_cut_are_told(void **state)
{
	struct walindex_builder *builder = builder_at(FIRST, NULL);
	AUTO_BUF struct buf bytes = {0};
	struct walindex_piece piece, back;
	struct err err = {0};

	(void)state;
	fill_segment(builder, FIRST);
	next_segment(builder);
	walindex_builder_take(builder, false, &piece);
	encode(&piece, &bytes);
	for (size_t length = 0; length < bytes.length; length++) {
		err_clear(&err);
		assert_false(walindex_decode(bytes.data, length, &back, &err));
		assert_int_equal(err.code, ERR_DAMAGED);
	}
	err_clear(&err);
	bytes.data[0] = 2;
	assert_false(walindex_decode(bytes.data, bytes.length, &back, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "version 2"));
	walindex_release(&piece);
	walindex_builder_free(builder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(times_that_run_backwards_keep_their_smallest_and_greatest),
	        cmocka_unit_test(d47_a_limit_never_erases_marks),
	        cmocka_unit_test(blocks_of_any_density_are_small_and_come_back),
	        cmocka_unit_test(rows_are_counted_over_segments_pieces_and_subtransactions),
	        cmocka_unit_test(only_what_is_worth_finding_is_an_event),
	        cmocka_unit_test(how_often_somebody_looks_changes_nothing),
	        cmocka_unit_test(pieces_that_follow_each_other_become_one),
	        cmocka_unit_test(more_blocks_than_fit_become_all_of_the_relation),
	        cmocka_unit_test(a_newer_version_and_every_cut_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
