/*
 * copy.c — `seawall copy`: backups and WAL from one repository of a cluster to another.
 */
#include "base/units.h"
#include "codec/json.h"
#include "job/copy.h"
#include "progress.h"
#include "story.h"
#include "base/poison.h"

enum { OUT_BYTES_MAX = 64 * 1024 };

struct copying {
	struct cli *cli;
	struct runtime runtime;
	size_t cluster;
	struct progress progress;
	struct copy_run run;
};

static void start(struct op *parent, void *context)
{
	struct copying *copying = context;

	copy_run_start(parent, &copying->run);
}

static void tick(void *context)
{
	struct copying *copying = context;
	const struct copy_figures *figures = &copying->run.figures;
	const struct progress_figures shown = {.what = figures->phase ? figures->phase : "opening",
	                                       .done = figures->bytes_done,
	                                       .total = figures->bytes};

	progress_show(&copying->progress, &shown);
}

static struct site *find(struct copying *copying, const char *name, struct err *err)
{
	struct site *first = &copying->runtime.site[copying->cluster];

	for (struct site *site = first; site; site = site->next)
		if (strcmp(site->repository, name) == 0)
			return site;
	err_set(err, ERR_USAGE, "cluster \"%s\" has no repository \"%s\"", first->cluster, name);
	err_hint(err, "Its repositories are in section [cluster %s] of the configuration.",
	         first->cluster);
	return NULL;
}

/* Without --from: the first of the others. */
static struct site *find_other(struct copying *copying, struct err *err)
{
	struct site *first = &copying->runtime.site[copying->cluster];

	for (struct site *site = first; site; site = site->next)
		if (site != copying->run.to)
			return site;
	err_set(err, ERR_USAGE, "cluster \"%s\" has only one repository", first->cluster);
	return NULL;
}

static bool is_one_place(const struct copying *copying)
{
	return copying->run.from == copying->run.to ||
	       strcmp(store_url(copying->run.from->repo->store),
	              store_url(copying->run.to->repo->store)) == 0;
}

static bool find_both(struct copying *copying, struct err *err)
{
	const struct arguments *arguments = copying->cli->arguments;
	const char *from = option_value(arguments, "from"), *to = option_value(arguments, "to");
	struct copy_run *run = &copying->run;

	if (!to)
		return err_set(err, ERR_USAGE, "option \"--to\" is missing");
	run->to = find(copying, to, err);
	if (!run->to)
		return false;
	run->from = from ? find(copying, from, err) : find_other(copying, err);
	if (!run->from || !runtime_open_site(&copying->runtime, run->from, err))
		return false;
	copying->runtime.pretend = copying->cli->dry_run;
	if (!runtime_open_site(&copying->runtime, run->to, err))
		return false;
	if (is_one_place(copying))
		return err_set(err, ERR_USAGE, "\"%s\" and \"%s\" are the same repository",
		               run->from->repository, run->to->repository);
	run->dry_run = copying->cli->dry_run;
	run->backups = arguments->count;
	for (unsigned i = 0; i < run->backups; i++)
		run->backup[i] = argument_at(arguments, i);
	return true;
}

static void report_json(const struct copying *copying, struct buf *out)
{
	const struct copy_run *run = &copying->run;
	const struct copy_figures *figures = &run->figures;
	struct jval *root = jobject_new();

	jset_int(root, "version", 1);
	jset_str(root, "cluster", run->from->cluster);
	jset_str(root, "from", run->from->repository);
	jset_str(root, "to", run->to->repository);
	jset_bool(root, "dry_run", run->dry_run);
	jset_u64(root, "backups", figures->backups);
	jset_u64(root, "wal_files", figures->segments);
	jset_u64(root, "objects", figures->objects);
	jset_u64(root, "bytes", figures->bytes);
	jset_u64(root, "there", figures->there);
	json_print(root, true, out);
	jval_free(root);
}

static bool report(struct copying *copying, struct err *err)
{
	const struct copy_run *run = &copying->run;
	const struct copy_figures *figures = &run->figures;
	char size[UNITS_TEXT_BYTES];
	AUTO_BUF struct buf out = {0};

	buf_init(&out, OUT_BYTES_MAX);
	units_size(figures->bytes, size);
	if (copying->cli->json)
		report_json(copying, &out);
	else if (!copying->cli->quiet)
		buf_addf(&out,
		         "%s %llu backup%s and %llu WAL file%s of cluster \"%s\" from repository "
		         "\"%s\" to \"%s\": %llu objects, %s; %llu were there already.\n",
		         run->dry_run ? "Would copy" : "Copied",
		         (unsigned long long)figures->backups, figures->backups == 1 ? "" : "s",
		         (unsigned long long)figures->segments, figures->segments == 1 ? "" : "s",
		         run->from->cluster, run->from->repository, run->to->repository,
		         (unsigned long long)figures->objects, size,
		         (unsigned long long)figures->there);
	return print(buf_text(&out), err);
}

static bool copy_command(struct cli *cli, struct err *err)
{
	struct copying *copying = xcalloc(1, sizeof(*copying));
	const struct story story = {
	        .start = start, .child = &copying->run.op, .tick = tick, .context = copying};
	bool done;

	copying->cli = cli;
	done = story_cluster(cli, option_value(cli->arguments, "cluster"), &copying->cluster,
	                     err) &&
	       story_runtime(cli, &copying->runtime, err) && find_both(copying, err);
	if (done) {
		progress_begin(&copying->progress, cli->quiet || cli->json);
		done = story_tell(&copying->runtime, &story, err);
		progress_end(&copying->progress);
	}
	done = done && report(copying, err);
	runtime_release(&copying->runtime);
	free(copying);
	return done;
}

static const struct cli_option copy_options[] = {
        {"from", "REPOSITORY", "where it comes from (default: the first of the others)", false},
        {"to", "REPOSITORY", "where it is to be", false},
        {"cluster", "NAME", "the cluster, when there are several", false},
        {0},
};

const struct command command_copy = {
        .name = "copy",
        .usage = "[BACKUP...]",
        .help = "bring backups and WAL from one repository to another",
        .about = "Copies what one repository of a cluster has and another one lacks: a repository "
                 "that is new, or that was away\nwhile backups were made. With BACKUP only those "
                 "backups, and the WAL from the oldest of them on.\n\nEach object is read whole "
                 "and checked, and encrypted with the other repository's key. A backup is visible "
                 "there when\nall of it and its WAL are. What is there already is left alone, so "
                 "running it again completes a copy that\nbroke off. Archiving goes on "
                 "meanwhile.\n\nWAL is proven as when it is archived, with the seam to the segment "
                 "before: what is damaged is not copied, nor what\ncomes after it. Only the newest "
                 "generation of the cluster is copied, the one that is archived to.",
        .example = "seawall copy --from local --to s3",
        .options = copy_options,
        .arguments_max = COPY_BACKUPS_MAX,
        .changes = true,
        .user = USER_OWNER,
        .run = copy_command,
};
