/* clock_test.c — the calendar, compared with known days and with libc. */
#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static void known_moments_are_written_right(void **state)
{
	static const struct {
		int64_t us;
		const char *text, *compact;
	} rows[] = {
	        {0, "1970-01-01 00:00:00+00", "19700101T000000Z"},
	        {-1, "1969-12-31 23:59:59.999999+00", "19691231T235959Z"},
	        {951782400 * US_PER_S, "2000-02-29 00:00:00+00", "20000229T000000Z"},
	        {1795183320 * US_PER_S + 123456, "2026-11-20 14:02:00.123456+00",
	         "20261120T140200Z"},
	        {1795183320 * US_PER_S + 7, "2026-11-20 14:02:00.000007+00", "20261120T140200Z"},
	};
	char out[TIME_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		clock_text_utc(rows[i].us, out);
		assert_string_equal(out, rows[i].text);
		clock_compact(rows[i].us, out);
		assert_string_equal(out, rows[i].compact);
	}
}

static void any_number_is_a_moment(void **state)
{
	char out[TIME_TEXT_BYTES];

	(void)state;
	clock_text_utc(INT64_MAX, out);
	assert_string_equal(out, "294247-01-10 04:00:54.775807+00");
	clock_text_utc(INT64_MIN, out);
	assert_string_equal(out, "-290308-12-21 19:59:05.224192+00");
}

static void days_go_there_and_back_as_libc_has_them(void **state)
{
	(void)state;
	for (int64_t days = -800000; days < 800000; days += 17) {
		time_t seconds = (time_t)days * 86400;
		struct tm tm;
		int year, month, day;

		assert_non_null(gmtime_r(&seconds, &tm));
		clock_civil(days, &year, &month, &day);
		assert_int_equal(year, tm.tm_year + 1900);
		assert_int_equal(month, tm.tm_mon + 1);
		assert_int_equal(day, tm.tm_mday);
		assert_true(clock_days(year, month, day) == days);
	}
}

static void postgres_counts_from_2000(void **state)
{
	char out[TIME_TEXT_BYTES];

	(void)state;
	clock_text_utc(clock_from_pg(0), out);
	assert_string_equal(out, "2000-01-01 00:00:00+00");
	assert_true(clock_to_pg(clock_from_pg(12345)) == 12345);
}

static void clocks_go_forward(void **state)
{
	int64_t mono_us = clock_mono_us(), now_us = clock_now_us();

	(void)state;
	assert_true(now_us > 1600000000 * US_PER_S);
	assert_true(clock_mono_us() >= mono_us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(known_moments_are_written_right),
	        cmocka_unit_test(any_number_is_a_moment),
	        cmocka_unit_test(days_go_there_and_back_as_libc_has_them),
	        cmocka_unit_test(postgres_counts_from_2000),
	        cmocka_unit_test(clocks_go_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
