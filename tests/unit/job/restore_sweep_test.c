/* restore_sweep_test.c — what a directory has and a backup has not. */
#include "../../../src/job/restore_sweep.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char top[64], outside[80];

static char *in(const char *path)
{
	return path_join(top, path);
}

static void folder(const char *path)
{
	AUTO_FREE char *whole = in(path);

	assert_int_equal(mkdir(whole, 0700), 0);
}

static void file(const char *path)
{
	AUTO_FREE char *whole = in(path);
	int fd = open(whole, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool there(const char *path)
{
	AUTO_FREE char *whole = in(path);
	struct stat status;

	return lstat(whole, &status) == 0;
}

static int make(void **state)
{
	AUTO_FREE char *link = NULL;

	(void)state;
	strncpy(top, "/tmp/sweep_test.XXXXXX", sizeof(top) - 1);
	assert_non_null(mkdtemp(top));
	snprintf(outside, sizeof(outside), "%s.out", top);
	assert_int_equal(mkdir(outside, 0700), 0);
	folder("base");
	folder("base/1");
	folder("base/1-x");
	folder("base/2");
	folder("global");
	folder("pg_tblspc");
	folder("pg_wal");
	file("PG_VERSION");
	file("base/1/100");
	file("base/1/100_fsm");
	file("base/1/99");
	file("base/2/1");
	file("base/stray");
	file("global/pg_control");
	file("pg_wal/000000010000000000000001");
	file("seawall.journal");
	file(".backup_manifest.1.2.draft");
	file("zzz");
	link = in("pg_tblspc/16400");
	assert_int_equal(symlink(outside, link), 0);
	return 0;
}

static int gone(void **state)
{
	struct err err = {0};

	(void)state;
	return file_remove_tree(top, &err) && file_remove_tree(outside, &err) ? 0 : -1;
}

static void in_outside(const char *name, bool is_folder)
{
	AUTO_FREE char *whole = path_join(outside, name);

	if (is_folder)
		assert_int_equal(mkdir(whole, 0700), 0);
	else
		close(open(whole, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static bool outside_has(const char *name)
{
	AUTO_FREE char *whole = path_join(outside, name);

	return access(whole, F_OK) == 0;
}

static void go(bool remove, const char *const *manifest, uint64_t want)
{
	struct sweep *sweep = sweep_new(top, "PG_15_202209061", remove);
	struct err err = {0};

	for (; *manifest; manifest++)
		assert_true(sweep_reach(sweep, *manifest, &err));
	assert_true(sweep_end(sweep, &err));
	assert_int_equal(sweep_count(sweep), want);
	sweep_free(sweep);
}

static void only_what_the_backup_does_not_have_goes(void **state)
{
	static const char *const manifest[] = {"PG_VERSION", "base",   "base/1", "base/1/100",
	                                       "base/1/50",  "base/3", "global", "pg_tblspc",
	                                       "pg_wal",     NULL};

	(void)state;
	go(false, manifest, 7);
	assert_true(there("zzz"));
	go(true, manifest, 7);
	assert_true(there("base/1/100") && there("PG_VERSION"));
	assert_false(there("base/1/100_fsm"));
	assert_false(there("base/1/99"));
	assert_false(there("base/1-x"));
	assert_false(there("base/2"));
	assert_false(there("base/stray"));
	assert_false(there("zzz"));
	assert_false(there("pg_tblspc/16400"));
	assert_true(access(outside, F_OK) == 0);
	/* what is the restore's own or dealt with elsewhere */
	assert_true(there("seawall.journal") && there(".backup_manifest.1.2.draft"));
	assert_true(there("global/pg_control") && there("pg_wal/000000010000000000000001"));
	go(true, manifest, 0);
}

static void of_a_tablespace_only_our_own_folder_is_looked_into(void **state)
{
	static const char *const manifest[] = {"PG_VERSION",      "base",
	                                       "global",          "pg_tblspc",
	                                       "pg_tblspc/16400", "pg_tblspc/16400/PG_15_202209061",
	                                       "pg_wal",          NULL};

	(void)state;
	in_outside("PG_15_202209061", true);
	in_outside("PG_15_202209061/5", false);
	in_outside("PG_16_202307071", true);
	in_outside("somebody's", false);
	go(true, manifest, 6);
	assert_true(there("pg_tblspc/16400"));
	assert_true(outside_has("PG_15_202209061") && outside_has("PG_16_202307071") &&
	            outside_has("somebody's"));
	assert_false(outside_has("PG_15_202209061/5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(only_what_the_backup_does_not_have_goes, make,
	                                        gone),
	        cmocka_unit_test_setup_teardown(of_a_tablespace_only_our_own_folder_is_looked_into,
	                                        make, gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
