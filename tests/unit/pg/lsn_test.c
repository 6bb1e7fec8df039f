/* lsn_test.c — positions as text and as segment numbers. */
#include "pg/lsn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void positions_are_printed_without_padding(void **state)
{
	char text[LSN_TEXT_BYTES];

	(void)state;
	lsn_text(0, text);
	assert_string_equal(text, "0/0");
	lsn_text(UINT64_C(0x16B000028), text);
	assert_string_equal(text, "1/6B000028");
	lsn_text(LSN_MAX, text);
	assert_string_equal(text, "FFFFFFFF/FFFFFFFF");
}

static void positions_are_read_with_and_without_padding(void **state)
{
	lsn got = 1;

	(void)state;
	assert_true(lsn_parse("0/0", &got));
	assert_int_equal(got, 0);
	assert_true(lsn_parse("1/6b000028", &got));
	assert_int_equal(got, UINT64_C(0x16B000028));
	assert_true(lsn_parse("00000001/0B000028", &got));
	assert_int_equal(got, UINT64_C(0x10B000028));
}

static void what_is_no_position_is_refused(void **state)
{
	static const char *const bad[] = {"",     "/",     "0",     "0/",          "/0",
	                                  "0/0 ", " 0/0",  "0/g",   "000000000/0", "0/123456789",
	                                  "-1/0", "0x1/0", "0/0/0", "1//0"};
	lsn got = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(lsn_parse(bad[i], &got));
	assert_int_equal(got, 77);
}

static void an_end_on_a_boundary_belongs_to_the_segment_before(void **state)
{
	(void)state;
	assert_int_equal(lsn_segno(0x3000000, 16 << 20), 3);
	assert_int_equal(lsn_segno_before(0x3000000, 16 << 20), 2);
	assert_int_equal(lsn_segno_before(0x3000001, 16 << 20), 3);
	assert_int_equal(lsn_of_segno(UINT64_C(0x12345), 1 << 20), UINT64_C(0x1234500000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(positions_are_printed_without_padding),
	        cmocka_unit_test(positions_are_read_with_and_without_padding),
	        cmocka_unit_test(what_is_no_position_is_refused),
	        cmocka_unit_test(an_end_on_a_boundary_belongs_to_the_segment_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
