/*
 * story.c — see story.h.
 *
 *   START -> RUNNING -> done        a nap beside the child wakes us for its progress
 */
#include <signal.h>
#include <unistd.h>
#include "loop/nap.h"
#include "story.h"
#include "base/poison.h"

enum { TICK_MS = 200, EXIT_SIGNAL = 128 };

struct telling {
	struct op op;
	const struct story *story;
	struct timer timer;
	bool asked; /* to end early */
};

enum { TELLING_START, TELLING_RUNNING };

static void telling_step(struct op *op)
{
	struct telling *telling = container_of(op, struct telling, op);

	if (op->state == TELLING_START) {
		telling->story->start(op, telling->story->context);
		return op_wait(op, TELLING_RUNNING);
	}
	if (op_failed(telling->story->child)) {
		op->err = telling->story->child->err;
		return op_fail_own(op);
	}
	op_done(op);
}

static const struct op_type telling_type = {.name = "command", .step = telling_step};

static void tick(struct timer *timer)
{
	struct telling *telling = container_of(timer, struct telling, timer);

	telling->story->tick(telling->story->context);
	timer_set(timer, TICK_MS);
}

/* One loop, one story at a time: handlers of signals are set once and find it here. */
static struct telling *told;

static void on_signal(void *context)
{
	(void)context;
	if (!told)
		_exit(EXIT_SIGNAL + SIGTERM);
	if (told->asked)
		_exit(EXIT_SIGNAL + SIGINT); /* asked twice: whatever is left is safe to leave */
	told->asked = true;
	op_cancel(&told->op);
}

bool story_tell(struct runtime *runtime, const struct story *story, struct err *err)
{
	struct telling telling = {.story = story};
	static bool watched;

	if (!watched) {
		loop_on_signal(runtime->loop, SIGINT, on_signal, NULL);
		loop_on_signal(runtime->loop, SIGTERM, on_signal, NULL);
		loop_on_signal(runtime->loop, SIGHUP, on_signal, NULL);
		watched = true;
	}
	if (story->tick) {
		timer_init(&telling.timer, runtime->loop, tick);
		timer_set(&telling.timer, TICK_MS);
	}
	told = &telling;
	loop_run_op(runtime->loop, &telling.op, &telling_type);
	told = NULL;
	if (story->tick)
		timer_release(&telling.timer);
	if (!err_is(&telling.op.err))
		return true;
	*err = telling.op.err;
	return false;
}

bool story_run(struct runtime *runtime, story_start *start, struct op *child, void *context,
               struct err *err)
{
	const struct story story = {.start = start, .child = child, .context = context};

	return story_tell(runtime, &story, err);
}

bool story_cluster(const struct cli *cli, const char *name, size_t *ret, struct err *err)
{
	const struct config_cluster *cluster;

	if (!config_find_cluster(cli->config, name, &cluster, err))
		return false;
	*ret = (size_t)(cluster - cli->config->cluster);
	return true;
}

bool story_runtime(const struct cli *cli, struct runtime *ret, struct err *err)
{
	if (!runtime_init(ret, cli->config, err))
		return false;
	ret->person = ret->impatient = true;
	return true;
}

static void start_generation(struct op *parent, void *context)
{
	generation_open_start(parent, context);
}

/* Of a site whose repository is open. */
static bool generation_of(struct runtime *runtime, const struct site *site,
                          struct generation_open *ret, struct err *err)
{
	*ret = (struct generation_open){.repo = site->repo, .cluster = site->cluster};
	if (story_run(runtime, start_generation, &ret->op, ret, err))
		return true;
	if (err->code != ERR_NOTFOUND)
		return err_wrap(err, "could not open cluster \"%s\"", site->cluster);
	err_set(err, ERR_NOTFOUND, "nothing of cluster \"%s\" is in repository \"%s\" yet",
	        site->cluster, store_label(site->repo->store));
	err_hint(err, "\"seawall check\" says what is missing until PostgreSQL archives here.");
	return false;
}

bool story_generation(struct runtime *runtime, size_t cluster, struct generation_open *ret,
                      struct err *err)
{
	return runtime_open(runtime, cluster, err) &&
	       generation_of(runtime, &runtime->site[cluster], ret, err);
}

bool story_generation_at(struct runtime *runtime, struct site *site, struct generation_open *ret,
                         struct err *err)
{
	return runtime_open_site(runtime, site, err) && generation_of(runtime, site, ret, err);
}

bool archive_open(const struct cli *cli, const char *cluster, struct archive *ret, struct err *err)
{
	*ret = (struct archive){0};
	if (!story_cluster(cli, cluster, &ret->cluster, err) ||
	    !story_runtime(cli, &ret->runtime, err) ||
	    !story_generation(&ret->runtime, ret->cluster, &ret->generation, err))
		return false;
	ret->site = &ret->runtime.site[ret->cluster];
	ret->repo = ret->site->repo;
	return true;
}

void archive_close(struct archive *archive)
{
	runtime_release(&archive->runtime);
}
