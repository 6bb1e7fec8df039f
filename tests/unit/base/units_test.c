/* units_test.c — sizes and durations, read and written. */
#include "base/units.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void sizes_are_read_as_postgres_spells_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {{"0", 0},
	            {"512", 512},
	            {"7B", 7},
	            {"512kB", 512 << 10},
	            {"96MB", 96 << 20},
	            {"1GB", 1 << 30},
	            {"2TB", UINT64_C(2) << 40}};
	static const char *const bad[] = {
	        "",    "MB",    "-1MB", "1 MB",       "1mb",
	        "1KB", "1.5GB", "1MBx", "16777216TB", "99999999999999999999999MB"};
	uint64_t bytes = 3;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(units_parse_size(bad[i], &bytes));
	assert_int_equal(bytes, 3);
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		assert_true(units_parse_size(rows[i].text, &bytes));
		assert_true(bytes == rows[i].bytes);
	}
}

static void durations_need_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {{"0", 0},         {"0s", 0},       {"500ms", 500},  {"10s", 10000},
	            {"5min", 300000}, {"2h", 7200000}, {"1d", 86400000}};
	static const char *const bad[] = {
	        "", "5", "s", "-1s", "5 s", "5m", "5sec", "1.5h", "999999999999999d"};
	uint64_t ms = 3;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(units_parse_duration(bad[i], &ms));
	assert_int_equal(ms, 3);
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		assert_true(units_parse_duration(rows[i].text, &ms));
		assert_true(ms == rows[i].ms);
	}
}

static void sizes_are_written_short(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
	        {0, "0 B"},
	        {1023, "1023 B"},
	        {1024, "1.0 kB"},
	        {812 * 1024, "812 kB"},
	        {1048575, "1.0 MB"},
	        {10 * 1024 - 1, "10 kB"},
	        {UINT64_C(3435973837), "3.2 GB"},
	        {UINT64_MAX, "16777216 TB"},
	};
	char out[UNITS_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		units_size(rows[i].bytes, out);
		assert_string_equal(out, rows[i].text);
	}
}

static void durations_are_written_short(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
	        {0, "0 s"},
	        {12, "12 ms"},
	        {5200, "5.2 s"},
	        {59949, "59.9 s"},
	        {59950, "1 min 0 s"},
	        {200000, "3 min 20 s"},
	        {3599600, "1 h 0 min"},
	        {7500000, "2 h 5 min"},
	        {INT64_C(273600000), "3 d 4 h"},
	        {-5200, "-5.2 s"},
	};
	char out[UNITS_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		units_duration(rows[i].ms, out);
		assert_string_equal(out, rows[i].text);
	}
	units_duration(INT64_MIN, out);
	assert_string_equal(out, "-106751991167 d 7 h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(sizes_are_read_as_postgres_spells_them),
	        cmocka_unit_test(durations_need_a_unit),
	        cmocka_unit_test(sizes_are_written_short),
	        cmocka_unit_test(durations_are_written_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
