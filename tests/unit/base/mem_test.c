/* mem_test.c — memory that is there, and how the process ends when it is not. */
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void zero_bytes_are_memory_too(void **state)
{
	AUTO_FREE
	void *a = xmalloc(0);
	AUTO_FREE
	void *b = xcalloc(0, 8);
	AUTO_FREE
	void *c = xrealloc(NULL, 0);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
}

static void strings_are_copied_and_formatted(void **state)
{
	AUTO_FREE
	char *a = xstrdup("wal");
	AUTO_FREE
	char *b = xstrndup("wal segment", 3);
	AUTO_FREE
	char *c = xasprintf("%s-%d", "wal", 7);

	(void)state;
	assert_string_equal(a, b);
	assert_string_equal(c, "wal-7");
}

static void a_descriptor_is_closed_at_the_brace_and_errno_stays(void **state)
{
	int seen;

	(void)state;
	{
		AUTO_FD
		int fd = open("/dev/null", O_RDONLY);

		assert_true(fd >= 0);
		seen = fd;
		errno = EXDEV;
	}
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(seen, F_GETFD), -1);
}

static void stealing_moves_the_ownership_out(void **state)
{
	char *p = xstrdup("x"), *q = STEAL(p);
	int fd = 77, other = STEAL_FD(fd);

	(void)state;
	assert_null(p);
	assert_string_equal(q, "x");
	free(q);
	assert_int_equal(fd, -1);
	assert_int_equal(other, 77);
}

/* A multiplication that overflows has no memory under any limit. */
static int exit_without_memory(int status, char *line, size_t line_bytes)
{
	int ends[2], wait_status;
	volatile size_t huge = SIZE_MAX / 2;
	size_t length = 0;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		if (status)
			mem_set_exit(status);
		free(xrealloc(NULL, huge + 16));
		_exit(99);
	}
	close(ends[1]);
	while ((got = read(ends[0], line + length, line_bytes - 1 - length)) > 0)
		length += (size_t)got;
	line[length] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &wait_status, 0), child);
	assert_true(WIFEXITED(wait_status));
	return WEXITSTATUS(wait_status);
}

static void without_memory_the_process_ends_with_one_line_and_its_status(void **state)
{
	char line[1000], *said;

	(void)state;
	assert_int_equal(exit_without_memory(0, line, sizeof(line)), 4);
	said = strstr(line, "seawall:"); /* a sanitizer says something before */
	assert_non_null(said);
	assert_string_equal(said, "seawall: out of memory\n");
	assert_int_equal(exit_without_memory(255, line, sizeof(line)), 255);
}

/* The sanitizers must let malloc fail as libc does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=4096";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(zero_bytes_are_memory_too),
	        cmocka_unit_test(strings_are_copied_and_formatted),
	        cmocka_unit_test(a_descriptor_is_closed_at_the_brace_and_errno_stays),
	        cmocka_unit_test(stealing_moves_the_ownership_out),
	        cmocka_unit_test(without_memory_the_process_ends_with_one_line_and_its_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
