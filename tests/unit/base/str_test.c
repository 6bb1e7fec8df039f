/* str_test.c — text is parsed whole or not at all. */
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void beginnings_and_ends(void **state)
{
	(void)state;
	assert_true(str_starts("00000002.history", "0000"));
	assert_false(str_starts("00", "0000"));
	assert_true(str_ends("00000002.history", ".history"));
	assert_false(str_ends("y", ".history"));
	assert_true(str_ends("x", ""));
}

static void a_copy_fits_or_says_so(void **state)
{
	char out[4] = "zzz";

	(void)state;
	assert_true(str_copy(out, sizeof(out), "abc"));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "");
	assert_false(str_copy(out, 0, "a"));
}

static void a_number_is_the_whole_text(void **state)
{
	static const char *const bad[] = {"",
	                                  " 1",
	                                  "1 ",
	                                  "+1",
	                                  "-1",
	                                  "1x",
	                                  "0x1",
	                                  "18446744073709551616",
	                                  "99999999999999999999999"};
	uint64_t value = 5;
	uint32_t small = 6;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(str_u64(bad[i], &value));
	assert_int_equal(value, 5);
	assert_true(str_u64("18446744073709551615", &value));
	assert_true(value == UINT64_MAX);
	assert_true(str_u64("0007", &value));
	assert_int_equal(value, 7);
	assert_false(str_u32("4294967296", &small));
	assert_true(str_u32("4294967295", &small));
	assert_true(small == UINT32_MAX);
}

static void hex_digits_are_counted(void **state)
{
	uint64_t value = 9;
	uint8_t bytes[3] = {0};
	char text[7];

	(void)state;
	assert_true(str_hex("0000000A0000", 8, true, &value));
	assert_int_equal(value, 10);
	assert_false(str_hex("0000000a", 8, true, &value));
	assert_true(str_hex("0000000a", 8, false, &value));
	assert_false(str_hex("0000", 8, false, &value));
	assert_false(str_hex("0", 0, false, &value));
	assert_false(str_hex("00000000000000000", 17, false, &value));
	assert_true(str_hex("FFFFFFFFFFFFFFFF", 16, true, &value));
	assert_true(value == UINT64_MAX);
	str_hex_of("\x00\xfe\x7f", 3, text);
	assert_string_equal(text, "00fe7f");
	assert_true(str_hex_to(text, bytes, 3));
	assert_memory_equal(bytes, "\x00\xfe\x7f", 3);
	assert_false(str_hex_to("00fe7", bytes, 3));
	assert_false(str_hex_to("00fe7f0", bytes, 3));
	assert_false(str_hex_to("00fe7g", bytes, 3));
}

static void text_is_utf8_without_control_characters(void **state)
{
	static const char *const good[] = {"", "table", "Größe", "\xf0\x9f\x90\x98",
	                                   "\xef\xbf\xbd"};
	static const char *const bad[] = {
	        "a\tb",     "\x7f",         "\xc2\x85",         "\xff",
	        "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
	        "\x80"};
	char text[] = "a\n\xc3\xb6\xff\xc2\x85\xe2\x82";

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
		assert_true(str_is_text(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(str_is_text(bad[i], strlen(bad[i])));
	assert_false(str_is_text("a\0b", 3));
	str_clean(text);
	assert_string_equal(text, "a \xc3\xb6?  ??");
}

static void a_cut_text_ends_at_a_whole_character(void **state)
{
	char whole[8] = "abcdefg", cut[8] = "abc\xc3\xb6xy", fits[8] = "abc";

	(void)state;
	str_cut(whole, sizeof(whole), 8);
	assert_string_equal(whole, "abcd...");
	str_cut(cut, sizeof(cut), 20);
	assert_string_equal(cut, "abc...");
	str_cut(fits, sizeof(fits), 3);
	assert_string_equal(fits, "abc");
}

static void blanks_are_trimmed(void **state)
{
	char text[] = " \t a b \r\n", blank[] = "  ", none[] = "";

	(void)state;
	assert_string_equal(str_trim(text), "a b");
	assert_string_equal(str_trim(blank), "");
	assert_string_equal(str_trim(none), "");
}

static void a_shell_reads_the_quoted_text_back(void **state)
{
	AUTO_FREE
	char *quoted = str_shell("it's $HOME \"x\" \\");
	AUTO_FREE
	char *empty = str_shell("");

	(void)state;
	assert_string_equal(quoted, "'it'\\''s $HOME \"x\" \\'");
	assert_string_equal(empty, "''");
}

static void a_list_grows_and_sorts(void **state)
{
	struct strs strs = {0};
	char name[8] = "a0";

	(void)state;
	assert_false(strs_has(&strs, "a0"));
	strs_sort(&strs);
	for (int i = 40; i-- > 0;) {
		name[0] = (char)('a' + i % 20);
		name[1] = (char)('0' + i / 20);
		strs_add(&strs, name);
	}
	strs_sort(&strs);
	assert_int_equal(strs.count, 40);
	for (size_t i = 1; i < strs.count; i++)
		assert_true(strcmp(strs.item[i - 1], strs.item[i]) < 0);
	assert_true(strs_has(&strs, "t1"));
	assert_false(strs_has(&strs, "t"));
	strs_release(&strs);
	assert_int_equal(strs.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(beginnings_and_ends),
	        cmocka_unit_test(a_copy_fits_or_says_so),
	        cmocka_unit_test(a_number_is_the_whole_text),
	        cmocka_unit_test(hex_digits_are_counted),
	        cmocka_unit_test(text_is_utf8_without_control_characters),
	        cmocka_unit_test(a_cut_text_ends_at_a_whole_character),
	        cmocka_unit_test(blanks_are_trimmed),
	        cmocka_unit_test(a_shell_reads_the_quoted_text_back),
	        cmocka_unit_test(a_list_grows_and_sorts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
