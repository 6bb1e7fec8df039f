/* zone_test.c — times as people write them, in zones with and without daylight saving. */
#include "base/zone.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

/* 2026-11-20 14:02:00 UTC */
#define NOW (INT64_C(1795183320) * US_PER_S)

static void a_written_time_is_the_right_moment(void **state)
{
	static const struct {
		const char *text, *fallback;
		int64_t s;
		int32_t us;
	} rows[] = {
	        {"2026-11-20 14:02:00Z", NULL, 1795183320, 0},
	        {"2026-11-20 14:02:00 UTC", NULL, 1795183320, 0},
	        {"2026-11-20T14:02Z", NULL, 1795183320, 0},
	        {"2026-11-20 15:02:00+01", NULL, 1795183320, 0},
	        {"2026-11-20 15:32+0130", NULL, 1795183320, 0},
	        {"2026-11-20 15:32 +01:30", NULL, 1795183320, 0},
	        {"2026-11-20 10:32:00.25-03:30", NULL, 1795183320, 250000},
	        {"2026-11-20 14:02:00.123456+00", NULL, 1795183320, 123456},
	        {"2026-11-20 15:02:00", "Europe/Berlin", 1795183320, 0},
	        {"2026-11-20 15:02:00 Europe/Berlin", "Asia/Tokyo", 1795183320, 0},
	        {"2026-11-20 23:02", "Asia/Tokyo", 1795183320, 0},
	        {"2026-11-20 17:02", "<+03>-3", 1795183320, 0},
	        {"2026-06-01 12:00", "Europe/Berlin", 1780308000, 0},
	        {"2060-06-01 12:00", "Europe/Berlin", 2853309600, 0},
	        {"2060-01-15 12:00", "Australia/Sydney", 2841354000, 0},
	        {"14:00", "UTC", 1795183200, 0},
	        {"23:01", "Asia/Tokyo", 1795183260, 0},
	        {"00:30+14", NULL, 1795170600, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct err err = {0};
		int64_t us = 0;

		if (!zone_parse_time(rows[i].text, rows[i].fallback, NOW, &us, &err))
			fail_msg("%s: %s", rows[i].text, err.text);
		if (us != rows[i].s * US_PER_S + rows[i].us)
			fail_msg("%s: %lld", rows[i].text, (long long)us);
	}
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const rows[] = {
	        "",
	        "yesterday",
	        "now",
	        "2026-11-20",
	        "2026-13-01 00:00Z",
	        "2026-02-29 00:00Z",
	        "2026-02-30 00:00Z",
	        "2026-1-1 00:00Z",
	        "2026-11-20 24:00Z",
	        "2026-11-20 14:60Z",
	        "2026-11-20 14:02:60Z",
	        "2026-11-20 14:02:00.Z",
	        "2026-11-20 14:02:00.1234567Z",
	        "2026-11-20 14:02:00+1x",
	        "2026-11-20 14:02:00+99",
	        "2026-11-20 14:02:00 +01 Europe/Berlin",
	        "2026-11-20 1:02 PM",
	        "20261120T140200Z",
	        "2026-11-20 14:02:00 Europe/Atlantis",
	        "2026-11-20 14:02:00 ../../etc/passwd",
	        "2026-11-20 14:02:00 IST",
	        "2026-11-20 14:02:00 CST",
	        "2026-11-20 14:02:00 EST",
	        "2026-11-20 14:02:00 est",
	        "2026-11-20 14:02:00 EST5EDT",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct err err = {0};
		int64_t us;

		if (zone_parse_time(rows[i], "UTC", NOW, &us, &err))
			fail_msg("\"%s\" was taken", rows[i]);
		assert_int_equal(err.code, ERR_USAGE);
		assert_true(err.hint[0]);
	}
}

static void d38_a_time_without_any_zone_is_refused(void **state)
{
	struct err err = {0};
	int64_t us;

	(void)state;
	assert_false(zone_parse_time("2026-11-20 14:02", "", NOW, &us, &err));
	err_clear(&err);
	assert_false(zone_parse_time("2026-11-20 14:02", NULL, NOW, &us, &err));
	assert_non_null(strstr(err.text, "has no zone"));
}

static void an_hour_that_came_twice_is_refused_with_both_readings(void **state)
{
	struct err err = {0};
	int64_t us;

	(void)state;
	assert_false(zone_parse_time("2026-10-25 02:30", "Europe/Berlin", NOW, &us, &err));
	assert_non_null(strstr(err.text, "came twice in Europe/Berlin"));
	assert_non_null(strstr(err.hint, "2026-10-25 02:30:00+01"));
	assert_non_null(strstr(err.hint, "2026-10-25 02:30:00+02"));
	err_clear(&err);
	assert_true(zone_parse_time("2026-10-25 01:59:59", "Europe/Berlin", NOW, &us, &err));
	assert_true(zone_parse_time("2026-10-25 03:00", "Europe/Berlin", NOW, &us, &err));
	assert_true(zone_parse_time("2026-10-25 02:30+01", "Europe/Berlin", NOW, &us, &err));
	/* by the rule behind the table too */
	assert_false(zone_parse_time("2077-10-31 02:30", "Europe/Berlin", NOW, &us, &err));
}

static void an_hour_that_never_was_is_refused_with_both_readings(void **state)
{
	struct err err = {0};
	int64_t us;

	(void)state;
	assert_false(zone_parse_time("2026-03-29 02:30", "Europe/Berlin", NOW, &us, &err));
	assert_non_null(strstr(err.text, "never was in Europe/Berlin"));
	assert_non_null(strstr(err.hint, "2026-03-29 02:30:00+01"));
	assert_non_null(strstr(err.hint, "2026-03-29 02:30:00+02"));
	err_clear(&err);
	assert_false(zone_parse_time("2011-12-30 12:00", "Pacific/Apia", NOW, &us, &err));
	err_clear(&err);
	assert_true(zone_parse_time("2026-03-29 03:00", "Europe/Berlin", NOW, &us, &err));
}

static void a_moment_is_written_with_its_offset(void **state)
{
	static const struct {
		const char *zone;
		int64_t s;
		const char *text;
	} rows[] = {
	        {"Europe/Berlin", 1795183320, "2026-11-20 15:02:00+01"},
	        {"Europe/Berlin", 1780308000, "2026-06-01 12:00:00+02"},
	        {"Asia/Kolkata", 1795183320, "2026-11-20 19:32:00+05:30"},
	        {"America/St_Johns", 1795183320, "2026-11-20 10:32:00-03:30"},
	        {"UTC", 1795183320, "2026-11-20 14:02:00+00"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct err err = {0};
		struct zone *zone;
		char out[ZONE_TEXT_BYTES];

		assert_true(zone_load(rows[i].zone, &zone, &err));
		zone_text(rows[i].s * US_PER_S, zone, out);
		assert_string_equal(out, rows[i].text);
		zone_free(zone);
	}
}

/* The C library says which moments a clock on the wall showed it. */
static unsigned moments_of(const struct tm *wall, int64_t near_s, int64_t ret_s[4])
{
	unsigned found = 0;

	for (int64_t s = near_s - 15 * 3600; s <= near_s + 15 * 3600 && found < 4; s += 900) {
		time_t t = (time_t)s;
		struct tm tm;

		localtime_r(&t, &tm);
		if (tm.tm_mday == wall->tm_mday && tm.tm_hour == wall->tm_hour &&
		    tm.tm_min == wall->tm_min && tm.tm_mon == wall->tm_mon)
			ret_s[found++] = s;
	}
	return found;
}

static void wall_clock_is(const char *zone, const struct tm *wall, int64_t utc_s,
                          unsigned counts[3])
{
	struct err err = {0};
	int64_t moment[4], us = 0;
	unsigned found = moments_of(wall, utc_s, moment);
	char text[64];
	bool taken;

	snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d", wall->tm_year + 1900,
	         wall->tm_mon + 1, wall->tm_mday, wall->tm_hour, wall->tm_min);
	taken = zone_parse_time(text, zone, NOW, &us, &err);
	assert_in_range(found, 0, 2);
	counts[found]++;
	if (taken != (found == 1) || (taken && us != moment[0] * US_PER_S))
		fail_msg("%s %s: %u moments, %s %lld", text, zone, found, err.text, (long long)us);
	if (!taken && (err.code != ERR_USAGE || !err.hint[0] ||
	               !strstr(err.text, found ? "came twice" : "never was")))
		fail_msg("%s %s: %s", text, zone, err.text);
}

/* Each quarter of an hour of the months in which the clocks change, in three zones: once, twice
 * and never as the C library says, which goes from moments to the clock and not back. */
static void months_with_a_change_of_the_clocks_are_read_as_the_clocks_showed_them(void **state)
{
	static const struct {
		const char *zone;
		int month[2];
		unsigned quarters; /* of an hour that are skipped, and that come twice */
	} rows[] = {{"Europe/Berlin", {3, 10}, 4},
	            {"America/New_York", {3, 11}, 4},
	            {"Australia/Lord_Howe", {10, 4}, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		unsigned counts[3] = {0};

		setenv("TZ", rows[i].zone, 1);
		tzset();
		for (unsigned m = 0; m < 2; m++)
			for (int quarter = 0; quarter < 30 * 96; quarter++) {
				struct tm wall = {.tm_year = 126,
				                  .tm_mon = rows[i].month[m] - 1,
				                  .tm_mday = 1 + quarter / 96,
				                  .tm_hour = quarter / 4 % 24,
				                  .tm_min = quarter % 4 * 15};
				struct tm utc = wall;

				wall_clock_is(rows[i].zone, &wall, (int64_t)timegm(&utc), counts);
			}
		assert_int_equal(counts[0], rows[i].quarters);
		assert_int_equal(counts[2], rows[i].quarters);
	}
	unsetenv("TZ");
}

static void abbreviations_are_refused_in_every_place(void **state)
{
	static const char *const rows[] = {"CET",  "CEST", "MET", "EDT", "PST", "PDT", "MSK",
	                                   "AEST", "BST",  "JST", "HST", "MST", "EET", "WET"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct err err = {0};
		char text[64];
		int64_t us;

		snprintf(text, sizeof(text), "2026-10-25 02:30 %s", rows[i]);
		if (zone_parse_time(text, "Europe/Berlin", NOW, &us, &err))
			fail_msg("\"%s\" was taken", text);
		assert_int_equal(err.code, ERR_USAGE);
		assert_true(err.hint[0]);
	}
}

/* The C library reads the same files: every few hours of 70 years, in zones with odd histories. */
static void offsets_are_those_of_the_c_library(void **state)
{
	static const char *const names[] = {
	        "Europe/Berlin",     "America/New_York", "Asia/Kolkata",
	        "Africa/Casablanca", "Pacific/Apia",     "Australia/Lord_Howe",
	        "Europe/Dublin",     "America/Santiago", "Asia/Tehran"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		struct err err = {0};
		struct zone *zone;

		assert_true(zone_load(names[i], &zone, &err));
		setenv("TZ", names[i], 1);
		tzset();
		for (int64_t s = 0; s < INT64_C(2300000000); s += 5 * 3600 + 17) {
			time_t t = (time_t)s;
			struct tm tm;

			localtime_r(&t, &tm);
			if (zone_offset(zone, s) != tm.tm_gmtoff)
				fail_msg("%s at %lld: %d, not %ld", names[i], (long long)s,
				         zone_offset(zone, s), tm.tm_gmtoff);
		}
		zone_free(zone);
	}
	unsetenv("TZ");
}

static void a_damaged_file_is_refused(void **state)
{
	struct err err = {0};
	struct zone *zone;

	(void)state;
	assert_false(zone_decode("", 0, &zone, &err));
	assert_false(zone_decode("TZif2", 5, &zone, &err));
	assert_false(
	        zone_decode("not a zone file, but long enough to be one head", 44, &zone, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_written_time_is_the_right_moment),
	        cmocka_unit_test(what_is_no_time_is_refused),
	        cmocka_unit_test(d38_a_time_without_any_zone_is_refused),
	        cmocka_unit_test(an_hour_that_came_twice_is_refused_with_both_readings),
	        cmocka_unit_test(an_hour_that_never_was_is_refused_with_both_readings),
	        cmocka_unit_test(
	                months_with_a_change_of_the_clocks_are_read_as_the_clocks_showed_them),
	        cmocka_unit_test(abbreviations_are_refused_in_every_place),
	        cmocka_unit_test(a_moment_is_written_with_its_offset),
	        cmocka_unit_test(offsets_are_those_of_the_c_library),
	        cmocka_unit_test(a_damaged_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
