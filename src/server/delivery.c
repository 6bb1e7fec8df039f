/*
 * delivery.c — the route of `seawall-wal fetch` alone, for one restore and its plan.
 *
 *   a question:  START -> JUDGING -> ASKING -> (replied) done
 *   the end:     delivery_stop -> (questions have ended) -> CLOSING -> freed
 *
 * The end is a root operation of its own, since the restore that asks for it does not wait.
 */
#include "server/delivery.h"

#include <assert.h>

#include "answer.h"
#include "base/str.h"
#include "server/judge.h"
#include "loop/nap.h"
#include "loop/work.h"
#include "repo/plan.h"
#include "server/listener.h"

#include "base/poison.h"

enum { END_LOOK_MS = 20 };

struct delivery {
	struct op op; /* the end */
	struct loop *loop;
	struct listener *listener;
	struct fetcher *fetcher;
	struct fetcher_close close;
	struct nap nap;
	char *folder; /* owned */
	const char *pgdata[1];
	struct delivery_ask *asks;
	bool stopping;
};

struct delivery_ask {
	struct op op;
	struct delivery *delivery;
	struct exchange *exchange;
	char *data, *path, *name; /* owned */
	int64_t until_ms;
	struct judge judge;
	struct work work;
	struct fetch_ask get;
	struct delivery_ask *next, **at;
};

static void ask_judge(struct work *work)
{
	struct delivery_ask *ask = container_of(work, struct delivery_ask, work);

	if (!judge_run(&ask->judge, &work->op.err))
		return;
	if (ask->judge.cluster == JUDGE_NOBODY)
		err_set(&work->op.err, ERR_REFUSED,
		        "data directory \"%s\" is not the one that is being restored, \"%s\"",
		        ask->data, ask->judge.pgdata[0]);
}

static void ask_end(struct delivery_ask *ask, enum answer answer, const struct err *why)
{
	answer_reply(ask->exchange, answer, why);
	op_done(&ask->op);
}

static void ask_answered(struct delivery_ask *ask)
{
	const struct op *get = &ask->get.op;

	if (!op_failed(get))
		return ask_end(ask, ask->get.answer,
		               err_is(&ask->get.warning) ? &ask->get.warning : NULL);
	ask_end(ask, get->err.code == ERR_CANCELLED ? ANSWER_UNKNOWN : ANSWER_FAILED, &get->err);
}

static void ask_step(struct op *op)
{
	struct delivery_ask *ask = container_of(op, struct delivery_ask, op);

	if (op->cancelled && op->state < 2)
		return ask_end(ask, ANSWER_UNKNOWN, NULL);
	switch (op->state) {
	case 0:
		ask->judge = (struct judge){.data = ask->data,
		                            .path = ask->path,
		                            .pgdata = ask->delivery->pgdata,
		                            .clusters = 1};
		work_start_look(op, &ask->work, WORK_RESTORE, ask_judge);
		return op_wait(op, 1);
	case 1:
		if (op_failed(&ask->work.op))
			return ask_end(ask, ANSWER_FAILED, &ask->work.op.err);
		ask->get = (struct fetch_ask){
		        .fetcher = ask->delivery->fetcher,
		        .folder = ask->data,
		        .name = ask->name,
		        .path = ask->path,
		        .wait_ms = MAX(ask->until_ms - loop_now_ms(op->loop), 0)};
		fetch_ask_start(op, &ask->get);
		return op_wait(op, 2);
	default:
		return ask_answered(ask);
	}
}

static void ask_free(struct op *op)
{
	struct delivery_ask *ask = container_of(op, struct delivery_ask, op);

	*ask->at = ask->next;
	if (ask->next)
		ask->next->at = ask->at;
	free(ask->judge.file);
	free(ask->data);
	free(ask->path);
	free(ask->name);
	free(ask);
}

static const struct op_type ask_type = {.name = "delivery-ask", .step = ask_step};

static void serve_delivery(struct exchange *exchange)
{
	struct delivery *delivery = exchange->context;
	struct delivery_ask *ask = xcalloc(1, sizeof(*ask));
	struct err err = {.code = ERR_NONE};
	int64_t wait_ms = 0;
	bool wait_good = answer_wait(exchange, &wait_ms);

	ask->delivery = delivery;
	ask->exchange = exchange;
	ask->data = answer_query(exchange, "data");
	ask->path = answer_query(exchange, "path");
	ask->name = answer_query(exchange, "name");
	ask->until_ms = loop_now_ms(delivery->loop) + wait_ms;
	ask->at = &delivery->asks;
	ask->next = delivery->asks;
	if (ask->next)
		ask->next->at = &ask->next;
	delivery->asks = ask;
	if (wait_good && ask->data && ask->path && ask->name && !delivery->stopping)
		return op_start_root(delivery->loop, &ask->op, &ask_type, ask_free);
	if (!delivery->stopping)
		err_set(&err, ERR_USAGE,
		        "the request wants data, path, name, and a wait of at most %d s",
		        ANSWER_WAIT_S_MAX);
	answer_reply(exchange, delivery->stopping ? ANSWER_UNKNOWN : ANSWER_FAILED, &err);
	ask_free(&ask->op);
}

static const struct route delivery_routes[] = {
        {"POST", "/v1/wal/fetch", serve_delivery, 0},
        {NULL},
};

struct delivery *delivery_start(const struct delivery_options *options, struct err *err)
{
	struct delivery *delivery = xcalloc(1, sizeof(*delivery));
	const struct fetcher_options fetch = {.site = options->site,
	                                      .plan = options->plan,
	                                      .restore_id = options->plan->id,
	                                      .ahead_max = options->ahead_max};

	delivery->loop = options->site->loop;
	delivery->listener = listener_new(delivery->loop, delivery_routes, delivery);
	if (!listener_add_unix(delivery->listener, options->socket, err)) {
		listener_free(delivery->listener);
		free(delivery);
		return NULL;
	}
	delivery->folder = xstrdup(options->folder);
	delivery->pgdata[0] = delivery->folder;
	delivery->fetcher = fetcher_new(&fetch);
	return delivery;
}

/* ---- the end ---- */

static void end_step(struct op *op)
{
	struct delivery *delivery = container_of(op, struct delivery, op);

	if (op->state == 2)
		return op_done(op);
	if (delivery->asks || listener_open(delivery->listener) > 0) {
		nap_start(op, &delivery->nap, END_LOOK_MS);
		return op_wait(op, 1);
	}
	delivery->close.fetcher = delivery->fetcher;
	fetcher_close_start(op, &delivery->close);
	op_wait(op, 2);
}

static void end_done(struct op *op)
{
	struct delivery *delivery = container_of(op, struct delivery, op);

	listener_free(delivery->listener);
	free(delivery->folder);
	free(delivery);
}

static const struct op_type end_type = {.name = "delivery-end", .step = end_step};

void delivery_stop(struct delivery *delivery)
{
	if (!delivery || delivery->stopping)
		return;
	delivery->stopping = true;
	listener_quiesce(delivery->listener);
	for (struct delivery_ask *ask = delivery->asks; ask; ask = ask->next)
		op_cancel(&ask->op);
	op_start_root(delivery->loop, &delivery->op, &end_type, end_done);
}

void delivery_figures(const struct delivery *delivery, struct fetcher_figures *ret)
{
	fetcher_figures(delivery->fetcher, ret);
}
