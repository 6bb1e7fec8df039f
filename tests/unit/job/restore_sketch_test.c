/* restore_sketch_test.c — where a moment is, by what the WAL index says. */
#include "../../../src/job/restore_sketch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { SEGMENT = 16 << 20 };

/* Timeline 1: segments 10 to 16. */
static struct sketch_segment segment[] = {
        {.tli = 1, .segno = 10, .xacts = true, .max_us = 200},
        {.tli = 1, .segno = 11, .xacts = true, .max_us = 900},
        {.tli = 1, .segno = 12, .xacts = true, .max_us = 320},
        {.tli = 1, .segno = 13, .seen_us = 330},
        {.tli = 1, .segno = 14},
        {.tli = 1, .segno = 15, .xacts = true, .max_us = 600},
        {.tli = 1, .segno = 16, .xacts = true, .max_us = 800},
};
static const struct restore_sketch sketch = {.segment = segment,
                                             .segments = sizeof(segment) / sizeof(segment[0]),
                                             .segment_bytes = SEGMENT};

static struct restore_plan plan_of(enum restore_target_kind kind)
{
	struct restore_plan plan = {
	        .segment_bytes = SEGMENT, .first_segno = 10, .last_segno = 16, .target.kind = kind};

	history_init(&plan.path, 1);
	return plan;
}

static void a_clock_that_ran_backwards_does_not_hide_the_first_one_beyond(void **state)
{
	struct restore_plan plan = plan_of(RESTORE_TIME);
	uint64_t segno;

	(void)state;
	plan.target.time_us = 350; /* 11 has one at 900, all of 12 are earlier */
	assert_true(restore_sketch_beyond(&sketch, &plan, &segno));
	assert_int_equal(segno, 11);
	plan.target.time_us = 200; /* including it */
	assert_true(restore_sketch_beyond(&sketch, &plan, &segno));
	assert_int_equal(segno, 11);
	plan.target.before = true;
	assert_true(restore_sketch_beyond(&sketch, &plan, &segno));
	assert_int_equal(segno, 10);
	plan.target.time_us = 901;
	assert_true(restore_sketch_beyond(&sketch, &plan, &segno));
	assert_int_equal(segno, 0);
	plan.last_segno = 17; /* not indexed: who knows */
	assert_false(restore_sketch_beyond(&sketch, &plan, &segno));
	restore_plan_release(&plan);
}

static void the_newest_transaction_and_the_newest_time_are_found_without_reading(void **state)
{
	struct restore_plan plan = plan_of(RESTORE_TIME);
	uint64_t segno;
	int64_t us;

	(void)state;
	assert_true(restore_sketch_newest(&sketch, &plan, &segno, &us));
	assert_int_equal(segno, 16);
	assert_int_equal(us, INT64_MIN);
	plan.last_segno = 14;
	assert_true(restore_sketch_newest(&sketch, &plan, &segno, &us));
	assert_int_equal(segno, 12);
	assert_int_equal(us, 330);
	plan.first_segno = 13; /* none ended behind the backup */
	assert_true(restore_sketch_newest(&sketch, &plan, &segno, &us));
	assert_int_equal(segno, 0);
	assert_int_equal(us, 330);
	plan.last_segno = 17; /* the last one is read in any case */
	assert_true(restore_sketch_newest(&sketch, &plan, &segno, &us));
	assert_int_equal(segno, 16);
	plan.last_segno = 18; /* 17 may have some */
	assert_false(restore_sketch_newest(&sketch, &plan, &segno, &us));
	restore_plan_release(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_clock_that_ran_backwards_does_not_hide_the_first_one_beyond),
	        cmocka_unit_test(
	                the_newest_transaction_and_the_newest_time_are_found_without_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
