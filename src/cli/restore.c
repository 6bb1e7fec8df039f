/*
 * restore.c — `seawall restore`: always in this process. It shows the plan before anything is
 * written, then the progress, and serves fetch to the PostgreSQL that it started until the replay
 * has ended.
 */
#include <limits.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "base/place.h"
#include "base/units.h"
#include "job/restore.h"
#include "progress.h"
#include "restore_shown.h"
#include "server/delivery.h"
#include "story.h"
#include "user.h"
#include "base/poison.h"

enum { AHEAD_MAX = 64, OUT_BYTES_MAX = 256 * 1024, MANY_MAX = 64 };

struct restoring {
	struct cli *cli;
	struct runtime runtime;
	size_t cluster;
	struct restore_options options;
	struct restore restore;
	struct delivery *delivery;
	char *socket, *pgdata, *link_pgwal; /* owned */
	struct progress progress;
	struct err output_err; /* the plan could not be printed */
};

/* ---- what restore asks of us ---- */

static void planned(struct restore *restore)
{
	struct restoring *restoring = restore->context;
	AUTO_BUF struct buf out = {0};

	buf_init(&out, OUT_BYTES_MAX);
	if (restoring->cli->json || restoring->cli->quiet)
		return;
	restore_plan_lines(restore, &out);
	if (!print(buf_text(&out), &restoring->output_err))
		op_cancel(&restore->op); /* what cannot be read must not be done */
}

static void said(struct restore *restore, const char *line)
{
	struct restoring *restoring = restore->context;

	progress_say(&restoring->progress, line);
}

static void tick(void *context)
{
	struct restoring *restoring = context;
	const struct restore_progress *now = &restoring->restore.progress;
	struct progress_figures figures = {.what = restore_phase_text(now->phase)};
	AUTO_FREE char *what = NULL;
	char time[TIME_TEXT_BYTES];

	if (now->phase == RESTORE_COPYING || now->phase == RESTORE_COMPARING) {
		figures.done = now->bytes_done;
		figures.total = now->bytes_total;
	} else if (now->phase == RESTORE_REPLAYING && now->replay_at > now->replay_from) {
		figures.done = now->replay_at - now->replay_from;
		if (now->replay_to > now->replay_from)
			figures.total = now->replay_to - now->replay_from;
		if (now->replay_commit_us) {
			shown_time(now->replay_commit_us, time);
			what = xasprintf("%s, at %s UTC", figures.what, time);
			figures.what = what;
		}
	}
	progress_show(&restoring->progress, &figures);
}

/* In the state folder, or beside the server's socket when that path would be too long. */
static char *socket_path(const struct restoring *restoring, const char *id, struct err *err)
{
	const struct config *config = restoring->cli->config;
	AUTO_FREE char *name = xasprintf("restore-%s.sock", id);
	AUTO_FREE char *beside = path_folder(config->server.socket);
	const char *const folders[] = {config->server.state, beside, "/tmp"};

	for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
		AUTO_FREE char *path = path_join(folders[i], name);

		if (strlen(path) > PLACE_SOCKET_BYTES_MAX)
			continue;
		err_clear(err);
		if (durable_mkdir(folders[i], 0700, err) && access(folders[i], W_OK) == 0)
			return STEAL(path);
	}
	if (!err_is(err))
		err_set(err, ERR_IO, "no folder for a socket can be written");
	return NULL;
}

static bool serve(struct restore *restore, struct err *err)
{
	struct restoring *restoring = restore->context;
	struct delivery_options options = {.site = &restoring->runtime.site[restoring->cluster],
	                                   .plan = &restore->plan,
	                                   .folder = restore->plan.pgdata,
	                                   .ahead_max = AHEAD_MAX};

	free(restoring->socket);
	restoring->socket = socket_path(restoring, restore->plan.id, err);
	if (!restoring->socket ||
	    !str_copy(restore->plan.socket, sizeof(restore->plan.socket), restoring->socket))
		return false;
	options.socket = restoring->socket;
	restoring->delivery = delivery_start(&options, err);
	return restoring->delivery != NULL;
}

static void unserve(struct restore *restore)
{
	struct restoring *restoring = restore->context;

	delivery_stop(STEAL(restoring->delivery));
}

/* ---- the command line ---- */

static const char *restore_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

static char *absolute(const char *path, struct err *err)
{
	char here[PATH_MAX];

	if (path_is_absolute(path))
		return xstrdup(path);
	if (!getcwd(here, sizeof(here))) {
		err_sys(err, "could not find the working directory");
		return NULL;
	}
	return path_join(here, path);
}

static void take_many(const struct arguments *arguments, const char *name, struct strs *ret)
{
	const char *values[MANY_MAX];
	unsigned count = option_values(arguments, name, values, MANY_MAX);

	for (unsigned i = 0; i < count; i++)
		strs_add(ret, values[i]);
}

static bool leave_out(struct restoring *restoring, struct err *err)
{
	const char *name = option_value(restoring->cli->arguments, "without");

	return !name || runtime_without(&restoring->runtime, restoring->cluster, name, err);
}

static bool take_paths(struct restoring *restoring, struct err *err)
{
	const struct arguments *arguments = restoring->cli->arguments;
	const char *pgdata = option_value(arguments, "pgdata");
	const char *link = option_value(arguments, "link-pgwal");

	if (pgdata) {
		restoring->pgdata = absolute(pgdata, err);
		if (!restoring->pgdata)
			return false;
	}
	if (link) {
		restoring->link_pgwal = absolute(link, err);
		if (!restoring->link_pgwal)
			return false;
	}
	restoring->options.pgdata = restoring->pgdata;
	restoring->options.link_pgwal = restoring->link_pgwal;
	return true;
}

static bool take_options(struct restoring *restoring, struct err *err)
{
	const struct arguments *arguments = restoring->cli->arguments;
	struct restore_options *options = &restoring->options;
	const char *then = option_value(arguments, "then"), *port = option_value(arguments, "port");
	uint32_t number;

	if (option_given(arguments, "before") && option_given(arguments, "including"))
		return err_set(err, ERR_USAGE,
		               "options \"--before\" and \"--including\" exclude each other");
	options->to = option_value(arguments, "to");
	options->before = option_given(arguments, "before");
	options->timeline = option_value(arguments, "timeline");
	options->in_place = option_given(arguments, "in-place");
	options->start = option_given(arguments, "start");
	options->plan_only = option_given(arguments, "plan") || restoring->cli->dry_run;
	if (then && !restore_then_parse(then, &options->then)) {
		err_set(err, ERR_USAGE, "\"--then\" cannot be \"%s\"", then);
		err_hint(err, "Allowed is promote, pause or shutdown.");
		return false;
	}
	if (port) {
		if (!str_u32(port, &number) || number == 0 || number > 65535)
			return err_set(err, ERR_USAGE, "\"%s\" is no port", port);
		options->port = number;
	}
	take_many(arguments, "tablespace", &options->tablespace);
	take_many(arguments, "option", &options->option);
	return take_paths(restoring, err);
}

/* Root: the first missing folder of all places, where the owner could not make it. */
static bool restore_as_root(struct cli *cli, const struct owner *owner, struct err *err)
{
	const struct arguments *arguments = cli->arguments;
	const char *values[MANY_MAX + 2];
	unsigned count = option_values(arguments, "tablespace", values, MANY_MAX);

	for (unsigned i = 0; i < count; i++) {
		const char *equals = strchr(values[i], '=');

		values[i] = equals ? equals + 1 : "";
	}
	if (option_given(arguments, "pgdata"))
		values[count++] = option_value(arguments, "pgdata");
	if (option_given(arguments, "link-pgwal"))
		values[count++] = option_value(arguments, "link-pgwal");
	for (unsigned i = 0; i < count && !option_given(arguments, "plan") && !cli->dry_run; i++)
		if (path_is_absolute(values[i]) && !owner_give_folder(owner, values[i], err))
			return false;
	return true;
}

/* ---- the run ---- */

static void start_restore(struct op *parent, void *context)
{
	struct restoring *restoring = context;

	restore_start(parent, &restoring->restore);
}

static bool report(struct restoring *restoring, struct err *err)
{
	const struct restore *restore = &restoring->restore;
	AUTO_BUF struct buf out = {0};

	buf_init(&out, OUT_BYTES_MAX);
	if (restoring->cli->json)
		restore_shown_json(restore, &out);
	else if (!restoring->cli->quiet && !restoring->options.plan_only) {
		if (restoring->options.start)
			restore_shown_end(restore, &out);
		else
			restore_next_lines(restore, &out);
	}
	return print(buf_text(&out), err);
}

static bool restore_all(struct restoring *restoring, struct err *err)
{
	const struct story story = {.start = start_restore,
	                            .child = &restoring->restore.op,
	                            .tick = tick,
	                            .context = restoring};
	struct restore *restore = &restoring->restore;
	bool done;

	*restore = (struct restore){.site = &restoring->runtime.site[restoring->cluster],
	                            .options = &restoring->options,
	                            .planned = planned,
	                            .said = said,
	                            .serve = serve,
	                            .unserve = unserve,
	                            .context = restoring};
	progress_begin(&restoring->progress, restoring->cli->quiet || restoring->cli->json);
	done = story_tell(&restoring->runtime, &story, err);
	progress_end(&restoring->progress);
	if (err_is(&restoring->output_err)) {
		*err = restoring->output_err;
		done = false;
	}
	/* Ended before it could take the delivery back; and an ended one needs turns of the loop.
	 */
	delivery_stop(STEAL(restoring->delivery));
	loop_run(restoring->runtime.loop);
	done = done && report(restoring, err);
	restore_release(restore);
	return done;
}

static bool restore_run(struct cli *cli, struct err *err)
{
	struct restoring *restoring = xcalloc(1, sizeof(*restoring));
	bool done;

	restoring->cli = cli;
	done = story_cluster(cli, argument_at(cli->arguments, 0), &restoring->cluster, err) &&
	       take_options(restoring, err) && story_runtime(cli, &restoring->runtime, err) &&
	       leave_out(restoring, err) &&
	       runtime_open(&restoring->runtime, restoring->cluster, err) &&
	       restore_all(restoring, err);
	runtime_release(&restoring->runtime);
	strs_release(&restoring->options.tablespace);
	strs_release(&restoring->options.option);
	free(restoring->socket);
	free(restoring->pgdata);
	free(restoring->link_pgwal);
	free(restoring);
	return done;
}

static const struct cli_option restore_option_rows[] = {
        {"to", "TARGET",
         "latest (the default), a time, lsn:0/3000148, xid:74123, name:POINT, backup-end"},
        {"before", NULL, "stop before the target"},
        {"including", NULL, "stop after the target (the default)"},
        {"timeline", "N", "a timeline's number, or latest; else the one that leads to the target"},
        {"pgdata", "FOLDER",
         "where to; else the cluster's own directory, empty or with --in-place"},
        {"in-place", NULL, "use what is there, and fetch only what differs"},
        {"start", NULL, "start PostgreSQL, and follow the replay to the end"},
        {"then", "ACTION", "promote (the default), pause or shutdown, at the end"},
        {"tablespace", "NAME=FOLDER", "put a tablespace there", true},
        {"link-pgwal", "FOLDER", "make pg_wal a link to this folder"},
        {"port", "N", "the port of the restored server"},
        {"option", "NAME=VALUE", "a setting of the restored server", true},
        {"owner", "USER", "the user to restore as, when root does it"},
        {"without", "REPOSITORY", "a repository that is lost for good"},
        {"plan", NULL, "show the plan and stop"},
        {0},
};

static const struct cli_exit restore_exits[] = {
        {0, "restored; with --start, the end was reached and checked"},
        {1, "the target was not reached; the directory is kept, and stopped"},
        {2, "the command line is wrong"},
        {3, "the configuration is wrong"},
        {4, "the repository, a file or a server could not be reached"},
        {5, "refused for safety, before anything was written"},
        {6, "PostgreSQL said no"},
        {7, "damaged data was found"},
        {8, "cancelled or out of time; the same command goes on where this one ended"},
        {0, NULL},
};

const struct command command_restore = {
        .name = "restore",
        .usage = "[CLUSTER]",
        .help = "restore a cluster as it was at a moment",
        .about = "Chooses the backup and the timelines that lead to the target, shows the plan, "
                 "and refuses before "
                 "anything is\nwritten what cannot be reached. Then it brings the files, and "
                 "leaves the directory "
                 "ready to start, or\nstarts it, follows the replay, checks that the end is the "
                 "right one, and "
                 "promotes.\n\nOf several repositories all must say what they have, or be left "
                 "out with --without; then each file comes\nfrom the nearest that has it whole, "
                 "and one that falls silent on the way is passed over.\n\nA time without a zone is "
                 "in the cluster's own time zone. Another "
                 "directory than the "
                 "cluster's own is a copy:\nit does not archive. Killed half way, the same command "
                 "completes it.",
        .example = "seawall restore main --to '2026-11-20 14:02:00+01' --pgdata "
                   "/var/lib/postgresql/15/copy --port 5433 --start",
        .options = restore_option_rows,
        .exits = restore_exits,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .as_root = restore_as_root,
        .pgdata = restore_pgdata,
        .run = restore_run,
};
