/*
 * http.h — HTTP requests on the loop, as operations (libcurl behind, not seen).
 *
 * One attempt each: no retry, no redirect, no log. Whatever the peer sends is bounded: its headers
 * by HTTP_HEADERS_MAX, its body by answer_max or by what take() accepts. An answer with any status
 * is success; the caller judges the status.
 *
 * Errors: ERR_NETWORK (no connection, broken off, not HTTP, too much), ERR_TIMEOUT, ERR_CANCELLED,
 * or what take() said. `reached` tells whether there was a peer at all.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/buf.h"
#include "loop/loop.h"

enum {
	HTTP_HEADERS_MAX = 32 * 1024,  /* of an answer, all together */
	HTTP_ANSWER_MAX = 1024 * 1024, /* default of answer_max */
	HTTP_CONNECT_MS = 10000,       /* defaults of the deadlines */
	HTTP_STALL_MS = 60000,
	HTTP_REASON_BYTES = 256,
};

/* The requests of a process share its connections. */
struct http;
struct http *http_new(struct loop *loop, unsigned connections_max);
/* No request may be running. NULL is fine. */
void http_free(struct http *http);

/* Bytes per second of all bodies together, sent and received; 0: no limit. At any time, also for
 * requests under way. Waiting for their turn is no stall, but the limit of the whole goes on. */
void http_limit(struct http *http, uint64_t send_bytes, uint64_t receive_bytes);

struct http_request {
	struct op op;
	/* in; what it points to must stay until the end */
	const char *method; /* "GET", "HEAD", "POST", "PUT", "DELETE" …; NULL: GET */
	const char *url;
	const char *unix_socket;   /* its path; NULL: over the network */
	bool direct;               /* not through the proxy of the environment */
	const char *ca_file;       /* who may vouch for an https peer; NULL: the system's */
	bool fresh;                /* on a connection of its own, none that was kept */
	const char *const *header; /* "Name: value" …, NULL-terminated; may be NULL */
	const void *body;          /* body_bytes of it; POST and PUT only */
	uint64_t body_bytes;
	/* Instead of body: copies up to length bytes from offset, returns how many (0 fails). */
	size_t (*give)(struct http_request *request, uint64_t offset, void *out, size_t length);
	/* Instead of `answer`: called with each piece of the body; status and headers are there.
	 * False (err filled) ends the request. It starts and ends no request. */
	bool (*take)(struct http_request *request, const void *bytes, size_t length,
	             struct err *err);
	void *context;       /* the caller's */
	uint64_t answer_max; /* 0: HTTP_ANSWER_MAX; with take, 0 is no limit */
	/* 0: the defaults above; no limit as a whole. Of a header, only whole lines count as life.
	 */
	int64_t connect_ms, stall_ms, whole_ms;
	/* out */
	unsigned status;   /* 0: no answer came */
	struct buf answer; /* the body */
	bool reached;      /* a connection was made */
	/* private */
	struct http *http;
	struct buf headers;
	void *easy, *header_list;
	struct timer timer;
	uint64_t sent, got;
	int64_t active_ms;
	bool stalled, over, complete; /* complete: the headers are */
	bool paused;                  /* until the limit lets it go on */
	int64_t paused_ms, waited_ms; /* since when; how long before that */
	struct http_request *paused_next;
	int code;
	char reason[HTTP_REASON_BYTES];
};

/* request's "in" fields are set, all else zero-filled. Ends with the answer. */
void http_start(struct op *parent, struct http_request *request, struct http *http);
/* The value of an answer's header, or NULL; names in any case. The first one counts. */
const char *http_header(const struct http_request *request, const char *name);
/* How long it has waited for its turn, of the limit. Safe on one that never started. */
int64_t http_waited_ms(const struct http_request *request);
/* Safe on one that never started; not while it runs. */
void http_release(struct http_request *request);

/* Adds text with everything escaped but unreserved characters and '/': for a query's values. */
void http_escape(struct buf *out, const char *text);

#endif
