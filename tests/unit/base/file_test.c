/* file_test.c — nothing is read or written by half. */
#include "base/file.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "unit/base/scratch.h"

static void write_text(const char *folder, const char *name, const char *text)
{
	AUTO_FREE
	char *path = path_join(folder, name);
	AUTO_FD
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(file_write_full(fd, text, strlen(text)));
}

/* A pipe gives what it has: the writer sends 300 kB in pieces, so single reads must come short. */
static void a_read_goes_on_until_it_has_all(void **state)
{
	enum { BYTES = 300 * 1024 };
	AUTO_FREE
	char *bytes = xmalloc(BYTES + 10);
	int ends[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		memset(bytes, 'p', BYTES);
		close(ends[0]);
		for (int at = 0; at < BYTES; at += 1024) {
			if (!file_write_full(ends[1], bytes + at, 1024))
				_exit(1);
		}
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(file_read_full(ends[0], bytes, BYTES + 10), BYTES);
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(bytes[BYTES - 1], 'p');
}

static void reading_and_writing_at_a_place(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "f");
	AUTO_FD
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	char bytes[8] = "";

	assert_true(file_pwrite_full(fd, "end", 3, 4));
	assert_int_equal(file_pread_full(fd, bytes, 8, 0), 7);
	assert_memory_equal(bytes, "\0\0\0\0end", 7);
	assert_int_equal(file_pread_full(fd, bytes, 8, 7), 0);
	assert_int_equal(file_pread_full(-1, bytes, 8, 0), -1);
	assert_int_equal(errno, EBADF);
	assert_false(file_write_full(-1, "x", 1));
}

static void a_full_device_is_an_error(void **state)
{
	AUTO_FD
	int fd = open("/dev/full", O_WRONLY);

	(void)state;
	assert_true(fd >= 0);
	assert_false(file_write_full(fd, "x", 1));
	assert_int_equal(errno, ENOSPC);
}

static void a_whole_file_is_read_up_to_the_limit(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "f");
	AUTO_FREE
	char *none = path_join(*state, "none");
	AUTO_BUF struct buf buf;
	struct err err = {0};

	buf_init(&buf, 5);
	write_text(*state, "f", "");
	assert_true(file_read_all(path, &buf, &err));
	assert_string_equal(buf.data, "");
	write_text(*state, "f", "12345");
	assert_true(file_read_all(path, &buf, &err));
	assert_string_equal(buf.data, "12345");
	buf_clear(&buf);
	write_text(*state, "f", "123456");
	assert_false(file_read_all(path, &buf, &err));
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, "larger than the 5 bytes"));
	assert_false(file_read_all(none, &buf, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_false(file_read_all(*state, &buf, &err));
	assert_int_equal(err.code, ERR_IO);
}

static void paths_are_cut_and_joined(void **state)
{
	static const struct {
		const char *path, *folder, *name;
	} rows[] = {{"a/b", "a", "b"}, {"a", ".", "a"},    {"/a", "/", "a"},
	            {"/", "/", ""},    {"a//b", "a", "b"}, {"/a/b/c", "/a/b", "c"}};
	AUTO_FREE
	char *one = path_join("a", "b");
	AUTO_FREE
	char *two = path_join("/", "b");
	AUTO_FREE
	char *three = path_join("", "b");

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		AUTO_FREE
		char *folder = path_folder(rows[i].path);

		assert_string_equal(folder, rows[i].folder);
		assert_string_equal(path_name(rows[i].path), rows[i].name);
	}
	assert_string_equal(one, "a/b");
	assert_string_equal(two, "/b");
	assert_string_equal(three, "b");
	assert_true(path_is_absolute("/a"));
	assert_false(path_is_absolute("a"));
	assert_false(path_is_absolute(""));
}

static void a_folder_lists_its_names(void **state)
{
	AUTO_FREE
	char *none = path_join(*state, "none");
	struct strs names = {0};
	struct err err = {0};

	write_text(*state, "b", "");
	write_text(*state, ".a", "");
	assert_true(file_list(*state, &names, &err));
	strs_sort(&names);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.item[0], ".a");
	assert_string_equal(names.item[1], "b");
	strs_release(&names);
	assert_false(file_list(none, &names, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
}

static void a_tree_goes_but_not_what_its_links_lead_to(void **state)
{
	AUTO_FREE
	char *keep = path_join(*state, "keep");
	AUTO_FREE
	char *kept = path_join(keep, "kept");
	AUTO_FREE
	char *tree = path_join(*state, "tree");
	AUTO_FREE
	char *sub = path_join(tree, "sub");
	AUTO_FREE
	char *link_path = path_join(sub, "link");
	AUTO_FREE
	char *slashed = path_join(*state, "way/");
	AUTO_FREE
	char *way = path_join(*state, "way");
	struct err err = {0};

	assert_int_equal(mkdir(keep, 0700) | mkdir(tree, 0700) | mkdir(sub, 0700), 0);
	write_text(keep, "kept", "x");
	write_text(sub, "gone", "x");
	assert_int_equal(symlink(keep, link_path) | symlink(keep, way), 0);
	assert_true(file_remove_tree(tree, &err));
	assert_int_equal(access(tree, F_OK), -1);
	assert_true(file_remove_tree(slashed, &err));
	assert_int_equal(access(way, F_OK), -1);
	assert_int_equal(access(kept, F_OK), 0);
	assert_true(file_remove_tree(tree, &err));
	assert_true(file_remove_tree(kept, &err));
	assert_int_equal(access(kept, F_OK), -1);
}

static void a_tree_too_deep_is_refused_not_followed(void **state)
{
	AUTO_FREE
	char *path = xstrdup(*state);
	AUTO_FREE
	char *top = path_join(*state, "d");
	struct err err = {0};

	for (int i = 0; i < 140; i++) {
		char *next = path_join(path, "d");

		assert_int_equal(mkdir(next, 0700), 0);
		free(path);
		path = next;
	}
	assert_false(file_remove_tree(top, &err));
	assert_true(err_is(&err));
	/* Cut in two by hand, so that the scratch folder can go. */
	path[strlen(path) - 2 * 70] = '\0';
	assert_true(file_remove_tree(path, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_read_goes_on_until_it_has_all),
	        in_scratch(reading_and_writing_at_a_place),
	        cmocka_unit_test(a_full_device_is_an_error),
	        in_scratch(a_whole_file_is_read_up_to_the_limit),
	        cmocka_unit_test(paths_are_cut_and_joined),
	        in_scratch(a_folder_lists_its_names),
	        in_scratch(a_tree_goes_but_not_what_its_links_lead_to),
	        in_scratch(a_tree_too_deep_is_refused_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
