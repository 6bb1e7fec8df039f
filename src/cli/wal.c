/*
 * wal.c — `seawall wal push` and `seawall wal fetch`: what the hook becomes when there is no
 * server.
 *
 *   START -> OPENING -> ASKING -> CLOSING -> done
 *              ^  |
 *              +-RESTING       fetch: the repository is not there now; that is no answer
 *
 * The same stories as in the server, on a loop of their own, for one file. Exit statuses are the
 * hook's (hook_exit), also for wrong command lines. No signal is handled: on SIGTERM the process
 * dies of it, as PostgreSQL expects, and nothing that it leaves behind disturbs anybody.
 */
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "hook/hook.h"
#include "job/archiver.h"
#include "job/fetcher.h"
#include "loop/nap.h"
#include "repo/plan.h"
#include "server/judge.h"
#include "story.h"
#include "server/backups.h"
#include "base/poison.h"

enum {
	PUSH_MS = 60 * 1000, /* without progress */
	OPEN_MS = 5 * 60 * 1000,
	OPEN_STANDBY_MS = 8 * 1000,
	FETCH_MS = 6 * 60 * 1000, /* the fetcher itself gives up earlier */
	REST_MS = 500,
	LEAVE_MS = 2000, /* after success, for what is still under way to other repositories */
	EXIT_PUSH_NO = 1,
	EXIT_FETCH_NOT_KNOWN = -1,
};

struct wal {
	struct op op;
	bool fetch, standby, dry_run, accept_damaged;
	char *data, *file; /* owned */
	char *dry_folder;  /* owned; --dry-run of a fetch */
	struct runtime runtime;
	size_t cluster;
	struct site_open open;
	struct nap nap;
	int64_t give_up_us;
	struct archiver *archiver;
	struct archive_ask push;
	struct archiver_close archiver_close;
	struct timer leave;
	uint64_t seen; /* progress at the last look */
	bool repeated; /* --dry-run: what was pushed is in the repository already */
	struct restore_plan plan;
	bool has_plan;
	struct fetcher *fetcher;
	struct fetch_ask get;
	struct fetcher_close fetcher_close;
	enum answer answer;
	struct err why;
};

enum { WAL_START, WAL_OPENING, WAL_RESTING, WAL_ASKING, WAL_CLOSING };

/* The status of the one fetch of this process, when it is known. */
static int fetch_status = EXIT_FETCH_NOT_KNOWN;

static int push_exit(const struct err *err)
{
	(void)err;
	return EXIT_PUSH_NO;
}

/* PostgreSQL runs restore_command in its data directory. */
static int fetch_exit(const struct err *err)
{
	bool refused = err->code == ERR_REFUSED || err->code == ERR_DAMAGED;

	if (fetch_status != EXIT_FETCH_NOT_KNOWN)
		return fetch_status;
	return hook_exit(HOOK_FETCH, refused ? HOOK_FAILED : HOOK_UNKNOWN, hook_is_standby("."));
}

/* ---- the story ---- */

static void ask_push(struct wal *wal)
{
	wal->push = (struct archive_ask){.archiver = wal->archiver,
	                                 .folder = wal->data,
	                                 .path = wal->file,
	                                 .wait_ms = PUSH_MS,
	                                 .accept_damaged = wal->accept_damaged};
	archive_ask_start(&wal->op, &wal->push);
	op_wait(&wal->op, WAL_ASKING);
}

static void ask_fetch(struct wal *wal, const char *name)
{
	wal->get = (struct fetch_ask){.fetcher = wal->fetcher,
	                              .folder = wal->data,
	                              .name = name,
	                              .path = wal->file,
	                              .wait_ms = FETCH_MS};
	fetch_ask_start(&wal->op, &wal->get);
	op_wait(&wal->op, WAL_ASKING);
}

static void opened(struct wal *wal)
{
	struct site *site = &wal->runtime.site[wal->cluster];

	if (!site->next && op_failed(&wal->open.op)) {
		wal->why = wal->open.op.err;
		wal->answer = ANSWER_UNKNOWN;
		if (!wal->fetch || clock_mono_us() >= wal->give_up_us)
			return op_done(&wal->op);
		nap_start(&wal->op, &wal->nap, REST_MS);
		return op_wait(&wal->op, WAL_RESTING);
	}
	err_clear(&wal->why);
	if (wal->fetch) {
		const struct fetcher_options options = {.site = site,
		                                        .plan = wal->has_plan ? &wal->plan : NULL,
		                                        .restore_id = wal->has_plan ? wal->plan.id
		                                                                    : NULL};

		wal->fetcher = fetcher_new(&options);
		return ask_fetch(wal, wal->get.name);
	}
	wal->archiver = archiver_new(site, 0);
	ask_push(wal);
}

/* A push goes on as long as bytes move. */
static bool push_moves(struct wal *wal)
{
	uint64_t now = 0;
	bool moved;

	for (struct site *site = &wal->runtime.site[wal->cluster]; site; site = site->next) {
		const struct store_counts *counts =
		        site->repo ? store_counts(site->repo->store) : NULL;

		now += counts ? counts->bytes_put + counts->bytes_got + counts->puts : 0;
	}
	moved = now != wal->seen;

	wal->seen = now;
	return moved;
}

static bool push_repeated(const struct wal *wal)
{
	struct archiver_figures figures;

	archiver_figures(wal->archiver, &figures);
	return figures.repeated > 0;
}

/* The file is safe where it must be. A copy to a file system that hangs cannot be called back, and
 * must not keep PostgreSQL waiting. */
static void leave(struct timer *timer)
{
	(void)timer;
	_exit(EXIT_SUCCESS);
}

static void answered(struct wal *wal)
{
	const struct op *child = wal->fetch ? &wal->get.op : &wal->push.op;

	wal->answer = wal->fetch ? wal->get.answer : wal->push.answer;
	if (op_failed(child)) {
		wal->why = child->err;
		wal->answer = ANSWER_FAILED;
	} else if (wal->fetch) {
		wal->why = wal->get.warning;
	}
	if (!wal->fetch && wal->answer == ANSWER_WORKING && push_moves(wal))
		return ask_push(wal);
	if (!wal->fetch)
		wal->repeated = push_repeated(wal);
	if (wal->fetch) {
		wal->fetcher_close.fetcher = wal->fetcher;
		fetcher_close_start(&wal->op, &wal->fetcher_close);
	} else {
		wal->archiver_close.archiver = wal->archiver;
		archiver_close_start(&wal->op, &wal->archiver_close);
		timer_init(&wal->leave, wal->op.loop, leave);
		if (wal->answer == ANSWER_STORED && !wal->dry_run)
			timer_set(&wal->leave, LEAVE_MS);
	}
	op_wait(&wal->op, WAL_CLOSING);
}

static void wal_step(struct op *op)
{
	struct wal *wal = container_of(op, struct wal, op);

	switch (op->state) {
	case WAL_START:
	case WAL_RESTING:
		if (wal->runtime.site[wal->cluster].next) /* each is opened where it is used */
			return opened(wal);
		site_open_start(op, &wal->open, &wal->runtime, wal->cluster);
		return op_wait(op, WAL_OPENING);
	case WAL_OPENING:
		return opened(wal);
	case WAL_ASKING:
		return answered(wal);
	case WAL_CLOSING:
		timer_release(&wal->leave);
		return op_done(op);
	}
}

static const struct op_type wal_type = {.name = "wal", .step = wal_step};

/* ---- whose it is ---- */

static bool no_cluster(const struct wal *wal, struct err *err)
{
	err_set(err, ERR_REFUSED, "the data directory \"%s\" is not that of a configured cluster",
	        wal->data);
	err_hint(err, "Set \"pgdata\" in its [cluster NAME] to this directory%s.",
	         wal->fetch ? ", or name the cluster with --cluster" : "");
	return false;
}

static bool choose_cluster(struct cli *cli, struct wal *wal, struct err *err)
{
	const char *name =
	        wal->has_plan ? wal->plan.cluster : option_value(cli->arguments, "cluster");
	const char *pgdata[CONFIG_SECTIONS_MAX];
	struct config *config = cli->config;
	struct judge judge = {.data = wal->data,
	                      .path = wal->file,
	                      .pgdata = pgdata,
	                      .clusters = (unsigned)config->clusters,
	                      .identifiers = wal->fetch};
	bool judged;

	for (size_t i = 0; i < config->clusters; i++)
		pgdata[i] = config->cluster[i].pgdata;
	judged = judge_run(&judge, err);
	free(judge.file);
	if (!judged)
		return false;
	if (name && wal->fetch)
		return story_cluster(cli, name, &wal->cluster, err);
	if (judge.cluster != JUDGE_NOBODY)
		wal->cluster = (size_t)judge.cluster;
	else if (config->clusters == 1 && wal->fetch)
		wal->cluster = 0; /* its identifier is checked when it fetches */
	else if (config->clusters == 1 && !config->cluster[0].pgdata)
		config_set_pgdata(config, 0, wal->data); /* the first push says which it is */
	else
		return no_cluster(wal, err);
	return true;
}

/* ---- --dry-run ---- */

/* A file is fetched and proven in a folder of its own, instead of where PostgreSQL wants it. */
static bool dry_fetch_begin(struct wal *wal, struct err *err)
{
	char folder[] = "/tmp/seawall.dry-run.XXXXXX";

	if (!mkdtemp(folder))
		return err_sys(err, "could not make a folder in /tmp");
	wal->dry_folder = xstrdup(folder);
	free(wal->file);
	wal->file = path_join(folder, "wal");
	return true;
}

static bool dry_fetch_tell(const struct wal *wal, struct err *err)
{
	struct stat status;

	if (stat(wal->file, &status) != 0)
		return err_sys(err, "could not stat file \"%s\"", wal->file);
	return printf_out(err,
	                  "would be delivered: \"%s\", %jd bytes, whole and verified; "
	                  "nothing was written\n",
	                  wal->get.name, (intmax_t)status.st_size);
}

static bool dry_push_tell(const struct wal *wal, const char *path, struct err *err)
{
	return printf_out(err, "%s: \"%s\", %s; nothing was written\n",
	                  wal->repeated ? "is in the repository already" : "would be stored", path,
	                  wal->repeated ? "with the same content" : "proven");
}

static void dry_end(struct wal *wal)
{
	if (!wal->dry_folder)
		return;
	unlink(wal->file);
	rmdir(wal->dry_folder);
	free(wal->dry_folder);
}

static void wal_free(struct wal *wal)
{
	dry_end(wal);
	runtime_release(&wal->runtime);
	restore_plan_release(&wal->plan);
	free(wal->data);
	free(wal->file);
	free(wal);
}

static bool wal_ask(struct cli *cli, struct wal *wal, const char *path, struct err *err)
{
	if (!hook_locate(path, &wal->file, &wal->data, err))
		return false;
	wal->standby = hook_is_standby(wal->data);
	wal->give_up_us =
	        clock_mono_us() + INT64_C(1000) * (wal->standby ? OPEN_STANDBY_MS : OPEN_MS);
	if (!choose_cluster(cli, wal, err) || !runtime_init(&wal->runtime, cli->config, err))
		return false;
	wal->dry_run = wal->runtime.pretend = cli->dry_run;
	for (struct site *site = &wal->runtime.site[wal->cluster]; site; site = site->next)
		site->hints = wal->fetch && !wal->dry_run;
	if (wal->dry_run && wal->fetch && !dry_fetch_begin(wal, err))
		return false;
	loop_run_op(wal->runtime.loop, &wal->op, &wal_type);
	return true;
}

/* ---- push ---- */

static bool push_run(struct cli *cli, struct err *err)
{
	const char *path = argument_at(cli->arguments, 0);
	struct wal *wal = xcalloc(1, sizeof(*wal));
	bool done;

	wal->accept_damaged = option_given(cli->arguments, "accept-damaged");
	done = wal_ask(cli, wal, path, err);
	if (done && wal->answer != ANSWER_STORED) {
		*err = wal->why;
		if (!err_is(err))
			err_set(err, ERR_TIMEOUT, "nothing has moved for %d s", PUSH_MS / 1000);
		done = false;
	}
	if (done && wal->dry_run)
		done = dry_push_tell(wal, path, err);
	if (!done)
		err_wrap(err, "could not archive \"%s\"%s", path,
		         cli->dry_run ? " (a dry run: nothing was written)" : "");
	wal_free(wal);
	return done;
}

static const struct cli_exit push_exits[] = {
        {0, "the file is safe in the repository"},
        {1, "anything else: PostgreSQL keeps the file and asks again"},
        {0, NULL},
};

static const struct cli_option push_options[] = {
        {"cluster", "NAME",
         "for the hook, which has it too; the data directory says which cluster it is"},
        {"restore", "FILE", "for the hook; not used"},
        {"accept-damaged", NULL,
         "store a segment that is damaged as it is; the only way past it. No recovery gets past "
         "it"},
        {0},
};

const struct command command_wal_push = {
        .name = "wal push",
        .usage = "PATH",
        .help = "archive one file of pg_wal, without the server",
        .about = "Stores one WAL segment, history file or backup file, and returns when it is "
                 "durable in the "
                 "repository.\nPATH is what PostgreSQL calls %p: relative to the data directory, "
                 "in which "
                 "the command runs, or\nabsolute. \"seawall-wal push\" does this by itself when "
                 "the server "
                 "does not answer.",
        .example = "cd /var/lib/postgresql/15/main && seawall wal push "
                   "pg_wal/000000010000000000000042",
        .options = push_options,
        .changes = true,
        .arguments_min = 1,
        .arguments_max = 1,
        .user = USER_OWNER,
        .exits = push_exits,
        .exit_of = push_exit,
        .run = push_run,
};

/* ---- fetch ---- */

static enum hook_result fetch_result(const struct wal *wal)
{
	switch (wal->answer) {
	case ANSWER_DELIVERED:
		return HOOK_DELIVERED;
	case ANSWER_ABSENT:
		return HOOK_ABSENT;
	case ANSWER_FAILED:
		return HOOK_FAILED;
	case ANSWER_STORED:
	case ANSWER_UNKNOWN:
	case ANSWER_WORKING:
		break;
	}
	return HOOK_UNKNOWN;
}

static bool fetch_run(struct cli *cli, struct err *err)
{
	const char *name = argument_at(cli->arguments, 0), *path = argument_at(cli->arguments, 1);
	const char *plan = option_value(cli->arguments, "restore");
	struct wal *wal = xcalloc(1, sizeof(*wal));
	bool done;

	wal->fetch = true;
	wal->get.name = name;
	wal->has_plan = plan && restore_plan_read(plan, &wal->plan, err);
	done = (!plan || wal->has_plan) && wal_ask(cli, wal, path, err);
	if (done) {
		fetch_status = hook_exit(HOOK_FETCH, fetch_result(wal), wal->standby);
		done = wal->answer == ANSWER_DELIVERED;
		*err = wal->why;
		if (!done && !err_is(err))
			err_set(err, wal->answer == ANSWER_ABSENT ? ERR_NOTFOUND : ERR_TIMEOUT,
			        wal->answer == ANSWER_ABSENT ? "it is not in the archive"
			                                     : "the repository did not answer");
	}
	if (done && wal->dry_run)
		done = dry_fetch_tell(wal, err);
	if (!done)
		err_wrap(err, "could not fetch \"%s\"", name);
	wal_free(wal);
	return done;
}

static const struct cli_exit fetch_exits[] = {
        {0, "the file was delivered"},
        {1, "it is proven that the archive does not have it; with standby.signal also: not yet, or "
            "not known"},
        {255,
         "not known, damaged, or of another cluster: PostgreSQL must not take this for the end"},
        {0, NULL},
};

static const struct cli_option fetch_options[] = {
        {"cluster", "NAME", "the cluster to fetch for, instead of that of the data directory"},
        {"restore", "FILE", "the plan of the restore that asks"},
        {0},
};

const struct command command_wal_fetch = {
        .name = "wal fetch",
        .usage = "NAME PATH",
        .help = "bring one archived file to pg_wal, without the server",
        .about = "Delivers the archived file NAME (%f of PostgreSQL) to PATH (%p), whole and "
                 "verified, or says "
                 "that the\narchive proves not to have it. Whatever is unknown is tried again for "
                 "minutes, "
                 "then PostgreSQL is\nstopped: a recovery never ends short in silence. "
                 "\"seawall-wal fetch\" "
                 "does this by itself when the\nserver does not answer.",
        .example = "cd /var/lib/postgresql/15/main && seawall wal fetch 000000010000000000000042 "
                   "pg_wal/RECOVERYXLOG",
        .options = fetch_options,
        .changes = true,
        .arguments_min = 2,
        .arguments_max = 2,
        .user = USER_OWNER,
        .exits = fetch_exits,
        .exit_of = fetch_exit,
        .run = fetch_run,
};
