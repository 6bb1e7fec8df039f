/* log_test.c — one line for each thing, as text and as JSON. */
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { SEEN_MAX = 16 * 1024 };
static char seen[SEEN_MAX];
static int pipe_ends[2], saved_stderr;

static void begin(enum log_level level, enum log_format format)
{
	assert_int_equal(pipe(pipe_ends), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(pipe_ends[1], STDERR_FILENO) >= 0);
	close(pipe_ends[1]);
	log_setup(level, format);
}

/* What was written since begin(), in `seen`. */
static void end(void)
{
	ssize_t got;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	got = read(pipe_ends[0], seen, SEEN_MAX - 1); /* both writing ends are closed by now */
	seen[got > 0 ? got : 0] = '\0';
	close(pipe_ends[0]);
}

/* Each digit becomes 9, so that a time can be compared. */
static void hide_time(size_t length)
{
	for (size_t i = 0; i < length && seen[i]; i++) {
		if (seen[i] >= '0' && seen[i] <= '9')
			seen[i] = '9';
	}
}

static void a_line_of_text(void **state)
{
	(void)state;
	begin(LOG_INFO, LOG_TEXT);
	errno = EXDEV;
	log_info("stored segment \"%s\"", "x\ny");
	assert_int_equal(errno, EXDEV);
	end();
	hide_time(26);
	assert_string_equal(seen, "9999-99-99 99:99:99.999+99 info: stored segment \"x y\"\n");
}

static void a_line_of_json_is_escaped(void **state)
{
	(void)state;
	begin(LOG_INFO, LOG_JSON);
	log_warning("path \"%s\"", "a\\b\n\xff\xc3\xb6");
	end();
	hide_time(34);
	assert_string_equal(seen, "{\"time\":\"9999-99-99T99:99:99.999Z\",\"level\":\"warning\","
	                          "\"message\":\"path \\\"a\\\\b ?\xc3\xb6\\\"\"}\n");
}

static void lower_levels_are_silent(void **state)
{
	(void)state;
	begin(LOG_WARNING, LOG_TEXT);
	log_info("a");
	log_debug("b");
	assert_false(log_on(LOG_INFO));
	assert_true(log_on(LOG_ERROR));
	end();
	assert_string_equal(seen, "");
}

static void an_error_says_what_comes_next_and_the_hint(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, ERR_NETWORK, "no answer");
	err_wrap(&err, "could not store");
	err_hint(&err, "Look at the network.");
	begin(LOG_INFO, LOG_TEXT);
	log_err(LOG_ERROR, &err, ", will retry in 2 s");
	end();
	assert_string_equal(seen + 27, "error: could not store: no answer, will retry in 2 s "
	                               "(hint: Look at the network.)\n");
}

static void an_endless_message_is_cut_and_stays_one_line(void **state)
{
	static char quotes[6000];
	size_t length;

	(void)state;
	memset(quotes, '"', sizeof(quotes) - 1);
	begin(LOG_INFO, LOG_JSON);
	log_info("%s", quotes);
	end();
	length = strlen(seen);
	assert_true(length > 5000);
	assert_string_equal(seen + length - 8, "\\\"...\"}\n");
	assert_ptr_equal(strchr(seen, '\n'), seen + length - 1);
}

static void levels_are_read_by_their_names(void **state)
{
	enum log_level level = LOG_ERROR;

	(void)state;
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_false(log_level_parse("Info", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_DEBUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_line_of_text),
	        cmocka_unit_test(a_line_of_json_is_escaped),
	        cmocka_unit_test(lower_levels_are_silent),
	        cmocka_unit_test(an_error_says_what_comes_next_and_the_hint),
	        cmocka_unit_test(an_endless_message_is_cut_and_stays_one_line),
	        cmocka_unit_test(levels_are_read_by_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
