/* adopt_test.c — which branches an adoption fences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "job/adopt.h"
#include "unit/repo/branches.h"

enum { SEGMENT = 16 << 20, NOTES_MAX = 8 };

struct decided {
	struct owner_note *note;
	size_t count, size;
};

static struct decided adopt_on(const struct catalog *catalog, uint32_t tli)
{
	struct decided decided = {0};
	struct history path = {0};

	history_copy(&path, &catalog_timeline(catalog, tli)->history);
	path.tli = tli;
	adopt_decide(catalog, &path, &decided.note, &decided.count, &decided.size);
	history_release(&path);
	return decided;
}

/* Takes what was decided as done, each later than all before. */
static void take(struct catalog *catalog, struct decided *decided)
{
	for (size_t i = 0; i < decided->count; i++) {
		struct owner_note note = decided->note[i];

		note.n = owner_next(catalog, note.tli);
		note.time_us = (int64_t)(1000 + catalog->notes);
		catalog_add_note(catalog, &note);
	}
	free(decided->note);
}

static void expect(const struct decided *decided, size_t at, enum owner_kind kind, uint32_t tli,
                   lsn from)
{
	assert_true(at < decided->count);
	assert_int_equal(decided->note[at].kind, kind);
	assert_int_equal(decided->note[at].tli, tli);
	if (kind == OWNER_FENCE)
		assert_true(decided->note[at].position == from);
}

static void after_a_failover_the_old_branch_is_fenced_and_a_second_time_nothing(void **state)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};
	struct decided decided;

	(void)state;
	catalog_add_timeline(&catalog, 1);
	add_history(&catalog, 2, 1, 500);
	decided = adopt_on(&catalog, 2);
	assert_int_equal(decided.count, 1);
	expect(&decided, 0, OWNER_FENCE, 1, 500);
	take(&catalog, &decided);
	assert_non_null(owner_fence(&catalog, 1, 501));
	assert_null(owner_fence(&catalog, 2, LSN_MAX));
	decided = adopt_on(&catalog, 2);
	assert_int_equal(decided.count, 0);
	free(decided.note);
	catalog_release(&catalog);
}

static void production_fences_what_a_test_has_begun(void **state)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};
	struct decided decided;

	(void)state;
	catalog_add_timeline(&catalog, 1);
	add_history(&catalog, 2, 1, 500);
	add_history(&catalog, 3, 2, 700);
	decided = adopt_on(&catalog, 1);
	take(&catalog, &decided);
	assert_null(owner_fence(&catalog, 1, LSN_MAX));
	assert_non_null(owner_fence_whole(&catalog, 2));
	assert_non_null(owner_fence_whole(&catalog, 3));
	catalog_release(&catalog);
}

static void the_other_adoption_turns_it_round(void **state)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};
	struct decided decided;

	(void)state;
	catalog_add_timeline(&catalog, 1);
	add_history(&catalog, 2, 1, 500);
	for (unsigned round = 0; round < NOTES_MAX; round++) {
		uint32_t right = 1 + round % 2, wrong = 3 - right;

		decided = adopt_on(&catalog, right);
		take(&catalog, &decided);
		assert_null(owner_fence(&catalog, right, LSN_MAX));
		assert_non_null(owner_fence(&catalog, wrong, LSN_MAX));
	}
	catalog_release(&catalog);
}

static void a_quarrel_on_the_way_is_settled_too(void **state)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};
	struct owner_note contest = {
	        .tli = 2, .n = 1, .kind = OWNER_CONTESTED, .other = 1, .position = 500};
	struct decided decided;

	(void)state;
	catalog_add_timeline(&catalog, 1);
	add_history(&catalog, 2, 1, 500);
	add_history(&catalog, 3, 2, 900);
	catalog_add_note(&catalog, &contest);
	decided = adopt_on(&catalog, 3);
	assert_int_equal(decided.count, 2);
	expect(&decided, 0, OWNER_FENCE, 2, 900);
	expect(&decided, 1, OWNER_FENCE, 1, 500);
	take(&catalog, &decided);
	assert_null(owner_contest(&catalog, 0));
	assert_null(owner_fence(&catalog, 3, LSN_MAX));
	catalog_release(&catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                after_a_failover_the_old_branch_is_fenced_and_a_second_time_nothing),
	        cmocka_unit_test(production_fences_what_a_test_has_begun),
	        cmocka_unit_test(the_other_adoption_turns_it_round),
	        cmocka_unit_test(a_quarrel_on_the_way_is_settled_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
