/*
 * place.c — where things are when nobody says so (cli.md, "As whom and where").
 *
 * The hook calls place_find for every segment, so the order matters: the password database, which
 * may be a directory service, is asked only when nothing else answers.
 */
#include "base/place.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
#include "base/poison.h"

char *place_base_folder(struct err *err)
{
	const struct passwd *user;

	/* The effective user, as for every later access: a command started as root has become the
	 * owner. */
	if (faccessat(AT_FDCWD, PLACE_BASE, W_OK | X_OK, AT_EACCESS) == 0)
		return xstrdup(PLACE_BASE);
	errno = 0;
	user = getpwuid(geteuid());
	if (!user || !user->pw_dir || user->pw_dir[0] != '/') {
		err_set(err, ERR_CONFIG, "could not find the home folder of user %u",
		        (unsigned)geteuid());
		err_hint(err, "Name a configuration file with --config, or make " PLACE_BASE
		              " writable for this user.");
		return NULL;
	}
	return path_join(user->pw_dir, "seawall");
}

char *place_config_path(const char *given)
{
	const char *named = given ? given : getenv("SEAWALL_CONFIG");

	if (named && *named)
		return xstrdup(named);
	/* Anything but "not there" is for the reader to complain about: a file that this user may
	 * not read must not silently become the embedded default. */
	if (access(PLACE_CONFIG, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return xstrdup(PLACE_CONFIG);
	return NULL;
}

char *place_state(const char *base)
{
	return path_join(base, "state");
}

char *place_repository(const char *base)
{
	return path_join(base, "repository");
}

char *place_socket(const char *state)
{
	return path_join(state, "seawall.sock");
}

bool place_socket_check(const char *path, struct err *err)
{
	if (!path_is_absolute(path))
		return err_set(err, ERR_CONFIG, "the path of socket \"%s\" is not absolute", path);
	if (strlen(path) <= PLACE_SOCKET_BYTES_MAX)
		return true;
	err_set(err, ERR_CONFIG, "the path of socket \"%s\" is longer than %d bytes", path,
	        PLACE_SOCKET_BYTES_MAX);
	err_hint(err, "Set \"socket\" in section [server] to a shorter path.");
	return false;
}

static bool place_line(void *context, const struct ini_line *line, struct err *err)
{
	struct place *place = context;
	char **field = NULL;

	if (!line->key || strcmp(line->section, "server") != 0)
		return true;
	if (strcmp(line->key, "socket") == 0)
		field = &place->socket;
	else if (strcmp(line->key, "state") == 0)
		field = &place->state;
	if (!field)
		return true;
	/* The reader puts file and line in front. */
	if (*field)
		return err_set(err, ERR_CONFIG, "\"%s\" is given twice", line->key);
	if (!path_is_absolute(line->value))
		return err_set(err, ERR_CONFIG, "\"%s\" must be an absolute path", line->key);
	*field = xstrdup(line->value);
	return true;
}

static bool place_fill(struct place *place, struct err *err)
{
	AUTO_FREE
	char *base = NULL;

	if (place->config && !ini_read(place->config, place_line, place, err))
		return err_wrap_as(err, ERR_CONFIG, "could not read the configuration");
	if (!place->socket && !place->state) {
		base = place_base_folder(err);
		if (!base)
			return false;
		place->state = place_state(base);
	}
	if (!place->socket)
		place->socket = place_socket(place->state);
	return place_socket_check(place->socket, err);
}

bool place_find(const char *given_config, struct place *ret, struct err *err)
{
	struct place place = {.config = place_config_path(given_config)};

	if (!place_fill(&place, err)) {
		place_release(&place);
		return false;
	}
	*ret = place;
	return true;
}

void place_release(struct place *place)
{
	free(place->config);
	free(place->state);
	free(place->socket);
	*place = (struct place){0};
}
