/*
 * check.c — `seawall check`: the whole path, step by step. Each step says ok, warning or failed,
 * why, and what to do; what stands on a step that failed is skipped. At least one failure: exit
 * status 1.
 */
#include <unistd.h>
#include "checking.h"
#include "base/poison.h"

enum { JSON_BYTES_MAX = 1024 * 1024 };

static const char *const outcome_names[] = {"ok", "warning", "failed", "skipped"};

enum outcome check_say(struct checking *checking, enum outcome outcome, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(checking->note, sizeof(checking->note), format, args);
	va_end(args);
	str_clean(checking->note);
	return outcome;
}

void check_hint(struct checking *checking, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(checking->hint, sizeof(checking->hint), format, args);
	va_end(args);
}

enum outcome check_fail(struct checking *checking, const struct err *err)
{
	err_line(err, checking->note, sizeof(checking->note));
	snprintf(checking->hint, sizeof(checking->hint), "%s", err->hint);
	return CHECK_FAILED;
}

struct tally {
	unsigned count[4];
	struct jval *list; /* with --json */
};

static bool report(const struct checking *checking, const struct step *step, enum outcome outcome,
                   struct tally *tally, struct err *err)
{
	const struct config_repository *of = checking->config_repository;
	bool named = of && checking->config_cluster->places > 1;

	tally->count[outcome]++;
	if (tally->list) {
		struct jval *item = jadd_object(tally->list);

		jset_str(item, "step", step->name);
		if (of)
			jset_str(item, "repository", of->name);
		jset_str(item, "outcome", outcome_names[outcome]);
		jset_str(item, "note", checking->note);
		if (*checking->hint)
			jset_str(item, "hint", checking->hint);
		return true;
	}
	if (checking->cli->quiet && outcome != CHECK_FAILED)
		return true;
	return printf_out(err, "%-8s %s%s%s%s%s%s\n%s%s%s", outcome_names[outcome], step->name,
	                  named ? " (" : "", named ? of->name : "", named ? ")" : "",
	                  *checking->note ? ": " : "", checking->note,
	                  *checking->hint ? "         hint: " : "", checking->hint,
	                  *checking->hint ? "\n" : "");
}

static bool run_steps(struct checking *checking, const struct step *steps, struct tally *tally,
                      struct err *err)
{
	for (const struct step *step = steps; step->name; step++) {
		enum outcome outcome;

		checking->note[0] = checking->hint[0] = '\0';
		outcome = step->run(checking);
		if (!report(checking, step, outcome, tally, err))
			return false;
	}
	return true;
}

/* Each repository of the cluster. */
static bool run_stores(struct checking *checking, struct tally *tally, struct err *err)
{
	struct site *site = checking->site;

	for (unsigned i = 0; site; i++, site = site->next) {
		checking->place = site;
		checking->config_repository = checking->config_cluster->place[i];
		checking->repository = false;
		checking->found = (struct features){.known = false};
		if (!run_steps(checking, check_store, tally, err))
			return false;
	}
	checking->config_repository = NULL;
	return true;
}

static bool conclude(const struct tally *tally, struct jval *root, struct err *err)
{
	AUTO_BUF struct buf out = {0};

	if (root) {
		jset_bool(root, "good", tally->count[CHECK_FAILED] == 0);
		buf_init(&out, JSON_BYTES_MAX);
		json_print(root, true, &out);
		if (!print(buf_text(&out), err))
			return false;
	}
	if (tally->count[CHECK_FAILED] == 0)
		return true;
	return err_set(err, ERR_FAILED, "%u of %u steps failed", tally->count[CHECK_FAILED],
	               tally->count[CHECK_OK] + tally->count[CHECK_WARNING] +
	                       tally->count[CHECK_FAILED] + tally->count[CHECK_SKIPPED]);
}

static bool check_all(struct checking *checking, struct err *err)
{
	struct jval *root = checking->cli->json ? jobject_new() : NULL;
	struct tally tally = {.list = NULL};
	bool done;

	if (root) {
		jset_int(root, "version", 1);
		jset_str(root, "cluster", checking->site->cluster);
		tally.list = jset_array(root, "steps");
	}
	done = run_steps(checking, check_here, &tally, err) && run_stores(checking, &tally, err) &&
	       run_steps(checking, check_postgres, &tally, err) && conclude(&tally, root, err);
	jval_free(root);
	return done;
}

static bool check_run(struct cli *cli, struct err *err)
{
	struct checking *checking = xcalloc(1, sizeof(*checking));
	bool done;

	checking->cli = cli;
	checking->config = cli->config;
	done = story_cluster(cli, argument_at(cli->arguments, 0), &checking->cluster, err) &&
	       story_runtime(cli, &checking->runtime, err);
	if (done) {
		checking->config_cluster = &cli->config->cluster[checking->cluster];
		checking->site = &checking->runtime.site[checking->cluster];
		client_init(&checking->client, &checking->runtime);
		done = check_all(checking, err);
		session_close(&checking->session);
		client_release(&checking->client);
	}
	runtime_release(&checking->runtime);
	free(checking);
	return done;
}

static const char *check_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

static const struct cli_option check_options[] = {
        {"pgdata", "FOLDER",
         "the data directory of the only cluster, when the configuration has none"},
        {"no-segment", NULL, "do not send a WAL segment through the whole path"},
        {0},
};

const struct command command_check = {
        .name = "check",
        .usage = "[CLUSTER]",
        .help = "try the whole path, step by step",
        .about = "Tries settings, programs, server, repository (write, read, delete; several "
                 "writers; who else writes the\ntimeline), clocks, disks, the connection to "
                 "PostgreSQL, its settings and the role's rights, and at last sends\none real WAL "
                 "segment through the whole path: it lets PostgreSQL switch to a new segment and "
                 "waits until the\nold one is in the repository. Each step says ok, warning or "
                 "failed, why, and what to do.",
        .example = "seawall check main",
        .options = check_options,
        .arguments_max = 1,
        .user = USER_OWNER,
        .pgdata = check_pgdata,
        .run = check_run,
};
