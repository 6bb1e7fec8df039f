/*
 * fetcher.c — delivering WAL to a recovery: the questions. What they are about is an item
 * (fetch_item.c), which is wanted by a question or prefetched, and outlives both.
 */
#include "fetch_item.h"

#include "base/file.h"
#include "repo/plan.h"

#include "base/poison.h"

/* ---- questions ---- */

/* The item that a question is about. One that others wait for, or waited for, under another path is
 * not: what is delivered there is not delivered here. */
static struct fetch_item *item_for_ask(struct fetcher *fetcher, const struct walname *name,
                                       const char *folder, const char *path)
{
	struct fetch_item *prefetched = NULL;

	for (struct fetch_item *item = fetcher->items; item; item = item->next) {
		if (walname_compare(&item->name, name) != 0 ||
		    strcmp(item->guide.folder, folder) != 0 || item->op.cancelled)
			continue;
		if (item->wanted && strcmp(item->path, path) == 0)
			return item;
		if (!item->wanted)
			prefetched = item;
	}
	return prefetched;
}

/* PostgreSQL has one question at a time for a path. Whoever waits there for another file is the
 * hook of a server that was stopped, and its file must not come in place of this one. */
static void item_take_path(struct fetch_item *item)
{
	for (struct fetch_item *other = item->fetcher->items; other; other = other->next) {
		if (other == item || !other->asks || strcmp(other->path, item->path) != 0)
			continue;
		fetch_item_tell(other, ANSWER_WORKING);
	}
}

enum ask_state { ASK_START, ASK_WAITING };

static void ask_timer(struct timer *timer)
{
	struct fetch_ask *ask = container_of(timer, struct fetch_ask, timer);

	if (ask->item)
		op_wake(&ask->op);
}

static void ask_end(struct fetch_ask *ask)
{
	if (ask->item)
		for (struct fetch_ask **at = &ask->item->asks; *at; at = &(*at)->next)
			if (*at == ask) {
				*at = ask->next;
				break;
			}
	ask->item = NULL;
	timer_release(&ask->timer);
	if (err_is(&ask->op.err))
		return op_fail_own(&ask->op);
	op_done(&ask->op);
}

/* A replay that had to wait wants a wider window. */
static void ask_join(struct fetch_ask *ask, struct fetch_item *item)
{
	struct fetcher *fetcher = ask->fetcher;

	if (!item->wanted && item->op.state != ITEM_READY)
		fetcher->window = MIN(fetcher->window * 2, fetcher->ahead_max);
	item->wanted = true;
	ask->item = item;
	ask->next = item->asks;
	item->asks = ask;
	if (item->op.state == ITEM_READY || item->op.state == ITEM_TOLD)
		op_wake(&item->op);
}

static void ask_begin(struct fetch_ask *ask)
{
	struct walname name;
	struct fetch_item *item;
	AUTO_FREE char *path = path_is_absolute(ask->path) ? xstrdup(ask->path)
	                                                   : path_join(ask->folder, ask->path);

	if (!walname_parse(ask->name, &name) || name.kind == WALNAME_PARTIAL) {
		/* PostgreSQL never asks for it, and it must not be served as the whole segment */
		err_set(&ask->op.err, ERR_USAGE,
		        "\"%s\" is not the name of a WAL file that can be fetched", ask->name);
		ask->answer = ANSWER_FAILED;
		return ask_end(ask);
	}
	item = item_for_ask(ask->fetcher, &name, ask->folder, path);
	if (item && !item->wanted) {
		free(item->path);
		item->path = xstrdup(path);
	}
	if (!item) {
		item = fetch_item_begin(ask->fetcher, &name, path);
		item->guide.folder = xstrdup(ask->folder);
		item->wanted = true;
	}
	item_take_path(item);
	ask_join(ask, item);
	timer_init(&ask->timer, ask->op.loop, ask_timer);
	timer_set(&ask->timer, ask->wait_ms);
	op_wait(&ask->op, ASK_WAITING);
}

static void ask_step(struct op *op)
{
	struct fetch_ask *ask = container_of(op, struct fetch_ask, op);

	if (op->state == ASK_WAITING) {
		if (ask->answer == ANSWER_UNKNOWN)
			ask->answer = ANSWER_WORKING;
		return ask_end(ask);
	}
	if (ask->fetcher->closing || op->cancelled) {
		err_set(&op->err, ERR_CANCELLED, "the server is stopping");
		ask->answer = ANSWER_FAILED;
		return ask_end(ask);
	}
	ask_begin(ask);
}

static void ask_cancel(struct op *op)
{
	if (op->state == ASK_WAITING)
		op_wake(op);
}

static const struct op_type ask_type = {
        .name = "fetch-ask", .step = ask_step, .cancel = ask_cancel};

void fetch_ask_start(struct op *parent, struct fetch_ask *ask)
{
	ask->answer = ANSWER_UNKNOWN;
	ask->warning = (struct err){0};
	ask->item = NULL;
	ask->timer = (struct timer){0};
	op_start(parent, &ask->op, &ask_type);
}

/* ---- beginning and end ---- */

struct fetcher *fetcher_new(const struct fetcher_options *options)
{
	struct fetcher *fetcher = xcalloc(1, sizeof(*fetcher));

	fetcher->site = options->site;
	fetcher->plan = options->plan;
	fetcher->restore_id = options->restore_id ? xstrdup(options->restore_id) : NULL;
	fetcher->ahead_max = options->ahead_max;
	fetcher->window = MIN((unsigned)WINDOW_MIN, options->ahead_max);
	return fetcher;
}

static void close_step(struct op *op)
{
	struct fetcher_close *close = container_of(op, struct fetcher_close, op);
	struct fetcher *fetcher = close->fetcher;

	if (op->state == 0) {
		fetcher->closing = close;
		for (struct fetch_item *item = fetcher->items; item; item = item->next)
			op_cancel(&item->op);
		op_wait(op, 1);
	}
	if (fetcher->items)
		return;
	guide_release(&fetcher->guide);
	free(fetcher->from_path);
	free(fetcher->restore_id);
	free(fetcher);
	close->fetcher = NULL;
	op_done(op);
}

static void close_cancel(struct op *op)
{
	(void)op; /* it ends as soon as the items have ended */
}

static const struct op_type close_type = {
        .name = "fetcher-close", .step = close_step, .cancel = close_cancel};

void fetcher_close_start(struct op *parent, struct fetcher_close *close)
{
	op_start(parent, &close->op, &close_type);
}

void fetcher_figures(const struct fetcher *fetcher, struct fetcher_figures *ret)
{
	*ret = fetcher->figures;
}
