/* segment_test.c — the names of WAL files. */
#include "pg/segment.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void all_four_kinds_are_read_and_printed_again(void **state)
{
	static const struct {
		const char *name;
		enum walname_kind kind;
	} good[] = {
	        {"00000001000000A1000000FE", WALNAME_SEGMENT},
	        {"0000000A000000A1000000FE.partial", WALNAME_PARTIAL},
	        {"00000100000000A1000000FE.00A00028.backup", WALNAME_BACKUP},
	        {"FFFFFFFF.history", WALNAME_HISTORY},
	};
	char text[WALNAME_BYTES];
	struct walname name;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		assert_true(walname_parse(good[i].name, &name));
		assert_int_equal(name.kind, good[i].kind);
		walname_format(&name, text);
		assert_string_equal(text, good[i].name);
	}
	assert_int_equal(name.tli, UINT32_MAX);
}

static void what_is_no_name_is_refused(void **state)
{
	static const char *const bad[] = {
	        "",
	        "00000001",
	        "00000001000000A1000000F",
	        "00000001000000A1000000FEE",
	        "00000001000000a1000000fe",
	        "00000000000000A1000000FE",
	        "00000000.history",
	        "00000001.History",
	        "0000001.history",
	        "00000001.history.x",
	        "00000001000000A1000000FE.partial2",
	        "00000001000000A1000000FE.",
	        "00000001000000A1000000FE.backup",
	        "00000001000000A1000000FE.0000002.backup",
	        "00000001000000A1000000FE.00000028.backup2",
	        "00000001000000A1000000FE.0000002g.backup",
	        "00000001000000A1/00000FE",
	        "../00000001000000A1000000FE",
	        "+0000001000000A1000000FE",
	};
	struct walname name = {.tli = 7};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		if (walname_parse(bad[i], &name))
			fail_msg("\"%s\" is taken", bad[i]);
	assert_int_equal(name.tli, 7);
}

static void names_and_numbers_agree_for_every_segment_size(void **state)
{
	char text[SEGMENT_NAME_BYTES];
	uint64_t segno;
	uint32_t tli;

	(void)state;
	for (uint64_t bytes = SEGMENT_BYTES_MIN; bytes <= SEGMENT_BYTES_MAX; bytes *= 2) {
		uint64_t wanted = (UINT64_C(1) << 44) / bytes + 1;

		assert_true(segment_bytes_valid(bytes));
		segment_name(0x1F, wanted, (uint32_t)bytes, text);
		assert_true(segment_parse(text, (uint32_t)bytes, &tli, &segno));
		assert_int_equal(tli, 0x1F);
		assert_int_equal(segno, wanted);
	}
	segment_name(1, 0x1FF, 16 << 20, text);
	assert_string_equal(text, "0000000100000001000000FF");
	segment_name(1, 7, 1 << 30, text);
	assert_string_equal(text, "000000010000000100000003");
	assert_false(segment_bytes_valid(0));
	assert_false(segment_bytes_valid(3 << 20));
	assert_false(segment_bytes_valid(UINT64_C(2) << 30));
	assert_false(segment_bytes_valid(512 << 10));
}

static void a_name_must_fit_the_segment_size(void **state)
{
	uint64_t segno;
	uint32_t tli;
	struct walname name;

	(void)state;
	assert_true(segment_parse("000000010000000000000FFF", 1 << 20, &tli, &segno));
	assert_false(segment_parse("000000010000000000000100", 16 << 20, &tli, &segno));
	assert_false(segment_parse("000000010000000000000004", 1 << 30, &tli, &segno));
	assert_false(segment_parse("000000010000000000000001.partial", 16 << 20, &tli, &segno));
	assert_true(walname_parse("000000010000000000000001.00100000.backup", &name));
	assert_true(walname_fits(&name, 16 << 20));
	assert_false(walname_fits(&name, 1 << 20));
}

static void names_sort_in_the_order_of_archiving(void **state)
{
	static const char *const sorted[] = {
	        "00000001000000A1000000FE",
	        "00000001000000A1000000FF",
	        "00000001000000A1000000FF.00000028.backup",
	        "00000001000000A1000000FF.00000030.backup",
	        "00000001000000A1000000FF.partial",
	        "00000001000000A200000000",
	        "0000000A.history",
	        "0000000A0000000000000001",
	        "00000010.history",
	};
	struct walname a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(sorted); i++)
		for (size_t j = 0; j < ARRAY_LENGTH(sorted); j++) {
			int order;

			assert_true(walname_parse(sorted[i], &a));
			assert_true(walname_parse(sorted[j], &b));
			order = walname_compare(&a, &b);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_four_kinds_are_read_and_printed_again),
	        cmocka_unit_test(what_is_no_name_is_refused),
	        cmocka_unit_test(names_and_numbers_agree_for_every_segment_size),
	        cmocka_unit_test(a_name_must_fit_the_segment_size),
	        cmocka_unit_test(names_sort_in_the_order_of_archiving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
