/*
 * query.c — one statement over a session.
 *
 *   START -> RUNNING -> done          woken by the socket, the timer, a cancel, the end of a cancel
 *
 * To cancel, PQcancel runs on a worker (it connects and waits) as an operation of its own, since
 * the children of a cancelled operation do not start. The query ends only when both are over: its
 * own answer came (or SESSION_CANCEL_MS passed: the session is broken then) and the worker
 * returned, so a late cancel cannot hit the next statement.
 */
#include "pg/session.h"

#include <assert.h>
#include <libpq-fe.h>

#include "base/str.h"
#include "session_internal.h"

#include "base/poison.h"

enum query_state { QUERY_START, QUERY_RUNNING };

struct query_cancel {
	struct op op;
	struct work work;
	PGcancel *cancel;
	struct query *query;
};

static void cancel_run(struct work *work)
{
	struct query_cancel *cancel = container_of(work, struct query_cancel, work);
	char reason[256];

	/* a failure is not told: then the query's own deadline ends it */
	(void)PQcancel(cancel->cancel, reason, sizeof(reason));
}

static void cancel_step(struct op *op)
{
	struct query_cancel *cancel = container_of(op, struct query_cancel, op);

	if (op->state == 0) {
		work_start(op, &cancel->work, cancel_run);
		return op_wait(op, 1);
	}
	op_done(op);
}

static void cancel_over(struct op *op)
{
	struct query_cancel *cancel = container_of(op, struct query_cancel, op);

	cancel->query->cancel = NULL;
	op_wake(&cancel->query->op);
	PQfreeCancel(cancel->cancel);
	free(cancel);
}

static const struct op_type cancel_type = {.name = "query-cancel", .step = cancel_step};

/* Asks the server to end the statement, once. */
static void query_ask_cancel(struct query *query)
{
	struct query_cancel *cancel;

	if (query->cancel || !query->sent)
		return;
	cancel = xcalloc(1, sizeof(*cancel));
	cancel->cancel = PQgetCancel(query->session->conn);
	cancel->query = query;
	query->cancel = cancel;
	op_start_root(query->op.loop, &cancel->op, &cancel_type, cancel_over);
	timer_set(&query->timer, SESSION_CANCEL_MS);
}

static void query_fired(struct timer *timer)
{
	struct query *query = container_of(timer, struct query, timer);

	if (query->op.cancelled || query->timed_out) {
		query->gave_up = true;
	} else {
		query->timed_out = true;
		query_ask_cancel(query);
	}
	op_wake(&query->op);
}

static void query_cancel(struct op *op)
{
	struct query *query = container_of(op, struct query, op);

	if (!query->timed_out)
		query_ask_cancel(query);
	op_wake(op);
}

static void query_lost(struct query *query)
{
	char text[ERR_TEXT_MAX];

	query->session->broken = true;
	if (err_is(&query->op.err))
		return;
	err_set(&query->op.err, ERR_NETWORK, "%s",
	        session_message(PQerrorMessage(query->session->conn), text));
	err_wrap(&query->op.err, "lost the connection to PostgreSQL");
}

/* The server's own words; the first error of a statement counts. */
static void query_take_error(struct query *query, const PGresult *result)
{
	char text[ERR_TEXT_MAX];
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	enum err_code code;

	if (err_is(&query->op.err))
		return;
	if (!state || !primary)
		return query_lost(query);
	/* a server that shuts down, starts, or lost the connection may be asked again */
	code = str_starts(state, "57P") || str_starts(state, "08") ? ERR_NETWORK : ERR_POSTGRES;
	if (!str_copy(query->sqlstate, sizeof(query->sqlstate), state))
		query->sqlstate[0] = '\0';
	if (detail)
		err_set(&query->op.err, code, "%s", session_message(detail, text));
	session_message(primary, text);
	if (detail)
		err_wrap(&query->op.err, "%s (SQLSTATE %s)", text, state);
	else
		err_set(&query->op.err, code, "%s (SQLSTATE %s)", text, state);
	if (strcmp(state, "42501") == 0)
		err_hint(&query->op.err,
		         "Run sql/setup.sql as a superuser: it gives the role what it needs.");
	else if (hint)
		err_hint(&query->op.err, "%s", session_message(hint, text));
}

static void query_take(struct query *query, PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		PQclear(query->result);
		query->result = result;
		return;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		query->session->broken = true; /* nothing here reads it */
		if (!err_is(&query->op.err))
			err_set(&query->op.err, ERR_INTERNAL, "COPY is not for this kind of query");
		break;
	default:
		query_take_error(query, result);
	}
	PQclear(result);
}

/* Sends what is left, takes what has come; true when the statement is over. */
static bool query_turn(struct query *query)
{
	struct session *session = query->session;
	int unsent = PQflush(session->conn);

	if (PQconsumeInput(session->conn) == 0 || unsent < 0) {
		/* an error message may have come before the end */
		for (PGresult *result; (result = PQgetResult(session->conn));)
			query_take(query, result);
		query_lost(query);
		return true;
	}
	while (!PQisBusy(session->conn)) {
		PGresult *result = PQgetResult(session->conn);

		if (!result)
			return true;
		query_take(query, result);
		if (session->broken)
			return true;
	}
	if (PQstatus(session->conn) == CONNECTION_BAD) {
		query_lost(query);
		return true;
	}
	fd_watch_set(&session->watch, PQsocket(session->conn),
	             WATCH_READ | (unsent > 0 ? WATCH_WRITE : 0));
	return false;
}

static void query_end(struct query *query)
{
	struct op *op = &query->op;
	bool stopped = op->cancelled || query->timed_out;

	timer_release(&query->timer);
	if (query->sent) {
		query->session->waiting = NULL;
		fd_watch_set(&query->session->watch, -1, 0);
	}
	if (PQstatus(query->session->conn) == CONNECTION_BAD)
		query->session->broken = true;
	if (!err_is(&op->err))
		return op_done(op);
	PQclear(query->result);
	query->result = NULL;
	if (stopped && (strcmp(query->sqlstate, "57014") == 0 || query->gave_up)) {
		if (op->cancelled)
			return op_fail_as(op, ERR_CANCELLED, "cancelled");
		return op_fail_as(op, ERR_TIMEOUT, "PostgreSQL did not answer within %lld ms",
		                  (long long)query->timeout_ms);
	}
	op_fail_own(op);
}

static void query_send(struct query *query)
{
	struct session *session = query->session;

	if (query->op.cancelled)
		return op_fail_as(&query->op, ERR_CANCELLED, "cancelled");
	if (!session->conn || session->broken)
		return op_fail_as(&query->op, ERR_NETWORK,
		                  "the connection to PostgreSQL is lost already");
	assert(!session->waiting); /* one at a time */
	timer_init(&query->timer, query->op.loop, query_fired);
	query->sent = true;
	session->waiting = &query->op;
	if (!PQsendQueryParams(session->conn, query->sql, (int)query->params, NULL, query->param,
	                       NULL, NULL, 0)) {
		query_lost(query);
		return query_end(query);
	}
	if (query->timeout_ms > 0)
		timer_set(&query->timer, query->timeout_ms);
	if (query_turn(query))
		return query_end(query);
	op_wait(&query->op, QUERY_RUNNING);
}

static void query_step(struct op *op)
{
	struct query *query = container_of(op, struct query, op);

	if (op->state == QUERY_START)
		return query_send(query);
	if (!query->answered)
		query->answered = query_turn(query);
	if (!query->answered && query->gave_up) {
		query->session->broken = true;
		err_clear(&op->err);
		err_set(&op->err, ERR_TIMEOUT, "PostgreSQL did not answer a cancel");
		query->answered = true;
	}
	if (query->answered && !query->cancel)
		return query_end(query);
	if (query->answered) /* the answer is here; the worker is not back yet */
		fd_watch_set(&query->session->watch, -1, 0);
	op_wait(op, QUERY_RUNNING);
}

static const char *query_state_name(int state)
{
	return state == QUERY_START ? "START" : "RUNNING";
}

static const struct op_type query_type = {.name = "query",
                                          .step = query_step,
                                          .cancel = query_cancel,
                                          .state_name = query_state_name};

void query_start(struct op *parent, struct query *query, struct session *session,
                 const struct query_text *text)
{
	assert(text->params <= QUERY_PARAMS_MAX);
	*query = (struct query){.session = session,
	                        .sql = text->sql,
	                        .params = text->params,
	                        .timeout_ms = text->timeout_ms};
	for (unsigned i = 0; i < text->params; i++)
		query->param[i] = text->param[i];
	op_start(parent, &query->op, &query_type);
}

unsigned query_rows(const struct query *query)
{
	return query->result ? (unsigned)PQntuples(query->result) : 0;
}

unsigned query_columns(const struct query *query)
{
	return query->result ? (unsigned)PQnfields(query->result) : 0;
}

const char *query_value(const struct query *query, unsigned row, unsigned column)
{
	assert(row < query_rows(query) && column < query_columns(query));
	if (PQgetisnull(query->result, (int)row, (int)column))
		return NULL;
	return PQgetvalue(query->result, (int)row, (int)column);
}

void query_release(struct query *query)
{
	PQclear(query->result);
	query->result = NULL;
}
