/*
 * listener.h — HTTP answers on the loop (libmicrohttpd behind, not seen): sockets, a table of
 * routes, one exchange for each request.
 *
 * A Unix socket is bound with mode 0600, and its peer must be our own user (else 403). A TCP
 * address must be loopback; only routes with ROUTE_VIEW answer there. Requests are bounded: head 32
 * KiB, body EXCHANGE_BODY_MAX, connections LISTENER_CONNECTIONS_MAX.
 *
 * A handler is called when the whole request is there, and replies then or later, once. Until it
 * has replied the exchange is its own; a client that went away meanwhile changes nothing.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "base/buf.h"
#include "loop/loop.h"

enum {
	EXCHANGE_BODY_MAX = 64 * 1024,
	EXCHANGE_PARTS_MAX = 4,    /* '*' in a route */
	EXCHANGE_PART_BYTES = 128, /* longest text for one */
	LISTENER_CONNECTIONS_MAX = 128,
	LISTENER_IDLE_S = 60, /* a connection without a request ends */
};

struct listener;
struct exchange;

enum { ROUTE_VIEW = 1 }; /* changes nothing: also over TCP */

struct route {
	const char *method;
	const char *path; /* "/v1/jobs/" "*" "/cancel": '*' stands for one component */
	void (*serve)(struct exchange *exchange);
	unsigned flags;
};

/* routes ends with a row without a method; both must stay. context is for the handlers. */
struct listener *listener_new(struct loop *loop, const struct route *routes, void *context);
/* Binds and listens. A socket file that nobody serves is replaced; one that is served is
 * ERR_REFUSED, with the number of the process. */
MUST_USE bool listener_add_unix(struct listener *listener, const char *path, struct err *err);
/* "127.0.0.1:7413", "[::1]:7413"; other addresses are ERR_CONFIG, a port in use ERR_IO. */
MUST_USE bool listener_add_tcp(struct listener *listener, const char *address, struct err *err);
/* Whether the socket file at path is still the one that was bound; bind again when it is not (the
 * folder may have been deleted). Connections of the old one go on. */
bool listener_unix_intact(const struct listener *listener);
MUST_USE bool listener_rebind_unix(struct listener *listener, struct err *err);
/* The port of the TCP address (for port 0, in tests); 0: none. */
unsigned listener_port(const struct listener *listener);
/* No new connections from now on; the socket file is removed. What is open may reply. */
void listener_quiesce(struct listener *listener);
/* Exchanges that wait for their reply (streams do not count). */
unsigned listener_open(const struct listener *listener);
/* Ends all connections. No exchange may wait for its reply. NULL is fine. */
void listener_free(struct listener *listener);

/* ---- a request ---- */
struct exchange {
	struct listener *listener;
	void *context; /* the listener's */
	const struct route *route;
	struct buf body;
	void *user; /* the handler's */
	/* Only for streams: called once when the stream has ended, by whom ever; then exchange is
	 * no more. May be NULL. */
	void (*stream_ended)(struct exchange *exchange);
	char part[EXCHANGE_PARTS_MAX][EXCHANGE_PART_BYTES];
	struct exchange_detail *detail;
};
/* The value of ?name=…, decoded, or NULL; valid until the reply. */
const char *exchange_query(const struct exchange *exchange, const char *name);
const char *exchange_header(const struct exchange *exchange, const char *name);

/* ---- its reply: exactly one of these, once ---- */
/* A header for the reply; before it. Values are cut to one clean line. */
void exchange_add_header(struct exchange *exchange, const char *name, const char *value);
void exchange_reply(struct exchange *exchange, unsigned status, const char *type,
                    const struct buf *body);
/* The error's lines as text, and a status that fits its code. */
void exchange_reply_error(struct exchange *exchange, const struct err *err);
unsigned exchange_status_of(const struct err *err);
/* Begins a body whose end is not known (server-sent events); stream_send appends, at any time from
 * the loop; what the client does not take is bounded: beyond STREAM_BEHIND_MAX it is dropped and
 * the connection ends. */
enum { STREAM_BEHIND_MAX = 256 * 1024 };
void exchange_stream(struct exchange *exchange, const char *type);
void exchange_stream_send(struct exchange *exchange, const struct buf *bytes);
void exchange_stream_end(struct exchange *exchange); /* after what was sent */

#endif
