/* file_test.c — what only the store of files can get wrong: disks, rights, leftovers, other files.
 */
#include "store/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "base/clock.h"

struct fixture {
	char folder[64], root[96], url[128];
	struct loop *loop;
	struct store *store;
};

static int begin(void **state)
{
	struct fixture *f = *state = xcalloc(1, sizeof(*f));

	snprintf(f->folder, sizeof(f->folder), "/tmp/seawall-file.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->root, sizeof(f->root), "%s/repo", f->folder);
	snprintf(f->url, sizeof(f->url), "file://%s", f->root);
	f->loop = loop_new(&(struct loop_options){.workers = 2});
	f->store = open_place(f->loop, f->url, true);
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};

	store_close(f->store);
	loop_free(f->loop);
	assert_true(file_remove_tree(f->folder, &err));
	free(f);
	return 0;
}

static void make_file(const struct fixture *f, const char *name, const char *text)
{
	AUTO_FREE char *path = path_join(f->root, name);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_true(file_write_full(fd, text, strlen(text)));
}

static unsigned count_drafts(const struct fixture *f)
{
	AUTO_FREE char *folder = path_join(f->root, ".drafts");
	struct strs names = {0};
	struct err err = {0};
	unsigned count;

	if (!file_list(folder, &names, &err))
		return 0;
	count = (unsigned)names.count;
	strs_release(&names);
	return count;
}

static void what_is_no_object_is_not_listed(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *empty = path_join(f->root, "empty");
	AUTO_FREE char *lost = path_join(f->root, "lost+found");
	AUTO_FREE char *link_path = path_join(f->root, "dangling");

	assert_int_equal(put_text(f->store, "a/b", "x"), ERR_NONE);
	make_file(f, "with space", "x");
	make_file(f, ".hidden", "x");
	assert_int_equal(mkdir(empty, 0700), 0);
	assert_int_equal(mkdir(lost, 0000), 0);
	assert_int_equal(symlink("nowhere", link_path), 0);
	assert_page(f->store, "", NULL, 0, "a/b");
	assert_folders(f->store, "", NULL, 0, "a/");
	assert_int_equal(rmdir(lost), 0);
}

static void a_put_leaves_no_draft(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put_text(f->store, "a/b", "x"), ERR_NONE);
	assert_int_equal(put_text(f->store, "a/b", "y"), ERR_EXISTS);
	assert_int_equal(count_drafts(f), 0);
}

/*
 * What runs in a process of its own is this program again: threads cannot be started after a fork
 * of a process that had some (ThreadSanitizer says so, and is right).
 */
static pid_t run_self(const char *role, const struct fixture *f)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		execl("/proc/self/exe", "file_test", role, f->url, (char *)NULL);
		_exit(99);
	}
	return child;
}

/* Puts one big object after the other, until it is killed. */
static int put_for_ever(const char *url)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct store *store = open_place(loop, url, false);
	uint8_t *bytes = xcalloc(1, 8 << 20);
	char name[32];

	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof(name), "big/%d-%u", (int)getpid(), i);
		if (put_bytes(store, name, bytes, 8 << 20) != ERR_NONE)
			return 1;
	}
}

/* Kills a process in the middle of a put; whether it was one shows in the draft. */
static bool kill_one_writer(const struct fixture *f, int64_t deadline_us)
{
	pid_t child = run_self("put-for-ever", f);
	int status;

	while (count_drafts(f) == 0 && clock_mono_us() < deadline_us)
		sched_yield();
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	return count_drafts(f) > 0;
}

static void each_listed_object_is_whole(struct store *store)
{
	struct store_list list = {.store = store, .prefix = ""};

	assert_true(RUN(store->loop, store_list_start, &list));
	for (unsigned i = 0; i < list.count; i++)
		assert_int_equal(list.entry[i].bytes, 8 << 20);
	store_list_release(&list);
}

static void leftovers_of_killed_processes_go_at_the_next_opening(void **state)
{
	struct fixture *f = *state;
	int64_t deadline_us = clock_mono_us() + 60 * US_PER_S;

	while (!kill_one_writer(f, deadline_us))
		assert_true(clock_mono_us() < deadline_us);
	each_listed_object_is_whole(f->store);
	store_close(f->store);
	f->store = open_place(f->loop, f->url, false);
	assert_int_equal(count_drafts(f), 0);
	each_listed_object_is_whole(f->store);
}

/* The number of a process means nothing for drafts of another host; their age does. */
static void drafts_of_others_go_only_when_they_are_old(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *drafts = path_join(f->root, ".drafts");
	struct utimbuf old = {time(NULL) - 7200, time(NULL) - 7200};
	struct strs names = {0};
	struct err err = {0};
	char path[512];

	assert_int_equal(put_text(f->store, "a", "x"), ERR_NONE);
	make_file(f, ".drafts/.00000000-other.999999.0.draft", "another host's");
	make_file(f, ".drafts/.00000000-aged.1.0.draft", "old");
	snprintf(path, sizeof(path), "%s/.00000000-aged.1.0.draft", drafts);
	assert_int_equal(utime(path, &old), 0);
	make_file(f, ".drafts/notes", "somebody's");
	store_close(f->store);
	f->store = open_place(f->loop, f->url, false);
	assert_true(file_list(drafts, &names, &err));
	strs_sort(&names);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.item[0], ".00000000-other.999999.0.draft");
	assert_string_equal(names.item[1], "notes");
	strs_release(&names);
}

static void an_unmounted_disk_is_neither_not_found_nor_a_new_repository(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *away = path_join(f->folder, "away");
	AUTO_BUF struct buf buf;
	uint64_t bytes;

	buf_init(&buf, BLOCK_BYTES);
	assert_int_equal(put_text(f->store, "a", "x"), ERR_NONE);
	assert_int_equal(rename(f->root, away), 0); /* the folder is gone */
	assert_int_equal(get_range(f->store, "a", 0, 9, &buf), ERR_STORE);
	assert_int_equal(put_text(f->store, "b", "x"), ERR_STORE);
	assert_int_equal(mkdir(f->root, 0700), 0); /* the empty mount point */
	assert_int_equal(get_range(f->store, "a", 0, 9, &buf), ERR_STORE);
	assert_int_equal(head_of(f->store, "a", &bytes), ERR_STORE);
	assert_int_equal(put_text(f->store, "b", "x"), ERR_STORE);
	assert_int_equal(rmdir(f->root), 0); /* and it is still empty */
	assert_int_equal(rename(away, f->root), 0);
	assert_text(f->store, "a", "x");
	assert_int_equal(put_text(f->store, "b", "x"), ERR_NONE);
}

static void anchor_begin(struct store *store)
{
	assert_int_equal(put_text(store, "seawall.json", "{1}"), ERR_NONE);
	assert_int_equal(put_text(store, "a/b", "x"), ERR_NONE);
	store_anchor(store, "seawall.json", "{1}", 3);
	assert_text(store, "a/b", "x");
	assert_true(store_still(store, "a/b"));
	assert_false(store_still(store, "a/c"));
}

/* Whatever is asked, the answer is neither "not there" nor "stored" nor an empty list. */
static void nothing_is_known_of(struct store *store)
{
	static const char *const names[] = {"a/b"};
	struct store_list list = {.store = store, .prefix = ""};
	struct store_head durable = {.store = store, .name = "a/b", .durable = true};
	AUTO_BUF struct buf buf;
	uint64_t bytes;

	buf_init(&buf, BLOCK_BYTES);
	assert_int_equal(get_range(store, "a/b", 0, 9, &buf), ERR_STORE);
	assert_int_equal(head_of(store, "a/b", &bytes), ERR_STORE);
	assert_int_equal(put_text(store, "a/b", "x"), ERR_STORE);
	assert_int_equal(put_text(store, "a/d", "x"), ERR_STORE);
	assert_int_equal(remove_names(store, names, 1), ERR_STORE);
	assert_false(RUN(store->loop, store_list_start, &list));
	assert_int_equal(list.op.err.code, ERR_STORE);
	assert_false(RUN(store->loop, store_head_start, &durable));
	assert_int_equal(durable.op.err.code, ERR_STORE);
	assert_false(store_still(store, "a/b"));
	assert_false(store_space(store, &bytes, &bytes));
}

/* As a disk that was mounted again, and as rm -rf and mkdir: the inode may be the same. */
static void a_place_that_lost_its_anchor_is_unreachable(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *anchor = path_join(f->root, "seawall.json");

	anchor_begin(f->store);
	assert_int_equal(unlink(anchor), 0);
	nothing_is_known_of(f->store);
	make_file(f, "seawall.json", "{2}");
	nothing_is_known_of(f->store);
	make_file(f, "seawall.json", "{1} and more");
	nothing_is_known_of(f->store);
	make_file(f, "seawall.json", "{1}");
	assert_text(f->store, "a/b", "x");
	assert_int_equal(put_text(f->store, "a/d", "x"), ERR_NONE);
}

/* The roots of two disks have the same inode. */
static void an_empty_disk_in_its_place_is_unreachable(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *mount_point = path_join(f->folder, "disk");
	char url[160];
	struct store *store;

	assert_int_equal(mkdir(mount_point, 0700), 0);
	if (mount("none", mount_point, "tmpfs", 0, "size=2m") != 0) {
		free(STEAL(mount_point)); /* skip() jumps over the end of this block */
		skip();
	}
	snprintf(url, sizeof(url), "file://%s", mount_point);
	store = open_place(f->loop, url, true);
	anchor_begin(store);
	assert_int_equal(mount("none", mount_point, "tmpfs", 0, "size=2m"), 0);
	nothing_is_known_of(store);
	assert_int_equal(umount(mount_point), 0);
	assert_text(store, "a/b", "x");
	assert_int_equal(umount(mount_point), 0);
	nothing_is_known_of(store);
	store_close(store);
}

/* A thread that takes the root away and puts it back, or another one in its place, all the time. */
struct shuffle {
	char root[128], away[128], empty[128];
	bool stop;
};

static void *shuffle_run(void *context)
{
	struct shuffle *shuffle = context;

	while (!__atomic_load_n(&shuffle->stop, __ATOMIC_RELAXED)) {
		rename(shuffle->root, shuffle->away);
		rename(shuffle->empty, shuffle->root);
		rename(shuffle->root, shuffle->empty);
		rename(shuffle->away, shuffle->root);
	}
	return NULL;
}

static void a_root_that_is_swapped_at_any_moment_never_lies(void **state)
{
	enum { ROUNDS = 400 };
	struct fixture *f = *state;
	struct shuffle shuffle = {.stop = false};
	bool stored[ROUNDS] = {false};
	pthread_t thread;
	char name[32];

	anchor_begin(f->store);
	snprintf(shuffle.root, sizeof(shuffle.root), "%s", f->root);
	snprintf(shuffle.away, sizeof(shuffle.away), "%s/away", f->folder);
	snprintf(shuffle.empty, sizeof(shuffle.empty), "%s/empty", f->folder);
	assert_int_equal(mkdir(shuffle.empty, 0700), 0);
	assert_int_equal(pthread_create(&thread, NULL, shuffle_run, &shuffle), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct store_list list = {.store = f->store, .prefix = "a/"};
		struct iovec piece = {name, 4};
		struct store_put put = {.store = f->store,
		                        .name = name,
		                        .piece = &piece,
		                        .pieces = 1,
		                        .deadline_ms = 1};
		uint64_t bytes;

		snprintf(name, sizeof(name), "a/%u", i);
		RUN(f->loop, store_put_start, &put);
		stored[i] = put.op.err.code == ERR_NONE || put.op.err.code == ERR_EXISTS;
		assert_int_not_equal(head_of(f->store, "a/b", &bytes), ERR_NOTFOUND);
		assert_true(!RUN(f->loop, store_list_start, &list) || list.count > 0);
		store_list_release(&list);
	}
	__atomic_store_n(&shuffle.stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t bytes;

		snprintf(name, sizeof(name), "a/%u", i);
		if (stored[i])
			assert_int_equal(head_of(f->store, name, &bytes), ERR_NONE);
	}
}

static void a_place_that_is_no_folder_or_no_path(void **state)
{
	static const char *const bad[] = {"file://relative/path", "file://"};
	struct fixture *f = *state;
	struct store *store = NULL;
	char url[160];

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct store_options options = {.url = bad[i], .label = "bad", .create = true};
		struct err err = {0};

		assert_false(store_open(f->loop, &options, &store, &err));
		assert_int_equal(err.code, ERR_CONFIG);
	}
	make_file(f, "file", "x");
	snprintf(url, sizeof(url), "%s/file", f->url);
	for (int create = 0; create < 2; create++) {
		struct store_options options = {.url = url, .label = "bad", .create = create};
		struct err err = {0};

		assert_false(store_open(f->loop, &options, &store, &err));
		assert_int_equal(err.code, ERR_STORE);
	}
}

static void free_space_is_told(void **state)
{
	struct fixture *f = *state;
	uint64_t free_bytes = 0, total_bytes = 0;

	assert_true(store_space(f->store, &free_bytes, &total_bytes));
	assert_true(total_bytes > 0 && free_bytes <= total_bytes);
}

/* In a process of its own, as nobody when it was root. 0: as it should be. */
static int without_rights(const char *url)
{
	struct loop *loop;
	struct store_options options = {.url = url, .label = "locked"};
	struct store *store = NULL;
	struct err err = {0};
	char text[] = "x";
	struct iovec piece = {text, 1};
	struct store_put put;

	if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		return 11;
	loop = loop_new(&(struct loop_options){.workers = 1});
	if (!store_open(loop, &options, &store, &err))
		return 12;
	put = (struct store_put){.store = store, .name = "a/b", .piece = &piece, .pieces = 1};
	if (RUN(loop, store_put_start, &put) || put.op.err.code != ERR_STORE)
		return 13;
	if (!strstr(put.op.err.text, "cannot be written") || !put.op.err.hint[0])
		return 14;
	store_close(store);
	loop_free(loop);
	return 0;
}

static void no_right_to_write_is_said_as_that(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	assert_int_equal(chmod(f->folder, 0755), 0);
	assert_int_equal(chmod(f->root, 0555), 0);
	child = run_self("without-rights", f);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(chmod(f->root, 0700), 0);
}

/* A full disk: as root on a small tmpfs, which is the only way to have one here. */
static void a_full_disk_is_said_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *mount_point = path_join(f->folder, "small");
	char url[160];
	struct store *store;
	uint8_t *bytes;
	struct iovec piece;
	struct store_put put;

	assert_int_equal(mkdir(mount_point, 0700), 0);
	if (mount("none", mount_point, "tmpfs", 0, "size=2m") != 0) {
		free(STEAL(mount_point)); /* skip() jumps over the end of this block */
		skip();
	}
	snprintf(url, sizeof(url), "file://%s", mount_point);
	store = open_place(f->loop, url, true);
	bytes = xcalloc(1, 4 << 20);
	piece = (struct iovec){bytes, 4 << 20};
	put = (struct store_put){.store = store, .name = "a/big", .piece = &piece, .pieces = 1};
	assert_false(RUN(f->loop, store_put_start, &put));
	assert_int_equal(put.op.err.code, ERR_FULL);
	assert_non_null(strstr(put.op.err.hint, "free"));
	assert_page(store, "", NULL, 0, "");
	assert_int_equal(put_bytes(store, "a/small", bytes, 1 << 20), ERR_NONE);
	assert_int_equal(mount("none", mount_point, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=2m"), 0);
	piece.iov_len = 1;
	put.name = "a/more";
	assert_false(RUN(f->loop, store_put_start, &put));
	assert_int_equal(put.op.err.code, ERR_STORE);
	assert_non_null(strstr(put.op.err.hint, "read-only"));
	store_close(store);
	assert_int_equal(umount(mount_point), 0);
	free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_is_no_object_is_not_listed),
	        TEST(a_put_leaves_no_draft),
	        TEST(leftovers_of_killed_processes_go_at_the_next_opening),
	        TEST(drafts_of_others_go_only_when_they_are_old),
	        TEST(an_unmounted_disk_is_neither_not_found_nor_a_new_repository),
	        TEST(a_place_that_lost_its_anchor_is_unreachable),
	        TEST(an_empty_disk_in_its_place_is_unreachable),
	        TEST(a_root_that_is_swapped_at_any_moment_never_lies),
	        TEST(a_place_that_is_no_folder_or_no_path),
	        TEST(free_space_is_told),
	        TEST(no_right_to_write_is_said_as_that),
	        TEST(a_full_disk_is_said_and_leaves_nothing),
	};

	if (argc == 3 && strcmp(argv[1], "put-for-ever") == 0)
		return put_for_ever(argv[2]);
	if (argc == 3 && strcmp(argv[1], "without-rights") == 0)
		return without_rights(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
