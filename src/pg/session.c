/*
 * session.c — opening and closing SQL connections.
 *
 *   START -> LOOKUP -> CONNECTING -> SETUP -> done
 *
 * LOOKUP resolves host names on a worker: PQconnectPoll would block the loop in it. Every address
 * of a name becomes one entry of libpq's host list, so its own order of trying stays. CONNECTING
 * follows PQconnectPoll; the socket may be another after each call, so it is registered anew each
 * time. SETUP makes the session independent of the role's settings.
 */
#include "pg/session.h"

#include <assert.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <pwd.h>

#include "base/str.h"
#include "session_internal.h"

#include "base/poison.h"

enum { HOSTS_TEXT_MAX = 4096, ADDRESSES_MAX = 8, OPTIONS_MAX = 128 };

#define OPEN_STATES(X) X(OPEN_START) X(OPEN_LOOKUP) X(OPEN_CONNECTING) X(OPEN_SETUP)
OP_STATES(open_state, OPEN_STATES)

/* One statement for all versions: settings that a version does not have are not in pg_settings. */
static const char session_setup[] =
        "SELECT pg_catalog.set_config(name, CASE name WHEN 'search_path' THEN 'pg_catalog'"
        " WHEN 'DateStyle' THEN 'ISO, YMD' WHEN 'IntervalStyle' THEN 'postgres'"
        " ELSE '0' END, false)"
        " FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',"
        " 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout',"
        " 'search_path', 'DateStyle', 'IntervalStyle')";

static const struct {
	const char *name, *value;
} session_defaults[] = {
        {"application_name", "seawall"}, {"client_encoding", "UTF8"},   {"keepalives", "1"},
        {"keepalives_idle", "30"},       {"keepalives_interval", "10"}, {"keepalives_count", "3"},
        {"tcp_user_timeout", "30000"},
};

void session_on_ready(struct fd_watch *watch, int events)
{
	struct session *session = container_of(watch, struct session, watch);

	(void)events;
	if (session->waiting)
		op_wake(session->waiting);
	else
		fd_watch_set(watch, -1, 0);
}

static void session_notice(void *context, const char *message)
{
	struct session *session = context;

	buf_addstr(&session->notices, message);
}

const char *session_message(const char *message, char out[ERR_TEXT_MAX])
{
	const char *from = message ? message : "";
	size_t length = 0;

	while (*from && length + 1 < ERR_TEXT_MAX)
		out[length++] = *from++;
	while (length && (out[length - 1] == '\n' || out[length - 1] == ' '))
		length--;
	out[length] = '\0';
	str_clean(out);
	return length ? out : "no reason was given";
}

/* LOOKUP */

static const char *option_value(const struct session_open *open, const char *name)
{
	const PQconninfoOption *option = open->options;

	for (; option && option->keyword; option++)
		if (strcmp(option->keyword, name) == 0)
			return option->val && *option->val ? option->val : NULL;
	return NULL;
}

static bool host_is_name(const char *host)
{
	return *host && *host != '/' && *host != '@';
}

/* Whether the connection string has a host that must be looked up. */
static bool open_needs_lookup(const struct session_open *open)
{
	const char *host = option_value(open, "host");

	if (!host || option_value(open, "hostaddr"))
		return false;
	for (const char *at = host; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
		if (host_is_name(at) && *at != ',')
			return true;
	return false;
}

static void open_add_host(struct session_open *open, const char *host, const char *address,
                          const char *port)
{
	const char *comma = open->host.length || open->hostaddr.length ? "," : "";

	buf_addf(&open->host, "%s%s", comma, host);
	buf_addf(&open->hostaddr, "%s%s", comma, address);
	buf_addf(&open->port, "%s%s", comma, port);
}

static bool open_lookup_one(struct session_open *open, const char *host, const char *port,
                            struct err *err)
{
	const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	unsigned count = 0;
	int code;

	if (!host_is_name(host)) {
		open_add_host(open, host, "", port);
		return true;
	}
	code = getaddrinfo(host, NULL, &wanted, &found);
	if (code != 0)
		return err_set(err, ERR_NETWORK, "could not look up host \"%s\": %s", host,
		               gai_strerror(code));
	for (struct addrinfo *one = found; one && count < ADDRESSES_MAX; one = one->ai_next) {
		char address[NI_MAXHOST];

		if (getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof(address), NULL, 0,
		                NI_NUMERICHOST) != 0)
			continue;
		open_add_host(open, host, address, port);
		count++;
	}
	freeaddrinfo(found);
	if (count == 0)
		return err_set(err, ERR_NETWORK, "host \"%s\" has no address", host);
	return true;
}

/* Takes the text before the next comma off *list; past the end it stays the last one's when
 * `repeat`. */
static char *list_take(const char **list, bool repeat)
{
	const char *comma = strchr(*list, ',');
	char *item = comma ? xstrndup(*list, (size_t)(comma - *list)) : xstrdup(*list);

	if (comma)
		*list = comma + 1;
	else if (!repeat)
		*list = NULL;
	return item;
}

static void open_lookup(struct work *work)
{
	struct session_open *open = container_of(work, struct session_open, lookup);
	const char *hosts = option_value(open, "host"), *ports = option_value(open, "port");

	if (!ports)
		ports = "";
	while (hosts) {
		AUTO_FREE
		char *host = list_take(&hosts, false);
		AUTO_FREE
		char *port = list_take(&ports, true);

		if (!open_lookup_one(open, host, port, &work->op.err))
			return;
	}
	if (open->host.overflow || open->hostaddr.overflow || open->port.overflow)
		err_set(&work->op.err, ERR_CONFIG, "the list of hosts is too long");
}

/* CONNECTING */

struct option_list {
	const char *name[OPTIONS_MAX + 1], *value[OPTIONS_MAX + 1];
	unsigned count;
};

static void option_add(struct option_list *list, const char *name, const char *value)
{
	for (unsigned i = 0; i < list->count; i++)
		if (strcmp(list->name[i], name) == 0) {
			list->value[i] = value;
			return;
		}
	assert(list->count < OPTIONS_MAX);
	list->name[list->count] = name;
	list->value[list->count++] = value;
}

static bool open_connect(struct session_open *open, struct err *err)
{
	struct session *session = open->session;
	struct option_list list = {.count = 0};
	const struct passwd *user = getpwuid(geteuid());

	for (size_t i = 0; i < ARRAY_LENGTH(session_defaults); i++)
		option_add(&list, session_defaults[i].name, session_defaults[i].value);
	if (!option_value(open, "service")) { /* a service's own values come after ours */
		if (!option_value(open, "hostaddr"))
			option_add(&list, "host", "/var/run/postgresql");
		option_add(&list, "dbname", "postgres");
		if (user)
			option_add(&list, "user", user->pw_name);
	}
	for (const PQconninfoOption *option = open->options; option->keyword; option++)
		if (option->val && *option->val)
			option_add(&list, option->keyword, option->val);
	if (open->host.length || open->hostaddr.length) {
		option_add(&list, "host", buf_text(&open->host));
		option_add(&list, "hostaddr", buf_text(&open->hostaddr));
		if (option_value(open, "port"))
			option_add(&list, "port", buf_text(&open->port));
	}
	session->conn = PQconnectStartParams(list.name, list.value, 0);
	if (!session->conn)
		return err_set(err, ERR_INTERNAL, "libpq has no memory");
	PQsetNoticeProcessor(session->conn, session_notice, session);
	return true;
}

static void open_refused(struct op *op, const char *message)
{
	char text[ERR_TEXT_MAX];
	const char *reason = session_message(message, text);
	/* libpq says no more than its message: "FATAL:" is the server's own word */
	bool said_no = strstr(reason, "FATAL:") && !strstr(reason, "starting up") &&
	               !strstr(reason, "shutting down");

	err_clear(&op->err);
	err_set(&op->err, said_no ? ERR_POSTGRES : ERR_NETWORK, "%s", reason);
	err_wrap(&op->err, "could not connect to PostgreSQL");
	if (said_no)
		err_hint(&op->err, "Check \"connect\" of the cluster and pg_hba.conf; "
		                   "sql/setup.sql makes a role and prints the lines for it.");
	else
		err_hint(&op->err, "Check that PostgreSQL runs, and \"connect\" of the cluster "
		                   "(host, port), for example: connect = port=5433");
}

/* One look at the connection; true when the operation has to wait for the socket. */
static bool open_poll(struct session_open *open, bool *ret_connected)
{
	struct session *session = open->session;

	*ret_connected = false;
	switch (PQconnectPoll(session->conn)) {
	case PGRES_POLLING_READING:
		fd_watch_set(&session->watch, PQsocket(session->conn), WATCH_READ);
		return true;
	case PGRES_POLLING_WRITING:
		fd_watch_set(&session->watch, PQsocket(session->conn), WATCH_WRITE);
		return true;
	case PGRES_POLLING_OK:
		*ret_connected = true;
		return false;
	default:
		return false;
	}
}

static void open_end(struct session_open *open)
{
	timer_release(&open->timer);
	query_release(&open->setup);
	PQconninfoFree(open->options);
	open->options = NULL;
	buf_release(&open->host);
	buf_release(&open->hostaddr);
	buf_release(&open->port);
	open->session->waiting = NULL;
	if (err_is(&open->op.err))
		session_close(open->session);
}

static void open_fail(struct session_open *open)
{
	open_end(open);
	op_fail_own(&open->op);
}

static void open_fail_as(struct session_open *open, enum err_code code, const char *reason)
{
	err_clear(&open->op.err);
	err_set(&open->op.err, code, "%s", reason);
	err_wrap(&open->op.err, "could not connect to PostgreSQL");
	if (code == ERR_TIMEOUT)
		err_hint(&open->op.err,
		         "Check \"connect\" of the cluster and the network between.");
	open_fail(open);
}

static void open_time_out(struct session_open *open)
{
	PGconn *conn = open->session->conn;
	char reason[256] = "its address was not found in time";

	if (conn)
		snprintf(reason, sizeof(reason),
		         "the server at host \"%s\", port %s did not answer in time", PQhost(conn),
		         PQport(conn));
	open_fail_as(open, ERR_TIMEOUT, reason);
}

static void open_fired(struct timer *timer)
{
	struct session_open *open = container_of(timer, struct session_open, timer);

	open->timed_out = true;
	if (op_running(&open->setup.op))
		op_cancel(&open->setup.op);
	else
		op_wake(&open->op);
}

static bool open_begin(struct session_open *open, struct err *err)
{
	char *reason = NULL;
	char text[ERR_TEXT_MAX];
	const char *seconds;
	uint32_t value;

	open->options = PQconninfoParse(open->connect, &reason);
	if (!open->options) {
		err_set(err, ERR_CONFIG, "the connection string is wrong: %s",
		        session_message(reason, text));
		PQfreemem(reason);
		return false;
	}
	seconds = option_value(open, "connect_timeout");
	if (open->timeout_ms <= 0)
		open->timeout_ms = seconds && str_u32(seconds, &value) && value > 0
		                           ? (int64_t)value * 1000
		                           : SESSION_OPEN_MS;
	timer_set(&open->timer, open->timeout_ms);
	return true;
}

/* What ends the operation early, in any state; false when it ended. */
static bool open_goes_on(struct session_open *open)
{
	if (open->op.cancelled)
		open_fail_as(open, ERR_CANCELLED, "cancelled");
	else if (open->timed_out)
		open_time_out(open);
	else
		return true;
	return false;
}

static void open_step_connecting(struct session_open *open)
{
	struct session *session = open->session;
	bool connected;

	if (open_poll(open, &connected))
		return op_wait(&open->op, OPEN_CONNECTING);
	if (!connected) {
		open_refused(&open->op, PQerrorMessage(session->conn));
		return open_fail(open);
	}
	session->waiting = NULL;
	fd_watch_set(&session->watch, -1, 0);
	if (PQsetnonblocking(session->conn, 1) != 0)
		return open_fail_as(open, ERR_INTERNAL, "libpq refuses non-blocking mode");
	session->server_version = PQserverVersion(session->conn);
	query_start(&open->op, &open->setup, session, &(struct query_text){.sql = session_setup});
	op_wait(&open->op, OPEN_SETUP);
}

static void open_step(struct op *op)
{
	struct session_open *open = container_of(op, struct session_open, op);

	if (op->children > 0)
		return; /* a cancel; the child was told */
	if (!open_goes_on(open))
		return;
	switch ((enum open_state)op->state) {
	case OPEN_START:
		if (!open_begin(open, &op->err))
			return open_fail(open);
		if (open_needs_lookup(open)) {
			work_start(op, &open->lookup, open_lookup);
			return op_wait(op, OPEN_LOOKUP);
		}
		/* fall through */
	case OPEN_LOOKUP:
		if (open->lookup.op.type && op_failed(&open->lookup.op)) {
			op->err = open->lookup.op.err;
			err_wrap(&op->err, "could not connect to PostgreSQL");
			return open_fail(open);
		}
		if (!open_connect(open, &op->err))
			return open_fail(open);
		open->session->waiting = op;
		/* as PQconnectPoll's manual says: the first time, as if it had said "writing" */
		if (PQstatus(open->session->conn) == CONNECTION_BAD)
			return open_step_connecting(open);
		fd_watch_set(&open->session->watch, PQsocket(open->session->conn), WATCH_WRITE);
		return op_wait(op, OPEN_CONNECTING);
	case OPEN_CONNECTING:
		return open_step_connecting(open);
	case OPEN_SETUP:
		if (op_failed(&open->setup.op)) {
			op->err = open->setup.op.err;
			err_wrap(&op->err, "could not set up the connection to PostgreSQL");
			return open_fail(open);
		}
		open_end(open);
		return op_done(op);
	}
}

static void open_cancel(struct op *op)
{
	if (op->children == 0)
		op_wake(op);
}

static const struct op_type open_type = {.name = "session-open",
                                         .step = open_step,
                                         .cancel = open_cancel,
                                         .state_name = open_state_name};

void session_open_start(struct op *parent, struct session_open *open, struct session *session,
                        const char *connect, int64_t timeout_ms)
{
	assert(!session->conn);
	*open = (struct session_open){
	        .session = session,
	        .connect = connect ? connect : "",
	        .timeout_ms = timeout_ms,
	};
	*session = (struct session){.loop = parent->loop};
	buf_init(&session->notices, SESSION_NOTICES_MAX);
	buf_init(&open->host, HOSTS_TEXT_MAX);
	buf_init(&open->hostaddr, HOSTS_TEXT_MAX);
	buf_init(&open->port, HOSTS_TEXT_MAX);
	fd_watch_init(&session->watch, parent->loop, session_on_ready);
	timer_init(&open->timer, parent->loop, open_fired);
	op_start(parent, &open->op, &open_type);
}

void session_close(struct session *session)
{
	assert(!session->waiting);
	if (!session->loop)
		return;
	fd_watch_release(&session->watch);
	PQfinish(session->conn);
	buf_release(&session->notices);
	*session = (struct session){.loop = NULL};
}
