/*
 * intervals.c — the route that tells what can be restored, as `seawall status --json` does: from
 * the nearest repository, and from each of the others.
 *
 *   START -> OPENING -> GENERATION -> LOOKING -> done
 *                           ^            |
 *                           |            v  the next repository
 *                           +------- READYING
 */
#include "internal.h"

#include "base/clock.h"
#include "codec/json.h"
#include "repo/restorable.h"

#include "base/poison.h"

enum intervals_state {
	INTERVALS_START,
	INTERVALS_OPENING,
	INTERVALS_READYING,
	INTERVALS_GENERATION,
	INTERVALS_LOOKING
};

struct view {
	struct op op;
	struct exchange *exchange;
	struct member *member;
	struct site_open open;
	struct site *site; /* at hand */
	struct site_ready ready;
	struct generation_open generation;
	struct restorable can;
	struct jval *answer, *others;
};

/* The next repository; its errors are its own. */
static void view_next(struct view *view)
{
	view->site = view->site->next;
	if (!view->site)
		return op_done(&view->op);
	if (!view->others)
		view->others = jset_array(view->answer, "other_repositories");
	site_ready_start(&view->op, &view->ready, view->site);
	op_wait(&view->op, INTERVALS_READYING);
}

static void view_tell(struct view *view, const struct err *err)
{
	bool nearest = view->site == view->member->site;
	struct jval *object = nearest ? view->answer : jadd_object(view->others);
	char line[ERR_TEXT_MAX];

	jset_str(object, "repository", view->site->repository);
	if (err) {
		err_line(err, line, sizeof(line));
		jset_str(object, "error", line);
	} else {
		restorable_json(&view->can, clock_now_us(), object);
	}
	restorable_release(&view->can);
	view->can = (struct restorable){0};
	view_next(view);
}

/* Of the nearest a failure is the answer's. */
static bool view_failed(struct view *view, const struct op *child)
{
	if (!op_failed(child))
		return false;
	if (view->op.cancelled || view->site == view->member->site)
		op_fail(&view->op, &child->err,
		        "could not find out what can be restored of cluster \"%s\"",
		        view->member->site->cluster);
	else
		view_tell(view, &child->err);
	return true;
}

static void view_open_generation(struct view *view)
{
	view->generation =
	        (struct generation_open){.repo = view->site->repo, .cluster = view->site->cluster};
	generation_open_start(&view->op, &view->generation);
	op_wait(&view->op, INTERVALS_GENERATION);
}

static void view_look(struct view *view)
{
	view->can = (struct restorable){.repo = view->site->repo,
	                                .generation = view->generation.generation,
	                                .segment_bytes = view->generation.facts.segment_bytes};
	restorable_start(&view->op, &view->can);
	op_wait(&view->op, INTERVALS_LOOKING);
}

static void view_step(struct op *op)
{
	struct view *view = container_of(op, struct view, op);

	switch ((enum intervals_state)op->state) {
	case INTERVALS_START:
		view->site = view->member->site;
		site_open_start(op, &view->open, view->member->server->runtime,
		                view->member->number);
		return op_wait(op, INTERVALS_OPENING);
	case INTERVALS_OPENING:
		if (!view_failed(view, &view->open.op))
			view_open_generation(view);
		return;
	case INTERVALS_READYING:
		if (!view_failed(view, &view->ready.op))
			view_open_generation(view);
		return;
	case INTERVALS_GENERATION:
		if (op_failed(&view->generation.op) && view->generation.op.err.code == ERR_NOTFOUND)
			return view_tell(view, NULL); /* nothing was archived yet */
		if (!view_failed(view, &view->generation.op))
			view_look(view);
		return;
	case INTERVALS_LOOKING:
		if (!view_failed(view, &view->can.op))
			view_tell(view, NULL);
	}
}

static void view_done(struct op *op)
{
	struct view *view = container_of(op, struct view, op);

	if (op_failed(op)) {
		exchange_reply_error(view->exchange, &op->err);
		jval_free(view->answer);
	} else {
		reply_json(view->exchange, 200, view->answer);
	}
	restorable_release(&view->can);
	free(view);
}

void serve_intervals(struct exchange *exchange)
{
	static const struct op_type type = {.name = "intervals", .step = view_step};
	struct member *member = member_of(exchange);
	struct view *view;

	if (!member)
		return;
	view = xcalloc(1, sizeof(*view));
	view->exchange = exchange;
	view->member = member;
	view->answer = jobject_new();
	jset_int(view->answer, "format", 1);
	jset_str(view->answer, "cluster", member->site->cluster);
	op_start_root(member->server->runtime->loop, &view->op, &type, view_done);
}
