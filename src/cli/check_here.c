/*
 * check_here.c — the steps of `check` that need no PostgreSQL: settings, programs, state, server,
 * repository, clocks, disk.
 */
#include <errno.h>
#include <pwd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "base/units.h"
#include "codec/keys.h"
#include "checking.h"
#include "disk.h"
#include "setup.h"
#include "base/poison.h"

enum { FREE_PERCENT_MIN = 10 };

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

static enum outcome check_repository(struct checking *checking)
{
	struct err err = {0};

	if (!runtime_open(&checking->runtime, checking->cluster, &err))
		return check_fail(checking, &err);
	checking->repository = true;
	return check_say(checking, CHECK_OK, "\"%s\" at %s",
	                 checking->config_cluster->repository->name,
	                 checking->config_cluster->repository->url);
}

static enum outcome check_encryption(struct checking *checking)
{
	const struct keyring *keys;
	char id[KEY_ID_BYTES], created[TIME_TEXT_BYTES];
	struct key_about newest;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	keys = checking->site->repo->keys;
	if (!keys || !keyring_newest(keys, &newest))
		return check_say(checking, CHECK_OK, "the repository is not encrypted");
	key_id_text(newest.id, id);
	clock_text_utc(newest.created_us / US_PER_S * US_PER_S, created);
	if (!newest.opened) {
		check_hint(checking, "The key was rotated: set the new one.");
		return check_say(checking, CHECK_FAILED,
		                 "the key that is set does not open the newest data key, %s", id);
	}
	return check_say(checking, CHECK_OK,
	                 "encrypted, with data key %s of %s (%u of %u data keys "
	                 "can be opened)",
	                 id, created, keyring_opened(keys), keyring_count(keys));
}

static enum outcome check_disk(struct checking *checking)
{
	const struct config_repository *repository = checking->config_cluster->repository;
	char left[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];
	uint64_t free_bytes, total_bytes;

	if (!checking->site->repo)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	if (!store_space(checking->site->repo->store, &free_bytes, &total_bytes))
		return check_say(checking, CHECK_OK, "the repository has no size of its own");
	units_size(free_bytes, left);
	units_size(total_bytes, all);
	if (free_bytes / 100 * 100 < total_bytes / 100 * FREE_PERCENT_MIN) {
		check_hint(checking, "Make room, or move the repository.");
		return check_say(checking, CHECK_WARNING,
		                 "the repository's is nearly full: %s of %s free", left, all);
	}
	if (disk_is_shared(checking->site->pgdata, repository)) {
		check_hint(checking,
		           "A repository on another machine survives the loss of this disk.");
		return check_say(
		        checking, CHECK_WARNING,
		        "the repository is on the disk of the data directory, and lost with "
		        "it; %s of %s free",
		        left, all);
	}
	return check_say(checking, CHECK_OK, "%s of %s free for the repository", left, all);
}

const struct step check_here[] = {
        {"settings", check_settings},
        {"user", check_user},
        {"programs", check_programs},
        {"state", check_state},
        {"server", check_server},
        {"credentials", check_credentials},
        {"repository", check_repository},
        {"encryption", check_encryption},
        {"write, read, delete", check_trial},
        {"several writers", check_writers},
        {"clock", check_clock},
        {"disk", check_disk},
        {0},
};
