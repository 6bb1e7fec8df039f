/*
 * wal_index.c — `seawall wal index`: the index of the WAL made complete, or made again.
 */
#include "base/units.h"
#include "job/indexer.h"
#include "progress.h"
#include "shown.h"
#include "story.h"
#include "base/poison.h"

enum { INDEX_BYTES_MAX = 1024 * 1024 };

struct indexing {
	struct cli *cli;
	struct runtime runtime;
	struct site *site;
	struct indexer *indexer;
	struct indexer_pass pass;
	struct progress progress;
};

static void start_pass(struct op *parent, void *context)
{
	struct indexing *indexing = context;

	indexer_pass_start(parent, &indexing->pass);
}

static void tick(void *context)
{
	struct indexing *indexing = context;
	struct progress_figures figures = {.what = "reading WAL",
	                                   .done = indexer_figures(indexing->indexer)->bytes};

	progress_show(&indexing->progress, &figures);
}

static void index_text(const struct indexing *indexing, struct buf *out)
{
	const struct indexer_figures *figures = indexer_figures(indexing->indexer);
	char wal[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES];

	units_size(figures->bytes, wal);
	units_size(figures->stored_bytes, stored);
	buf_addf(out, "%s: %llu segments read (%s), %llu pieces written (%s)",
	         indexing->site->repository, (unsigned long long)figures->segments, wal,
	         (unsigned long long)figures->written, stored);
	if (figures->repeated > 0)
		buf_addf(out, ", %llu were the same", (unsigned long long)figures->repeated);
	buf_addc(out, '\n');
}

static void index_json(const struct indexing *indexing, struct jval *list)
{
	const struct indexer_figures *figures = indexer_figures(indexing->indexer);
	struct jval *item = jadd_object(list);

	jset_str(item, "repository", indexing->site->repository);
	jset_u64(item, "segments", figures->segments);
	jset_u64(item, "segments_from_pg_wal", figures->from_pg_wal);
	jset_u64(item, "wal_bytes", figures->bytes);
	jset_u64(item, "written", figures->written);
	jset_u64(item, "repeated", figures->repeated);
	jset_u64(item, "stored_bytes", figures->stored_bytes);
	jset_u64(item, "cpu_us", figures->cpu_us);
}

static bool index_site(struct indexing *indexing, struct jval *list, struct buf *out,
                       struct err *err)
{
	struct cli *cli = indexing->cli;
	struct story story = {.start = start_pass,
	                      .child = &indexing->pass.op,
	                      .tick = tick,
	                      .context = indexing};
	bool done;

	indexing->indexer = indexer_new(indexing->site, option_given(cli->arguments, "rebuild"));
	indexing->pass = (struct indexer_pass){.indexer = indexing->indexer, .flush = true};
	progress_begin(&indexing->progress, cli->quiet || cli->json);
	done = story_tell(&indexing->runtime, &story, err);
	progress_end(&indexing->progress);
	index_text(indexing, out);
	index_json(indexing, list);
	indexer_free(indexing->indexer);
	return done;
}

/* Each repository of the cluster by itself, as its own WAL says. */
static bool index_chain(struct indexing *indexing, size_t cluster, struct jval *list,
                        struct buf *out, struct err *err)
{
	struct site *next;
	bool done = true;

	for (struct site *site = &indexing->runtime.site[cluster]; done && site; site = next) {
		next = site->next;
		site->next = NULL; /* its pieces go nowhere else */
		indexing->site = site;
		done = index_site(indexing, list, out, err);
		site->next = next;
	}
	return done;
}

static bool wal_index_run(struct cli *cli, struct err *err)
{
	struct indexing *indexing = xcalloc(1, sizeof(*indexing));
	struct jval *root = jobject_new();
	AUTO_BUF struct buf out = {0};
	size_t cluster = 0;
	bool done;

	buf_init(&out, INDEX_BYTES_MAX);
	indexing->cli = cli;
	jset_int(root, "version", 1);
	done = story_cluster(cli, argument_at(cli->arguments, 0), &cluster, err) &&
	       story_runtime(cli, &indexing->runtime, err);
	if (done) {
		indexing->runtime.pretend = cli->dry_run;
		done = index_chain(indexing, cluster, jset_array(root, "repositories"), &out, err);
		if (cli->json) {
			buf_clear(&out);
			json_print(root, true, &out);
		} else if (cli->dry_run) {
			buf_addstr(&out, "Nothing was changed (--dry-run).\n");
		}
		if (!cli->quiet || cli->json)
			done = print(buf_text(&out), done ? err : &(struct err){0}) && done;
	}
	jval_free(root);
	runtime_release(&indexing->runtime);
	free(indexing);
	return done;
}

static const struct cli_option options[] = {
        {"rebuild", NULL, "read all WAL again, and compare it with what is there", false},
        {0},
};

const struct command command_wal_index = {
        .name = "wal index",
        .usage = "[CLUSTER]",
        .help = "complete the index of the archived WAL, or make it again",
        .about = "The index says what is in the WAL: times, transactions worth finding, changed "
                 "blocks. The server keeps\nit complete by itself; this does the same at once, "
                 "and is enough after anything that was lost or damaged.\nWith --rebuild, all WAL "
                 "is read from the repository. Pieces that are the same stay as they are; a piece "
                 "that\nis damaged, or says something else, is written again under its next "
                 "number.",
        .options = options,
        .example = "seawall wal index main --rebuild",
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .run = wal_index_run,
};
