/*
 * conformance_test.c — the drivers that need no service: mem and file.
 */
#include "store/conformance.h"

static int mem_begin(void **state)
{
	struct fixture *f = *state = xcalloc(1, sizeof(*f));

	f->driver = "mem";
	snprintf(f->url, sizeof(f->url), "mem:conformance");
	store_mem_pins("conformance");
	return place_begin(f);
}

static int file_begin(void **state)
{
	struct fixture *f = *state = xcalloc(1, sizeof(*f));

	f->driver = "file";
	snprintf(f->folder, sizeof(f->folder), "/tmp/seawall-store.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->url, sizeof(f->url), "file://%s/new/place/", f->folder);
	return place_begin(f);
}

static void a_name_cannot_be_a_folder_too(void **state)
{
	struct store *store = store_of(state);

	assert_int_equal(put_text(store, "f/a", "x"), ERR_NONE);
	assert_int_equal(put_text(store, "f/a/b", "x"), ERR_STORE);
	assert_int_equal(put_text(store, "f", "x"), ERR_STORE);
	assert_page(store, "", NULL, 0, "f/a");
}

static void a_place_that_is_not_there_is_not_made(void **state)
{
	struct fixture *f = *state;
	char url[160];
	struct store_options options = {.url = url, .label = "lost"};
	struct store *store = NULL;
	struct err err = {0};

	snprintf(url, sizeof(url), "%s-missing", f->url);
	assert_false(store_open(f->loop, &options, &store, &err));
	assert_int_equal(err.code, ERR_STORE);
	assert_non_null(strstr(err.text, "lost"));
	err_clear(&err);
	assert_false(store_open(f->loop, &options, &store, &err));
}

/* An object store has no folders: it does not mind "a" and "a/b", and asks nobody at opening. */
#define TESTS(begin)                                                                               \
	{                                                                                          \
		TESTS_ALL(begin), TEST(a_name_cannot_be_a_folder_too, begin),                      \
		        TEST(a_place_that_is_not_there_is_not_made, begin),                        \
	}

int main(void)
{
	const struct CMUnitTest mem[] = TESTS(mem_begin), file[] = TESTS(file_begin);
	int failed = cmocka_run_group_tests_name("mem", mem, NULL, NULL);

	return failed + cmocka_run_group_tests_name("file", file, NULL, NULL);
}
