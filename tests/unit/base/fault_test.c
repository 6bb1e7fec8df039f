/* fault_test.c — the points themselves: plans from the environment and from inside the process. */
#include "base/fault.h"
#include "base/str.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "unit/base/scratch.h"

#ifdef SEAWALL_FAULTS

enum { THREADS = 4, ROUNDS = 5000, POINTS = 5 };

/* The wait status of this program run as "--points", which exits with the number of the point that
 * failed. */
static int run_points(const char *plan, const char *only)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		close(STDERR_FILENO);
		setenv("SEAWALL_FAULT", plan, 1);
		if (only)
			setenv("SEAWALL_FAULT_ONLY", only, 1);
		execl("/proc/self/exe", "fault_test", "--points", (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static int points(void)
{
	static const char *const abouts[POINTS] = {"/tmp/cafe/base/16384/1259_fsm", "3/x.y",
	                                           "/tmp/beef/base/5/2619_fsm", "face/x.y", ""};

	for (int i = 1; i <= POINTS; i++) {
		if (fault_point_at(i % 2 ? "odd-point" : "even-point", abouts[i - 1]))
			return errno == EIO ? i : 98;
	}
	return (int)fault_delay_ms("odd-point");
}

static void the_planned_point_fails(void **state)
{
	(void)state;
	assert_int_equal(WEXITSTATUS(run_points("fail:3", NULL)), 3);
	assert_int_equal(WEXITSTATUS(run_points("fail:2", "even-")), 4);
	assert_int_equal(WEXITSTATUS(run_points("fail:6", NULL)), 0);
}

static void the_planned_point_kills(void **state)
{
	int status = run_points("kill:2", NULL);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_true(WIFEXITED(run_points("kill:3", "even-")));
}

static void the_points_are_counted_into_a_file(void **state)
{
	AUTO_FREE
	char *path = path_join(*state, "count");
	AUTO_FREE
	char *plan = xasprintf("count:%s", path);
	AUTO_BUF struct buf buf;
	struct err err = {0};

	buf_init(&buf, 100);
	assert_int_equal(run_points(plan, NULL), 0);
	assert_true(file_read_all(path, &buf, &err));
	assert_string_equal(buf_text(&buf), "5\n");
}

/* The place without the calls that led to it. */
static char *place_words(const char *line)
{
	return xasprintf("%.*s", (int)(strchr(strchr(line, ' ') + 1, ' ') - line), line);
}

static void the_places_are_listed_and_the_point_of_a_place_kills(void **state)
{
	static const char *const wanted[POINTS] = {"odd-point #/base/#/#_fsm", "even-point #/x.y",
	                                           "odd-point #/base/#/#_fsm", "even-point #/x.y",
	                                           "odd-point "};
	AUTO_FREE char *path = path_join(*state, "list");
	AUTO_FREE char *plan = xasprintf("list:%s", path);
	AUTO_BUF struct buf buf = {0};
	struct err err = {0};
	char *line[POINTS], *rest;
	int status;

	buf_init(&buf, 4096);
	assert_int_equal(run_points(plan, NULL), 0);
	assert_true(file_read_all(path, &buf, &err));
	rest = (char *)buf_text(&buf);
	for (int i = 0; i < POINTS; i++) {
		AUTO_FREE char *words = place_words(line[i] = strsep(&rest, "\n"));

		assert_string_equal(words, wanted[i]);
	}
	assert_string_equal(rest, "");
	assert_string_equal(line[0], line[2]);
	assert_string_not_equal(line[0], line[4]);
	for (int n = 1; n <= 3; n++) {
		AUTO_FREE char *kill = xasprintf("kill:%d@%s", n, line[1]);

		status = run_points(kill, NULL);
		assert_true(n <= 2 ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
		                   : WIFEXITED(status));
	}
}

static void delays(void **state)
{
	(void)state;
	assert_int_equal(WEXITSTATUS(run_points("delay:17", NULL)), 17);
	assert_int_equal(WEXITSTATUS(run_points("delay:17", "even-")), 0);
}

static void a_plan_that_cannot_be_read_ends_the_process(void **state)
{
	static const char *const bad[] = {"kill",
	                                  "kill:0",
	                                  "kill:x",
	                                  "kill:1@",
	                                  "kill:@a",
	                                  "list:",
	                                  "list:/no/such/folder/x",
	                                  "fail:",
	                                  "count:",
	                                  "fial:3",
	                                  "delay:0"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_int_equal(WEXITSTATUS(run_points(bad[i], NULL)), 2);
}

static void *pass_many(void *failures)
{
	for (int i = 0; i < ROUNDS; i++)
		*(int *)failures += fault_point("thread");
	return NULL;
}

static void with_many_threads_exactly_one_meets_the_fault(void **state)
{
	pthread_t thread[THREADS];
	int failures[THREADS] = {0}, sum = 0;
	unsigned before = fault_count();

	(void)state;
	fault_plan_fail(THREADS * ROUNDS / 2);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, pass_many, &failures[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		sum += failures[i];
	}
	assert_int_equal(sum, 1);
	assert_int_equal(fault_count() - before, THREADS * ROUNDS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_planned_point_fails),
	        cmocka_unit_test(the_planned_point_kills),
	        in_scratch(the_points_are_counted_into_a_file),
	        in_scratch(the_places_are_listed_and_the_point_of_a_place_kills),
	        cmocka_unit_test(delays),
	        cmocka_unit_test(a_plan_that_cannot_be_read_ends_the_process),
	        cmocka_unit_test(with_many_threads_exactly_one_meets_the_fault),
	};

	if (argc == 2 && strcmp(argv[1], "--points") == 0)
		return points();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void a_release_build_has_no_faults(void **state)
{
	(void)state;
	errno = 0;
	assert_false(fault_point("any") || fault_point_at("any", "path"));
	assert_int_equal(errno, 0);
	assert_int_equal(fault_delay_ms("any"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_release_build_has_no_faults)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
