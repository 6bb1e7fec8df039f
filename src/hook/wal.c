/*
 * wal.c — what the hooks know of PostgreSQL: where its data directory is, whether it is a standby,
 * and what it makes of an exit status (postgres-facts.md E, cli.md "Exit codes").
 */
#include "hook/hook.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/place.h"
#include "base/str.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/poison.h"

enum { EXIT_OK = 0, EXIT_NO = 1, EXIT_STOP = 255 };

void hook_limits(struct hook_request *request, bool standby)
{
	bool hurry = standby && request->verb == HOOK_FETCH;

	request->wait_s = hurry ? HOOK_STANDBY_WAIT_S : HOOK_WAIT_S;
	request->silence_ms = hurry ? HOOK_STANDBY_SILENCE_MS : HOOK_SILENCE_MS;
	if (request->verb == HOOK_PUSH)
		request->total_ms = HOOK_PUSH_TOTAL_MS;
	else
		request->total_ms = hurry ? HOOK_STANDBY_TOTAL_MS : HOOK_FETCH_TOTAL_MS;
}

int hook_exit(enum hook_verb verb, enum hook_result result, bool standby)
{
	if (verb == HOOK_PUSH)
		return result == HOOK_STORED ? EXIT_OK : EXIT_NO;
	switch (result) {
	case HOOK_DELIVERED:
		return EXIT_OK;
	case HOOK_ABSENT:
		return EXIT_NO;
	case HOOK_FAILED: /* damaged or foreign: also a standby must not go on */
		return EXIT_STOP;
	case HOOK_STORED:
	case HOOK_UNKNOWN:
	case HOOK_NO_SERVER:
	case HOOK_HUNG:
	case HOOK_LATE:
		break;
	}
	return standby ? EXIT_NO : EXIT_STOP;
}

bool hook_locate(const char *path, char **ret_path, char **ret_data, struct err *err)
{
	bool absolute = path_is_absolute(path);
	AUTO_FREE
	char *cwd = absolute ? NULL : getcwd(NULL, 0);
	AUTO_FREE
	char *full = NULL;
	AUTO_FREE
	char *folder = NULL;

	if (!*path)
		return err_set(err, ERR_USAGE, "the path is empty");
	if (!absolute && !cwd)
		return err_sys(err, "could not find the working directory");
	full = absolute ? xstrdup(path) : path_join(cwd, path);
	folder = path_folder(full);
	if (!absolute && strcmp(path_name(folder), "pg_wal") != 0)
		*ret_data = STEAL(cwd);
	else
		*ret_data = path_folder(folder);
	*ret_path = STEAL(full);
	return true;
}

bool hook_is_standby(const char *data)
{
	AUTO_FREE
	char *signal_file = path_join(data, "standby.signal");

	return access(signal_file, F_OK) == 0;
}

static bool plan_line(void *context, const struct ini_line *line, struct err *err)
{
	char **socket = context;

	if (!line->key || strcmp(line->section, "restore") != 0 || strcmp(line->key, "socket") != 0)
		return true;
	if (*socket)
		return err_set(err, ERR_CONFIG, "\"socket\" is given twice");
	if (!place_socket_check(line->value, err))
		return false;
	*socket = xstrdup(line->value);
	return true;
}

bool hook_restore_socket(const char *plan, char **ret_socket, struct err *err)
{
	AUTO_FREE
	char *socket = NULL;

	if (!ini_read(plan, plan_line, &socket, err))
		return err_wrap_as(err, ERR_CONFIG, "could not read the restore's plan \"%s\"",
		                   plan);
	*ret_socket = STEAL(socket);
	return true;
}
