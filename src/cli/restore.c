/*
 * restore.c — `seawall restore`: always in its own process. It shows the plan before anything is
 * written, then the progress; with --start it answers the recovery's questions for WAL on a socket
 * of its own until the replay has ended.
 */
#include "job/restore.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "progress.h"
#include "server/fetch_serve.h"
#include "shown.h"
#include "story.h"
#include "user.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

enum { OUT_BYTES_MAX = 256 * 1024, PORT_MAX = 65535 };

struct restoring {
	struct cli *cli;
	struct runtime runtime;
	size_t cluster;
	struct progress progress;
	struct restore_options options;
	struct restore restore;
	char *pgdata, *link_pgwal, *socket_folder; /* owned */
	struct fetch_serve *serve;
	struct fetch_serve_close close;
	bool showed;
};

static const char *restore_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

/* ---- the socket for the recovery ---- */

static bool socket_path(struct restoring *restoring, char *out, size_t out_bytes, struct err *err)
{
	const char *state = restoring->restore.site->state;
	const char *id = restoring->restore.plan.id;
	char folder[] = "/tmp/seawall.XXXXXX";

	if (state && access(state, W_OK | X_OK) == 0 &&
	    snprintf(out, out_bytes, "%s/restore.%s", state, id) < (int)out_bytes)
		return true;
	if (!mkdtemp(folder))
		return err_sys(err, "could not make a folder for the socket in /tmp");
	restoring->socket_folder = xstrdup(folder);
	snprintf(out, out_bytes, "%s/restore", folder);
	return true;
}

static bool serve(struct restore *restore, struct err *err)
{
	struct restoring *restoring = restore->context;
	char path[RESTORE_SOCKET_BYTES];

	if (!socket_path(restoring, path, sizeof(path), err))
		return false;
	restoring->serve = fetch_serve_new(restore->site, &restore->plan, path, err);
	return restoring->serve &&
	       str_copy(restore->plan.socket, sizeof(restore->plan.socket), path);
}

static void unserve(struct restore *restore)
{
	struct restoring *restoring = restore->context;

	if (restoring->serve)
		fetch_serve_quiesce(restoring->serve);
}

static void start_close(struct op *parent, void *context)
{
	fetch_serve_close_start(parent, context);
}

static void end_serving(struct restoring *restoring)
{
	struct err ignored = {0};

	if (restoring->serve) {
		restoring->close.serve = restoring->serve;
		if (!story_run(&restoring->runtime, start_close, &restoring->close.op,
		               &restoring->close, &ignored))
			log_err(LOG_WARNING, &ignored, NULL);
	}
	if (restoring->socket_folder && rmdir(restoring->socket_folder) != 0)
		log_debug("could not remove \"%s\"", restoring->socket_folder);
}

/* ---- what is shown ---- */

static void plan_json(const struct restoring *restoring, struct buf *out)
{
	const struct restore_plan *plan = &restoring->restore.plan;
	struct jval *root = jobject_new();
	AUTO_BUF struct buf target;
	char name[SEGMENT_NAME_BYTES];
	struct jval *path;

	buf_init(&target, 1024);
	restore_target_text(&plan->target, plan->time_zone, &target);
	jset_int(root, "version", 1);
	jset_str(root, "cluster", plan->cluster);
	jset_str(root, "target", buf_text(&target));
	jset_str(root, "backup", plan->backup);
	shown_json_time(root, "backup_stop_time", plan->backup_stop_us);
	shown_json_lsn(root, "backup_stop_lsn", plan->stop_lsn);
	jset_int(root, "timeline", plan->path.tli);
	path = jset_array(root, "path");
	for (size_t i = 0; i < plan->path.count; i++) {
		struct jval *step = jadd_object(path);

		jset_int(step, "timeline", plan->path.entry[i].tli);
		shown_json_lsn(step, "until", plan->path.entry[i].switch_lsn);
	}
	segment_name(history_tli_of_segment(&plan->path, plan->first_segno, plan->segment_bytes),
	             plan->first_segno, plan->segment_bytes, name);
	jset_str(root, "first_segment", name);
	segment_name(history_tli_of_segment(&plan->path, plan->last_segno, plan->segment_bytes),
	             plan->last_segno, plan->segment_bytes, name);
	jset_str(root, "last_segment", name);
	if (plan->end_lsn)
		shown_json_lsn(root, "end_lsn", plan->end_lsn);
	if (plan->last_commit_us)
		shown_json_time(root, "last_commit", plan->last_commit_us);
	if (plan->hole.found) {
		segment_name(plan->hole.tli, plan->hole.segno, plan->segment_bytes, name);
		jset_str(root, "missing_segment", name);
	}
	jset_str(root, "pgdata", plan->pgdata);
	jset_bool(root, "clone", plan->clone);
	jset_bool(root, "in_place", plan->in_place);
	jset_u64(root, "files", plan->files);
	jset_u64(root, "bytes", plan->logical_bytes);
	jset_bool(root, "started", restoring->options.start);
	if (restoring->restore.progress.phase == RESTORE_DONE && restoring->options.start) {
		shown_json_lsn(root, "reached_lsn", restoring->restore.reached_lsn);
		jset_int(root, "reached_timeline", restoring->restore.reached_tli);
		if (restoring->restore.reached_commit_us)
			shown_json_time(root, "reached_commit",
			                restoring->restore.reached_commit_us);
		jset_int(root, "new_timeline", restoring->restore.new_tli);
	}
	json_print(root, true, out);
	jval_free(root);
}

static void on_planned(struct restore *restore)
{
	struct restoring *restoring = restore->context;
	AUTO_BUF struct buf out;
	struct err err = {0};

	buf_init(&out, OUT_BYTES_MAX);
	if (restoring->cli->json || restoring->cli->quiet)
		return;
	restore_plan_lines(restore, &out);
	progress_end(&restoring->progress);
	if (!print(buf_text(&out), &err))
		log_err(LOG_WARNING, &err, NULL);
	restoring->showed = true;
}

static void on_said(struct restore *restore, const char *line)
{
	struct restoring *restoring = restore->context;

	progress_say(&restoring->progress, line);
}

static void tick(void *context)
{
	struct restoring *restoring = context;
	const struct restore_progress *progress = &restoring->restore.progress;
	struct progress_figures figures = {.what = restore_phase_text(progress->phase)};
	AUTO_FREE char *what = NULL;

	if (progress->phase == RESTORE_COPYING) {
		figures.done = progress->bytes_done;
		figures.total = progress->bytes_total;
	} else if (progress->phase == RESTORE_REPLAYING) {
		lsn to = progress->replay_to;

		if (to > progress->replay_from)
			figures.total = to - progress->replay_from;
		if (progress->replay_at > progress->replay_from)
			figures.done = progress->replay_at - progress->replay_from;
		if (figures.total)
			figures.done = MIN(figures.done, figures.total);
		what = xasprintf("%s, at " LSN_FORMAT, figures.what, LSN_ARGS(progress->replay_at));
		figures.what = figures.total ? figures.what : what;
	}
	progress_show(&restoring->progress, &figures);
}

static void report_end(const struct restoring *restoring, struct buf *out)
{
	static const char *const ends[] = {"was promoted to timeline", "is paused on timeline",
	                                   "was shut down on timeline"};
	const struct restore *restore = &restoring->restore;
	char took[UNITS_TEXT_BYTES], commit[TIME_TEXT_BYTES];

	units_duration((clock_now_us() - restore->progress.begun_us) / 1000, took);
	buf_addf(out, "Restored into %s in %s.\n", restore->plan.pgdata, took);
	if (!restoring->options.start)
		return restore_next_lines(restore, out);
	buf_addf(out, "The replay ended at " LSN_FORMAT " on timeline %u, as planned",
	         LSN_ARGS(restore->reached_lsn), restore->reached_tli);
	if (restore->reached_commit_us) {
		clock_text_utc(restore->reached_commit_us, commit);
		buf_addf(out, "; the last transaction is of %s", commit);
	}
	buf_addf(out, ".\nPostgreSQL %s %u.\n", ends[restoring->options.then],
	         restore->new_tli ? restore->new_tli : restore->reached_tli);
	if (restoring->options.then == RESTORE_PAUSE)
		buf_addstr(out, "It can be read now; SELECT pg_promote() ends the recovery.\n");
}

static bool report(const struct restoring *restoring, struct err *err)
{
	AUTO_BUF struct buf out;

	buf_init(&out, OUT_BYTES_MAX);
	if (restoring->cli->json)
		plan_json(restoring, &out);
	else if (restoring->cli->quiet)
		return true;
	else if (!restoring->options.plan_only)
		report_end(restoring, &out);
	return print(buf_text(&out), err);
}

/* ---- options ---- */

static char *absolute(const char *path)
{
	char folder[PATH_MAX];

	if (!path)
		return NULL;
	if (path_is_absolute(path) || !getcwd(folder, sizeof(folder)))
		return xstrdup(path);
	return path_join(folder, path);
}

static void take_many(const struct arguments *arguments, const char *name, struct strs *ret)
{
	const char *values[VALUES_MAX];
	unsigned count = option_values(arguments, name, values, VALUES_MAX);

	for (unsigned i = 0; i < count; i++)
		strs_add(ret, values[i]);
}

static bool take_options(struct restoring *restoring, struct err *err)
{
	const struct arguments *arguments = restoring->cli->arguments;
	struct restore_options *options = &restoring->options;
	const char *then = option_value(arguments, "then"), *port = option_value(arguments, "port");
	uint32_t number = 0;

	if (option_given(arguments, "before") && option_given(arguments, "including"))
		return err_set(err, ERR_USAGE, "--before and --including exclude each other");
	if (option_given(arguments, "without"))
		return err_set(err, ERR_USAGE,
		               "--without needs several repositories, which are not in "
		               "this version");
	if (then && !restore_then_parse(then, &options->then))
		return err_set(err, ERR_USAGE,
		               "\"--then %s\" is none of promote, pause and shutdown", then);
	if (port && (!str_u32(port, &number) || number == 0 || number > PORT_MAX))
		return err_set(err, ERR_USAGE, "\"--port %s\" is no port", port);
	restoring->pgdata = absolute(option_value(arguments, "pgdata"));
	restoring->link_pgwal = absolute(option_value(arguments, "link-pgwal"));
	options->to = option_value(arguments, "to");
	options->before = option_given(arguments, "before");
	options->timeline = option_value(arguments, "timeline");
	options->pgdata = restoring->pgdata;
	options->in_place = option_given(arguments, "in-place");
	options->start = option_given(arguments, "start");
	options->plan_only = option_given(arguments, "plan") || restoring->cli->dry_run;
	options->link_pgwal = restoring->link_pgwal;
	options->port = number;
	take_many(arguments, "tablespace", &options->tablespace);
	take_many(arguments, "option", &options->option);
	return true;
}

/* ---- running ---- */

static void start_restore(struct op *parent, void *context)
{
	struct restoring *restoring = context;

	restore_start(parent, &restoring->restore);
}

static bool restore_it(struct restoring *restoring, struct err *err)
{
	const struct story story = {.start = start_restore,
	                            .child = &restoring->restore.op,
	                            .tick = tick,
	                            .context = restoring};
	bool done;

	if (!runtime_open(&restoring->runtime, restoring->cluster, err))
		return false;
	restoring->restore = (struct restore){.site = &restoring->runtime.site[restoring->cluster],
	                                      .options = &restoring->options,
	                                      .planned = on_planned,
	                                      .said = on_said,
	                                      .serve = serve,
	                                      .unserve = unserve,
	                                      .context = restoring};
	progress_begin(&restoring->progress, restoring->cli->quiet || restoring->cli->json);
	done = story_tell(&restoring->runtime, &story, err);
	progress_end(&restoring->progress);
	end_serving(restoring);
	return done && report(restoring, err);
}

static bool restore_run(struct cli *cli, struct err *err)
{
	struct restoring *restoring = xcalloc(1, sizeof(*restoring));
	bool done;

	umask(077);
	restoring->cli = cli;
	done = take_options(restoring, err) &&
	       story_cluster(cli, argument_at(cli->arguments, 0), &restoring->cluster, err) &&
	       runtime_init(&restoring->runtime, cli->config, err);
	if (done)
		done = restore_it(restoring, err);
	restore_release(&restoring->restore);
	strs_release(&restoring->options.tablespace);
	strs_release(&restoring->options.option);
	runtime_release(&restoring->runtime);
	free(restoring->pgdata);
	free(restoring->link_pgwal);
	free(restoring->socket_folder);
	free(restoring);
	return done;
}

/* Folders that only root can make. */
static bool restore_as_root(struct cli *cli, const struct owner *owner, struct err *err)
{
	const struct arguments *arguments = cli->arguments;
	const char *values[VALUES_MAX];
	unsigned count = option_values(arguments, "tablespace", values, VALUES_MAX);
	const char *pgdata = option_value(arguments, "pgdata");
	const char *link = option_value(arguments, "link-pgwal");

	if (cli->dry_run || option_given(arguments, "plan"))
		return true;
	if ((pgdata && !owner_give_folder(owner, pgdata, err)) ||
	    (link && !owner_give_folder(owner, link, err)))
		return false;
	for (unsigned i = 0; i < count; i++) {
		const char *equals = strchr(values[i], '=');

		if (equals && path_is_absolute(equals + 1) &&
		    !owner_give_folder(owner, equals + 1, err))
			return false;
	}
	return true;
}

static const struct cli_option restore_options[] = {
        {"to", "TARGET",
         "latest (the default), a time such as '2026-11-20 14:02:00+01', lsn:0/3000148, "
         "xid:74123, name:POINT, or backup-end"},
        {"before", NULL, "stop before the target"},
        {"including", NULL, "stop after the target (the default)"},
        {"timeline", "N",
         "the timeline to follow, or latest (default: the one that leads to the "
         "target)"},
        {"pgdata", "DIR", "where to restore to (default: the cluster's own directory)"},
        {"in-place", NULL, "use what is in the directory, fetch only what differs"},
        {"start", NULL, "start PostgreSQL, follow the replay and check its end"},
        {"then", "ACTION", "at the end: promote (the default), pause or shutdown"},
        {"tablespace", "NAME=DIR", "where a tablespace goes", .many = true},
        {"link-pgwal", "DIR", "put pg_wal there, with a symbolic link to it"},
        {"port", "N", "the port of the restored server"},
        {"option", "NAME=VALUE", "a setting of the restored server", .many = true},
        {"owner", "USER",
         "as root: the user that shall own it (default: the owner of the "
         "directory, or of its parent)"},
        {"without", "REPOSITORY", "do not ask this repository, which is lost"},
        {"plan", NULL, "show the plan and stop"},
        {0},
};

const struct command command_restore = {
        .name = "restore",
        .usage = "[CLUSTER]",
        .help = "bring a cluster back, as it was at a time",
        .about = "Chooses the backup and the path of timelines that lead to the target, shows the "
                 "plan, brings the files\nback, and leaves a directory that recovers to exactly "
                 "that target. What cannot be reached is refused before\nanything is written. With "
                 "--start PostgreSQL is started and followed, and the end of its recovery is "
                 "checked\nbefore it is promoted. Into another directory than the cluster's own "
                 "it is a copy that does not archive.\nInterrupted anywhere, the same command "
                 "completes it.",
        .example = "seawall restore main --to '2026-11-20 14:02:00+01' --pgdata "
                   "/var/lib/postgresql/15/restored --start --port 5433",
        .options = restore_options,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .as_root = restore_as_root,
        .pgdata = restore_pgdata,
        .run = restore_run,
};
