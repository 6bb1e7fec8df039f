/* arguments_test.c — command lines, and what is said of wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "../../../src/cli/list.h"

static const struct cli_option rows[] = {
        {"label", "TEXT", "a text", false},
        {"option", "NAME=VALUE", "a setting", true},
        {"start", NULL, "start it", false},
        {0},
};
static const struct command command = {.name = "try",
                                       .usage = "NAME [PATH]",
                                       .options = rows,
                                       .arguments_min = 1,
                                       .arguments_max = 2,
                                       .changes = true};

#define WORDS(...)                                                                                 \
	((const char *[]){__VA_ARGS__}), (sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static bool parse(const char *const *words, size_t count, struct arguments *ret, struct err *err)
{
	*err = (struct err){0};
	return arguments_parse(&command, words, (unsigned)count, ret, err);
}

static void takes_options_and_arguments_in_any_order(void **state)
{
	struct arguments arguments;
	const char *values[4];
	struct err err;

	(void)state;
	assert_true(parse(WORDS("--option", "a=1", "main", "--label=x=y", "--option=b=2", "--start",
	                        "path", "--dry-run", "--json"),
	                  &arguments, &err));
	assert_string_equal(argument_at(&arguments, 0), "main");
	assert_string_equal(argument_at(&arguments, 1), "path");
	assert_null(argument_at(&arguments, 2));
	assert_string_equal(option_value(&arguments, "label"), "x=y");
	assert_true(option_given(&arguments, "start"));
	assert_true(option_given(&arguments, "dry-run"));
	assert_false(option_given(&arguments, "quiet"));
	assert_int_equal(option_values(&arguments, "option", values, 4), 2);
	assert_string_equal(values[0], "a=1");
	assert_string_equal(values[1], "b=2");
	assert_int_equal(option_values(&arguments, "option", values, 1), 1);
}

static void two_dashes_end_the_options(void **state)
{
	struct arguments arguments;
	struct err err;

	(void)state;
	assert_true(parse(WORDS("--", "--label", "-x"), &arguments, &err));
	assert_string_equal(argument_at(&arguments, 0), "--label");
	assert_string_equal(argument_at(&arguments, 1), "-x");
	assert_true(parse(WORDS("-"), &arguments, &err));
	assert_string_equal(argument_at(&arguments, 0), "-");
}

static void a_value_may_look_like_an_option(void **state)
{
	struct arguments arguments;
	struct err err;

	(void)state;
	assert_true(parse(WORDS("a", "--label", "--start"), &arguments, &err));
	assert_string_equal(option_value(&arguments, "label"), "--start");
	assert_false(option_given(&arguments, "start"));
}

static void refuses(const char *const *words, size_t count, const char *sentence, const char *hint)
{
	struct arguments arguments;
	struct err err;

	assert_false(parse(words, count, &arguments, &err));
	assert_int_equal(err.code, ERR_USAGE);
	if (!strstr(err.text, sentence) || !strstr(err.hint, hint))
		fail_msg("\"%s\" hint \"%s\"", err.text, err.hint);
}

static void refuses_wrong_lines_and_says_what_is_meant(void **state)
{
	(void)state;
	refuses(WORDS("a", "--lable", "x"), "option \"--lable\" is unknown", "\"--label\"");
	refuses(WORDS("a", "--sttart=1"), "option \"--sttart\" is unknown", "\"--start\"");
	refuses(WORDS("a", "--lab"), "option \"--lab\" is unknown", "\"--label\"");
	refuses(WORDS("a", "-x"), "option \"-x\" is unknown", "--help");
	refuses(WORDS("a", "--label"), "needs a value", "--label TEXT");
	refuses(WORDS("a", "--label="), "is empty", "--help");
	refuses(WORDS("a", "--start=1"), "takes no value", "--help");
	refuses(WORDS("a", "--start", "--start"), "is given twice", "");
	refuses(WORDS("a", "b", "c"), "\"c\" is one argument too many", "--help");
	refuses(WORDS("--start"), "needs NAME [PATH]", "--help");
	refuses(WORDS("a", "--quiet", "--verbose"), "exclude each other", "");
}

static void help_needs_no_arguments(void **state)
{
	struct arguments arguments;
	struct err err;

	(void)state;
	assert_true(parse(WORDS("--help"), &arguments, &err));
}

static void too_many_options_are_refused(void **state)
{
	const char *words[2 * VALUES_MAX + 4];
	struct arguments arguments;
	struct err err;

	(void)state;
	for (int i = 0; i < VALUES_MAX + 1; i++) {
		words[2 * i] = "--option";
		words[2 * i + 1] = "a=b";
	}
	assert_false(parse(words, 2 * VALUES_MAX + 2, &arguments, &err));
	assert_non_null(strstr(err.text, "more than"));
}

static void every_command_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; commands[i]; i++) {
		const struct command *one = commands[i];
		const struct cli_option *options[OPTIONS_MAX];
		struct cli_exit exits[EXITS_MAX];
		unsigned count = command_options(one, options);

		assert_true(count <= OPTIONS_MAX);
		assert_non_null(one->help);
		assert_non_null(one->about);
		assert_non_null(one->example);
		assert_non_null(one->run);
		assert_true(one->arguments_max <= ARGUMENTS_MAX);
		assert_true(command_exits(one, exits) <= EXITS_MAX);
		for (unsigned a = 0; a < count; a++)
			for (unsigned b = 0; b < a; b++)
				assert_string_not_equal(options[a]->name, options[b]->name);
	}
}

static void every_exit_status_of_an_error_is_documented(void **state)
{
	struct cli_exit exits[EXITS_MAX];
	unsigned count = command_exits(&command, exits);

	(void)state;
	for (int code = ERR_NOTFOUND; code <= ERR_INTERNAL; code++) {
		bool found = false;

		for (unsigned i = 0; i < count; i++)
			found = found || exits[i].status == err_code_exit(code);
		assert_true(found);
	}
}

static void finds_commands_of_one_and_two_words(void **state)
{
	struct err err = {0};
	unsigned used;

	(void)state;
	assert_ptr_equal(command_of_words(WORDS("wal", "push", "x"), &used, &err),
	                 &command_wal_push);
	assert_int_equal(used, 2);
	assert_ptr_equal(command_of_words(WORDS("list", "push"), &used, &err), &command_list);
	assert_int_equal(used, 1);
	assert_null(command_of_words(WORDS("wal", "puhs"), &used, &err));
	assert_string_equal(err.hint, "Did you mean \"seawall wal push\"?");
	err_clear(&err);
	assert_null(command_of_words(WORDS("expire"), &used, &err));
	assert_string_equal(err.text, "command \"expire\" is not in this version");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(takes_options_and_arguments_in_any_order),
	        cmocka_unit_test(two_dashes_end_the_options),
	        cmocka_unit_test(a_value_may_look_like_an_option),
	        cmocka_unit_test(refuses_wrong_lines_and_says_what_is_meant),
	        cmocka_unit_test(help_needs_no_arguments),
	        cmocka_unit_test(too_many_options_are_refused),
	        cmocka_unit_test(every_command_is_whole),
	        cmocka_unit_test(every_exit_status_of_an_error_is_documented),
	        cmocka_unit_test(finds_commands_of_one_and_two_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
