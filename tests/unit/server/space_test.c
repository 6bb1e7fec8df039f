/* The forecast of a disk, and its file. */
#include "../../../src/server/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GB = 1 << 30 };
static const int64_t start_s = 1800000000;

static struct space space;

static void begin(void)
{
	memset(&space, 0, sizeof(space));
}

static void a_disk_that_fills_evenly_has_its_days(void **state)
{
	double days = 0;

	(void)state;
	begin();
	for (int hour = 0; hour <= 12; hour++)
		space_add(&space, start_s + hour * 3600, (uint64_t)(100 - hour) * GB, 200ull * GB);
	assert_true(space_days_left(&space, &days));
	assert_true(days > 3.66 && days < 3.67); /* 88 GB at 24 GB a day */
}

static void too_little_time_or_no_growth_gives_no_forecast(void **state)
{
	double days = 0;

	(void)state;
	begin();
	assert_false(space_days_left(&space, &days));
	space_add(&space, start_s, 100ull * GB, 200ull * GB);
	assert_false(space_days_left(&space, &days));
	space_add(&space, start_s + 300, 90ull * GB, 200ull * GB);
	assert_false(space_days_left(&space, &days));
	space_add(&space, start_s + 3600, 120ull * GB, 200ull * GB);
	assert_false(space_days_left(&space, &days));
}

static void only_the_last_day_counts_and_the_samples_are_bounded(void **state)
{
	double days = 0;

	(void)state;
	begin();
	for (int minute = 0; minute < 3 * SPACE_SAMPLES_MAX; minute++)
		space_add(&space, start_s + minute * 60,
		          minute < 2 * SPACE_SAMPLES_MAX ? 100ull * GB : 50ull * GB, 200ull * GB);
	assert_true(space.samples <= SPACE_SAMPLES_MAX);
	assert_true(space.sample[0].time_s >= start_s + 2 * SPACE_SAMPLES_MAX * 60 - 60);
	(void)days;
}

static void a_clock_that_goes_back_begins_again(void **state)
{
	(void)state;
	begin();
	space_add(&space, start_s, 100ull * GB, 200ull * GB);
	space_add(&space, start_s + 3600, 90ull * GB, 200ull * GB);
	space_add(&space, start_s - 3600, 80ull * GB, 200ull * GB);
	assert_int_equal(space.samples, 1);
	assert_int_equal(space.free_bytes, 80ull * GB);
}

static void the_file_is_read_back_and_damage_in_it_is_ignored(void **state)
{
	char path[64] = "/tmp/seawall-space.XXXXXX";
	struct err err = {.code = ERR_NONE};
	FILE *file;

	(void)state;
	assert_true(close(mkstemp(path)) == 0);
	begin();
	for (int minute = 0; minute < 30; minute++)
		space_add(&space, start_s + minute * 60, (uint64_t)(100 - minute) * GB,
		          200ull * GB);
	assert_true(space_save(&space, path, &err));
	begin();
	space_load(&space, path, start_s + 1800);
	assert_int_equal(space.samples, 30);
	assert_int_equal(space.sample[29].free_bytes, 71ull * GB);
	begin();
	space_load(&space, path, start_s + 2 * SPACE_WINDOW_S); /* all too old */
	assert_int_equal(space.samples, 0);
	file = fopen(path, "a");
	assert_non_null(file);
	fputs("nonsense\n12 \n1800009000 -5\n\x01\x02 7\n", file);
	fclose(file);
	space_load(&space, path, start_s + 1800);
	assert_int_equal(space.samples, 30);
	begin();
	space_load(&space, "/nonexistent/space", start_s);
	assert_int_equal(space.samples, 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_disk_that_fills_evenly_has_its_days),
	        cmocka_unit_test(too_little_time_or_no_growth_gives_no_forecast),
	        cmocka_unit_test(only_the_last_day_counts_and_the_samples_are_bounded),
	        cmocka_unit_test(a_clock_that_goes_back_begins_again),
	        cmocka_unit_test(the_file_is_read_back_and_damage_in_it_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
