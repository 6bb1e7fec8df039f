/* conffile_test.c — the files that a configuration leads to. */
#include "base/durable.h"
#include "base/file.h"
#include "pg/conffile.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void note(void *context, const struct conffile_ref *ref)
{
	static const char *const word[] = {"file", "if_exists", "folder"};

	buf_addf(context, "%s %s@%zu+%zu\n", word[ref->what], ref->path, ref->at, ref->length);
}

static void leads(const char *text, enum conffile_kind kind, const char *to)
{
	struct buf out;

	buf_init(&out, 4096);
	conffile_refs(text, kind, note, &out);
	assert_string_equal(buf_text(&out), to);
	buf_release(&out);
}

static void settings_include_files_and_folders(void **state)
{
	(void)state;
	leads("port = 5\n# include 'no'\n  INCLUDE 'a b.conf' # why\ninclude_dir=conf.d\n"
	      "include_if_exists = 'it''s'\nincluded = 'no'\ninclude\ninclude 'open\n"
	      "include_dir 'last'",
	      CONFFILE_SETTINGS,
	      "file a b.conf@34+10\nfolder conf.d@63+6\nif_exists it's@90+7\nfolder last@148+6\n");
	leads("local all @names trust\n", CONFFILE_SETTINGS, "");
}

static void rules_include_too_and_have_lists_of_names(void **state)
{
	(void)state;
	leads("local all all trust # @no\ninclude more.conf\nhost @dbs,\"@no\",@users all "
	      "0.0.0.0/0 md5\n",
	      CONFFILE_RULES, "file more.conf@34+9\nfile dbs@50+3\nfile users@61+5\n");
}

static void paths_are_made_plain(void **state)
{
	static const char *const path[][2] = {{"a", "/etc/pg/a"},       {"./a//b", "/etc/pg/a/b"},
	                                      {"../x", "/etc/x"},       {"../../../x", "/x"},
	                                      {"/a/./b/../c/", "/a/c"}, {"/", "/"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(path); i++) {
		AUTO_FREE char *whole = conffile_resolve("/etc/pg", path[i][0]);

		assert_string_equal(whole, path[i][1]);
	}
}

static void put(const char *folder, const char *name, const char *text)
{
	AUTO_FREE char *path = path_join(folder, name);
	struct err err = {0};

	assert_true(durable_write(path, 0600, text, strlen(text), &err));
}

static void chains_and_circles_are_followed_once(void **state)
{
	char top[] = "/tmp/conffile.XXXXXX";
	AUTO_FREE char *folder = NULL, *first = NULL;
	AUTO_BUF struct buf got;
	struct strs files = {0}, missing = {0};
	struct err err = {0};

	(void)state;
	buf_init(&got, 4096);
	assert_non_null(mkdtemp(top));
	folder = path_join(top, "conf.d");
	first = path_join(top, "main.conf");
	assert_int_equal(mkdir(folder, 0700), 0);
	put(top, "main.conf", "include_dir 'conf.d'\ninclude_if_exists 'none'\ninclude 'gone'\n");
	put(folder, "b.conf", "include '../main.conf'\n");
	put(folder, "a.conf", "include 'deep'\n");
	put(folder, "deep", "include 'deep'\n");
	put(folder, ".hidden.conf", "include 'no'\n");
	put(folder, "a.conf.bak", "include 'no'\n");
	conffile_collect(first, CONFFILE_SETTINGS, &files, &missing);
	for (size_t i = 0; i < files.count; i++)
		buf_addf(&got, "%s ", files.item[i] + strlen(top) + 1);
	for (size_t i = 0; i < missing.count; i++)
		buf_addf(&got, "-%s ", missing.item[i] + strlen(top) + 1);
	assert_string_equal(buf_text(&got),
	                    "main.conf conf.d/a.conf conf.d/deep conf.d/b.conf -gone ");
	strs_release(&files);
	strs_release(&missing);
	assert_true(file_remove_tree(top, &err));
}

static void what_is_included_stands_at_its_place(void **state)
{
	char top[] = "/tmp/conffile.XXXXXX";
	AUTO_FREE char *folder = NULL, *first = NULL;
	AUTO_BUF struct buf got;
	struct err err = {0};

	(void)state;
	buf_init(&got, 64 << 10);
	assert_non_null(mkdtemp(top));
	folder = path_join(top, "conf.d");
	first = path_join(top, "main.conf");
	assert_int_equal(mkdir(folder, 0700), 0);
	put(top, "main.conf", "a = 1\ninclude_dir 'conf.d'\ninclude 'gone'\nb = 1");
	put(folder, "1.conf", "a = 2\n");
	put(folder, "2.conf", "include '../more'\nc = 3");
	put(top, "more", "b = 4\n");
	assert_true(conffile_expand(first, &got, &err));
	assert_string_equal(buf_text(&got), "a = 1\na = 2\n\nb = 4\n\ninclude '../more'\nc = 3\n"
	                                    "include_dir 'conf.d'\ninclude 'gone'\nb = 1\n");
	put(folder, "2.conf", "include '2.conf'\ninclude '2.conf'\n"); /* without end */
	buf_clear(&got);
	assert_true(conffile_expand(first, &got, &err));
	assert_false(conffile_expand(folder, &got, &err));
	assert_true(file_remove_tree(top, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(settings_include_files_and_folders),
	        cmocka_unit_test(rules_include_too_and_have_lists_of_names),
	        cmocka_unit_test(paths_are_made_plain),
	        cmocka_unit_test(chains_and_circles_are_followed_once),
	        cmocka_unit_test(what_is_included_stands_at_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
