/* wal_test.c — where PostgreSQL's directory is, and what an exit status makes of it. */
#include "hook/hook.h"
#include "base/file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void located(const char *path, const char *want_path, const char *want_data)
{
	struct err err = {0};
	char *full, *data;

	assert_true(hook_locate(path, &full, &data, &err));
	assert_string_equal(full, want_path);
	assert_string_equal(data, want_data);
	free(full);
	free(data);
}

static void the_data_directory_is_the_folder_above_pg_wal(void **state)
{
	struct err err = {0};
	char *full = NULL, *data = NULL;

	(void)state;
	assert_int_equal(chdir("/usr"), 0);
	located("pg_wal/A", "/usr/pg_wal/A", "/usr");
	located("RECOVERYXLOG", "/usr/RECOVERYXLOG", "/usr");
	located("x/y", "/usr/x/y", "/usr");
	located("data/pg_wal/A", "/usr/data/pg_wal/A", "/usr/data");
	located("/d/pg_wal/A", "/d/pg_wal/A", "/d");
	located("/d e/pg_wal//A", "/d e/pg_wal//A", "/d e");
	located("/pg_wal/A", "/pg_wal/A", "/");
	located("/x/y/z", "/x/y/z", "/x");
	located("/A", "/A", "/");
	assert_false(hook_locate("", &full, &data, &err));
	assert_int_equal(err.code, ERR_USAGE);
	assert_null(full);
}

static void a_push_never_exceeds_125_and_only_stored_is_success(void **state)
{
	(void)state;
	for (enum hook_result result = 0; result <= HOOK_LATE; result++)
		for (int standby = 0; standby < 2; standby++)
			assert_int_equal(hook_exit(HOOK_PUSH, result, standby),
			                 result != HOOK_STORED);
}

static void a_fetch_is_1_only_when_the_file_is_proven_absent_D1(void **state)
{
	(void)state;
	for (enum hook_result result = 0; result <= HOOK_LATE; result++) {
		int want = result == HOOK_DELIVERED ? 0 : result == HOOK_ABSENT ? 1 : 255;

		assert_int_equal(hook_exit(HOOK_FETCH, result, false), want);
	}
}

static void a_standby_lives_on_unless_the_file_is_damaged(void **state)
{
	(void)state;
	for (enum hook_result result = 0; result <= HOOK_LATE; result++) {
		int want = result == HOOK_DELIVERED ? 0 : result == HOOK_FAILED ? 255 : 1;

		assert_int_equal(hook_exit(HOOK_FETCH, result, true), want);
	}
}

static void the_limits_are_those_of_the_manual(void **state)
{
	struct hook_request request = {.verb = HOOK_PUSH};

	(void)state;
	hook_limits(&request, true);
	assert_int_equal(request.total_ms, 60 * 1000);
	assert_int_equal(request.silence_ms, 10 * 1000);
	assert_int_equal(request.wait_s, 5);
	request.verb = HOOK_FETCH;
	hook_limits(&request, false);
	assert_int_equal(request.total_ms, 330 * 1000);
	hook_limits(&request, true);
	assert_int_equal(request.total_ms, 10 * 1000);
	assert_true(request.wait_s * 1000 < request.silence_ms);
}

static bool plan_socket(const char *text, char **ret, struct err *err)
{
	char path[] = "/tmp/plan.XXXXXX";
	int fd = mkstemp(path);
	bool good;

	assert_true(fd >= 0);
	assert_true(file_write_full(fd, text, strlen(text)));
	close(fd);
	*ret = NULL;
	*err = (struct err){0};
	good = hook_restore_socket(path, ret, err);
	unlink(path);
	return good;
}

static void a_restore_names_its_own_socket(void **state)
{
	struct err err;
	char *socket;

	(void)state;
	assert_true(plan_socket("[server]\nsocket = /a\n[restore]\nend = x\nsocket = /b/s\n",
	                        &socket, &err));
	assert_string_equal(socket, "/b/s");
	free(socket);
	assert_true(plan_socket("[restore]\nend = x\n", &socket, &err));
	assert_null(socket);
}

static void a_plan_that_cannot_be_read_is_refused(void **state)
{
	struct err err;
	char *socket;

	(void)state;
	assert_false(plan_socket("[restore]\nsocket = relative\n", &socket, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_false(plan_socket("[restore]\nsocket = /a\nsocket = /b\n", &socket, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_false(plan_socket("garbage\n", &socket, &err));
	assert_null(socket);
	err = (struct err){0};
	assert_false(hook_restore_socket("/nowhere/plan", &socket, &err));
	assert_int_equal(err.code, ERR_CONFIG);
}

static void a_standby_is_known_by_its_signal_file(void **state)
{
	char folder[] = "/tmp/data.XXXXXX";
	char *file;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_false(hook_is_standby(folder));
	file = path_join(folder, "standby.signal");
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_true(hook_is_standby(folder));
	unlink(file);
	free(file);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_data_directory_is_the_folder_above_pg_wal),
	        cmocka_unit_test(a_push_never_exceeds_125_and_only_stored_is_success),
	        cmocka_unit_test(a_fetch_is_1_only_when_the_file_is_proven_absent_D1),
	        cmocka_unit_test(a_standby_lives_on_unless_the_file_is_damaged),
	        cmocka_unit_test(the_limits_are_those_of_the_manual),
	        cmocka_unit_test(a_restore_names_its_own_socket),
	        cmocka_unit_test(a_plan_that_cannot_be_read_is_refused),
	        cmocka_unit_test(a_standby_is_known_by_its_signal_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
