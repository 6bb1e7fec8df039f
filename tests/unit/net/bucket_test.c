/* Bytes per second as arithmetic: the clock is the test's. */
#include "net/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RATE = 1000 * 1000, CHUNK = 16 * 1024 };

/* Bytes that pass in `ms` when somebody asks each millisecond. */
static int64_t passes(struct bucket *bucket, int64_t from_ms, int64_t ms)
{
	int64_t passed = 0;

	for (int64_t now_ms = from_ms; now_ms < from_ms + ms; now_ms++)
		while (passed < INT64_C(1) << 40 && bucket_open(bucket, now_ms)) {
			bucket_take(bucket, CHUNK);
			passed += CHUNK;
		}
	return passed;
}

static void no_more_passes_than_the_rate(void **state)
{
	struct bucket bucket;
	int64_t passed;

	(void)state;
	bucket_set(&bucket, RATE, 5000);
	passed = passes(&bucket, 5000, 10 * 1000);
	assert_true(passed <= 10 * RATE + CHUNK);
	assert_true(passed >= 10 * RATE - 2 * CHUNK);
}

static void a_pause_is_not_made_up_for(void **state)
{
	struct bucket bucket;

	(void)state;
	bucket_set(&bucket, RATE, 0);
	assert_true(passes(&bucket, 3600 * 1000, 1) <= RATE / 10 + CHUNK);
}

static void without_a_rate_all_passes(void **state)
{
	struct bucket bucket = {0};

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(bucket_open(&bucket, 7));
		bucket_take(&bucket, SIZE_MAX / 2);
	}
}

static void a_new_rate_holds_from_then_on(void **state)
{
	struct bucket bucket;

	(void)state;
	bucket_set(&bucket, RATE, 0);
	passes(&bucket, 0, 1000);
	bucket_set(&bucket, RATE / 4, 1000);
	assert_true(passes(&bucket, 1000, 4000) <= RATE + CHUNK);
	bucket_set(&bucket, 0, 5000);
	assert_true(bucket_open(&bucket, 5000));
}

static void even_the_smallest_rate_opens_at_last(void **state)
{
	struct bucket bucket;

	(void)state;
	bucket_set(&bucket, 1, 0);
	assert_false(bucket_open(&bucket, 0));
	assert_false(bucket_open(&bucket, 999));
	assert_true(bucket_open(&bucket, 1000));
	bucket_take(&bucket, 3);
	assert_false(bucket_open(&bucket, 2000));
	assert_false(bucket_open(&bucket, 3000));
	assert_true(bucket_open(&bucket, 4000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(no_more_passes_than_the_rate),
	        cmocka_unit_test(a_pause_is_not_made_up_for),
	        cmocka_unit_test(without_a_rate_all_passes),
	        cmocka_unit_test(a_new_rate_holds_from_then_on),
	        cmocka_unit_test(even_the_smallest_rate_opens_at_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
