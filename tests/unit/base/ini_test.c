/* ini_test.c — every line is understood or refused with its number. */
#include "base/ini.h"
#include "base/str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "unit/base/scratch.h"

static void write_bytes(const char *path, const void *bytes, size_t length)
{
	AUTO_FD
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(file_write_full(fd, bytes, length));
}

/* "1[server] 2[server]socket=/x " */
static bool collect(void *context, const struct ini_line *line, struct err *err)
{
	struct buf *seen = context;

	buf_addf(seen, "%u[%s]", line->number, line->section);
	if (line->key)
		buf_addf(seen, "%s=%s", line->key, line->value);
	buf_addc(seen, ' ');
	if (line->key && strcmp(line->key, "stop") == 0)
		return false;
	if (line->key && strcmp(line->key, "bad") == 0) {
		err_set(err, ERR_CONFIG, "unknown unit");
		err_wrap(err, "setting \"bad\" is wrong");
		err_hint(err, "Use MB.");
		return false;
	}
	return true;
}

static bool read_bytes(void **state, const void *bytes, size_t length, struct buf *seen,
                       struct err *err)
{
	AUTO_FREE
	char *path = path_join(*state, "seawall.conf");

	write_bytes(path, bytes, length);
	buf_clear(seen);
	err_clear(err);
	return ini_read(path, collect, seen, err);
}

static void sections_and_settings_come_in_order(void **state)
{
	static const char text[] = "# comment\n; another\n\n   \n[server]\nsocket = /a b\n"
	                           "[ cluster \t  main ]\r\npgdata=/x=y\r\nempty =\nlast = 1";
	AUTO_BUF struct buf seen;
	struct err err = {0};

	buf_init(&seen, 10000);
	assert_true(read_bytes(state, text, strlen(text), &seen, &err));
	assert_string_equal(buf_text(&seen), "5[server] 6[server]socket=/a b 7[cluster main] "
	                                     "8[cluster main]pgdata=/x=y 9[cluster main]empty= "
	                                     "10[cluster main]last=1 ");
	assert_true(read_bytes(state, "", 0, &seen, &err));
	assert_string_equal(buf_text(&seen), "");
}

static void everything_else_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *why;
		size_t length;
	} rows[] = {
#define ROW(text, why) {text, why, sizeof(text) - 1}
	        ROW("[a]\n k = v\n", "line 2: the line is indented"),
	        ROW("[a]\n\tk = v\n", "line 2: the line is indented"),
	        ROW("[a]\n # c\n", "line 2: the line is indented"),
	        ROW("[a]\nk v\n", "line 2: the line is neither"),
	        ROW("[a\n", "line 1: the section has no closing bracket"),
	        ROW("[a] x\n", "line 1: something follows"),
	        ROW("[ ]\n", "line 1: the section has no name"),
	        ROW("[a]\n= v\n", "line 2: there is no key"),
	        ROW("k = v\n", "line 1: the setting stands before"),
	        ROW("[a]\nk = v\0w\n", "line 2: the line holds a NUL byte"),
	        ROW("[a]\n\0", "line 2: the line holds a NUL byte"),
	        ROW("\xef\xbb\xbf[a]\n", "line 1: the line is neither"),
#undef ROW
	};
	AUTO_BUF struct buf seen;
	struct err err = {0};

	buf_init(&seen, 10000);
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		assert_false(read_bytes(state, rows[i].text, rows[i].length, &seen, &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.text, rows[i].why));
		assert_non_null(strstr(err.text, "/seawall.conf\", line "));
	}
}

static void a_long_line_is_read_whole(void **state)
{
	AUTO_BUF struct buf seen, text;
	struct err err = {0};

	buf_init(&seen, 1 << 20);
	buf_init(&text, 2 << 20);
	buf_addstr(&text, "[a]\nk = ");
	for (int i = 0; i < 20000; i++)
		buf_addstr(&text, "0123456789");
	assert_true(read_bytes(state, text.data, text.length, &seen, &err));
	assert_int_equal(seen.length, strlen("1[a] 2[a]k= ") + 200000);
	for (int i = 0; i < 90000; i++)
		buf_addstr(&text, "0123456789");
	assert_false(read_bytes(state, text.data, text.length, &seen, &err));
	assert_non_null(strstr(err.text, "larger"));
}

static void an_error_of_the_caller_gets_file_and_line(void **state)
{
	AUTO_BUF struct buf seen;
	struct err err = {0};

	buf_init(&seen, 10000);
	assert_false(read_bytes(state, "[a]\n\nbad = 1\nk = v\n", 19, &seen, &err));
	assert_non_null(strstr(err.text, "line 3: setting \"bad\" is wrong: unknown unit"));
	assert_null(strchr(err.text, '\n'));
	assert_string_equal(err.hint, "Use MB.");
	assert_string_equal(buf_text(&seen), "1[a] 3[a]bad=1 ");
}

static void the_caller_may_stop_without_an_error(void **state)
{
	AUTO_BUF struct buf seen;
	struct err err = {0};

	buf_init(&seen, 10000);
	assert_false(read_bytes(state, "[a]\nstop = 1\nk = v\n", 19, &seen, &err));
	assert_false(err_is(&err));
	assert_string_equal(buf_text(&seen), "1[a] 2[a]stop=1 ");
}

static void a_missing_file_is_not_found(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "none");
	struct err err = {0};

	assert_false(ini_read(path, collect, NULL, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        in_scratch(sections_and_settings_come_in_order),
	        in_scratch(everything_else_is_refused_with_its_line),
	        in_scratch(a_long_line_is_read_whole),
	        in_scratch(an_error_of_the_caller_gets_file_and_line),
	        in_scratch(the_caller_may_stop_without_an_error),
	        in_scratch(a_missing_file_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
