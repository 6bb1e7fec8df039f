/* relnames_test.c — names for numbers: taken, written, read, asked. */
#include "store/place.h"

#include <string.h>

#include "repo/relnames.h"

static void add(struct relnames_database *database, uint32_t number, const char *schema,
                const char *name)
{
	struct relname_row row = {
	        .number = number, .oid = number + 1, .kind = 'r', .schema = schema, .name = name};

	assert_true(relnames_add(database, &row));
}

static void make(struct relnames *names, lsn position)
{
	struct relnames_database *database;

	*names = (struct relnames){.position = position, .time_us = 77};
	database = relnames_add_database(names, 9, "shop");
	add(database, 500, "public", "orders");
	add(database, 400, "old", "items");
	add(database, 450, "public", "n\xC3\xA4me");
	(void)relnames_add_database(names, 5, "postgres");
	relnames_settle(names);
}

static void numbers_are_found_by_database(void **state)
{
	struct relname_found found;
	struct relnames names;

	(void)state;
	make(&names, 1000);
	assert_true(relnames_find(&names, 9, 400, &found));
	assert_string_equal(found.database, "shop");
	assert_string_equal(found.schema, "old");
	assert_string_equal(found.name, "items");
	assert_int_equal(found.oid, 401);
	assert_false(relnames_find(&names, 5, 400, &found));
	assert_string_equal(found.database, "postgres");
	assert_false(relnames_find(&names, 9, 401, &found));
	assert_false(relnames_find(&names, 10, 400, &found));
	assert_null(found.database);
	relnames_release(&names);
}

static void they_are_read_as_they_were_written(void **state)
{
	struct relnames names, other, back;
	AUTO_BUF struct buf bytes = {0};
	struct err err = {0};

	(void)state;
	make(&names, 1000);
	make(&other, 2000);
	assert_true(relnames_same(&names, &other));
	add(&other.database[0], 1, "public", "more");
	assert_false(relnames_same(&names, &other));
	buf_init(&bytes, RELNAMES_BYTES_MAX);
	assert_true(relnames_encode(&names, &bytes));
	assert_true(relnames_decode(bytes.data, bytes.length, &back, &err));
	assert_true(relnames_same(&names, &back));
	assert_int_equal(back.position, 1000);
	assert_int_equal(back.time_us, 77);
	relnames_release(&back);
	for (size_t length = 0; length < bytes.length; length++) {
		err_clear(&err);
		assert_false(relnames_decode(bytes.data, length, &back, &err));
		assert_int_equal(err.code, ERR_DAMAGED);
	}
	err_clear(&err);
	bytes.data[0] = 2;
	assert_false(relnames_decode(bytes.data, bytes.length, &back, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	relnames_release(&names);
	relnames_release(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers_are_found_by_database),
	        cmocka_unit_test(they_are_read_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
