/*
 * wal.c — the routes of PostgreSQL's hooks: push and fetch.
 *
 *   START -> JUDGING -> OPENING -> ASKING -> (replied) done
 *                          ^  |
 *                          +-RESTING       fetch only: the repository is not there now
 *
 * JUDGING (worker) finds out whose file it is and refuses what is not in pg_wal. The answer is the
 * header Seawall-Result, the body the error's lines. A question is answered within its `wait`:
 * "working" means ask again, and is 503, so that a `curl --fail` as archive_command is not misled.
 *
 * A fetch that meets an unreachable repository is "working" until the hook loses its patience:
 * whether the file is absent is unknown, and unknown is neither absent nor a final failure.
 */
#include "internal.h"

#include <assert.h>

#include "answer.h"
#include "base/log.h"
#include "base/str.h"
#include "server/judge.h"
#include "loop/nap.h"
#include "loop/work.h"

#include "base/poison.h"

enum { REST_MS = 500, AHEAD_MAX = 64 };

#define WAL_STATES(X) X(WAL_START) X(WAL_JUDGING) X(WAL_OPENING) X(WAL_RESTING) X(WAL_ASKING)
OP_STATES(wal_state, WAL_STATES)

struct wal_ask {
	struct op op;
	struct server *server;
	struct exchange *exchange;
	bool fetch;
	char *data, *path, *name, *cluster, *restore; /* owned */
	int64_t until_ms;
	const char **pgdata; /* the clusters' directories, owned with the texts */
	struct judge judge;
	struct restore_plan plan;
	bool has_plan;
	struct work work;
	struct member *member;
	struct fetcher *fetcher;
	struct planned *planned; /* whose fetcher it is, or NULL */
	struct site_open open;
	struct nap nap;
	struct archive_ask push;
	struct fetch_ask get;
	enum answer answer;
	struct wal_ask *next, **at;
};

static void wal_reply(struct wal_ask *ask, const struct err *why)
{
	answer_reply(ask->exchange, ask->answer, why);
	ask->exchange = NULL;
}

/* The end: replies, and the operation is done. Not an error of the operation's. */
static void wal_end(struct wal_ask *ask, enum answer answer, const struct err *why)
{
	ask->answer = answer;
	/* Asked again, the hook finds another server or none, and then does it itself. */
	if (ask->server->draining && answer == ANSWER_UNKNOWN)
		ask->answer = ANSWER_WORKING;
	wal_reply(ask, why);
	op_done(&ask->op);
}

static void wal_refuse(struct wal_ask *ask, const char *reason, const char *hint)
{
	struct err err = {.code = ERR_NONE};

	err_set(&err, ERR_REFUSED, "%s", reason);
	err_wrap(&err, "could not serve data directory \"%s\"", ask->data);
	err_hint(&err, "%s", hint);
	wal_end(ask, ANSWER_FAILED, &err);
}

/* ---- whose ---- */

static void wal_judge(struct work *work)
{
	struct wal_ask *ask = container_of(work, struct wal_ask, work);

	if (!judge_run(&ask->judge, &work->op.err))
		return;
	ask->has_plan = ask->restore && restore_plan_read(ask->restore, &ask->plan, &work->op.err);
}

static void wal_start_judging(struct wal_ask *ask)
{
	struct server *server = ask->server;
	size_t clusters = server->config->clusters;

	ask->pgdata = xcalloc(clusters + 1, sizeof(*ask->pgdata));
	for (size_t i = 0; i < clusters; i++)
		if (server->member[i].site->pgdata)
			ask->pgdata[i] = xstrdup(server->member[i].site->pgdata);
	ask->judge = (struct judge){.data = ask->data,
	                            .path = ask->path,
	                            .pgdata = ask->pgdata,
	                            .clusters = (unsigned)clusters,
	                            .identifiers = ask->fetch};
	work_start_look(&ask->op, &ask->work, ask->fetch ? WORK_RESTORE : WORK_WAL, wal_judge);
	op_wait(&ask->op, WAL_JUDGING);
}

/* The embedded default has one cluster without a directory: the first push says which it is. */
static struct member *wal_adopt(struct wal_ask *ask)
{
	struct server *server = ask->server;
	struct member *member = &server->member[0];

	if (server->config->clusters != 1 || member->site->pgdata)
		return NULL;
	config_set_pgdata(server->config, 0, ask->data);
	for (struct site *site = member->site; site; site = site->next)
		site->pgdata = server->config->cluster[0].pgdata;
	log_info("cluster \"%s\" is the one in \"%s\": it pushed first", member->site->cluster,
	         ask->data);
	return member;
}

static struct member *member_find(struct server *server, const char *name)
{
	for (size_t i = 0; i < server->config->clusters; i++)
		if (strcmp(server->config->cluster[i].name, name) == 0)
			return &server->member[i];
	return NULL;
}

/* ---- fetchers with a plan ---- */

static void planned_step(struct op *op)
{
	struct planned *planned = container_of(op, struct planned, op);

	if (op->state == 1)
		return op_done(op);
	planned->close.fetcher = planned->fetcher;
	fetcher_close_start(op, &planned->close);
	op_wait(op, 1);
}

static void planned_free(struct op *op)
{
	struct planned *planned = container_of(op, struct planned, op);

	restore_plan_release(&planned->plan);
	free(planned);
}

static const struct op_type planned_type = {.name = "planned-end", .step = planned_step};

/* Makes a place by ending the one that nobody asks and that was asked longest ago. */
static bool planned_make_room(struct server *server)
{
	unsigned oldest = PLANNED_MAX;

	if (server->planned_count < PLANNED_MAX)
		return true;
	for (unsigned i = 0; i < server->planned_count; i++)
		if (server->planned[i]->asks == 0 &&
		    (oldest == PLANNED_MAX ||
		     server->planned[i]->used_ms < server->planned[oldest]->used_ms))
			oldest = i;
	if (oldest == PLANNED_MAX)
		return false;
	op_start_root(server->runtime->loop, &server->planned[oldest]->op, &planned_type,
	              planned_free);
	server->planned[oldest] = server->planned[--server->planned_count];
	return true;
}

/* The fetcher for a restore's plan; a new one takes the plan over. NULL: there are too many. */
static struct planned *planned_find(struct wal_ask *ask)
{
	struct server *server = ask->server;
	struct planned *planned;
	struct fetcher_options options;

	for (unsigned i = 0; i < server->planned_count; i++)
		if (strcmp(server->planned[i]->plan.id, ask->plan.id) == 0)
			return server->planned[i];
	if (!planned_make_room(server))
		return NULL;
	planned = xcalloc(1, sizeof(*planned));
	planned->plan = ask->plan;
	ask->plan = (struct restore_plan){.cluster = NULL};
	options = (struct fetcher_options){.site = ask->member->site,
	                                   .plan = &planned->plan,
	                                   .restore_id = planned->plan.id,
	                                   .ahead_max = AHEAD_MAX};
	planned->fetcher = fetcher_new(&options);
	server->planned[server->planned_count++] = planned;
	return planned;
}

static bool wal_find_fetcher(struct wal_ask *ask)
{
	ask->fetcher = ask->member->fetcher;
	if (!ask->has_plan)
		return true;
	ask->planned = planned_find(ask);
	if (!ask->planned)
		return false;
	ask->planned->asks++;
	ask->planned->used_ms = loop_now_ms(ask->op.loop);
	ask->fetcher = ask->planned->fetcher;
	return true;
}

/* ---- which cluster ---- */

/* Chooses the cluster; false when it replied instead. */
static bool wal_choose(struct wal_ask *ask)
{
	struct server *server = ask->server;
	const char *name = ask->has_plan ? ask->plan.cluster : ask->cluster;

	if (name && ask->fetch)
		ask->member = member_find(server, name);
	else if (ask->judge.cluster != JUDGE_NOBODY)
		ask->member = &server->member[ask->judge.cluster];
	else if (!ask->fetch)
		ask->member = wal_adopt(ask);
	else if (server->config->clusters == 1) /* its identifier is checked when it fetches */
		ask->member = &server->member[0];
	if (!ask->member && name && ask->fetch)
		wal_refuse(ask, "the cluster that was named is not configured",
		           "Name one of the [cluster NAME] sections with --cluster.");
	else if (!ask->member)
		wal_refuse(ask, "it is not that of a configured cluster",
		           "Set \"pgdata\" of its [cluster NAME] to this directory, then restart "
		           "the server.");
	else
		return true;
	return false;
}

/* ---- the story ---- */

static int64_t wal_left_ms(const struct wal_ask *ask)
{
	return MAX(ask->until_ms - loop_now_ms(ask->op.loop), 0);
}

static void wal_begin_asking(struct wal_ask *ask);

/* Of several repositories each is opened where it is used: one that is away keeps nobody waiting.
 */
static void wal_open(struct wal_ask *ask)
{
	if (ask->member->site->next)
		return wal_begin_asking(ask);
	site_open_start(&ask->op, &ask->open, ask->server->runtime, ask->member->number);
	op_wait(&ask->op, WAL_OPENING);
}

static void wal_begin_asking(struct wal_ask *ask)
{
	if (ask->fetch) {
		ask->get = (struct fetch_ask){.fetcher = ask->fetcher,
		                              .folder = ask->data,
		                              .name = ask->name,
		                              .path = ask->path,
		                              .wait_ms = wal_left_ms(ask)};
		fetch_ask_start(&ask->op, &ask->get);
	} else {
		ask->push = (struct archive_ask){.archiver = ask->member->archiver,
		                                 .folder = ask->data,
		                                 .path = ask->path,
		                                 .wait_ms = wal_left_ms(ask)};
		archive_ask_start(&ask->op, &ask->push);
	}
	op_wait(&ask->op, WAL_ASKING);
}

/* "Failed" stops a recovery and also a standby, so it is said of what is foreign or wrong, not of
 * what could not be looked at. */
static enum answer wal_verdict(const struct wal_ask *ask, const struct err *err)
{
	bool known = err->code == ERR_REFUSED || err->code == ERR_DAMAGED ||
	             err->code == ERR_USAGE || err->code == ERR_CONFIG;

	return ask->fetch && !known ? ANSWER_UNKNOWN : ANSWER_FAILED;
}

static void wal_judged(struct wal_ask *ask)
{
	if (op_failed(&ask->work.op))
		return wal_end(ask, wal_verdict(ask, &ask->work.op.err), &ask->work.op.err);
	if (!wal_choose(ask))
		return;
	if (!wal_find_fetcher(ask))
		return wal_refuse(ask, "too many restores fetch here at once",
		                  "Start it again when another one has ended.");
	wal_open(ask);
}

static void wal_opened(struct wal_ask *ask)
{
	if (!op_failed(&ask->open.op))
		return wal_begin_asking(ask);
	if (!ask->fetch)
		return wal_end(ask, ANSWER_FAILED, &ask->open.op.err);
	if (wal_left_ms(ask) == 0)
		return wal_end(ask, ANSWER_WORKING, &ask->open.op.err);
	nap_start(&ask->op, &ask->nap, MIN(wal_left_ms(ask), REST_MS));
	op_wait(&ask->op, WAL_RESTING);
}

static void wal_answered(struct wal_ask *ask)
{
	const struct op *child = ask->fetch ? &ask->get.op : &ask->push.op;
	enum answer answer = ask->fetch ? ask->get.answer : ask->push.answer;
	const struct err *why = op_failed(child) ? &child->err : NULL;

	if (why && why->code == ERR_CANCELLED)
		answer = ANSWER_UNKNOWN;
	else if (why)
		answer = ANSWER_FAILED;
	else if (ask->fetch && err_is(&ask->get.warning))
		why = &ask->get.warning;
	wal_end(ask, answer, why);
}

static void wal_step(struct op *op)
{
	struct wal_ask *ask = container_of(op, struct wal_ask, op);

	if (op->cancelled && op->state != WAL_ASKING)
		return wal_end(ask, ANSWER_UNKNOWN, NULL);
	switch ((enum wal_state)op->state) {
	case WAL_START:
		return wal_start_judging(ask);
	case WAL_JUDGING:
		return wal_judged(ask);
	case WAL_OPENING:
		return wal_opened(ask);
	case WAL_RESTING:
		return wal_open(ask);
	case WAL_ASKING:
		return wal_answered(ask);
	}
}

static const struct op_type wal_type = {
        .name = "wal-ask", .step = wal_step, .state_name = wal_state_name};

static void wal_done(struct op *op)
{
	struct wal_ask *ask = container_of(op, struct wal_ask, op);

	*ask->at = ask->next;
	if (ask->next)
		ask->next->at = ask->at;
	if (ask->planned)
		ask->planned->asks--;
	for (unsigned i = 0; ask->pgdata && i < ask->judge.clusters; i++)
		free((char *)(uintptr_t)ask->pgdata[i]);
	free(ask->pgdata);
	restore_plan_release(&ask->plan);
	free(ask->judge.file);
	free(ask->data);
	free(ask->path);
	free(ask->name);
	free(ask->cluster);
	free(ask->restore);
	free(ask);
}

static void wal_serve(struct exchange *exchange, bool fetch)
{
	struct server *server = exchange->context;
	struct wal_ask *ask = xcalloc(1, sizeof(*ask));
	int64_t wait_ms = 0;
	bool wait_good = answer_wait(exchange, &wait_ms);

	ask->server = server;
	ask->exchange = exchange;
	ask->fetch = fetch;
	ask->data = answer_query(exchange, "data");
	ask->path = answer_query(exchange, "path");
	ask->name = fetch ? answer_query(exchange, "name") : NULL;
	ask->cluster = fetch ? answer_query(exchange, "cluster") : NULL;
	ask->restore = fetch ? answer_query(exchange, "restore") : NULL;
	ask->until_ms = loop_now_ms(server->runtime->loop) + wait_ms;
	ask->at = &server->asks;
	ask->next = server->asks;
	if (ask->next)
		ask->next->at = &ask->next;
	server->asks = ask;
	if (wait_good && ask->data && ask->path && (!fetch || ask->name) && !server->draining)
		return op_start_root(server->runtime->loop, &ask->op, &wal_type, wal_done);
	if (server->draining) {
		ask->answer = ANSWER_WORKING;
		err_set(&ask->op.err, ERR_CANCELLED, "the server is stopping");
	} else {
		ask->answer = ANSWER_FAILED;
		err_set(&ask->op.err, ERR_USAGE,
		        "the request wants data, path%s, and a wait of at most %d s",
		        fetch ? ", name" : "", ANSWER_WAIT_S_MAX);
	}
	wal_reply(ask, &ask->op.err);
	wal_done(&ask->op);
}

void serve_push(struct exchange *exchange)
{
	wal_serve(exchange, false);
}

void serve_fetch(struct exchange *exchange)
{
	wal_serve(exchange, true);
}

void asks_cancel(struct server *server)
{
	for (struct wal_ask *ask = server->asks; ask; ask = ask->next)
		op_cancel(&ask->op);
}
