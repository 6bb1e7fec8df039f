/* restore_disks_test.c — what is mounted below a data directory is synced too. */
#include "../../../src/job/restore_disks.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char top[64];
static int top_fd = -1;

static int make(void **state)
{
	(void)state;
	strncpy(top, "/tmp/disks_test.XXXXXX", sizeof(top) - 1);
	assert_non_null(mkdtemp(top));
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(top_fd >= 0);
	assert_int_equal(mkdirat(top_fd, "base", 0700), 0);
	assert_int_equal(mkdirat(top_fd, "base/1", 0700), 0);
	assert_int_equal(mkdirat(top_fd, "away", 0700), 0);
	return 0;
}

static int drop(void **state)
{
	struct err err = {0};

	(void)state;
	close(top_fd);
	return file_remove_tree(top, &err) ? 0 : -1;
}

static void see(struct restore_disks *disks, int folder, const char *path)
{
	struct err err = {0};

	assert_true(restore_disks_see(disks, folder, path, &err));
}

static void folders_of_one_file_system_need_no_sync_of_their_own(void **state)
{
	struct restore_disks disks = {0};

	(void)state;
	see(&disks, top_fd, "base");
	see(&disks, top_fd, "base/1");
	assert_int_equal(disks.path.count, 0);
	restore_disks_release(&disks);
}

/* /proc is a file system of its own below / wherever this runs. */
static void what_is_mounted_below_is_noted(void **state)
{
	struct restore_disks disks = {0};
	AUTO_FD int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	see(&disks, root, "proc");
	see(&disks, root, "proc/sys/kernel");
	assert_int_equal(disks.path.count, 1);
	assert_string_equal(disks.path.item[0], "proc");
	restore_disks_release(&disks);
}

static void a_link_that_stays_is_noted(void **state)
{
	struct restore_disks disks = {0};

	(void)state;
	assert_int_equal(symlinkat("away", top_fd, "pg_wal"), 0);
	assert_int_equal(symlinkat("/proc", top_fd, "base/2"), 0);
	see(&disks, top_fd, "pg_wal");
	see(&disks, top_fd, "base/2");
	assert_int_equal(disks.path.count, 2);
	assert_int_equal(unlinkat(top_fd, "pg_wal", 0), 0);
	assert_int_equal(unlinkat(top_fd, "base/2", 0), 0);
	restore_disks_release(&disks);
}

/* Each is synced, and a failure of any is one of all. */
static void all_that_was_noted_is_synced(void **state)
{
	struct restore_disks disks = {0};
	struct err err = {0};
	unsigned before = fault_count();

	(void)state;
	strs_add(&disks.path, "base");
	strs_add(&disks.path, "away");
	assert_true(restore_disks_sync(&disks, top, &err));
	assert_int_equal(fault_count() - before, 3 * 2); /* a point before and one behind each */
	for (unsigned n = 1; n <= 3 * 2; n++) {
		fault_plan_fail(n);
		assert_false(restore_disks_sync(&disks, top, &err));
		err_clear(&err);
	}
	fault_plan_fail(0);
	restore_disks_release(&disks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(folders_of_one_file_system_need_no_sync_of_their_own),
	        cmocka_unit_test(what_is_mounted_below_is_noted),
	        cmocka_unit_test(a_link_that_stays_is_noted),
	        cmocka_unit_test(all_that_was_noted_is_synced),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
