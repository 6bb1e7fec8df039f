/*
 * backup.c — `seawall backup`: in the server when one runs, because only one process can put WAL
 * before everything else; else in this process. The progress is the same.
 */
#include "base/log.h"
#include "base/units.h"
#include "client.h"
#include "job/backup.h"
#include "job/naming.h"
#include "progress.h"
#include "repo/heads.h"
#include "shown.h"
#include "base/poison.h"

enum { OUT_BYTES_MAX = 64 * 1024 };

struct backing {
	struct cli *cli;
	struct runtime runtime;
	size_t cluster;
	struct client client;
	struct progress progress;
	struct backup backup; /* in this process */
	struct head_read read;
	struct manifest_head head; /* of the complete backup; owned when it was read */
	bool head_owned;
	char left_out[256]; /* repositories that do not have it */
};

static const char *backup_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

/* ---- in this process ---- */

static void start_backup(struct op *parent, void *context)
{
	struct backing *backing = context;

	backup_start(parent, &backing->backup);
}

static void show(struct backing *backing, const char *phase, uint64_t done, uint64_t total,
                 const char *waiting_for)
{
	AUTO_FREE char *what =
	        *waiting_for ? xasprintf("%s: %s", phase, waiting_for) : xstrdup(phase);
	const struct progress_figures figures = {.what = what, .done = done, .total = total};

	progress_show(&backing->progress, &figures);
}

static void tick(void *context)
{
	struct backing *backing = context;
	const struct backup_progress *progress = &backing->backup.progress;
	bool copying = progress->phase == BACKUP_COPYING;

	show(backing, backup_phase_text(progress->phase), copying ? progress->bytes_done : 0,
	     copying ? progress->bytes_total : 0, progress->waiting_for);
}

static void start_naming(struct op *parent, void *context)
{
	naming_start(parent, context);
}

/* Names for numbers, for whoever asks the WAL later; a backup is good without them. */
static void take_names(struct backing *backing)
{
	struct naming naming = {.site = backing->backup.site};
	struct err err = {0};

	if (!story_run(&backing->runtime, start_naming, &naming.op, &naming, &err))
		log_err(LOG_WARNING, &err, ", the backup is complete all the same");
	naming_release(&naming);
}

static bool back_up_here(struct backing *backing, struct err *err)
{
	const struct story story = {.start = start_backup,
	                            .child = &backing->backup.op,
	                            .tick = tick,
	                            .context = backing};
	const struct arguments *arguments = backing->cli->arguments;

	if (!runtime_open(&backing->runtime, backing->cluster, err))
		return false;
	backing->backup.site = &backing->runtime.site[backing->cluster];
	backing->backup.label = option_value(arguments, "label");
	backing->backup.spread = option_given(arguments, "spread");
	if (!story_tell(&backing->runtime, &story, err))
		return false;
	backing->head = backing->backup.head;
	snprintf(backing->left_out, sizeof(backing->left_out), "%s",
	         backing->backup.progress.left_out);
	take_names(backing);
	return true;
}

/* ---- in the server ---- */

static uint64_t field_u64(const struct jval *job, const char *field)
{
	struct err err = {0};
	uint64_t value = 0;

	return jget_u64(job, field, &value, &err) ? value : 0;
}

static const char *field_text(const struct jval *job, const char *field)
{
	struct err err = {0};
	const char *text = "";

	return jget_str(job, field, &text, &err) ? text : "";
}

static void news(void *context, const struct jval *job)
{
	const char *phase = field_text(job, "phase");
	bool copying = strcmp(phase, backup_phase_text(BACKUP_COPYING)) == 0;

	show(context, phase, copying ? field_u64(job, "bytes_done") : 0,
	     copying ? field_u64(job, "bytes_total") : 0, field_text(job, "waiting_for"));
}

/* How the job ended, as if it had been done here. */
static bool job_result(const struct jval *job, struct err *err)
{
	const char *code = field_text(job, "error_code");

	if (strcmp(field_text(job, "state"), "done") == 0)
		return true;
	for (int i = ERR_NOTFOUND; i <= ERR_INTERNAL; i++)
		if (strcmp(err_code_name(i), code) == 0)
			err_set_text(err, i, field_text(job, "error"));
	if (!err_is(err))
		err_set(err, ERR_FAILED, "the backup ended as \"%s\"", field_text(job, "state"));
	if (*field_text(job, "hint"))
		err_hint(err, "%s", field_text(job, "hint"));
	return false;
}

static void start_reading(struct op *parent, void *context)
{
	head_read_start(parent, context);
}

static void start_generation(struct op *parent, void *context)
{
	generation_open_start(parent, context);
}

static bool read_head_at(struct backing *backing, struct site *site, const char *id,
                         struct err *err)
{
	struct generation_open generation = {.cluster = site->cluster};

	if (!runtime_open_site(&backing->runtime, site, err))
		return false;
	generation.repo = site->repo;
	if (!story_run(&backing->runtime, start_generation, &generation.op, &generation, err))
		return false;
	backing->read = (struct head_read){
	        .repo = generation.repo, .generation = generation.generation, .id = id};
	return story_run(&backing->runtime, start_reading, &backing->read.op, &backing->read, err);
}

/* From the first repository that has it. */
static bool read_head(struct backing *backing, const char *id, struct err *err)
{
	for (struct site *site = &backing->runtime.site[backing->cluster];
	     site && !backing->head_owned; site = site->next) {
		err_clear(err);
		backing->head_owned = read_head_at(backing, site, id, err);
	}
	backing->head = backing->read.head;
	return backing->head_owned;
}

/* Ctrl-C: the job in the server is ours, so it ends too. */
static void cancel_job(struct backing *backing, const char *id)
{
	AUTO_FREE char *path = xasprintf("/v1/jobs/%s/cancel", id);
	const struct client_request what = {.method = "POST", .path = path};
	struct jval *answer = NULL;
	struct err err = {0};

	if (client_ask(&backing->client, &what, &answer, &err) == CLIENT_FAILED)
		log_err(LOG_WARNING, &err, NULL);
	jval_free(answer);
}

static bool watch(struct backing *backing, const struct jval *started, struct err *err)
{
	AUTO_FREE char *id = xstrdup(field_text(started, "id"));
	AUTO_FREE char *result = NULL;
	struct jval *end = NULL;
	const struct client_watcher watcher = {.job = id, .each = news, .context = backing};
	bool done = client_watch(&backing->client, &watcher, &end, err);

	if (!done && err->code == ERR_CANCELLED) {
		cancel_job(backing, id);
		err_clear(err);
		return err_set(err, ERR_CANCELLED, "the backup of cluster \"%s\" was cancelled",
		               backing->runtime.site[backing->cluster].cluster);
	}
	if (!done)
		return err_wrap(err, "lost sight of the backup in the server (job %s)", id);
	done = job_result(end, err);
	result = xstrdup(field_text(end, "result"));
	snprintf(backing->left_out, sizeof(backing->left_out), "%s", field_text(end, "left_out"));
	jval_free(end);
	return done && read_head(backing, result, err);
}

static enum client_outcome back_up_in_server(struct backing *backing, struct err *err)
{
	const struct arguments *arguments = backing->cli->arguments;
	AUTO_FREE char *path = xasprintf("/v1/clusters/%s/backups",
	                                 backing->runtime.site[backing->cluster].cluster);
	struct jval *wishes = jobject_new(), *started = NULL;
	const struct client_request what = {.method = "POST", .path = path, .body = wishes};
	enum client_outcome outcome;

	jset_str(wishes, "label", option_value(arguments, "label"));
	jset_bool(wishes, "fast", !option_given(arguments, "spread"));
	outcome = client_ask(&backing->client, &what, &started, err);
	if (outcome == CLIENT_ANSWERED && !watch(backing, started, err))
		outcome = CLIENT_FAILED;
	jval_free(started);
	jval_free(wishes);
	return outcome;
}

/* ---- the result ---- */

static bool report(struct backing *backing, struct err *err)
{
	const struct manifest_head *head = &backing->head;
	char size[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES], took[UNITS_TEXT_BYTES];
	AUTO_BUF struct buf out = {0};

	buf_init(&out, OUT_BYTES_MAX);
	if (backing->cli->json) {
		struct jval *root = jobject_new();

		jset_int(root, "version", 1);
		shown_backup(head, root);
		if (backing->left_out[0])
			jset_str(root, "left_out", backing->left_out);
		json_print(root, true, &out);
		jval_free(root);
	} else if (!backing->cli->quiet) {
		units_size(head->logical_bytes, size);
		units_size(head->stored_bytes, stored);
		units_duration((head->ended_us - head->begun_us) / 1000, took);
		buf_addf(&out, "Backup %s is complete: %llu files, %s, stored as %s, in %s.\n",
		         head->id, (unsigned long long)head->files, size, stored, took);
	}
	if (!print(buf_text(&out), err))
		return false;
	if (backing->left_out[0])
		log_warning("the backup is not in: %s (\"seawall copy\" brings it there)",
		            backing->left_out);
	if (backup_exit(head) == 0)
		return true;
	err_set(err, ERR_DAMAGED, "%llu pages of the cluster have a wrong checksum",
	        (unsigned long long)head->findings_total);
	err_hint(err,
	         "The backup is complete, with the pages as they are; \"seawall show %s\" names "
	         "them.",
	         head->id);
	return false;
}

static bool plan(struct backing *backing, struct err *err)
{
	const struct site *site = &backing->runtime.site[backing->cluster];
	const struct client_request what = {.method = "GET", .path = "/v1/status"};
	struct jval *status = NULL;
	bool server;
	AUTO_BUF struct buf into = {0};

	if (!runtime_open(&backing->runtime, backing->cluster, err))
		return false;
	server = client_ask(&backing->client, &what, &status, err) == CLIENT_ANSWERED;
	jval_free(status);
	err_clear(err);
	buf_init(&into, OUT_BYTES_MAX);
	for (const struct site *at = site; at; at = at->next)
		buf_addf(&into, "%s\"%s\"", at == site ? "" : ", ", at->repository);
	return printf_out(err, "Would back up cluster \"%s\" from \"%s\" into %s %s, in %s.\n",
	                  site->cluster, site->pgdata ? site->pgdata : "its data directory",
	                  site->next ? "repositories" : "repository", buf_text(&into),
	                  server ? "the server" : "this process");
}

static bool back_up(struct backing *backing, struct err *err)
{
	bool done;

	if (backing->cli->dry_run)
		return plan(backing, err);
	progress_begin(&backing->progress, backing->cli->quiet || backing->cli->json);
	switch (back_up_in_server(backing, err)) {
	case CLIENT_ANSWERED:
		done = true;
		break;
	case CLIENT_NO_SERVER:
		done = back_up_here(backing, err);
		break;
	default:
		done = false;
	}
	progress_end(&backing->progress);
	return done && report(backing, err);
}

static bool backup_run(struct cli *cli, struct err *err)
{
	struct backing *backing = xcalloc(1, sizeof(*backing));
	bool done;

	backing->cli = cli;
	if (option_given(cli->arguments, "fast") && option_given(cli->arguments, "spread")) {
		free(backing);
		return err_set(err, ERR_USAGE,
		               "options \"--fast\" and \"--spread\" exclude each other");
	}
	done = story_cluster(cli, argument_at(cli->arguments, 0), &backing->cluster, err) &&
	       runtime_init(&backing->runtime, cli->config, err);
	if (done) {
		backing->runtime.person = true;
		client_init(&backing->client, &backing->runtime);
		done = back_up(backing, err);
		client_release(&backing->client);
	}
	if (backing->head_owned)
		manifest_head_release(&backing->head);
	if (backing->backup.op.type)
		backup_release(&backing->backup);
	runtime_release(&backing->runtime);
	free(backing);
	return done;
}

static const struct cli_option backup_options[] = {
        {"label", "TEXT", "a text of your own, shown by \"seawall list\""},
        {"full", NULL, "copy everything, as every backup does in this version"},
        {"fast", NULL, "let PostgreSQL make its checkpoint at once (the default)"},
        {"spread", NULL,
         "let PostgreSQL spread its checkpoint over minutes, which disturbs it less"},
        {"pgdata", "FOLDER",
         "the data directory of the only cluster, when the configuration has none"},
        {0},
};

const struct command command_backup = {
        .name = "backup",
        .usage = "[CLUSTER]",
        .help = "take a base backup",
        .about = "Copies the data directory of the running cluster into the repository, checks "
                 "every page on the "
                 "way, and\nwaits until the WAL that belongs to it is there too: then the backup "
                 "is complete and "
                 "can be restored. It\nruns in the server when one runs, else in this process. "
                 "Ctrl-C ends it; "
                 "nothing is left behind in\nPostgreSQL, and nothing half is visible in the "
                 "repository.\n\nWith several repositories the cluster is read once and the backup "
                 "goes to all of them. One that "
                 "fails\nmeanwhile is left out with a warning; when fewer have the backup than "
                 "\"ack\" says, the command fails\n(exit status 4), and where it is complete it "
                 "stays.",
        .example = "seawall backup main --label 'before the upgrade'",
        .options = backup_options,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .pgdata = backup_pgdata,
        .run = backup_run,
};
