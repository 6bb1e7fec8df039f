/*
 * cat.c — `seawall cat OBJECT`: the logical bytes of a sealed object, every frame checked.
 */
#include <errno.h>
#include <unistd.h>
#include "base/file.h"
#include "repo/object.h"
#include "story.h"
#include "base/poison.h"

/* On a worker: the pipe behind us may be slow, and nothing else waits for this worker. */
static bool consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                    size_t length, struct err *err)
{
	(void)offset;
	(void)stream;
	if (file_write_full(STDOUT_FILENO, bytes, length))
		return true;
	return err_sys(err, "could not write to standard output");
}

static void start_showing(struct op *parent, void *context)
{
	object_stream_start(parent, context);
}

static bool show_object(struct cli *cli, struct runtime *runtime, const char *name, struct err *err)
{
	struct object_stream stream = {.name = name, .class = GATE_VERIFY, .consume = consume};
	const char *cluster = option_value(cli->arguments, "cluster");
	size_t number = 0;

	/* Any cluster's repository, when there is only one. */
	if (cluster || cli->config->repositories > 1) {
		if (!story_cluster(cli, cluster, &number, err))
			return false;
	}
	if (!store_name_valid(name)) {
		err_set(err, ERR_USAGE, "\"%s\" is no name of an object", name);
		err_hint(err, "Names are paths in the repository: doc/format.md.");
		return false;
	}
	if (!runtime_open(runtime, number, err))
		return false;
	stream.repo = runtime->site[number].repo;
	return story_run(runtime, start_showing, &stream.op, &stream, err);
}

static bool cat_run(struct cli *cli, struct err *err)
{
	struct runtime runtime = {0};
	bool done = story_runtime(cli, &runtime, err) &&
	            show_object(cli, &runtime, argument_at(cli->arguments, 0), err);

	runtime_release(&runtime);
	return done;
}

static const struct cli_option cat_options[] = {
        {"cluster", "NAME", "the cluster in whose repository it is, when there are several"},
        {0},
};

const struct command command_cat = {
        .name = "cat",
        .usage = "OBJECT",
        .help = "print the content of an object of the repository",
        .about = "Writes the content of any sealed object to standard output, decompressed: a WAL "
                 "segment, "
                 "a history file, the\nhead of a backup, a pack. Everything is checked on the way; "
                 "when "
                 "something is damaged, what was written\nbefore it is good, and the exit status "
                 "is 7. The "
                 "name is the path in the repository.",
        .example = "seawall cat "
                   "main/7415634567890123456-15-1/wal/00000001/00000000/000000010000000000000001 > "
                   "segment",
        .options = cat_options,
        .arguments_min = 1,
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = cat_run,
};
