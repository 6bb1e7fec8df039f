/* catalog_test.c — what an archive holds, and the rule for "absent". */
#include "unit/repo/place.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "repo/catalog.h"
#include "repo/object.h"

#define GENERATION "main/7-15-1"
enum { SEGMENT = 16 << 20 };

static void add_range(struct catalog *catalog, uint32_t tli, uint64_t first, uint64_t last)
{
	for (uint64_t segno = first; segno <= last; segno++)
		catalog_add_segment(catalog, tli, segno);
}

/* parents: {timeline, switch position} …, ended by {0, 0}. */
static void add_history(struct catalog *catalog, uint32_t tli, const uint64_t parents[][2])
{
	struct history history;

	history_init(&history, tli);
	for (; (*parents)[0]; parents++)
		history_add(&history, (uint32_t)(*parents)[0], (*parents)[1], "test");
	catalog_add_history(catalog, &history);
	history_release(&history);
}

static void segments_become_runs_in_any_order(void **state)
{
	static const uint64_t order[] = {5, 7, 6, 1, 3, 2, 5, 9, 0, 8, 20};
	struct catalog catalog = {.segment_bytes = SEGMENT};
	const struct catalog_timeline *timeline;
	uint64_t segno;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(order); i++)
		catalog_add_segment(&catalog, 1, order[i]);
	timeline = catalog_timeline(&catalog, 1);
	assert_non_null(timeline);
	assert_int_equal(timeline->runs, 3);
	assert_int_equal(timeline->run[0].first, 0);
	assert_int_equal(timeline->run[0].last, 3);
	assert_int_equal(timeline->run[1].first, 5);
	assert_int_equal(timeline->run[1].last, 9);
	assert_int_equal(catalog.segments, 10);
	assert_true(catalog_contiguous(&catalog, 1, 6, &segno));
	assert_int_equal(segno, 9);
	assert_false(catalog_contiguous(&catalog, 1, 4, &segno));
	assert_false(catalog_contiguous(&catalog, 2, 6, &segno));
	assert_true(catalog_highest(&catalog, 1, &segno));
	assert_int_equal(segno, 20);
	assert_true(catalog_lowest(&catalog, 1, &segno));
	assert_int_equal(segno, 0);
	assert_false(catalog_highest(&catalog, 2, &segno));
	catalog_release(&catalog);
}

static void millions_of_segments_take_little_memory(void **state)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};

	(void)state;
	add_range(&catalog, 1, 1, 3000000);
	assert_int_equal(catalog_timeline(&catalog, 1)->runs, 1);
	assert_int_equal(catalog.segments, 3000000);
	catalog_release(&catalog);
}

static void timelines_stand_in_order(void **state)
{
	static const uint32_t order[] = {0x100, 1, 0xFF, 10, 9};
	struct catalog catalog = {.segment_bytes = SEGMENT};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(order); i++)
		catalog_add_segment(&catalog, order[i], 3);
	for (size_t i = 1; i < catalog.timelines; i++)
		assert_true(catalog.timeline[i - 1].tli < catalog.timeline[i].tli);
	assert_int_equal(catalog_highest_tli(&catalog), 0x100);
	assert_null(catalog_timeline(&catalog, 2));
	catalog_release(&catalog);
}

/* Of the archive that the test below makes. */
static const struct {
	uint32_t tli;
	uint64_t segno;
	enum absence wanted;
} segment_cases[] = {
        {1, 0, ABSENCE_PRESENT},
        {1, 5, ABSENCE_PRESENT},
        {1, 6, ABSENCE_HOLE},
        {1, 7, ABSENCE_HOLE},
        {1, 10, ABSENCE_PRESENT},
        {1, 11, ABSENCE_BELOW_FORK}, /* somebody had it and went on from behind it */
        {1, 12, ABSENCE_ABOVE},      /* the child has its own copy of the fork segment */
        {1, 13, ABSENCE_ABOVE},
        {1, 1000000, ABSENCE_ABOVE},
        {2, 11, ABSENCE_BEFORE_BEGIN},
        {2, 12, ABSENCE_BELOW_FORK}, /* nothing of 2 is archived, but 3 came from it */
        {2, 19, ABSENCE_BELOW_FORK},
        {2, 20, ABSENCE_ABOVE}, /* the fork is the beginning of 20: 3 has all of it */
        {3, 19, ABSENCE_BEFORE_BEGIN},
        {3, 20, ABSENCE_PRESENT},
        {3, 21, ABSENCE_ABOVE},
        {4, 2, ABSENCE_BEFORE_BEGIN},
        {4, 3, ABSENCE_BELOW_FORK},
        {4, 29, ABSENCE_BELOW_FORK},
        {4, 30, ABSENCE_ABOVE},
        {5, 29, ABSENCE_BEFORE_BEGIN},
        {5, 30, ABSENCE_ABOVE}, /* promoted, and nothing archived yet */
        {6, 2, ABSENCE_ABOVE},  /* nothing is known of it but that 7 left it */
        {7, 3, ABSENCE_HOLE},   /* only a .partial and a .backup of it */
        {7, 4, ABSENCE_HOLE},
        {7, 5, ABSENCE_ABOVE}, /* a .partial is never the segment */
        {7, 6, ABSENCE_ABOVE},
};

static void the_rule_for_an_absent_segment(void **state)
{
	/* 1: 0..5, 8..10 archived; 2 left 1 in segment 12 (inside it), 3 left 2 at the beginning of
	 * 20; 4 left 1 in segment 3, long ago; 5 has a history and nothing else */
	static const uint64_t two[][2] = {{1, 12 * (uint64_t)SEGMENT + 100}, {0, 0}};
	static const uint64_t three[][2] = {
	        {1, 12 * (uint64_t)SEGMENT + 100}, {2, 20 * (uint64_t)SEGMENT}, {0, 0}};
	static const uint64_t four[][2] = {{1, 3 * (uint64_t)SEGMENT + 7}, {0, 0}};
	static const uint64_t five[][2] = {
	        {1, 3 * (uint64_t)SEGMENT + 7}, {4, 30 * (uint64_t)SEGMENT}, {0, 0}};
	static const uint64_t seven[][2] = {{6, 2 * (uint64_t)SEGMENT}, {0, 0}};
	struct catalog catalog = {.segment_bytes = SEGMENT};
	struct walname name = {.kind = WALNAME_PARTIAL, .tli = 7, .seg = 5};

	(void)state;
	add_range(&catalog, 1, 0, 5);
	add_range(&catalog, 1, 8, 10);
	add_range(&catalog, 3, 20, 20);
	add_history(&catalog, 2, two);
	add_history(&catalog, 3, three);
	add_history(&catalog, 4, four);
	add_history(&catalog, 5, five);
	add_history(&catalog, 7, seven);
	catalog_add_file(&catalog, &name, "00", 5);
	for (size_t i = 0; i < ARRAY_LENGTH(segment_cases); i++) {
		enum absence got =
		        absent_verdict(&catalog, segment_cases[i].tli, segment_cases[i].segno);

		if (got != segment_cases[i].wanted)
			fail_msg("timeline %u segment %" PRIu64 ": \"%s\" instead of \"%s\"",
			         segment_cases[i].tli, segment_cases[i].segno, absence_text(got),
			         absence_text(segment_cases[i].wanted));
		assert_int_equal(absence_proven(got),
		                 got == ABSENCE_ABOVE || got == ABSENCE_BEFORE_BEGIN);
	}
	catalog_release(&catalog);
}

/* A recovery that aimed at 3 and was stopped before the fork to 2: 4's lines go down. What anybody
 * had on timeline 1 up to 12 still counts. */
static void positions_that_go_down_hide_no_fork(void **state)
{
	static const uint64_t four[][2] = {
	        {1, 12 * (uint64_t)SEGMENT}, {2, 4 * (uint64_t)SEGMENT}, {0, 0}};
	struct catalog catalog = {.segment_bytes = SEGMENT};

	(void)state;
	add_history(&catalog, 4, four);
	assert_int_equal(absent_verdict(&catalog, 1, 11), ABSENCE_BELOW_FORK);
	assert_int_equal(absent_verdict(&catalog, 4, 3), ABSENCE_BEFORE_BEGIN);
	assert_int_equal(absent_verdict(&catalog, 4, 4), ABSENCE_ABOVE);
	catalog_release(&catalog);
}

/* WAL of timeline 2 and no 2.history: it may have left timeline 1 anywhere. */
static void a_fork_that_nobody_knows_proves_nothing(void **state)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};

	(void)state;
	add_range(&catalog, 1, 0, 5);
	assert_int_equal(absent_verdict(&catalog, 1, 6), ABSENCE_ABOVE);
	catalog_add_segment(&catalog, 2, 9);
	assert_int_equal(absent_verdict(&catalog, 1, 6), ABSENCE_UNPROVEN);
	assert_int_equal(absent_verdict(&catalog, 2, 10), ABSENCE_ABOVE);
	catalog_release(&catalog);
}

static void the_rule_for_an_absent_history(void **state)
{
	static const uint64_t two[][2] = {{1, 12 * (uint64_t)SEGMENT}, {0, 0}};
	struct catalog catalog = {.segment_bytes = SEGMENT};

	(void)state;
	assert_int_equal(absent_history_verdict(&catalog, 2), ABSENCE_ABOVE);
	add_range(&catalog, 1, 0, 5);
	assert_int_equal(absent_history_verdict(&catalog, 1), ABSENCE_BEFORE_BEGIN);
	assert_int_equal(absent_history_verdict(&catalog, 2), ABSENCE_ABOVE);
	add_history(&catalog, 2, two);
	assert_int_equal(absent_history_verdict(&catalog, 2), ABSENCE_PRESENT);
	assert_int_equal(absent_history_verdict(&catalog, 3), ABSENCE_ABOVE);
	catalog_add_segment(&catalog, 4, 13); /* WAL without a history: it is lost, or on its way */
	assert_int_equal(absent_history_verdict(&catalog, 4), ABSENCE_UNPROVEN);
	assert_int_equal(absent_history_verdict(&catalog, 3), ABSENCE_UNPROVEN);
	assert_int_equal(absent_history_verdict(&catalog, 5), ABSENCE_ABOVE);
	catalog_add_timeline(&catalog, 6); /* an owner note */
	assert_int_equal(absent_history_verdict(&catalog, 6), ABSENCE_UNPROVEN);
	catalog_release(&catalog);
}

static void a_path_is_followed_over_its_forks(void **state)
{
	static const uint64_t two[][2] = {{1, 5 * (uint64_t)SEGMENT + 100}, {0, 0}};
	struct catalog catalog = {.segment_bytes = SEGMENT};
	const struct history *path;
	const lsn s = SEGMENT;
	struct catalog_gap gap = {0};

	(void)state;
	add_range(&catalog, 1, 2, 5);
	add_range(&catalog, 2, 5, 9);
	add_history(&catalog, 2, two);
	path = &catalog_timeline(&catalog, 2)->history;
	assert_true(catalog_path_complete(&catalog, path, 2 * s, 10 * s, &gap));
	assert_true(catalog_path_complete(&catalog, path, 2 * s + 5, 2 * s + 6, &gap));
	assert_true(catalog_path_complete(&catalog, path, 3 * s, 3 * s, &gap));
	assert_false(catalog_path_complete(&catalog, path, 2 * s, 10 * s + 1, &gap));
	assert_int_equal(gap.tli, 2);
	assert_int_equal(gap.segno, 10);
	assert_false(catalog_path_complete(&catalog, path, s, 10 * s, &gap));
	assert_int_equal(gap.tli, 1);
	assert_int_equal(gap.segno, 1);
	catalog_release(&catalog);
	/* Only the parent's copy of the fork segment is there: not the path's. */
	add_range(&catalog, 1, 2, 5);
	add_range(&catalog, 2, 6, 9);
	add_history(&catalog, 2, two);
	path = &catalog_timeline(&catalog, 2)->history;
	assert_false(catalog_path_complete(&catalog, path, 2 * s, 10 * s, &gap));
	assert_int_equal(gap.tli, 2);
	assert_int_equal(gap.segno, 5);
	catalog_release(&catalog);
}

/* ---- loading ---- */

static void put_sealed(struct fixture *f, const char *name, enum sealed_kind kind, const char *text)
{
	struct object_write write = {.repo = f->repo,
	                             .name = name,
	                             .kind = kind,
	                             .class = GATE_WAL,
	                             .bytes = text,
	                             .length = strlen(text)};

	assert_true(RUN(f->loop, object_write_start, &write));
}

static void put_segment(struct fixture *f, uint32_t tli, uint64_t segno)
{
	char name[SEGMENT_NAME_BYTES], full[NAME_BYTES];
	struct walname wal;

	segment_name(tli, segno, SEGMENT, name);
	assert_true(walname_parse(name, &wal));
	name_wal(full, GENERATION, &wal, NULL);
	assert_int_equal(put_text(f->store, full, "0123456789"), ERR_NONE);
}

static void fill(struct fixture *f)
{
	for (uint64_t segno = 250; segno < 262; segno++) /* over a folder's end: 255 and 256 */
		put_segment(f, 1, segno);
	put_segment(f, 2, 261);
	put_sealed(f, GENERATION "/timeline/00000002.history", SEALED_HISTORY,
	           "1\t1/5000100\tno recovery target specified\n");
	put_text(f->store,
	         GENERATION "/wal/00000001/00000001/000000010000000100000006.partial/"
	                    "00112233445566778899aabbccddeeff",
	         "x");
	put_text(f->store,
	         GENERATION "/wal/00000001/00000000/0000000100000000000000FB.00000028.backup", "x");
	put_text(f->store,
	         GENERATION "/wal/00000001/00000000/"
	                    "0000000100000000000000FB.0123456789abcdef.0001",
	         "01234");
	put_text(f->store, GENERATION "/wal/00000001/00000000/notes", "x");
	/* In the wrong folder it is not where a reader would look. */
	put_text(f->store, GENERATION "/wal/00000001/00000000/000000010000000700000001", "x");
	put_text(f->store,
	         GENERATION "/wal/00000003/00000001/000000030000000100000006.partial/"
	                    "00112233445566778899aabbccddeeff",
	         "x");
	put_text(f->store, GENERATION "/backup/20261120T140200Z-1f3a", "x");
	put_text(f->store, GENERATION "/backup/20261120T140200Z-1f3a.0123456789abcdef.0001", "x");
	put_text(f->store, GENERATION "/backup/20261121T140200Z-0000", "x");
}

static struct catalog load(struct fixture *f, unsigned what)
{
	struct catalog catalog = {0};
	struct catalog_load load = {.repo = f->repo,
	                            .generation = GENERATION,
	                            .segment_bytes = SEGMENT,
	                            .what = what,
	                            .ret = &catalog};

	if (!RUN(f->loop, catalog_load_start, &load))
		fail_msg("%s", load.op.err.text);
	return catalog;
}

static void everything_is_found_in_a_listing(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;
	lsn switch_lsn;

	fill(f);
	catalog = load(f, CATALOG_HISTORIES | CATALOG_WAL | CATALOG_BACKUPS);
	assert_int_equal(catalog.timelines, 3);
	assert_int_equal(catalog.timeline[0].runs, 1);
	assert_int_equal(catalog.timeline[0].run[0].first, 250);
	assert_int_equal(catalog.timeline[0].run[0].last, 261);
	assert_true(catalog_has(&catalog, 2, 261));
	assert_true(catalog_timeline(&catalog, 2)->history_archived);
	assert_true(history_switch(&catalog_timeline(&catalog, 2)->history, 1, &switch_lsn));
	assert_int_equal(switch_lsn, UINT64_C(0x105000100));
	assert_int_equal(catalog.segments, 13);
	assert_int_equal(catalog.segment_stored_bytes, 13 * 10 + 5);
	assert_true(catalog.newest_us > 0);
	assert_int_equal(catalog.files, 3);
	assert_int_equal(catalog.file[0].name.kind, WALNAME_BACKUP);
	assert_string_equal(catalog.file[1].digest, "00112233445566778899aabbccddeeff");
	assert_int_equal(catalog.ignored, 2);
	assert_int_equal(catalog.backups, 2);
	assert_string_equal(catalog.backup[1], "20261121T140200Z-0000");
	assert_int_equal(absent_history_verdict(&catalog, 3), ABSENCE_UNPROVEN);
	catalog_release(&catalog);
}

static void the_ends_of_timelines_cost_few_requests(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;
	unsigned before;

	fill(f);
	before = store_mem_calls("repo", STORE_LIST);
	catalog = load(f, CATALOG_HISTORIES | CATALOG_TIMELINES);
	assert_int_equal(store_mem_calls("repo", STORE_LIST) - before, 2 + 3 * 2);
	assert_int_equal(catalog.timelines, 3);
	assert_true(catalog_has(&catalog, 1, 261));
	assert_false(catalog_has(&catalog, 1, 260)); /* nobody looked */
	assert_true(catalog_has(&catalog, 2, 261));
	assert_int_equal(catalog_timeline(&catalog, 3)->runs, 0);
	assert_int_equal(absent_verdict(&catalog, 1, 260), ABSENCE_HOLE);
	assert_int_equal(absent_verdict(&catalog, 1, 262), ABSENCE_UNPROVEN); /* 3 has no history */
	assert_int_equal(absent_verdict(&catalog, 3, 261), ABSENCE_HOLE);
	assert_int_equal(absent_verdict(&catalog, 3, 262), ABSENCE_ABOVE);
	catalog_release(&catalog);
}

static void the_end_is_found_behind_a_folder_without_segments(void **state)
{
	struct fixture *f = *state;
	struct catalog_tail tail = {
	        .repo = f->repo, .generation = GENERATION, .segment_bytes = SEGMENT, .tli = 1};

	assert_true(RUN(f->loop, catalog_tail_start, &tail));
	assert_false(tail.found);
	fill(f);
	put_text(f->store,
	         GENERATION "/wal/00000001/00000002/000000010000000200000006.partial/"
	                    "00112233445566778899aabbccddeeff",
	         "x");
	assert_true(RUN(f->loop, catalog_tail_start, &tail));
	assert_true(tail.found);
	assert_int_equal(tail.segno, 261);
	assert_int_equal(tail.files_to, 2 * 256 + 6 + 1);
}

static void one_segment_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct catalog_head head = {.repo = f->repo,
	                            .generation = GENERATION,
	                            .segment_bytes = SEGMENT,
	                            .tli = 1,
	                            .segno = 255};
	struct mem_fault fault = {.verb = STORE_HEAD, .effect = MEM_FAIL, .nth = 1, .code = ERR_IO};

	fill(f);
	assert_true(RUN(f->loop, catalog_head_start, &head));
	assert_true(head.found);
	head.segno = 1000;
	assert_true(RUN(f->loop, catalog_head_start, &head));
	assert_false(head.found);
	store_mem_plan("repo", &fault);
	assert_false(RUN(f->loop, catalog_head_start, &head)); /* unknown is not "not there" */
	assert_int_equal(head.op.err.code, ERR_IO);
}

/* A listing or a history that cannot be read must not look like an archive without it. */
static void no_failure_makes_a_smaller_catalogue(void **state)
{
	static const enum store_verb verbs[] = {STORE_LIST, STORE_GET};
	struct fixture *f = *state;

	fill(f);
	for (unsigned v = 0; v < ARRAY_LENGTH(verbs); v++) {
		unsigned n = 1;

		for (;; n++) {
			struct mem_fault fault = {
			        .verb = verbs[v], .effect = MEM_FAIL, .nth = n, .code = ERR_IO};
			struct catalog catalog = {0};
			struct catalog_load load = {.repo = f->repo,
			                            .generation = GENERATION,
			                            .segment_bytes = SEGMENT,
			                            .what = CATALOG_HISTORIES | CATALOG_WAL |
			                                    CATALOG_BACKUPS,
			                            .ret = &catalog};
			bool ok;

			store_mem_plan("repo", &fault);
			ok = RUN(f->loop, catalog_load_start, &load);
			store_mem_plan_clear("repo");
			catalog_release(&catalog);
			if (ok)
				break;
			assert_int_equal(load.op.err.code, ERR_IO);
		}
		assert_int_equal(n, verbs[v] == STORE_LIST ? 4 : 2);
	}
	assert_true(store_mem_damage("repo", GENERATION "/timeline/00000002.history", 200));
	{
		struct catalog catalog = {0};
		struct catalog_load load = {.repo = f->repo,
		                            .generation = GENERATION,
		                            .segment_bytes = SEGMENT,
		                            .what = CATALOG_HISTORIES,
		                            .ret = &catalog};

		assert_false(RUN(f->loop, catalog_load_start, &load));
		assert_int_equal(load.op.err.code, ERR_DAMAGED);
		assert_non_null(strstr(load.op.err.text, "00000002.history"));
		catalog_release(&catalog);
	}
}

/* Beside a table of bits. */
static void stretches_are_added_and_removed_as_their_segments_would_be(void **state)
{
	enum { TOP = 64, ROUNDS = 2000 };
	struct catalog catalog = {.segment_bytes = 16 << 20};
	uint64_t bits = 0, random = 1;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t first, last, mask;

		random = random * 6364136223846793005u + 1442695040888963407u;
		first = random >> 58;
		last = MIN(first + (random >> 40) % 20, TOP - 1);
		mask = (last - first == 63 ? UINT64_MAX : (UINT64_C(1) << (last - first + 1)) - 1)
		       << first;
		if (random >> 20 & 1) {
			catalog_add_segments(&catalog, 1, first, last);
			bits |= mask;
		} else {
			catalog_remove_segments(&catalog, 1, first, last);
			bits &= ~mask;
		}
		for (uint64_t segno = 0; segno < TOP; segno++)
			assert_int_equal(catalog_has(&catalog, 1, segno), bits >> segno & 1);
		assert_int_equal(catalog.segments, __builtin_popcountll(bits));
		assert_int_equal(catalog_timeline(&catalog, 1)->runs,
		                 __builtin_popcountll(bits & ~(bits << 1)));
	}
	catalog_release(&catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(segments_become_runs_in_any_order),
	        cmocka_unit_test(stretches_are_added_and_removed_as_their_segments_would_be),
	        cmocka_unit_test(millions_of_segments_take_little_memory),
	        cmocka_unit_test(timelines_stand_in_order),
	        cmocka_unit_test(the_rule_for_an_absent_segment),
	        cmocka_unit_test(positions_that_go_down_hide_no_fork),
	        cmocka_unit_test(a_fork_that_nobody_knows_proves_nothing),
	        cmocka_unit_test(the_rule_for_an_absent_history),
	        cmocka_unit_test(a_path_is_followed_over_its_forks),
	        TEST(everything_is_found_in_a_listing),
	        TEST(the_ends_of_timelines_cost_few_requests),
	        TEST(the_end_is_found_behind_a_folder_without_segments),
	        TEST(one_segment_is_asked_for),
	        TEST(no_failure_makes_a_smaller_catalogue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
