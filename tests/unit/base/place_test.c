/* place_test.c — where things are when nobody says so. */
#include "base/place.h"
#include "base/file.h"
#include "base/str.h"
#include <pwd.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char config[] = "/tmp/place.XXXXXX";

static int config_make(void **state)
{
	int fd = mkstemp(config);

	(void)state;
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int config_remove(void **state)
{
	(void)state;
	return unlink(config);
}

static bool find(const char *text, struct place *ret, struct err *err)
{
	FILE *file = fopen(config, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	*err = (struct err){0};
	return place_find(config, ret, err);
}

static void the_file_names_socket_and_state(void **state)
{
	struct place place;
	struct err err;

	(void)state;
	assert_true(find("[cluster a]\nsocket = /no\n[server]\nstate = /s\nsocket = /r/x\n", &place,
	                 &err));
	assert_string_equal(place.socket, "/r/x");
	assert_string_equal(place.state, "/s");
	assert_string_equal(place.config, config);
	place_release(&place);
}

static void the_socket_lies_in_the_state_folder_unless_named(void **state)
{
	struct place place;
	struct err err;

	(void)state;
	assert_true(find("[server]\nstate = /s\nhttp = later\n", &place, &err));
	assert_string_equal(place.socket, "/s/seawall.sock");
	place_release(&place);
}

static void without_either_the_base_folder_decides(void **state)
{
	struct place place;
	struct err err = {0};
	char *base = place_base_folder(&err);

	(void)state;
	assert_non_null(base);
	assert_true(find("[repository a]\n", &place, &err));
	assert_true(str_starts(place.state, base));
	assert_true(str_ends(place.state, "/state"));
	assert_true(str_ends(place.socket, "/state/seawall.sock"));
	place_release(&place);
	free(base);
}

static void home_is_that_of_the_password_database(void **state)
{
	const struct passwd *user = getpwuid(geteuid());
	struct err err = {0};
	char *base, *want;

	(void)state;
	if (access(PLACE_BASE, W_OK | X_OK) == 0)
		want = xstrdup(PLACE_BASE);
	else
		want = path_join(user->pw_dir, "seawall");
	setenv("HOME", "/elsewhere", 1);
	base = place_base_folder(&err);
	assert_string_equal(base, want);
	free(base);
	free(want);
}

static void the_option_wins_over_the_environment(void **state)
{
	char *path;

	(void)state;
	setenv("SEAWALL_CONFIG", "/from/environment", 1);
	path = place_config_path("/from/option");
	assert_string_equal(path, "/from/option");
	free(path);
	path = place_config_path(NULL);
	assert_string_equal(path, "/from/environment");
	free(path);
	setenv("SEAWALL_CONFIG", "", 1);
	path = place_config_path(NULL);
	assert_true(!path || strcmp(path, PLACE_CONFIG) == 0);
	free(path);
	unsetenv("SEAWALL_CONFIG");
}

static void what_cannot_work_is_refused_with_file_and_line(void **state)
{
	struct place place;
	struct err err;
	char text[300] = "[server]\nsocket = /";

	(void)state;
	assert_false(find("[server]\n\nsocket = run/x\n", &place, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_non_null(strstr(err.text, "line 3"));
	assert_non_null(strstr(err.text, config));
	assert_false(find("[server]\nstate = /a\nstate = /b\n", &place, &err));
	assert_non_null(strstr(err.text, "line 3"));
	assert_false(find("[server]\n  state = /a\n", &place, &err));
	memset(text + strlen(text), 'x', PLACE_SOCKET_BYTES_MAX);
	assert_false(find(text, &place, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	err = (struct err){0};
	assert_false(place_find("/nowhere/seawall.conf", &place, &err));
	assert_int_equal(err.code, ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_file_names_socket_and_state),
	        cmocka_unit_test(the_socket_lies_in_the_state_folder_unless_named),
	        cmocka_unit_test(without_either_the_base_folder_decides),
	        cmocka_unit_test(home_is_that_of_the_password_database),
	        cmocka_unit_test(the_option_wins_over_the_environment),
	        cmocka_unit_test(what_cannot_work_is_refused_with_file_and_line),
	};

	return cmocka_run_group_tests(tests, config_make, config_remove);
}
