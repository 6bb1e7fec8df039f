/*
 * adopt.c — `seawall adopt`: this data directory is the one that goes on.
 */
#include "codec/json.h"
#include "job/adopt.h"
#include "story.h"
#include "base/poison.h"

enum { OUT_BYTES_MAX = 64 * 1024 };

static const char *adopt_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

static void start(struct op *parent, void *context)
{
	adopt_start(parent, context);
}

static void note_text(const struct adopt_done *done, bool dry_run, struct buf *out)
{
	const struct owner_note *note = &done->note;
	const char *would = dry_run ? "would be" : "is";

	if (note->kind == OWNER_LIFT)
		buf_addf(out, "The fence of timeline %u %s lifted (repository %s).\n", note->tli,
		         would, done->repository);
	else
		buf_addf(out,
		         "Timeline %u %s fenced from " LSN_FORMAT
		         " on: what is pushed there is set aside (repository %s).\n",
		         note->tli, would, LSN_ARGS(note->position), done->repository);
}

static void adopt_text(const struct adopt *adopt, struct buf *out)
{
	const char *dry = adopt->dry_run ? "would go" : "goes";

	if (adopt->new_generation)
		buf_addf(out, "The archive of cluster \"%s\" %s on in a new generation%s%s.\n",
		         adopt->site->cluster, dry, adopt->dry_run ? "" : ", ",
		         adopt->dry_run ? "" : adopt->generation);
	else if (adopt->nothing_there)
		buf_addf(out, "Nothing of this system identifier is in the repository yet: the "
		              "first push begins it.\n");
	else
		buf_addf(out, "Cluster \"%s\" %s on with timeline %u of \"%s\".\n",
		         adopt->site->cluster, dry, adopt->tli, adopt->folder);
	for (size_t i = 0; i < adopt->dones; i++)
		note_text(&adopt->done[i], adopt->dry_run, out);
	if (!adopt->was_clone)
		return;
	buf_addf(out,
	         "It %s a clone%s. Set archive_mode = on and archive_command in it, and "
	         "restart PostgreSQL.\n",
	         adopt->dry_run ? "would no longer be" : "is no longer",
	         adopt->dry_run ? "" : ": \"seawall.clone\" was removed");
	if (!adopt->new_generation)
		buf_addf(out, "Then take a backup: `seawall backup %s`.\n", adopt->site->cluster);
}

static void adopt_json(const struct adopt *adopt, struct buf *out)
{
	static const char *const kinds[] = {[OWNER_FENCE] = "fence", [OWNER_LIFT] = "lift"};
	struct jval *root = jobject_new(), *list;

	jset_int(root, "version", 1);
	jset_str(root, "cluster", adopt->site->cluster);
	jset_str(root, "pgdata", adopt->folder);
	jset_int(root, "timeline", adopt->tli);
	jset_bool(root, "dry_run", adopt->dry_run);
	jset_bool(root, "was_clone", adopt->was_clone);
	jset_str(root, "generation", adopt->generation);
	list = jset_array(root, "notes");
	for (size_t i = 0; i < adopt->dones; i++) {
		const struct owner_note *note = &adopt->done[i].note;
		struct jval *item = jadd_object(list);
		char text[LSN_TEXT_BYTES];

		lsn_text(note->position, text);
		jset_str(item, "kind", kinds[note->kind]);
		jset_str(item, "repository", adopt->done[i].repository);
		jset_int(item, "timeline", note->tli);
		jset_str(item, "from", text);
	}
	json_print(root, true, out);
	jval_free(root);
}

static bool adopt_here(struct cli *cli, struct runtime *runtime, size_t cluster, struct err *err)
{
	struct adopt *adopt = xcalloc(1, sizeof(*adopt));
	AUTO_BUF struct buf out = {0};
	bool done;

	adopt->site = &runtime->site[cluster];
	adopt->folder = adopt_pgdata(cli) ? adopt_pgdata(cli) : adopt->site->pgdata;
	adopt->new_generation = option_given(cli->arguments, "new-generation");
	adopt->dry_run = cli->dry_run;
	if (!adopt->folder) {
		free(adopt);
		err_set(err, ERR_USAGE, "it is not known which data directory is meant");
		err_hint(err, "Name it with --pgdata, or set pgdata of the cluster.");
		return false;
	}
	done = story_run(runtime, start, &adopt->op, adopt, err);
	buf_init(&out, OUT_BYTES_MAX);
	if (done && cli->json)
		adopt_json(adopt, &out);
	else if (done)
		adopt_text(adopt, &out);
	done = done && print(buf_text(&out), err);
	adopt_release(adopt);
	free(adopt);
	return done;
}

static bool adopt_run(struct cli *cli, struct err *err)
{
	struct runtime runtime = {0};
	size_t cluster;
	bool done = story_cluster(cli, argument_at(cli->arguments, 0), &cluster, err) &&
	            story_runtime(cli, &runtime, err) && adopt_here(cli, &runtime, cluster, err);

	runtime_release(&runtime);
	return done;
}

static const struct cli_option adopt_options[] = {
        {"new-generation", NULL,
         "begin the archive anew beside the old: after a rollback, or when two wrote one timeline"},
        {"pgdata", "FOLDER", "the data directory, instead of that of the configuration"},
        {0},
};

const struct command command_adopt = {
        .name = "adopt",
        .usage = "[CLUSTER]",
        .help = "let this data directory be the one that goes on",
        .about = "After a failover, after a test server was promoted with archiving on, or to let "
                 "a clone archive: says\nwhich server is right. The branch that its timeline left "
                 "behind, and those that compete with it, are\nfenced: WAL that is pushed there "
                 "is set aside under conflict/ and its server is told why, and no restore\ntakes "
                 "such a branch unless a timeline is named. Nothing is deleted. To change one's "
                 "mind, adopt the other one.",
        .example = "seawall adopt main",
        .options = adopt_options,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .pgdata = adopt_pgdata,
        .run = adopt_run,
};
