/*
 * check_here.c — the steps of `check` that need no PostgreSQL and no repository: settings,
 * programs, state, server.
 */
#include <errno.h>
#include <pwd.h>
#include <unistd.h>
#include "base/durable.h"
#include "base/file.h"
#include "checking.h"
#include "setup.h"
#include "base/poison.h"

static enum outcome check_settings(struct checking *checking)
{
	if (checking->config->path)
		return check_say(checking, CHECK_OK, "file \"%s\"", checking->config->path);
	return check_say(checking, CHECK_OK, "no file, the defaults in \"%s\"",
	                 checking->config->base);
}

static enum outcome check_user(struct checking *checking)
{
	const struct passwd *user = getpwuid(geteuid());

	if (!checking->site->pgdata) {
		check_hint(checking, "Set \"pgdata\" in [cluster %s], or name it with --pgdata.",
		           checking->site->cluster);
		return check_say(checking, CHECK_WARNING,
		                 "this is user \"%s\"; the data directory is not known yet",
		                 user ? user->pw_name : "?");
	}
	if (access(checking->site->pgdata, R_OK | X_OK) != 0) {
		struct err err = {0};

		err_sys(&err, "could not read the data directory \"%s\"", checking->site->pgdata);
		err_hint(&err, "Set \"pgdata\" in [cluster %s] to the data directory.",
		         checking->site->cluster);
		return check_fail(checking, &err);
	}
	return check_say(checking, CHECK_OK, "\"%s\", the owner of \"%s\"",
	                 user ? user->pw_name : "?", checking->site->pgdata);
}

static enum outcome check_programs(struct checking *checking)
{
	if (setup_hook_is_there())
		return check_say(checking, CHECK_OK, "seawall-wal is beside seawall");
	check_hint(checking, "Install both programs in one folder.");
	return check_say(checking, CHECK_FAILED, "seawall-wal is not beside \"%s\"",
	                 checking->runtime.program);
}

static enum outcome check_state(struct checking *checking)
{
	AUTO_FREE char *path = path_join(checking->config->server.state, "check");
	struct err err = {0};

	if (durable_mkdir(checking->config->server.state, 0700, &err) &&
	    durable_write(path, 0600, "check\n", strlen("check\n"), &err) &&
	    durable_unlink(path, &err))
		return check_say(checking, CHECK_OK, "\"%s\" can be written",
		                 checking->config->server.state);
	err_wrap(&err, "could not use the state folder");
	err_hint(&err, "Make it writable for this user, or set \"state\" in [server].");
	return check_fail(checking, &err);
}

static enum outcome check_server(struct checking *checking)
{
	static const struct client_request what = {.method = "GET", .path = "/v1/status"};
	struct jval *status = NULL;
	struct err err = {0};

	switch (client_ask(&checking->client, &what, &status, &err)) {
	case CLIENT_ANSWERED:
		jval_free(status);
		return check_say(checking, CHECK_OK, "runs at \"%s\"", checking->client.socket);
	case CLIENT_NO_SERVER:
		check_hint(checking,
		           "Start it: \"seawall serve\", or \"systemctl start seawall\".");
		return check_say(checking, CHECK_WARNING,
		                 "none runs at \"%s\"; archiving works without it, slower",
		                 checking->client.socket);
	case CLIENT_FAILED:
		break;
	}
	return check_fail(checking, &err);
}

const struct step check_here[] = {
        {"settings", check_settings}, {"user", check_user},     {"programs", check_programs},
        {"state", check_state},       {"server", check_server}, {0},
};
