/*
 * intervals.c — the route that tells what can be restored, as `seawall status --json` does.
 *
 *   START -> OPENING -> GENERATION -> LOOKING -> done
 */
#include "internal.h"

#include "base/clock.h"
#include "codec/json.h"
#include "repo/restorable.h"

#include "base/poison.h"

enum { INTERVALS_START, INTERVALS_OPENING, INTERVALS_GENERATION, INTERVALS_LOOKING };

struct view {
	struct op op;
	struct exchange *exchange;
	struct member *member;
	struct site_open open;
	struct generation_open generation;
	struct restorable can;
};

static bool view_failed(struct view *view, const struct op *child)
{
	if (!op_failed(child))
		return false;
	op_fail(&view->op, &child->err, "could not find out what can be restored of cluster \"%s\"",
	        view->member->site->cluster);
	return true;
}

static void view_step(struct op *op)
{
	struct view *view = container_of(op, struct view, op);

	switch (op->state) {
	case INTERVALS_START:
		site_open_start(op, &view->open, view->member->server->runtime,
		                view->member->number);
		return op_wait(op, INTERVALS_OPENING);
	case INTERVALS_OPENING:
		if (view_failed(view, &view->open.op))
			return;
		view->generation.repo = view->member->site->repo;
		view->generation.cluster = view->member->site->cluster;
		generation_open_start(op, &view->generation);
		return op_wait(op, INTERVALS_GENERATION);
	case INTERVALS_GENERATION:
		if (op_failed(&view->generation.op) && view->generation.op.err.code == ERR_NOTFOUND)
			return op_done(op); /* nothing was archived yet */
		if (view_failed(view, &view->generation.op))
			return;
		view->can.repo = view->member->site->repo;
		view->can.generation = view->generation.generation;
		view->can.segment_bytes = view->generation.facts.segment_bytes;
		restorable_start(op, &view->can);
		return op_wait(op, INTERVALS_LOOKING);
	default:
		if (!view_failed(view, &view->can.op))
			op_done(op);
	}
}

static void view_done(struct op *op)
{
	struct view *view = container_of(op, struct view, op);
	struct jval *object;

	if (op_failed(op)) {
		exchange_reply_error(view->exchange, &op->err);
	} else {
		object = jobject_new();
		jset_int(object, "format", 1);
		jset_str(object, "cluster", view->member->site->cluster);
		jset_str(object, "repository", store_label(view->member->site->repo->store));
		restorable_json(&view->can, clock_now_us(), object);
		reply_json(view->exchange, 200, object);
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
	op_start_root(member->server->runtime->loop, &view->op, &type, view_done);
}
