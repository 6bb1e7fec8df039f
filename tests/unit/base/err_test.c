/* err_test.c — sentences, codes and hints. */
#include "base/err.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void a_new_error_has_code_and_sentence(void **state)
{
	struct err err = {0};

	(void)state;
	assert_false(err_is(&err));
	assert_false(err_set(&err, ERR_REFUSED, "file \"%s\" is foreign", "x"));
	assert_true(err_is(&err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_string_equal(err.text, "file \"x\" is foreign");
	err_clear(&err);
	assert_false(err_is(&err));
	assert_string_equal(err.text, "");
}

static void errno_gives_the_code_and_the_reason(void **state)
{
	static const struct {
		int number;
		enum err_code code;
	} rows[] = {
	        {ENOSPC, ERR_FULL}, {EDQUOT, ERR_FULL}, {ENOENT, ERR_NOTFOUND}, {EACCES, ERR_IO}};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		errno = rows[i].number;
		assert_false(err_sys(&err, "could not open file \"%s\"", "a"));
		assert_int_equal(err.code, rows[i].code);
	}
	assert_string_equal(err.text, "could not open file \"a\": Permission denied");
}

static void the_reason_survives_a_very_long_name(void **state)
{
	char name[4000];
	struct err err = {0};

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	errno = EACCES;
	err_sys(&err, "could not open \"%s\"", name);
	assert_non_null(strstr(err.text, "...: Permission denied"));
}

static void wrapping_puts_the_new_sentence_in_front(void **state)
{
	struct err err = {0};
	char line[200];

	(void)state;
	err_set(&err, ERR_NETWORK, "server answered 503");
	assert_false(err_wrap(&err, "could not store object \"%s\"", "o"));
	assert_false(err_wrap_as(&err, ERR_STORE, "could not archive"));
	assert_int_equal(err.code, ERR_STORE);
	assert_string_equal(err.text,
	                    "could not archive\ncould not store object \"o\"\nserver answered 503");
	err_line(&err, line, sizeof(line));
	assert_string_equal(line,
	                    "could not archive: could not store object \"o\": server answered 503");
}

static void the_end_of_the_innermost_is_cut(void **state)
{
	char inner[ERR_TEXT_MAX];
	struct err err = {0};

	(void)state;
	memset(inner, 'i', sizeof(inner) - 1);
	inner[sizeof(inner) - 1] = '\0';
	err_set(&err, ERR_IO, "%s", inner);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	err_wrap(&err, "could not do it");
	assert_memory_equal(err.text, "could not do it\niii", 19);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERR_TEXT_MAX - 5, "i...");
}

static void an_argument_may_point_into_the_error_itself(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, ERR_IO, "inner");
	err_set(&err, err.code, "outer: %s", err.text);
	assert_string_equal(err.text, "outer: inner");
	err_wrap(&err, "again %s", err.text);
	assert_string_equal(err.text, "again outer: inner\nouter: inner");
}

static void what_comes_from_outside_cannot_forge_a_line(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, ERR_IO, "file \"%s\"", "a\nhint: run this\033[2J\xff");
	assert_string_equal(err.text, "file \"a hint: run this [2J?\"");
	err_hint(&err, "Look at \"%s\".", "b\r\n");
	assert_string_equal(err.hint, "Look at \"b  \".");
}

static void the_innermost_hint_stays(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, ERR_IO, "x");
	err_hint(&err, "First.");
	err_hint(&err, "Second.");
	assert_string_equal(err.hint, "First.");
	err_set(&err, ERR_IO, "another failure");
	assert_string_equal(err.hint, "");
}

static void wrapping_nothing_is_still_a_failure(void **state)
{
	struct err err = {0};

	(void)state;
	err_wrap(&err, "could not do it");
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_string_equal(err.text, "could not do it");
}

static void a_person_sees_up_to_three_lines(void **state)
{
	struct err err = {0};
	char lines[400], small[24];

	(void)state;
	err_set(&err, ERR_IO, "c");
	err_lines(&err, lines, sizeof(lines));
	assert_string_equal(lines, "c\n");
	err_wrap(&err, "b");
	err_wrap(&err, "a");
	err_hint(&err, "Do this.");
	err_lines(&err, lines, sizeof(lines));
	assert_string_equal(lines, "a\nb: c\nhint: Do this.\n");
	err_wrap(&err, "a rather long sentence");
	err_lines(&err, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	assert_string_equal(small, "a rather long sente...\n");
}

static void every_code_has_a_row(void **state)
{
	(void)state;
	assert_string_equal(err_code_name(ERR_NOTFOUND), "not-found");
	assert_int_equal(err_code_exit(ERR_DAMAGED), 7);
	assert_true(err_code_retry(ERR_NETWORK));
	assert_false(err_code_retry(ERR_FULL));
	for (int code = 0; code <= ERR_INTERNAL; code++) {
		assert_non_null(err_code_name((enum err_code)code));
		assert_in_range(err_code_exit((enum err_code)code), code ? 1 : 0, 8);
	}
}

static void the_text_of_another_process_keeps_its_sentences(void **state)
{
	static const char *const texts[] = {"one", "outer\ninner", "outer\nmiddle\ninner"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		struct err err = {0};

		assert_false(err_set_text(&err, ERR_STORE, texts[i]));
		assert_string_equal(err.text, texts[i]);
		assert_int_equal(err.code, ERR_STORE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_text_of_another_process_keeps_its_sentences),
	        cmocka_unit_test(a_new_error_has_code_and_sentence),
	        cmocka_unit_test(errno_gives_the_code_and_the_reason),
	        cmocka_unit_test(the_reason_survives_a_very_long_name),
	        cmocka_unit_test(wrapping_puts_the_new_sentence_in_front),
	        cmocka_unit_test(the_end_of_the_innermost_is_cut),
	        cmocka_unit_test(an_argument_may_point_into_the_error_itself),
	        cmocka_unit_test(what_comes_from_outside_cannot_forge_a_line),
	        cmocka_unit_test(the_innermost_hint_stays),
	        cmocka_unit_test(wrapping_nothing_is_still_a_failure),
	        cmocka_unit_test(a_person_sees_up_to_three_lines),
	        cmocka_unit_test(every_code_has_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
