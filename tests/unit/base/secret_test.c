/* secret_test.c — memory for keys is locked, not dumped, and empty in a child. */
#include "base/secret.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* With these, mlock() does nothing and says that it did. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOCKS false
#else
#define LOCKS true
#endif

/* The line "VmFlags:" of the mapping that holds memory. */
static void flags_of(const void *memory, char out[256])
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[256];
	unsigned long from, to;
	bool ours = false;

	assert_non_null(maps);
	out[0] = '\0';
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = (uintptr_t)memory >= from && (uintptr_t)memory < to;
		else if (ours && strncmp(line, "VmFlags:", 8) == 0)
			memcpy(out, line, sizeof(line));
	}
	fclose(maps);
}

static void it_is_locked_and_not_dumped(void **state)
{
	struct err err = {0};
	uint8_t *memory = secret_new(100, &err);
	char flags[256];

	(void)state;
	assert_non_null(memory);
	for (int i = 0; i < 100; i++)
		assert_int_equal(memory[i], 0);
	flags_of(memory, flags);
	assert_true(!LOCKS || strstr(flags, " lo"));
	assert_non_null(strstr(flags, " dd"));
	assert_non_null(strstr(flags, " wf"));
	secret_free(memory, 100);
	secret_free(NULL, 100);
}

static void a_child_sees_nothing_of_it(void **state)
{
	struct err err = {0};
	uint8_t *memory = secret_new(16, &err);
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(memory);
	memory[3] = 7;
	pid = fork();
	if (pid == 0)
		_exit(memory[3]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(memory[3], 7);
	secret_free(memory, 16);
}

/* In a child, which gives up the right to lock without limit first. */
static void more_than_may_be_locked_is_refused(void **state)
{
	const struct rlimit none = {0};
	int status;
	pid_t pid;

	(void)state;
	if (!LOCKS)
		skip();
	pid = fork();
	if (pid == 0) {
		struct err err = {0};

		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (getuid() == 0 && setuid(65534) != 0))
			_exit(1);
		if (secret_new(16, &err))
			_exit(2);
		_exit(strstr(err.text, "could not lock") && strstr(err.hint, "LimitMEMLOCK") ? 0
		                                                                             : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_is_locked_and_not_dumped),
	        cmocka_unit_test(a_child_sees_nothing_of_it),
	        cmocka_unit_test(more_than_may_be_locked_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
