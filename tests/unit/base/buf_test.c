/* buf_test.c — a growing byte string never goes beyond its limit. */
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void an_empty_buffer_is_an_empty_text(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	assert_string_equal(buf_text(&buf), "");
	buf_release(&buf);
}

static void text_is_added_and_always_ends(void **state)
{
	AUTO_BUF struct buf buf;

	(void)state;
	buf_init(&buf, 1000);
	assert_true(buf_addstr(&buf, "a"));
	assert_true(buf_addc(&buf, 'b'));
	assert_true(buf_addf(&buf, "%03d", 7));
	assert_true(buf_add(&buf, "\0x", 2));
	assert_int_equal(buf.length, 7);
	assert_memory_equal(buf.data, "ab007\0x", 8);
}

static void what_goes_beyond_the_limit_is_dropped_for_good(void **state)
{
	AUTO_BUF struct buf buf;

	(void)state;
	buf_init(&buf, 5);
	assert_true(buf_addstr(&buf, "12345"));
	assert_false(buf.overflow);
	assert_false(buf_addc(&buf, '6'));
	assert_true(buf.overflow);
	assert_string_equal(buf_text(&buf), "12345");
	assert_true(buf.size <= 6);
	buf_clear(&buf);
	assert_false(buf_addstr(&buf, "abcdefgh"));
	assert_string_equal(buf_text(&buf), "abcde");
}

static void nothing_is_added_after_a_hole(void **state)
{
	AUTO_BUF struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	assert_true(buf_addstr(&buf, "a"));
	assert_null(buf_reserve(&buf, 10));
	assert_false(buf_addstr(&buf, "b"));
	assert_string_equal(buf_text(&buf), "a");
}

static void a_reserved_place_counts_only_what_was_used(void **state)
{
	AUTO_BUF struct buf buf;
	char *place;

	(void)state;
	buf_init(&buf, 1 << 20);
	assert_non_null(place = buf_reserve(&buf, 100000));
	memcpy(place, "xyz", 3);
	buf.length += 3;
	assert_string_equal(buf_text(&buf), "xyz");
	assert_non_null(buf_reserve(&buf, (1 << 20) - 3));
	assert_null(buf_reserve(&buf, SIZE_MAX));
}

static void stealing_leaves_an_empty_buffer(void **state)
{
	AUTO_BUF struct buf buf;
	AUTO_FREE
	char *first = NULL;
	AUTO_FREE
	char *second = NULL;

	(void)state;
	buf_init(&buf, 100);
	buf_addstr(&buf, "mine");
	first = buf_steal(&buf);
	second = buf_steal(&buf);
	assert_string_equal(first, "mine");
	assert_string_equal(second, "");
	assert_true(buf_addstr(&buf, "again"));
	assert_string_equal(buf_text(&buf), "again");
}

static void a_buffer_without_limit_grows(void **state)
{
	AUTO_BUF struct buf buf;

	(void)state;
	buf_init(&buf, SIZE_MAX);
	for (int i = 0; i < 10000; i++)
		assert_true(buf_addf(&buf, "%d,", i));
	assert_int_equal(buf.length, strlen(buf.data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_empty_buffer_is_an_empty_text),
	        cmocka_unit_test(text_is_added_and_always_ends),
	        cmocka_unit_test(what_goes_beyond_the_limit_is_dropped_for_good),
	        cmocka_unit_test(nothing_is_added_after_a_hole),
	        cmocka_unit_test(a_reserved_place_counts_only_what_was_used),
	        cmocka_unit_test(stealing_leaves_an_empty_buffer),
	        cmocka_unit_test(a_buffer_without_limit_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
