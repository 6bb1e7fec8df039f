/*
 * durable_test.c — a file is there whole or not at all, wherever a call fails or the process is
 * killed.
 *
 * The story (below) is run with its n-th call failing, and then in a process of its own that is
 * killed at the n-th point, for every n. The numbers of points are recorded: fewer means that a
 * call lost its points.
 */
#include "base/durable.h"
#include "base/fault.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "unit/base/scratch.h"

enum { STORY_POINTS = 40 };

static void check_text(const char *path, const char *text)
{
	AUTO_BUF struct buf buf;
	struct err err = {0};

	buf_init(&buf, 10000);
	assert_true(file_read_all(path, &buf, &err));
	assert_string_equal(buf_text(&buf), text);
}

/* The number of drafts in a folder. */
static size_t count_drafts(const char *folder)
{
	struct strs names = {0};
	struct err err = {0};
	size_t drafts = 0;

	assert_true(file_list(folder, &names, &err));
	for (size_t i = 0; i < names.count; i++)
		drafts += durable_is_draft(names.item[i]);
	strs_release(&names);
	return drafts;
}

static void a_file_is_replaced_whole(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "f");
	struct err err = {0};
	struct stat st;

	assert_true(durable_write(path, 0640, "one", 3, &err));
	check_text(path, "one");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_true(durable_write(path, 0600, "three", 5, &err));
	check_text(path, "three");
	assert_true(durable_write(path, 0600, NULL, 0, &err));
	check_text(path, "");
	assert_int_equal(count_drafts(*state), 0);
}

static mode_t mode_inside(const char *folder, mode_t mode)
{
	AUTO_FREE char *path = path_join(folder, "inside");
	struct err err = {0};
	struct stat st;

	assert_int_equal(chmod(folder, mode), 0);
	assert_true(durable_write_inside(path, "one", 3, &err));
	check_text(path, "one");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
	return st.st_mode & 0777;
}

static void a_file_of_a_data_directory_is_as_that_whatever_the_umask(void **state)
{
	static const mode_t masks[] = {0, 022, 077};

	for (size_t i = 0; i < ARRAY_LENGTH(masks); i++) {
		mode_t before = umask(masks[i]);

		assert_int_equal(mode_inside(*state, 0750), 0640);
		assert_int_equal(mode_inside(*state, 0700), 0600);
		assert_int_equal(mode_inside(*state, 0755), 0600); /* /tmp is no data directory */
		assert_int_equal(mode_inside(*state, 0770), 0600);
		umask(before);
	}
	assert_int_equal(chmod(*state, 0700), 0);
	assert_int_equal(count_drafts(*state), 0);
}

static void a_new_file_never_replaces(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "f");
	struct draft draft;
	struct err err = {0};

	assert_true(draft_open(&draft, path, 0600, &err));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count_drafts(*state), 1);
	assert_true(draft_write(&draft, "one", 3, &err));
	assert_true(draft_publish_new(&draft, &err));
	assert_true(draft_open(&draft, path, 0600, &err));
	assert_true(draft_write(&draft, "two", 3, &err));
	assert_false(draft_publish_new(&draft, &err));
	assert_int_equal(err.code, ERR_EXISTS);
	check_text(path, "one");
	assert_int_equal(count_drafts(*state), 0);
}

static void a_dropped_draft_leaves_nothing(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "f");
	struct draft draft = {0}, zero = {0};
	struct err err = {0};

	draft_drop(&zero);
	assert_true(draft_open(&draft, path, 0600, &err));
	draft_drop(&draft);
	draft_drop(&draft);
	assert_int_equal(count_drafts(*state), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_missing_folder_is_a_clear_error(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "none/f");
	struct err err = {0};

	assert_false(durable_write(path, 0600, "x", 1, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "could not create file \""));
	assert_true(durable_unlink(path, &err));
	assert_false(err_is(&err));
}

static void a_very_long_name_has_a_draft_too(void **state)
{
	char name[256];
	struct err err = {0};

	memset(name, 'n', 255);
	name[255] = '\0';
	AUTO_FREE
	char *path = path_join(*state, name);

	assert_true(durable_write(path, 0600, "x", 1, &err));
	check_text(path, "x");
}

static void names_of_drafts_are_known(void **state)
{
	static const char *const drafts[] = {".f.1.0.draft", ".00000001.history.123.45.draft",
	                                     "..1.2.3.draft"};
	static const char *const others[] = {
	        "",           ".",           ".draft",       "f.1.0.draft",   ".f.1.draft",
	        ".1.0.draft", ".f.1..draft", ".f.1.x.draft", ".f.1.0.drafts", "..1.0.draft"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(drafts); i++)
		assert_true(durable_is_draft(drafts[i]));
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
		assert_false(durable_is_draft(others[i]));
}

static void folders_are_made_with_what_is_above(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "a//b/c/");
	AUTO_FREE
	char *file = path_join(*state, "f");
	AUTO_FREE
	char *below = path_join(file, "x");
	struct err err = {0};
	struct stat st;

	assert_true(durable_mkdir(path, 0700, &err));
	assert_true(durable_mkdir(path, 0700, &err));
	assert_true(durable_mkdir("/", 0700, &err));
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_true(durable_write(file, 0600, "x", 1, &err));
	assert_false(durable_mkdir(file, 0700, &err));
	assert_int_equal(err.code, ERR_EXISTS);
	assert_false(durable_mkdir(below, 0700, &err));
	assert_int_equal(err.code, ERR_IO);
}

static void folders_below_a_root_that_went_away_are_not_made(void **state)
{
	AUTO_FREE
	char *root = path_join(*state, "root");
	AUTO_FREE
	char *path = path_join(root, "a/b");
	AUTO_FREE
	char *away = path_join(*state, "away");
	struct err err = {0};
	struct stat st;

	assert_int_equal(mkdir(root, 0700), 0);
	assert_true(durable_mkdir_below(root, root, 0700, &err));
	assert_true(durable_mkdir_below(root, path, 0700, &err));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(rename(root, away), 0);
	assert_false(durable_mkdir_below(root, path, 0700, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_int_not_equal(stat(root, &st), 0);
}

static void files_are_renamed_removed_and_synced(void **state)
{
	AUTO_FREE
	char *folder = path_join(*state, "d");
	AUTO_FREE
	char *from = path_join(*state, "f");
	AUTO_FREE
	char *to = path_join(folder, "g");
	struct err err = {0};

	assert_true(durable_mkdir(folder, 0700, &err));
	assert_true(durable_write(from, 0600, "x", 1, &err));
	assert_true(durable_rename(from, to, &err));
	check_text(to, "x");
	assert_int_equal(access(from, F_OK), -1);
	assert_false(durable_rename(from, to, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_true(durable_sync_file(to, &err));
	assert_true(durable_sync_filesystem(*state, &err));
	assert_true(durable_unlink(to, &err));
	assert_true(durable_unlink(to, &err));
	assert_false(durable_unlink(folder, &err));
	assert_false(durable_sync_file(to, &err));
	assert_false(durable_sync_dir(to, &err));
}

static void without_syncfs_each_file_and_folder_is_synced(void **state)
{
	AUTO_FREE char *folder = path_join(*state, "tree/deep");
	AUTO_FREE char *top = path_join(*state, "tree");
	AUTO_FREE char *file = path_join(folder, "file");
	AUTO_FREE char *other = path_join(top, "other");
	AUTO_FREE char *link = path_join(top, "link");
	struct err err = {0};
	unsigned passed, each;

	assert_true(durable_mkdir(folder, 0700, &err));
	assert_true(durable_write(file, 0600, "x", 1, &err));
	assert_true(durable_write(other, 0600, "x", 1, &err));
	assert_int_equal(symlink("/nowhere", link), 0);
	passed = fault_count();
	assert_true(durable_sync_file(file, &err));
	each = fault_count() - passed;
	assert_true(each > 0);
	passed = fault_count();
	fault_plan_fail_as(1, ENOSYS);
	assert_true(durable_sync_filesystem(top, &err));
	/* two files and two folders, and the call that there is not */
	assert_int_equal(fault_count() - passed, 1 + 4 * each);
	fault_plan_fail_as(1, EIO);
	assert_false(durable_sync_filesystem(top, &err));
	assert_int_equal(err.code, ERR_IO);
	fault_plan_fail(0);
}

static void a_full_disk_is_full_in_words_and_code(void **state)
{
	struct err err = {0};
	struct draft draft;
	AUTO_FREE
	char *path = path_join(*state, "f");

	assert_true(draft_open(&draft, path, 0600, &err));
	close(draft.fd);
	draft.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_false(draft_write(&draft, "x", 1, &err));
	assert_int_equal(err.code, ERR_FULL);
	assert_non_null(strstr(err.text, "f\": No space left on device"));
	draft_drop(&draft);
	assert_int_equal(count_drafts(*state), 0);
}

#ifdef SEAWALL_FAULTS

struct story {
	bool folder, replaced, made, renamed, removed; /* what was said to be done */
};

/* Every durable call once. "a" has old or new content, "b" appears, "m" becomes "d/n", "u" goes. */
static struct story run_story(const char *folder, struct err *err)
{
	AUTO_FREE
	char *a = path_join(folder, "a");
	AUTO_FREE
	char *b = path_join(folder, "b");
	AUTO_FREE
	char *d = path_join(folder, "d");
	AUTO_FREE
	char *m = path_join(folder, "m");
	AUTO_FREE
	char *n = path_join(d, "n");
	AUTO_FREE
	char *u = path_join(folder, "u");
	struct draft draft = {0};
	struct story done = {0};

	done.folder = durable_mkdir(d, 0700, err);
	done.replaced = done.folder && durable_write(a, 0600, "new", 3, err);
	if (!done.replaced || !draft_open(&draft, b, 0600, err))
		return done;
	if (!draft_write(&draft, "made", 4, err)) {
		draft_drop(&draft);
		return done;
	}
	done.made = draft_publish_new(&draft, err);
	done.renamed = done.made && durable_sync_file(m, err) && durable_rename(m, n, err);
	done.removed =
	        done.renamed && durable_unlink(u, err) && durable_sync_filesystem(folder, err);
	return done;
}

static void prepare(const char *folder)
{
	AUTO_FREE
	char *a = path_join(folder, "a");
	AUTO_FREE
	char *m = path_join(folder, "m");
	AUTO_FREE
	char *u = path_join(folder, "u");
	struct err err = {0};
	struct strs names = {0};

	assert_true(file_list(folder, &names, &err));
	for (size_t i = 0; i < names.count; i++) {
		AUTO_FREE
		char *path = path_join(folder, names.item[i]);

		assert_true(file_remove_tree(path, &err));
	}
	strs_release(&names);
	assert_true(durable_write(a, 0600, "old", 3, &err));
	assert_true(durable_write(m, 0600, "moved", 5, &err));
	assert_true(durable_write(u, 0600, "x", 1, &err));
}

static bool is_there(const char *folder, const char *name)
{
	AUTO_FREE
	char *path = path_join(folder, name);

	return access(path, F_OK) == 0;
}

/* Nothing is half there, and what was said to be done is done. */
static void check_story(const char *folder, struct story done)
{
	AUTO_FREE
	char *a = path_join(folder, "a");
	AUTO_FREE
	char *b = path_join(folder, "b");
	AUTO_FREE
	char *place = path_join(folder, is_there(folder, "m") ? "m" : "d/n");
	AUTO_BUF struct buf buf;
	struct err err = {0};

	buf_init(&buf, 1000);
	assert_true(file_read_all(a, &buf, &err));
	assert_true(strcmp(buf.data, "new") == 0 ||
	            (strcmp(buf.data, "old") == 0 && !done.replaced));
	if (is_there(folder, "b"))
		check_text(b, "made");
	else
		assert_false(done.made);
	check_text(place, "moved");
	assert_true(!done.renamed || !is_there(folder, "m"));
	assert_true(!done.removed || !is_there(folder, "u"));
}

static void each_failing_call_is_told_and_leaves_nothing_half(void **state)
{
	unsigned n;

	for (n = 1;; n++) {
		struct err err = {0};
		struct story done;
		unsigned before;

		prepare(*state);
		before = fault_count();
		fault_plan_fail(n);
		done = run_story(*state, &err);
		fault_plan_fail(0);
		check_story(*state, done);
		if (fault_count() - before < n)
			break;
		/* Only the removal of a published draft's name may fail unseen. */
		if (done.removed)
			assert_true(count_drafts(*state) <= 1);
		else
			assert_true(err_is(&err) && count_drafts(*state) == 0);
	}
	print_message("%u points passed\n", n - 1);
	assert_in_range(n - 1, STORY_POINTS, 1000);
}

/* Runs this program again as "--story FOLDER", killed at the n-th point. True: it came to its end.
 */
static bool story_killed_at(const char *folder, unsigned n)
{
	char plan[32];
	int status;
	pid_t child;

	snprintf(plan, sizeof(plan), "kill:%u", n);
	child = fork();
	if (child == 0) {
		setenv("SEAWALL_FAULT", plan, 1);
		setenv("SEAWALL_FAULT_ONLY", "durable-", 1);
		execl("/proc/self/exe", "durable_test", "--story", folder, (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return false;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static void a_kill_at_each_point_leaves_nothing_half(void **state)
{
	unsigned n = 0;
	bool ended;

	do {
		prepare(*state);
		ended = story_killed_at(*state, ++n);
		check_story(*state, (struct story){0});
		assert_true(count_drafts(*state) <= 1);
	} while (!ended);
	print_message("%u points killed\n", n - 1);
	assert_in_range(n - 1, STORY_POINTS, 1000);
}

static void what_was_there_is_as_durable_as_what_is_new(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "f");
	struct draft draft;
	struct err err = {0};

	assert_true(durable_write(path, 0600, "x", 1, &err));
	assert_true(draft_open(&draft, path, 0600, &err));
	/* sync, sync-done, link (fails: no -done), unlink-draft, its -done, sync-dir */
	fault_plan_fail(6);
	assert_false(draft_publish_new(&draft, &err));
	fault_plan_fail(0);
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, "could not sync folder"));
}

#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        in_scratch(a_file_is_replaced_whole),
	        in_scratch(a_file_of_a_data_directory_is_as_that_whatever_the_umask),
	        in_scratch(a_new_file_never_replaces),
	        in_scratch(a_dropped_draft_leaves_nothing),
	        in_scratch(a_missing_folder_is_a_clear_error),
	        in_scratch(a_very_long_name_has_a_draft_too),
	        cmocka_unit_test(names_of_drafts_are_known),
	        in_scratch(folders_are_made_with_what_is_above),
	        in_scratch(folders_below_a_root_that_went_away_are_not_made),
	        in_scratch(files_are_renamed_removed_and_synced),
	        in_scratch(without_syncfs_each_file_and_folder_is_synced),
	        in_scratch(a_full_disk_is_full_in_words_and_code),
#ifdef SEAWALL_FAULTS
	        in_scratch(each_failing_call_is_told_and_leaves_nothing_half),
	        in_scratch(a_kill_at_each_point_leaves_nothing_half),
	        in_scratch(what_was_there_is_as_durable_as_what_is_new),
#endif
	};

#ifdef SEAWALL_FAULTS
	if (argc == 3 && strcmp(argv[1], "--story") == 0) {
		struct err err = {0};

		return run_story(argv[2], &err).removed ? 0 : 1;
	}
#endif
	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
