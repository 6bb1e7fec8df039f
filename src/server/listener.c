/*
 * listener.c — libmicrohttpd on the loop. The only file that knows it.
 *
 * Each socket is an endpoint with a daemon of its own that has no thread: its epoll descriptor is
 * watched by the loop, and MHD_get_timeout becomes a timer; both run the daemon (endpoint_run),
 * which calls on_request, which calls a route's handler.
 *
 *   READING -> SERVING -> REPLIED -> (sent) freed
 *                 |
 *                 +-> STREAMING -> freed         by exchange_stream_end or when the client left
 *
 * A handler that does not reply at once leaves the connection suspended; the reply resumes it. A
 * stream without bytes to send is suspended too, so nothing is polled. An exchange whose client
 * left while it was SERVING stays until its handler replies.
 */
#include "server/listener.h"

#include <assert.h>
#include <microhttpd.h>
#include <strings.h>

#include "base/str.h"
#include "bind.h"

#include "base/poison.h"

enum {
	HEAD_BYTES_MAX = 32 * 1024,
	HEADERS_MAX = 4,
	STREAM_PIECE_BYTES = 4096,
	DROPPED_BYTES_MAX = 1024 * 1024
};

enum exchange_state { READING, SERVING, REPLIED, STREAMING };

struct endpoint {
	struct listener *listener;
	struct MHD_Daemon *daemon;
	struct fd_watch watch;
	struct timer timer;
	struct bound bound;
	char *path; /* of a Unix socket, else NULL */
	bool quiet; /* takes no new connections */
	struct endpoint *next;
};

struct listener {
	struct loop *loop;
	const struct route *routes;
	void *context;
	struct endpoint *endpoints;
	struct exchange_detail *exchanges;
	unsigned open;
};

struct exchange_detail {
	struct exchange exchange;
	struct endpoint *endpoint;
	struct MHD_Connection *connection; /* NULL: the client is gone */
	struct MHD_Response *response;
	unsigned status;
	enum exchange_state state;
	bool suspended, in_callback;
	const char *header_name[HEADERS_MAX];
	char *header_value[HEADERS_MAX]; /* owned */
	unsigned headers;
	struct buf stream;
	size_t stream_sent, dropped;
	bool stream_over;
	struct exchange_detail *next, **at;
};

/* ---- running the daemons ---- */

static void endpoint_arm(struct endpoint *endpoint)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (MHD_get_timeout(endpoint->daemon, &wait_ms) == MHD_YES)
		timer_set(&endpoint->timer, (int64_t)wait_ms);
	else
		timer_stop(&endpoint->timer);
}

static unsigned endpoint_connections(const struct endpoint *endpoint)
{
	const union MHD_DaemonInfo *info =
	        MHD_get_daemon_info(endpoint->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/* A daemon that has no place or no descriptor left stops listening, and begins again at the start
 * of a run only, for which nothing would wake it: so there is another one after a connection has
 * ended. */
static void endpoint_run(struct endpoint *endpoint)
{
	unsigned before = endpoint_connections(endpoint);

	MHD_run(endpoint->daemon);
	if (endpoint_connections(endpoint) < before)
		MHD_run(endpoint->daemon);
	endpoint_arm(endpoint);
}

static void endpoint_ready(struct fd_watch *watch, int events)
{
	(void)events;
	endpoint_run(container_of(watch, struct endpoint, watch));
}

static void endpoint_fired(struct timer *timer)
{
	endpoint_run(container_of(timer, struct endpoint, timer));
}

/* ---- an exchange's life ---- */

static struct exchange_detail *exchange_new(struct endpoint *endpoint,
                                            struct MHD_Connection *connection)
{
	struct exchange_detail *detail = xcalloc(1, sizeof(*detail));
	struct listener *listener = endpoint->listener;

	detail->exchange.listener = listener;
	detail->exchange.context = listener->context;
	detail->exchange.detail = detail;
	detail->endpoint = endpoint;
	detail->connection = connection;
	buf_init(&detail->exchange.body, EXCHANGE_BODY_MAX);
	buf_init(&detail->stream, STREAM_BEHIND_MAX);
	detail->next = listener->exchanges;
	detail->at = &listener->exchanges;
	if (detail->next)
		detail->next->at = &detail->next;
	listener->exchanges = detail;
	return detail;
}

static void exchange_free(struct exchange_detail *detail)
{
	*detail->at = detail->next;
	if (detail->next)
		detail->next->at = detail->at;
	if (detail->response)
		MHD_destroy_response(detail->response);
	for (unsigned i = 0; i < detail->headers; i++)
		free(detail->header_value[i]);
	buf_release(&detail->exchange.body);
	buf_release(&detail->stream);
	free(detail);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **user,
                         enum MHD_RequestTerminationCode how)
{
	struct exchange_detail *detail = *user;

	(void)context;
	(void)connection;
	(void)how;
	if (!detail)
		return;
	*user = NULL;
	detail->connection = NULL;
	if (detail->state == SERVING)
		return; /* its handler still has it */
	if (detail->state == STREAMING && detail->exchange.stream_ended)
		detail->exchange.stream_ended(&detail->exchange);
	exchange_free(detail);
}

static void exchange_resume(struct exchange_detail *detail)
{
	if (!detail->suspended)
		return;
	detail->suspended = false;
	MHD_resume_connection(detail->connection);
	timer_set(&detail->endpoint->timer, 0);
}

static enum MHD_Result exchange_queue(struct exchange_detail *detail)
{
	return MHD_queue_response(detail->connection, detail->status, detail->response);
}

static void exchange_set_reply(struct exchange_detail *detail, unsigned status,
                               struct MHD_Response *response, const char *type)
{
	detail->status = status;
	detail->response = response;
	MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	for (unsigned i = 0; i < detail->headers; i++)
		MHD_add_response_header(response, detail->header_name[i], detail->header_value[i]);
	if (detail->state == SERVING)
		detail->exchange.listener->open--;
}

/* ---- replies ---- */

void exchange_add_header(struct exchange *exchange, const char *name, const char *value)
{
	struct exchange_detail *detail = exchange->detail;

	assert(detail->headers < HEADERS_MAX);
	detail->header_name[detail->headers] = name;
	detail->header_value[detail->headers] = xstrdup(value);
	str_clean(detail->header_value[detail->headers++]);
}

void exchange_reply(struct exchange *exchange, unsigned status, const char *type,
                    const struct buf *body)
{
	struct exchange_detail *detail = exchange->detail;
	char *bytes = (char *)(uintptr_t)(body ? buf_text(body) : "");

	assert(!detail->response);
	exchange_set_reply(detail, status,
	                   MHD_create_response_from_buffer(body ? body->length : 0, bytes,
	                                                   MHD_RESPMEM_MUST_COPY),
	                   type);
	detail->state = REPLIED;
	if (!detail->connection)
		exchange_free(detail);
	else if (!detail->in_callback)
		exchange_resume(detail);
}

unsigned exchange_status_of(const struct err *err)
{
	switch (err->code) {
	case ERR_NOTFOUND:
		return 404;
	case ERR_USAGE:
	case ERR_CONFIG:
		return 400;
	case ERR_EXISTS:
	case ERR_REFUSED:
		return 409;
	case ERR_NETWORK:
	case ERR_STORE:
	case ERR_POSTGRES:
		return 502;
	case ERR_CANCELLED:
		return 503;
	case ERR_TIMEOUT:
		return 504;
	default:
		return 500;
	}
}

void exchange_reply_error(struct exchange *exchange, const struct err *err)
{
	char lines[ERR_TEXT_MAX + ERR_HINT_MAX + 16];
	AUTO_BUF struct buf body;

	err_lines(err, lines, sizeof(lines));
	buf_init(&body, sizeof(lines));
	buf_addstr(&body, lines);
	exchange_reply(exchange, exchange_status_of(err), "text/plain; charset=utf-8", &body);
}

static void reply_text(struct exchange_detail *detail, unsigned status, const char *text)
{
	AUTO_BUF struct buf body;

	buf_init(&body, ERR_TEXT_MAX);
	buf_addf(&body, "%s\n", text);
	exchange_reply(&detail->exchange, status, "text/plain; charset=utf-8", &body);
}

/* ---- streams ---- */

static ssize_t stream_read(void *context, uint64_t offset, char *out, size_t room)
{
	struct exchange_detail *detail = context;
	size_t left = detail->stream.length - detail->stream_sent;

	(void)offset;
	if (detail->stream.overflow)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (left == 0 && detail->stream_over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (left == 0) {
		detail->suspended = true;
		MHD_suspend_connection(detail->connection);
		return 0;
	}
	room = MIN(room, left);
	memcpy(out, detail->stream.data + detail->stream_sent, room);
	detail->stream_sent += room;
	if (detail->stream_sent == detail->stream.length) {
		buf_clear(&detail->stream);
		detail->stream_sent = 0;
	}
	return (ssize_t)room;
}

void exchange_stream(struct exchange *exchange, const char *type)
{
	struct exchange_detail *detail = exchange->detail;

	assert(!detail->response && detail->in_callback);
	exchange_set_reply(detail, 200,
	                   MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_PIECE_BYTES,
	                                                     stream_read, detail, NULL),
	                   type);
	detail->state = STREAMING;
}

void exchange_stream_send(struct exchange *exchange, const struct buf *bytes)
{
	struct exchange_detail *detail = exchange->detail;

	assert(detail->state == STREAMING && !detail->stream_over);
	buf_add(&detail->stream, bytes->data, bytes->length);
	exchange_resume(detail);
}

void exchange_stream_end(struct exchange *exchange)
{
	exchange->detail->stream_over = true;
	exchange_resume(exchange->detail);
}

/* ---- requests ---- */

const char *exchange_query(const struct exchange *exchange, const char *name)
{
	const char *value = NULL;
	size_t length = 0;

	if (!exchange->detail->connection ||
	    MHD_lookup_connection_value_n(exchange->detail->connection, MHD_GET_ARGUMENT_KIND, name,
	                                  strlen(name), &value, &length) != MHD_YES)
		return NULL;
	return value && strlen(value) == length ? value : NULL; /* none with a NUL inside */
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
	if (!exchange->detail->connection)
		return NULL;
	return MHD_lookup_connection_value(exchange->detail->connection, MHD_HEADER_KIND, name);
}

/* Whether path is the pattern's; the components for its '*' go to part. */
static bool route_matches(const char *pattern, const char *path,
                          char part[EXCHANGE_PARTS_MAX][EXCHANGE_PART_BYTES])
{
	unsigned parts = 0;

	while (*pattern) {
		size_t length;

		if (*pattern != '*') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		length = strcspn(path, "/");
		if (length == 0 || length >= EXCHANGE_PART_BYTES)
			return false;
		assert(parts < EXCHANGE_PARTS_MAX);
		memcpy(part[parts], path, length);
		part[parts++][length] = '\0';
		path += length;
		pattern++;
	}
	return !*path;
}

/* Finds the route; without one replies and returns false. */
static bool exchange_route(struct exchange_detail *detail, const char *method, const char *path)
{
	const struct route *route = detail->exchange.listener->routes;
	bool path_known = false;

	for (; route->method; route++) {
		if (!route_matches(route->path, path, detail->exchange.part))
			continue;
		if (!detail->endpoint->path && !(route->flags & ROUTE_VIEW)) {
			reply_text(detail, 403, "only the Unix socket may change something");
			return false;
		}
		path_known = true;
		if (strcmp(route->method, method) == 0) {
			detail->exchange.route = route;
			return true;
		}
	}
	if (path_known)
		reply_text(detail, 405, "this path does not take this method");
	else
		reply_text(detail, 404, "there is no such path");
	return false;
}

/* A page in a browser may be led to this port under a name of its own; such a request is not for
 * us. */
static bool host_is_loopback(const char *host)
{
	return !host || str_starts(host, "127.") || str_starts(host, "localhost") ||
	       str_starts(host, "[::1]");
}

/* Whether the peer may speak to us at all; else replies. */
static bool exchange_admit(struct exchange_detail *detail)
{
	const union MHD_ConnectionInfo *info;
	uid_t user;

	if (!detail->endpoint->path) {
		if (host_is_loopback(exchange_header(&detail->exchange, "Host")))
			return true;
		reply_text(detail, 403, "this address is not for that host name");
		return false;
	}
	info = MHD_get_connection_info(detail->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info && peer_of(info->connect_fd, &user, NULL) && user == geteuid())
		return true;
	reply_text(detail, 403, "only the server's own user may use this socket");
	return false;
}

static enum MHD_Result exchange_serve(struct exchange_detail *detail)
{
	detail->state = SERVING;
	detail->exchange.listener->open++;
	detail->exchange.route->serve(&detail->exchange);
	detail->in_callback = false;
	if (detail->response)
		return exchange_queue(detail);
	detail->suspended = true;
	MHD_suspend_connection(detail->connection);
	return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *bytes, size_t *length, void **user)
{
	struct exchange_detail *detail = *user;
	bool first = !detail;

	(void)version;
	if (first)
		*user = detail = exchange_new(context, connection);
	if (detail->response &&
	    *length > 0) { /* refused: libmicrohttpd wants the body read first */
		detail->dropped += *length;
		*length = 0;
		return detail->dropped > DROPPED_BYTES_MAX ? MHD_NO : MHD_YES;
	}
	if (detail->response)
		return exchange_queue(detail);
	detail->in_callback = true;
	if (first) {
		if (exchange_admit(detail))
			(void)exchange_route(detail, method, path);
	} else if (*length > 0) {
		buf_add(&detail->exchange.body, bytes, *length);
		*length = 0;
		if (detail->exchange.body.overflow && !detail->response)
			reply_text(detail, 413, "the request's body is too long");
		detail->in_callback = false;
		return MHD_YES;
	} else {
		return exchange_serve(detail);
	}
	detail->in_callback = false;
	return detail->response ? exchange_queue(detail) : MHD_YES;
}

/* ---- endpoints ---- */

struct listener *listener_new(struct loop *loop, const struct route *routes, void *context)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));

	listener->loop = loop;
	listener->routes = routes;
	listener->context = context;
	return listener;
}

static bool endpoint_add(struct listener *listener, const struct bound *bound, const char *path,
                         struct err *err)
{
	struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
	const union MHD_DaemonInfo *info = NULL;

	endpoint->listener = listener;
	endpoint->bound = *bound;
	endpoint->path = path ? xstrdup(path) : NULL;
	endpoint->daemon = MHD_start_daemon(
	        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, endpoint,
	        MHD_OPTION_LISTEN_SOCKET, bound->fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
	        NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)LISTENER_CONNECTIONS_MAX,
	        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)LISTENER_IDLE_S,
	        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES_MAX,
	        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (endpoint->daemon)
		info = MHD_get_daemon_info(endpoint->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info) {
		if (endpoint->daemon)
			MHD_stop_daemon(endpoint->daemon); /* closes the socket */
		else
			close(bound->fd);
		free(endpoint->path);
		free(endpoint);
		return err_set(err, ERR_INTERNAL, "the HTTP server could not be started");
	}
	fd_watch_init(&endpoint->watch, listener->loop, endpoint_ready);
	fd_watch_set(&endpoint->watch, info->epoll_fd, WATCH_READ);
	timer_init(&endpoint->timer, listener->loop, endpoint_fired);
	endpoint->next = listener->endpoints;
	listener->endpoints = endpoint;
	return true;
}

bool listener_add_unix(struct listener *listener, const char *path, struct err *err)
{
	struct bound bound;

	return bind_unix(path, &bound, err) && endpoint_add(listener, &bound, path, err);
}

bool listener_add_tcp(struct listener *listener, const char *address, struct err *err)
{
	struct bound bound;

	return bind_tcp(address, &bound, err) && endpoint_add(listener, &bound, NULL, err);
}

/* No more connections on this socket; its file goes with it when it is still ours. */
static void endpoint_quiesce(struct endpoint *endpoint)
{
	int fd;

	if (endpoint->quiet)
		return;
	endpoint->quiet = true;
	if (endpoint->path && bound_is_at(&endpoint->bound, endpoint->path))
		unlink(endpoint->path); /* nothing that must survive: no sync */
	fd = MHD_quiesce_daemon(endpoint->daemon);
	if (fd >= 0)
		close(fd);
}

static void endpoint_free(struct endpoint *endpoint)
{
	endpoint_quiesce(endpoint);
	MHD_run(endpoint->daemon); /* what was replied gets its chance to be sent */
	fd_watch_release(&endpoint->watch);
	MHD_stop_daemon(endpoint->daemon);
	timer_release(&endpoint->timer);
	free(endpoint->path);
	free(endpoint);
}

static struct endpoint *listener_unix(const struct listener *listener)
{
	struct endpoint *endpoint = listener->endpoints;

	while (endpoint && (!endpoint->path || endpoint->quiet))
		endpoint = endpoint->next;
	return endpoint;
}

bool listener_unix_intact(const struct listener *listener)
{
	const struct endpoint *endpoint = listener_unix(listener);

	return !endpoint || bound_is_at(&endpoint->bound, endpoint->path);
}

/* Sockets that were given up and have no connection any more. */
static void listener_sweep(struct listener *listener)
{
	for (struct endpoint **at = &listener->endpoints; *at;) {
		struct endpoint *endpoint = *at;

		if (endpoint->quiet && endpoint_connections(endpoint) == 0) {
			*at = endpoint->next;
			endpoint_free(endpoint);
		} else {
			at = &endpoint->next;
		}
	}
}

bool listener_rebind_unix(struct listener *listener, struct err *err)
{
	struct endpoint *old = listener_unix(listener);

	if (!listener_add_unix(listener, old->path, err))
		return false;
	endpoint_quiesce(old);
	listener_sweep(listener);
	return true;
}

unsigned listener_port(const struct listener *listener)
{
	for (struct endpoint *endpoint = listener->endpoints; endpoint; endpoint = endpoint->next)
		if (!endpoint->path)
			return endpoint->bound.port;
	return 0;
}

void listener_quiesce(struct listener *listener)
{
	for (struct endpoint *endpoint = listener->endpoints; endpoint; endpoint = endpoint->next)
		endpoint_quiesce(endpoint);
}

unsigned listener_open(const struct listener *listener)
{
	return listener->open;
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	assert(listener->open == 0);
	for (struct exchange_detail *detail = listener->exchanges; detail; detail = detail->next)
		if (detail->state == STREAMING)
			exchange_stream_end(&detail->exchange);
	while (listener->endpoints) {
		struct endpoint *endpoint = listener->endpoints;

		listener->endpoints = endpoint->next;
		endpoint_free(endpoint);
	}
	assert(!listener->exchanges);
	free(listener);
}
