/*
 * verify.c — `seawall verify`: every object of a cluster's repositories opened and proven. In this
 * process, behind everything else that waits for memory and workers.
 */
#include "base/clock.h"
#include "base/units.h"
#include "codec/json.h"
#include "job/verify.h"
#include "progress.h"
#include "shown.h"
#include "story.h"
#include "base/poison.h"

enum { OUT_BYTES_MAX = 16 * 1024 * 1024 };

struct verifying {
	struct cli *cli;
	struct progress progress;
	struct verify verify;
	struct buf out;
	struct jval *root, *list; /* --json */
	uint64_t findings;
};

static void start(struct op *parent, void *context)
{
	struct verifying *verifying = context;

	verify_start(parent, &verifying->verify);
}

static void tick(void *context)
{
	struct verifying *verifying = context;
	const struct verify *verify = &verifying->verify;
	const struct progress_figures figures = {.what = "verifying",
	                                         .done = verify->bytes,
	                                         .total = MAX(verify->bytes_total, verify->bytes)};

	progress_show(&verifying->progress, &figures);
}

static void report_text(struct verifying *verifying)
{
	const struct verify *verify = &verifying->verify;
	char size[UNITS_TEXT_BYTES], time[TIME_TEXT_BYTES];

	for (size_t i = 0; i < verify->findings; i++) {
		char line[ERR_TEXT_MAX];

		err_line(&verify->finding[i].err, line, sizeof(line));
		buf_addf(&verifying->out, "DAMAGED %s: %s\n", verify->finding[i].object, line);
	}
	units_size(verify->bytes, size);
	buf_addf(&verifying->out,
	         "Repository %s: %llu objects verified, %s stored, among them %llu segments and "
	         "%llu "
	         "backups; %llu damaged or missing.\n",
	         verify->site->repository, (unsigned long long)verify->objects, size,
	         (unsigned long long)verify->segments, (unsigned long long)verify->backups,
	         (unsigned long long)verify->findings_total);
	if (*verify->to)
		buf_addf(&verifying->out, "%s; the next run goes on behind %s.\n",
		         op_failed(&verify->op) ? "The run was broken off"
		                                : "The budget is used up",
		         verify->to);
	if (verify->before_us) {
		clock_text_utc(verify->before_us, time);
		buf_addf(&verifying->out, "The run before was at %s.\n", time);
	}
}

static void report_json(struct verifying *verifying)
{
	const struct verify *verify = &verifying->verify;
	struct jval *object = jadd_object(verifying->list), *list;

	jset_str(object, "repository", verify->site->repository);
	jset_u64(object, "objects", verify->objects);
	jset_u64(object, "bytes", verify->bytes);
	jset_u64(object, "segments", verify->segments);
	jset_u64(object, "backups", verify->backups);
	jset_str(object, "from", verify->from);
	jset_str(object, "to", verify->to);
	jset_bool(object, "complete", !*verify->to);
	shown_json_time(object, "run_before", verify->before_us);
	jset_u64(object, "findings", verify->findings_total);
	list = jset_array(object, "damaged");
	for (size_t i = 0; i < verify->findings; i++) {
		struct jval *item = jadd_object(list);
		char line[ERR_TEXT_MAX];

		err_line(&verify->finding[i].err, line, sizeof(line));
		jset_str(item, "object", verify->finding[i].object);
		jset_str(item, "error", line);
	}
}

static bool size_option(const struct cli *cli, const char *name, uint64_t *ret, struct err *err)
{
	const char *text = option_value(cli->arguments, name);

	*ret = 0;
	return !text || (units_parse_size(text, ret) && *ret > 0) ||
	       err_set(err, ERR_USAGE, "\"%s\" is no size for option \"--%s\"", text, name);
}

static bool verify_site(struct verifying *verifying, struct runtime *runtime, struct site *site,
                        struct err *err)
{
	const struct cli *cli = verifying->cli;
	struct verify *verify = &verifying->verify;
	const struct story story = {
	        .start = start, .child = &verify->op, .tick = tick, .context = verifying};
	bool done;

	*verify = (struct verify){.site = site,
	                          .anew = option_given(cli->arguments, "anew"),
	                          .dry_run = cli->dry_run};
	if (!size_option(cli, "rate", &verify->rate, err) ||
	    !size_option(cli, "budget", &verify->budget, err))
		return false;
	progress_begin(&verifying->progress, cli->quiet || cli->json);
	done = story_tell(runtime, &story, err);
	progress_end(&verifying->progress);
	verifying->findings += verify->findings_total;
	if (cli->json)
		report_json(verifying);
	else
		report_text(verifying);
	verify_release(verify);
	return done;
}

static bool verify_all(struct verifying *verifying, struct runtime *runtime, size_t cluster,
                       struct err *err)
{
	const char *only = option_value(verifying->cli->arguments, "repository");
	bool done = true, any = false;

	verifying->root = jobject_new();
	jset_int(verifying->root, "version", 1);
	jset_str(verifying->root, "cluster", runtime->site[cluster].cluster);
	verifying->list = jset_array(verifying->root, "repositories");
	buf_init(&verifying->out, OUT_BYTES_MAX);
	/* One that is away keeps nobody from looking at the others; the first error is told. */
	for (struct site *site = &runtime->site[cluster]; site; site = site->next) {
		struct err why = {0};

		if (only && strcmp(only, site->repository) != 0)
			continue;
		any = true;
		if (verify_site(verifying, runtime, site, &why))
			continue;
		if (done)
			*err = why;
		done = false;
		if (why.code == ERR_CANCELLED || why.code == ERR_USAGE)
			break;
	}
	if (!any)
		done = err_set(err, ERR_USAGE, "cluster \"%s\" has no repository \"%s\"",
		               runtime->site[cluster].cluster, only);
	if (verifying->cli->json && done)
		json_print(verifying->root, true, &verifying->out);
	if (any && verifying->out.length) {
		struct err printing = {0};

		if (!print(buf_text(&verifying->out), &printing) && done) {
			*err = printing;
			done = false;
		}
	}
	jval_free(verifying->root);
	buf_release(&verifying->out);
	if (!done || verifying->findings == 0)
		return done;
	err_set(err, ERR_DAMAGED, "%llu objects are damaged or missing",
	        (unsigned long long)verifying->findings);
	err_hint(err,
	         "Another repository may have them whole. Take a backup, so that what was before "
	         "is not needed.");
	return false;
}

static bool verify_run(struct cli *cli, struct err *err)
{
	struct verifying *verifying = xcalloc(1, sizeof(*verifying));
	struct runtime runtime = {0};
	size_t cluster;
	bool done = story_cluster(cli, argument_at(cli->arguments, 0), &cluster, err) &&
	            runtime_init(&runtime, cli->config, err);

	verifying->cli = cli;
	runtime.person = true; /* but nobody who waits: it has a whole minute for a silent store */
	done = done && verify_all(verifying, &runtime, cluster, err);
	runtime_release(&runtime);
	free(verifying);
	return done;
}

static const struct cli_option verify_options[] = {
        {"rate", "SIZE", "read at most so much in a second, as in 50MB"},
        {"budget", "SIZE", "stop after so much; the next run goes on with the rest"},
        {"anew", NULL, "everything in the order of the names, whatever was verified when"},
        {"repository", "NAME", "only this one of the cluster's repositories"},
        {0},
};

static const struct cli_exit verify_exits[] = {
        {0, "everything that was read is whole"},
        {1, "there is no archive of the cluster"},
        {2, "the command line is wrong"},
        {3, "the configuration is wrong"},
        {4, "the repository cannot be reached"},
        {7, "something is damaged or missing: it was named"},
        {8, "cancelled or out of time"},
        {0, NULL},
};

const struct command command_verify = {
        .name = "verify",
        .usage = "[CLUSTER]",
        .help = "read everything that is stored, and prove it",
        .about = "Opens every object of the cluster's archive, frame by frame; proves every record "
                 "of its WAL, from\nsegment to segment; looks whether the WAL is unbroken from "
                 "each backup on, and whether each backup's\npacks are there. What is damaged or "
                 "missing is named. What was verified when is noted in the repository, also\nwhile "
                 "a "
                 "run goes on: what is new comes first, then what was verified longest ago. It "
                 "waits behind WAL, restores and backups.",
        .example = "seawall verify main --rate 50MB --budget 20GB",
        .options = verify_options,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .exits = verify_exits,
        .run = verify_run,
};
