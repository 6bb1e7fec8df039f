/*
 * fetch_serve.c — one route, one plan, one fetcher.
 *
 * Closing: no new questions come, those that are open are cancelled (each is answered, at the
 * latest with "working", within its wait), then the fetcher ends.
 */
#include "server/fetch_serve.h"

#include <string.h>

#include "answer.h"
#include "base/file.h"

#include "base/poison.h"

enum { AHEAD_MAX = 64, ASKS_MAX = 64 };
enum close_state { CLOSE_START, CLOSE_WAITING, CLOSE_FETCHER };

struct fetch_serve {
	struct site *site;
	const struct restore_plan *plan;
	struct listener *listener;
	struct fetcher *fetcher;
	struct serve_ask *asks;
	unsigned open;
	bool draining;
	struct op *closing; /* woken when the last question has ended */
};

struct serve_ask {
	struct op op;
	struct fetch_serve *serve;
	struct exchange *exchange;
	char *data, *name, *path; /* owned */
	int64_t wait_ms;
	struct fetch_ask get;
	struct serve_ask *next, **at;
};

static void ask_step(struct op *op)
{
	struct serve_ask *ask = container_of(op, struct serve_ask, op);

	if (op->state == 0) {
		ask->get = (struct fetch_ask){.fetcher = ask->serve->fetcher,
		                              .folder = ask->data,
		                              .name = ask->name,
		                              .path = ask->path,
		                              .wait_ms = ask->wait_ms};
		fetch_ask_start(op, &ask->get);
		return op_wait(op, 1);
	}
	op_done(op);
}

static void ask_ended(struct op *op)
{
	struct serve_ask *ask = container_of(op, struct serve_ask, op);
	struct fetch_serve *serve = ask->serve;
	const struct err *why = op_failed(&ask->get.op) ? &ask->get.op.err : NULL;
	enum answer answer = ask->get.answer;

	if (why && why->code == ERR_CANCELLED)
		answer = ANSWER_UNKNOWN;
	else if (why)
		answer = ANSWER_FAILED;
	else if (serve->draining && answer == ANSWER_WORKING)
		answer = ANSWER_UNKNOWN; /* nobody will work on it: the hook does it itself */
	else if (err_is(&ask->get.warning))
		why = &ask->get.warning;
	answer_reply(ask->exchange, answer, why);
	*ask->at = ask->next;
	if (ask->next)
		ask->next->at = ask->at;
	free(ask->data);
	free(ask->name);
	free(ask->path);
	free(ask);
	if (--serve->open == 0 && serve->closing)
		op_wake(serve->closing);
}

/* Only the directory that the plan is for, whatever its path is called. */
static bool is_ours(const struct fetch_serve *serve, const char *data)
{
	AUTO_FREE char *real = realpath(data, NULL);
	AUTO_FREE char *own = realpath(serve->plan->pgdata, NULL);

	return real && own && strcmp(real, own) == 0;
}

static void refuse(struct exchange *exchange, const char *reason)
{
	struct err err = {0};

	err_set(&err, ERR_REFUSED, "%s", reason);
	answer_reply(exchange, ANSWER_FAILED, &err);
}

static void serve_one(struct exchange *exchange)
{
	struct fetch_serve *serve = exchange->context;
	struct serve_ask *ask;
	int64_t wait_ms = 0;
	const char *data = exchange_query(exchange, "data");

	if (!answer_wait(exchange, &wait_ms) || !data || !exchange_query(exchange, "name") ||
	    !exchange_query(exchange, "path"))
		return refuse(exchange, "the request wants data, name and path");
	if (!is_ours(serve, data))
		return refuse(exchange, "this socket serves another directory");
	if (serve->draining || serve->open >= ASKS_MAX)
		return answer_reply(exchange, ANSWER_UNKNOWN, NULL);
	ask = xcalloc(1, sizeof(*ask));
	ask->serve = serve;
	ask->exchange = exchange;
	ask->wait_ms = wait_ms;
	ask->data = answer_query(exchange, "data");
	ask->name = answer_query(exchange, "name");
	ask->path = answer_query(exchange, "path");
	ask->at = &serve->asks;
	ask->next = serve->asks;
	if (ask->next)
		ask->next->at = &ask->next;
	serve->asks = ask;
	serve->open++;
	static const struct op_type type = {.name = "serve-ask", .step = ask_step};

	op_start_root(serve->site->loop, &ask->op, &type, ask_ended);
}

static const struct route routes[] = {
        {.method = "POST", .path = "/v1/wal/fetch", .serve = serve_one},
        {0},
};

struct fetch_serve *fetch_serve_new(struct site *site, const struct restore_plan *plan,
                                    const char *path, struct err *err)
{
	struct fetch_serve *serve = xcalloc(1, sizeof(*serve));
	struct fetcher_options options = {
	        .site = site, .plan = plan, .restore_id = plan->id, .ahead_max = AHEAD_MAX};

	serve->site = site;
	serve->plan = plan;
	serve->listener = listener_new(site->loop, routes, serve);
	if (!listener_add_unix(serve->listener, path, err)) {
		listener_free(serve->listener);
		free(serve);
		return NULL;
	}
	serve->fetcher = fetcher_new(&options);
	return serve;
}

void fetch_serve_quiesce(struct fetch_serve *serve)
{
	if (serve->draining)
		return;
	serve->draining = true;
	listener_quiesce(serve->listener);
}

static void close_step(struct op *op)
{
	struct fetch_serve_close *close = container_of(op, struct fetch_serve_close, op);
	struct fetch_serve *serve = close->serve;

	switch ((enum close_state)op->state) {
	case CLOSE_START:
		fetch_serve_quiesce(serve);
		for (struct serve_ask *ask = serve->asks; ask; ask = ask->next)
			op_cancel(&ask->op);
		serve->closing = op;
		op->state = CLOSE_WAITING;
		/* fall through */
	case CLOSE_WAITING:
		if (serve->open > 0)
			return; /* the last one wakes us */
		serve->closing = NULL;
		close->close.fetcher = serve->fetcher;
		fetcher_close_start(op, &close->close);
		return op_wait(op, CLOSE_FETCHER);
	case CLOSE_FETCHER:
		listener_free(serve->listener);
		free(serve);
		close->serve = NULL;
		return op_done(op);
	}
}

void fetch_serve_close_start(struct op *parent, struct fetch_serve_close *close)
{
	static const struct op_type type = {.name = "fetch-serve-close", .step = close_step};

	op_start(parent, &close->op, &type);
}
