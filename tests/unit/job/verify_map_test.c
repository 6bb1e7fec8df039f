/* What was verified when: spans of names against a plain list of every name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"
#include "../../../src/job/verify_map.h"

/* ---- helpers ---- */

enum { NAMES = 40 };

static const char *name_of(unsigned i)
{
	static char text[2][16];
	static unsigned turn;

	turn ^= 1;
	snprintf(text[turn], sizeof(text[turn]), "n%03u", i);
	return text[turn];
}

static void is_sound(const struct verify_map *map)
{
	assert_true(map->spans > 0);
	assert_string_equal(map->span[map->spans - 1].to, "");
	for (size_t i = 0; i + 1 < map->spans; i++) {
		assert_true(*map->span[i].to);
		assert_int_not_equal(map->span[i].at_us, map->span[i + 1].at_us);
		if (i > 0)
			assert_true(strcmp(map->span[i - 1].to, map->span[i].to) < 0);
	}
}

/* ---- tests ---- */

static void what_was_marked_is_remembered_whatever_the_order(void **state)
{
	unsigned seed = 4711;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		int64_t truth[NAMES] = {0};
		struct verify_map map;

		verify_map_init(&map);
		for (int64_t at = 1; at < 30; at++) {
			unsigned first, last;

			seed = seed * 1103515245 + 12345;
			first = (seed >> 8) % NAMES;
			last = first + (seed >> 20) % (NAMES - first);
			verify_map_mark(&map, first ? name_of(first - 1) : "", name_of(last),
			                1 + at / 3);
			for (unsigned i = first; i <= last; i++)
				truth[i] = 1 + at / 3;
			is_sound(&map);
			for (unsigned i = 0; i < NAMES; i++)
				assert_int_equal(verify_map_at(&map, name_of(i)), truth[i]);
			assert_int_equal(verify_map_at(&map, "z"), 0);
		}
		verify_map_release(&map);
	}
}

static void it_is_the_same_when_it_was_saved_and_read_again(void **state)
{
	struct jval *root = jobject_new();
	struct verify_map map, again, copy;
	struct err err = {0};

	(void)state;
	verify_map_init(&map);
	verify_map_mark(&map, "", name_of(3), 10);
	verify_map_mark(&map, name_of(5), name_of(9), 20);
	verify_map_save(&map, jset_array(root, "verified"));
	verify_map_init(&again);
	for (struct jfields f = jfields_of(root); jfields_next(&f);)
		assert_true(verify_map_load(&again, f.value, &err));
	verify_map_copy(&copy, &again);
	assert_int_equal(copy.spans, map.spans);
	for (size_t i = 0; i < map.spans; i++) {
		assert_string_equal(copy.span[i].to, map.span[i].to);
		assert_int_equal(copy.span[i].at_us, map.span[i].at_us);
	}
	verify_map_release(&map);
	verify_map_release(&again);
	verify_map_release(&copy);
	jval_free(root);
}

static void of_too_many_spans_neighbours_become_one_with_the_earlier_time(void **state)
{
	struct jval *root = jobject_new();
	struct jval *list = jset_array(root, "verified");
	struct verify_map map;
	char from[16], to[16];

	(void)state;
	verify_map_init(&map);
	for (unsigned i = 0; i < 3 * VERIFY_SPANS_MAX; i++) {
		snprintf(from, sizeof(from), "n%06u", 2 * i);
		snprintf(to, sizeof(to), "n%06u", 2 * i + 1);
		verify_map_mark(&map, from, to, 1000000 + i % 7);
	}
	verify_map_save(&map, list);
	assert_int_equal(jarray_length(list), VERIFY_SPANS_MAX);
	for (unsigned i = 0; i < 3 * VERIFY_SPANS_MAX; i++) {
		snprintf(to, sizeof(to), "n%06u", 2 * i + 1);
		assert_true(verify_map_at(&map, to) <= 1000000 + i % 7);
	}
	verify_map_release(&map);
	jval_free(root);
}

static void what_is_no_map_changes_nothing(void **state)
{
	static const char *const bad[] = {
	        "[]",
	        "[1]",
	        "[{\"to\": \"a\", \"at_us\": \"1\"}]",
	        "[{\"to\": \"\", \"at_us\": \"1\"}, {\"to\": \"\", \"at_us\": \"1\"}]",
	        "[{\"to\": \"b\", \"at_us\": \"1\"}, {\"to\": \"a\", \"at_us\": \"2\"}, "
	        "{\"to\": \"\", \"at_us\": \"1\"}]",
	        "[{\"to\": \"\", \"at_us\": \"9223372036854775808\"}]",
	        "[{\"to\": \"\"}]",
	};
	struct verify_map map;

	(void)state;
	verify_map_init(&map);
	verify_map_mark(&map, "", "x", 5);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct err err = {0};
		struct jval *root;

		assert_true(json_parse(bad[i], strlen(bad[i]), &root, &err));
		assert_false(verify_map_load(&map, root, &err));
		assert_int_equal(err.code, ERR_DAMAGED);
		assert_int_equal(verify_map_at(&map, "a"), 5);
		jval_free(root);
	}
	verify_map_release(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_marked_is_remembered_whatever_the_order),
	        cmocka_unit_test(it_is_the_same_when_it_was_saved_and_read_again),
	        cmocka_unit_test(of_too_many_spans_neighbours_become_one_with_the_earlier_time),
	        cmocka_unit_test(what_is_no_map_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
