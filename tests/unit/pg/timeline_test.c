/* timeline_test.c — history files and paths. */
#include "pg/timeline.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct history parsed(uint32_t tli, const char *text)
{
	struct history history;
	struct err err = {0};

	if (!history_parse(tli, text, strlen(text), &history, &err))
		fail_msg("%s", err.text);
	return history;
}

static void a_history_file_is_read(void **state)
{
	struct history history =
	        parsed(5, "# comment\n\n1\t0/3000148\tno recovery target specified\n"
	                  "\n  3\t1/A0000028\tbefore 2026-01-01 10:00:00+00\n\n");

	(void)state;
	assert_int_equal(history.tli, 5);
	assert_int_equal(history.count, 2);
	assert_int_equal(history.entry[0].tli, 1);
	assert_int_equal(history.entry[0].switch_lsn, 0x3000148);
	assert_string_equal(history.entry[0].reason, "no recovery target specified");
	assert_int_equal(history.entry[1].tli, 3);
	assert_string_equal(history.entry[1].reason, "before 2026-01-01 10:00:00+00");
	history_release(&history);
}

static void what_is_no_history_is_refused(void **state)
{
	static const char *const bad[] = {
	        "",
	        "# only a comment\n\n",
	        "x\t0/1\tr\n",
	        "1\n",
	        "1 \n",
	        "1\t0/G\tr\n",
	        "5\t0/1\tr\n",
	        "6\t0/1\tr\n",
	        "0\t0/1\tr\n",
	        "2\t0/1\tr\n1\t0/2\tr\n",
	        "2\t0/1\tr\n2\t0/2\tr\n",
	        "-1\t0/1\tr\n",
	        "1\t0000000000000000000001/1\tr\n",
	        "99999999999\t0/1\tr\n",
	        "1 0/1x r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct history history;
		struct err err = {0};

		if (history_parse(5, bad[i], strlen(bad[i]), &history, &err))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_int_equal(err.code, ERR_DAMAGED);
		assert_int_equal(history.count, 0);
		assert_null(history.entry);
	}
}

static void a_zero_byte_or_too_much_is_refused(void **state)
{
	static char big[HISTORY_BYTES_MAX + 1];
	struct history history;
	struct err err = {0};

	(void)state;
	assert_false(history_parse(5, "1\t0/1\tr\0\n", 9, &history, &err));
	memset(big, '\n', sizeof(big));
	assert_false(history_parse(5, big, sizeof(big), &history, &err));
	memcpy(big, "1\t0/1\tr", 7);
	assert_true(history_parse(5, big, sizeof(big) - 1, &history, &err));
	assert_int_equal(history.count, 1);
	history_release(&history);
}

static void what_is_written_is_read_again(void **state)
{
	struct history history = parsed(9, "1\t0/3000148\tone\n4\t0/4000000\t\n8\t2/0\tthree\n"),
	               again;
	struct buf text;

	(void)state;
	buf_init(&text, HISTORY_BYTES_MAX);
	history_write(&history, &text);
	assert_string_equal(buf_text(&text),
	                    "1\t0/3000148\tone\n\n4\t0/4000000\t\n\n8\t2/0\tthree\n");
	again = parsed(9, buf_text(&text));
	assert_int_equal(again.count, 3);
	assert_string_equal(again.entry[2].reason, "three");
	buf_release(&text);
	history_release(&history);
	history_release(&again);
}

static void each_position_has_one_timeline(void **state)
{
	struct history history = parsed(5, "1\t0/1000\ta\n3\t0/2000\tb\n");
	lsn begin, end;

	(void)state;
	assert_int_equal(history_tli_at(&history, 0), 1);
	assert_int_equal(history_tli_at(&history, 0xFFF), 1);
	assert_int_equal(history_tli_at(&history, 0x1000), 3);
	assert_int_equal(history_tli_at(&history, 0x2000), 5);
	assert_int_equal(history_tli_at(&history, LSN_MAX), 5);
	assert_true(history_span(&history, 3, &begin, &end));
	assert_int_equal(begin, 0x1000);
	assert_int_equal(end, 0x2000);
	assert_true(history_span(&history, 5, &begin, &end));
	assert_int_equal(end, LSN_MAX);
	assert_false(history_span(&history, 2, &begin, &end));
	assert_true(history_holds(&history, 1, 0x100, 0x1000));
	assert_false(history_holds(&history, 1, 0x100, 0x1001));
	assert_false(history_holds(&history, 3, 0xFFF, 0x1001));
	assert_false(history_holds(&history, 2, 0x100, 0x100));
	assert_true(history_switch(&history, 3, &begin));
	assert_int_equal(begin, 0x2000);
	assert_false(history_switch(&history, 5, &begin));
	assert_false(history_switch(&history, 4, &begin));
	history_release(&history);
}

static void the_fork_segment_is_the_childs(void **state)
{
	struct history history = parsed(2, "1\t0/500100\ta\n");
	struct history exact = parsed(2, "1\t0/500000\ta\n");

	(void)state;
	assert_int_equal(history_tli_of_segment(&history, 4, 1 << 20), 1);
	assert_int_equal(history_tli_of_segment(&history, 5, 1 << 20), 2);
	assert_int_equal(history_tli_of_segment(&exact, 4, 1 << 20), 1);
	assert_int_equal(history_tli_of_segment(&exact, 5, 1 << 20), 2);
	history_release(&history);
	history_release(&exact);
}

/* A recovery that aimed at timeline 2 was stopped before 2 began: 3 forks from 1, in fact. */
static void a_switch_below_an_older_one_hides_it(void **state)
{
	struct history history = parsed(3, "1\t0/2000\ta\n2\t0/1000\tb\n");
	lsn begin, end;

	(void)state;
	assert_int_equal(history_tli_at(&history, 0xFFF), 1);
	assert_int_equal(history_tli_at(&history, 0x1000), 3);
	assert_int_equal(history_tli_at(&history, 0x1800), 3);
	assert_false(history_span(&history, 2, &begin, &end));
	assert_true(history_span(&history, 1, &begin, &end));
	assert_int_equal(end, 0x1000);
	history_release(&history);
}

static void a_first_timeline_has_no_ancestors(void **state)
{
	struct history history;

	(void)state;
	history_init(&history, 1);
	assert_int_equal(history_tli_at(&history, 0), 1);
	assert_true(history_holds(&history, 1, 0, LSN_MAX));
	history_release(&history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_history_file_is_read),
	        cmocka_unit_test(what_is_no_history_is_refused),
	        cmocka_unit_test(a_zero_byte_or_too_much_is_refused),
	        cmocka_unit_test(what_is_written_is_read_again),
	        cmocka_unit_test(each_position_has_one_timeline),
	        cmocka_unit_test(the_fork_segment_is_the_childs),
	        cmocka_unit_test(a_switch_below_an_older_one_hides_it),
	        cmocka_unit_test(a_first_timeline_has_no_ancestors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
