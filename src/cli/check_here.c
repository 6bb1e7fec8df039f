/*
 * check_here.c — the steps of `check` that need no PostgreSQL: settings, programs, state, server,
 * repository, clocks, disk.
 */
#include <errno.h>
#include <pwd.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "base/units.h"
#include "checking.h"
#include "disk.h"
#include "setup.h"
#include "base/poison.h"

enum { FREE_PERCENT_MIN = 10, CLOCK_OFF_MS_MAX = 5000 };

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
	struct jval *status = NULL;
	struct err err = {0};

	switch (client_ask(&checking->client, "GET", "/v1/status", NULL, &status, &err)) {
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

static void start_probe(struct op *parent, void *context)
{
	repo_init_start(parent, context);
}

/* What init does on a repository that is there: put, get, list, create-only, remove. */
static enum outcome check_probe(struct checking *checking)
{
	struct repo_init *init;
	struct err err = {0};
	bool done;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	init = repo_init_new(checking->site->repo);
	done = story_run(&checking->runtime, start_probe, repo_init_op(init), init, &err);
	repo_init_free(init);
	if (done)
		return check_say(checking, CHECK_OK,
		                 "an object was written, read, listed and deleted");
	checking->repository = false;
	return check_fail(checking, &err);
}

/* One small object, only to see what time the store gives it. */
struct timed {
	struct op op;
	struct store *store;
	char name[STORE_NAME_MAX];
	const char *names[1];
	struct iovec piece;
	struct store_put put;
	struct store_head head;
	struct store_remove remove;
	int64_t written_us, off_us;
};

enum { TIMED_START, TIMED_PUTTING, TIMED_LOOKING, TIMED_REMOVING };

static void timed_fail(struct op *op, const struct op *child)
{
	op->err = child->err;
	op_fail_own(op);
}

static void timed_step(struct op *op)
{
	struct timed *timed = container_of(op, struct timed, op);

	switch (op->state) {
	case TIMED_START:
		timed->put = (struct store_put){.store = timed->store,
		                                .name = timed->name,
		                                .piece = &timed->piece,
		                                .pieces = 1};
		store_put_start(op, &timed->put);
		return op_wait(op, TIMED_PUTTING);
	case TIMED_PUTTING:
		if (op_failed(&timed->put.op))
			return timed_fail(op, &timed->put.op);
		timed->written_us = clock_now_us();
		timed->head = (struct store_head){.store = timed->store, .name = timed->name};
		store_head_start(op, &timed->head);
		return op_wait(op, TIMED_LOOKING);
	case TIMED_LOOKING:
		timed->names[0] = timed->name;
		timed->remove = (struct store_remove){
		        .store = timed->store, .name = timed->names, .names = 1};
		store_remove_start(op, &timed->remove);
		return op_wait(op, TIMED_REMOVING);
	case TIMED_REMOVING:
		if (op_failed(&timed->head.op))
			return timed_fail(op, &timed->head.op);
		if (op_failed(&timed->remove.op))
			return timed_fail(op, &timed->remove.op);
		timed->off_us = timed->head.modified_us - timed->written_us;
		return op_done(op);
	}
}

static const struct op_type timed_type = {.name = "clock", .step = timed_step};

static void start_timed(struct op *parent, void *context)
{
	struct timed *timed = context;

	op_start(parent, &timed->op, &timed_type);
}

static enum outcome check_clock(struct checking *checking)
{
	struct timed timed = {.piece = {.iov_base = (void *)(uintptr_t) "check", .iov_len = 5}};
	char off[UNITS_TEXT_BYTES];
	struct err err = {0};
	int64_t off_ms;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	timed.store = checking->site->repo->store;
	snprintf(timed.name, sizeof(timed.name), "probe/try-%08x%016llx", (unsigned)getpid(),
	         (unsigned long long)clock_now_us());
	if (!story_run(&checking->runtime, start_timed, &timed.op, &timed, &err))
		return check_fail(checking, &err);
	off_ms = timed.off_us / 1000;
	units_duration(off_ms < 0 ? -off_ms : off_ms, off);
	if (off_ms <= CLOCK_OFF_MS_MAX && off_ms >= -CLOCK_OFF_MS_MAX)
		return check_say(checking, CHECK_OK, "the repository's differs by %s", off);
	check_hint(checking, "Let both machines keep time (chrony, ntpd).");
	return check_say(checking, CHECK_WARNING, "the repository's is %s %s", off,
	                 off_ms > 0 ? "ahead" : "behind");
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
        {"repository", check_repository},
        {"write, read, delete", check_probe},
        {"clock", check_clock},
        {"disk", check_disk},
        {0},
};
