/*
 * s3_peer.h — a scripted S3: each answer is given once, in order, on a connection that is closed
 * behind it; and a store that speaks to it.
 */
#ifndef TESTS_UNIT_STORE_S3_PEER_H
#define TESTS_UNIT_STORE_S3_PEER_H

#include "store/place.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "unit/base/loopback.h"

enum { SEEN_MAX = 16, SEEN_BYTES = 4096, ANSWERS_MAX = 16 };

struct peer {
	char *answer[ANSWERS_MAX]; /* owned: a whole answer; "": none, the connection is closed */
	unsigned answers;
	_Atomic unsigned given; /* the peer may still be at one that was given up */
	char seen[SEEN_MAX][SEEN_BYTES];
	struct loopback net;
	struct loop *loop;
	struct store *store;
	struct err err; /* of the last operation */
	struct timer timer;
	bool lifted;
	const char *rewrites, *rewritten; /* a file that becomes another before an answer */
	bool anywhere;          /* the configuration names no region, the environment "here" */
	const char *host;       /* as the configuration names it; NULL: its address */
	const char *url;        /* NULL: s3://bucket/root */
	const char *aws_region; /* no endpoint: S3's own of this region */
	enum store_kind kind;   /* of what is put */
};

/* The head, and the body as its Content-Length says. */
static inline bool peer_read(char *seen, int fd)
{
	size_t have = 0;

	for (;;) {
		char *end, *length;
		ssize_t got;

		seen[have] = '\0';
		end = strstr(seen, "\r\n\r\n");
		length = strcasestr(seen, "content-length: ");
		if (end && have >= (size_t)(end + 4 - seen) +
		                           (length ? strtoul(length + 16, NULL, 10) : 0))
			return true;
		got = read(fd, seen + have, SEEN_BYTES - 1 - have);
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
}

static inline void *peer_main(void *context)
{
	struct peer *peer = context;

	for (int fd; (fd = loopback_accept(&peer->net)) >= 0; close(fd)) {
		const char *answer;

		if (peer->given < SEEN_MAX && peer_read(peer->seen[peer->given], fd)) {
			answer = peer->given < peer->answers ? peer->answer[peer->given] : "";
			if (peer->given++ == 0 && peer->rewrites)
				(void)rename(peer->rewrites, peer->rewritten);
			(void)send(fd, answer, strlen(answer), MSG_NOSIGNAL);
		}
	}
	return NULL;
}

static inline int begin(void **state)
{
	struct peer *peer = *state = xcalloc(1, sizeof(*peer));

	setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "very-secret", 1);
	setenv("no_proxy", "127.0.0.1,localhost", 1);
	setenv("AWS_REGION", "here", 1);
	loopback_open(&peer->net);
	return 0;
}

static inline int end(void **state)
{
	struct peer *peer = *state;

	if (peer->store) {
		store_close(peer->store);
		loop_free(peer->loop);
		loopback_stop(&peer->net);
	}
	loopback_close(&peer->net);
	for (unsigned i = 0; i < ANSWERS_MAX; i++)
		free(peer->answer[i]);
	free(peer);
	return 0;
}

/* Begins: with these answers, and settings beside the endpoint. */
static inline struct store *serve_with(struct peer *peer, struct store_s3 s3, unsigned count,
                                       const char *const *answer)
{
	char endpoint[64];

	assert_true(count <= ANSWERS_MAX);
	for (unsigned i = 0; i < count; i++)
		peer->answer[i] = xstrdup(answer[i]);
	peer->answers = count;
	snprintf(endpoint, sizeof(endpoint), "http://%s:%u", peer->host ? peer->host : "127.0.0.1",
	         peer->net.port);
	s3.endpoint = peer->aws_region ? NULL : endpoint;
	s3.region = peer->anywhere ? NULL : peer->aws_region ? peer->aws_region : "here";
	peer->loop = loop_new(&(struct loop_options){.workers = 1});
	peer->store =
	        open_place_s3(peer->loop, peer->url ? peer->url : "s3://bucket/root", true, &s3);
	loopback_serve(&peer->net, peer_main, peer);
	return peer->store;
}
#define SERVE(peer, ...)                                                                           \
	serve_with(peer, (struct store_s3){0},                                                     \
	           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                    \
	           (const char *const[]){__VA_ARGS__})

#define OK         "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 0\r\n\r\n"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"
#define ERROR_BODY(code)                                                                           \
	"<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>because</Message>"            \
	"<RequestId>tx-42</RequestId></Error>"
/* Without Content-Length: the connection's end is the body's. */
#define ANSWER(status, headers, body) "HTTP/1.1 " status "\r\n" headers "\r\n" body
#define FAULT(status, code)           ANSWER(status, "", ERROR_BODY(code))
#define PAGE_OF_NOTHING                                                                            \
	ANSWER("200 OK", "",                                                                       \
	       "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
#define NO_KEY FAULT("404 Not Found", "NoSuchKey")
#define RANGE(first, last, total, body)                                                            \
	ANSWER("206 Partial Content", "Content-Range: bytes " first "-" last "/" total "\r\n", body)

static inline enum err_code put(struct peer *peer, const char *text, int64_t deadline_ms)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct store_put request = {.store = peer->store,
	                            .name = "a/b",
	                            .piece = &piece,
	                            .pieces = 1,
	                            .kind = peer->kind,
	                            .deadline_ms = deadline_ms};

	RUN(peer->loop, store_put_start, &request);
	peer->err = request.op.err;
	return request.op.err.code;
}

static inline enum err_code get(struct peer *peer, uint64_t length, struct buf *ret,
                                int64_t deadline_ms)
{
	uint8_t *block = xmalloc(BLOCK_BYTES);
	struct store_get request = {.store = peer->store,
	                            .name = "a/b",
	                            .length = length,
	                            .block = &block,
	                            .blocks = 1,
	                            .deadline_ms = deadline_ms};

	RUN(peer->loop, store_get_start, &request);
	buf_clear(ret);
	buf_add(ret, block, request.got);
	free(block);
	peer->err = request.op.err;
	return request.op.err.code;
}

/* What needs an answer before a deadline: false when there was none, which with a quarter of the
 * time is the fault of a busy machine alone, if it goes well with more. times: how much more. */
typedef bool peer_try(struct peer *peer, int64_t times);

enum { TIMES_MAX = 256 };

static inline void in_time(peer_try *try)
{
	for (int64_t times = 1;; times *= 4) {
		struct peer *peer;
		bool done;

		begin((void **)&peer);
		done = try(peer, times);
		end((void **)&peer);
		if (done)
			return;
		assert_true(times < TIMES_MAX);
	}
}

static inline void assert_said(const struct err *err, const char *part)
{
	if (!strstr(err->text, part) && !strstr(err->hint, part))
		fail_msg("\"%s\" is missing in: %s\n%s", part, err->text, err->hint);
}

#endif
