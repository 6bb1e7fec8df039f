/*
 * hook.c — asking the server, and what its answer means for PostgreSQL.
 *
 *   connect -> ask -> answer -> result        "working": ask again on the same connection
 *      ^         |
 *      +- the server closed (it was restarted): once more, then NO_SERVER
 *
 * Every wait is a poll with a deadline; there are no threads and no signals, so that an archive
 * module can run this inside PostgreSQL's archiver. Two clocks run: `silence` since the last byte
 * (the server hangs) and `total` since the first request (it works, but for too long).
 */
#include "hook/hook.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/place.h"
#include "base/str.h"
#include "answer.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/poison.h"

enum {
	REQUEST_BYTES_MAX = 60 * 1024, /* four paths of 4 kB, each byte as "%41" */
	PIECE_BYTES = 4096,
	PACE_MS = 100,      /* a server that says "working" at once is not asked in a tight loop */
	LAST_ASK_MS = 1000, /* `wait` has whole seconds: with less than that left there is no next
	                       question */
	CLOSED_MAX = 2,     /* closed without an answer so often in a row: it is no use */
};

/* How one exchange ended. */
enum outcome { OUTCOME_ANSWER, OUTCOME_BAD, OUTCOME_CLOSED, OUTCOME_SILENT, OUTCOME_LATE };

/* One call of hook_ask. */
struct talk {
	const struct hook_request *request;
	struct hook_answer *out;
	int fd;              /* -1: not connected */
	int64_t deadline_us; /* of all questions together */
	unsigned closed;     /* in a row */
	int connect_errno;   /* why connect(2) failed, 0 if it was something else */
	bool closing;        /* the server said that it closes the connection */
};

static int64_t left_ms(int64_t deadline_us)
{
	int64_t left_us = deadline_us - clock_mono_us();

	return left_us > 0 ? (left_us + 999) / 1000 : 0;
}

/* --- connect --- */

/* Only a server of our own user may say that a segment is safe; root may do anything anyway. */
static bool peer_is_ours(int fd, const char *path, struct err *err)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return err_sys(err, "could not see who serves socket \"%s\"", path);
	if (peer.uid == geteuid() || peer.uid == 0)
		return true;
	return err_set(err, ERR_REFUSED, "socket \"%s\" is served by user %u, not by user %u", path,
	               (unsigned)peer.uid, (unsigned)geteuid());
}

/* A blocking connect waits when the listen queue of a stopped server is full; the send timeout is
 * what bounds that (unix(7)). */
static bool connect_socket(struct talk *talk, struct err *err)
{
	const char *path = talk->request->socket;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int64_t wait_ms = MIN((int64_t)talk->request->silence_ms, left_ms(talk->deadline_us));
	struct timeval timeout = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
	AUTO_FD
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool failed;

	if (fd < 0)
		return err_sys(err, "could not make a socket");
	if (!str_copy(address.sun_path, sizeof(address.sun_path), path))
		return err_set(err, ERR_CONFIG, "the path of socket \"%s\" is too long", path);
	/* Zero would mean "for ever". */
	if (wait_ms > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return err_sys(err, "could not set up a socket");
	do { /* a signal of PostgreSQL's own, in the archive module: nothing was begun yet */
		failed = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0;
	} while (failed && errno == EINTR && left_ms(talk->deadline_us) > 0);
	if (failed) {
		talk->connect_errno = errno;
		return err_sys(err, "could not connect to socket \"%s\"", path);
	}
	if (!peer_is_ours(fd, path, err))
		return false;
	talk->fd = STEAL_FD(fd);
	return true;
}

static void talk_close(struct talk *talk)
{
	if (talk->fd >= 0)
		close(talk->fd);
	talk->fd = -1;
}

/* --- the request --- */

static void add_encoded(struct buf *buf, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                            "0123456789-._~/";

	for (; *text; text++) {
		if (strchr(plain, *text))
			buf_addc(buf, *text);
		else
			buf_addf(buf, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static void add_parameter(struct buf *buf, char before, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(buf, "%c%s=", before, name);
	add_encoded(buf, value);
}

static bool make_request(const struct hook_request *request, unsigned wait_s, struct buf *buf)
{
	bool push = request->verb == HOOK_PUSH;

	buf_addstr(buf, push ? "POST /v1/wal/push" : "POST /v1/wal/fetch");
	add_parameter(buf, '?', "data", request->data);
	if (!push)
		add_parameter(buf, '&', "name", request->name);
	add_parameter(buf, '&', "path", request->path);
	buf_addf(buf, "&wait=%u", wait_s);
	if (!push) {
		add_parameter(buf, '&', "cluster", request->cluster);
		add_parameter(buf, '&', "restore", request->restore);
	}
	buf_addstr(buf, " HTTP/1.1\r\nHost: seawall\r\nContent-Length: 0\r\n\r\n");
	return !buf->overflow;
}

/* --- one exchange --- */

/* Waits for events; false with the outcome when a clock has run out. */
static bool wait_for(const struct talk *talk, short events, enum outcome *ret)
{
	int64_t silent_us = clock_mono_us() + (int64_t)talk->request->silence_ms * 1000;
	struct pollfd watch = {.fd = talk->fd, .events = events};

	for (;;) {
		int64_t silence_ms = left_ms(silent_us), total_ms = left_ms(talk->deadline_us);
		int ready = poll(&watch, 1, (int)MIN(silence_ms, total_ms));

		if (ready > 0)
			return true;
		if (ready < 0 && errno != EINTR) {
			*ret = OUTCOME_CLOSED;
			return false;
		}
		if (left_ms(silent_us) > 0 && left_ms(talk->deadline_us) > 0)
			continue;
		*ret = left_ms(silent_us) > 0 ? OUTCOME_LATE : OUTCOME_SILENT;
		return false;
	}
}

/* A peer that closed early may have answered before: then the rest is not sent, but read. */
static bool send_request(const struct talk *talk, const struct buf *buf, enum outcome *ret)
{
	size_t sent = 0;

	while (sent < buf->length) {
		ssize_t n = send(talk->fd, buf->data + sent, buf->length - sent,
		                 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN) {
			if (!wait_for(talk, POLLOUT, ret))
				return false;
		} else if (errno != EINTR)
			return true;
	}
	return true;
}

static enum outcome read_answer(const struct talk *talk, struct answer *answer)
{
	char piece[PIECE_BYTES];
	enum outcome outcome;

	while (answer->state == ANSWER_HEAD || answer->state == ANSWER_BODY) {
		ssize_t n;

		if (!wait_for(talk, POLLIN, &outcome))
			return outcome;
		n = recv(talk->fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (n > 0)
			answer_feed(answer, piece, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return OUTCOME_CLOSED;
	}
	return answer->state == ANSWER_COMPLETE ? OUTCOME_ANSWER : OUTCOME_BAD;
}

/* --- what it means --- */

static const struct {
	const char *text;
	enum hook_result result;
	bool push, fetch;
} results[] = {
        {"stored", HOOK_STORED, true, false},
        {"delivered", HOOK_DELIVERED, false, true},
        {"absent", HOOK_ABSENT, false, true},
        {"failed", HOOK_FAILED, true, true},
};

/* True: this is the end. False: the server works on it. */
static bool judge(struct talk *talk, const struct answer *answer)
{
	struct hook_answer *out = talk->out;
	bool push = talk->request->verb == HOOK_PUSH;

	if (strcmp(answer->result, "working") == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LENGTH(results); i++)
		if (strcmp(answer->result, results[i].text) == 0 &&
		    (push ? results[i].push : results[i].fetch)) {
			out->result = results[i].result;
			return true;
		}
	out->result = HOOK_UNKNOWN;
	err_set(&out->err, ERR_NETWORK,
	        "the answer on socket \"%s\" is not understood: status %u, result \"%s\"",
	        talk->request->socket, answer->status, answer->result);
	err_hint(&out->err, "Check that the socket is the one of \"seawall serve\", and that both "
	                    "programs are of the same version.");
	return true;
}

/* Ends the talk with the reason why there is no answer. Always true. */
static bool give_up(struct talk *talk, enum outcome outcome, const char *why)
{
	struct hook_answer *out = talk->out;
	const char *socket = talk->request->socket;

	if (outcome == OUTCOME_CLOSED) {
		out->result = HOOK_NO_SERVER;
		err_set(&out->err, ERR_NETWORK,
		        "the server on socket \"%s\" closed the connection without an answer",
		        socket);
	} else if (outcome == OUTCOME_SILENT) {
		out->result = HOOK_HUNG;
		err_set(&out->err, ERR_TIMEOUT, "the server on socket \"%s\" was silent for %u ms",
		        socket, talk->request->silence_ms);
	} else if (outcome == OUTCOME_LATE) {
		out->result = HOOK_LATE;
		err_set(&out->err, ERR_TIMEOUT, "the server still works on file \"%s\" after %u ms",
		        path_name(talk->request->path), talk->request->total_ms);
	} else {
		out->result = HOOK_UNKNOWN;
		err_set(&out->err, ERR_NETWORK, "the answer on socket \"%s\" is not understood: %s",
		        socket, why);
	}
	return true;
}

/* One question and its answer. True: talk->out is final. */
static bool ask_once(struct talk *talk, unsigned wait_s)
{
	AUTO_BUF struct buf request;
	struct answer answer;
	enum outcome outcome = OUTCOME_CLOSED;
	bool final = false;

	buf_init(&request, REQUEST_BYTES_MAX);
	buf_clear(&talk->out->text);
	answer_init(&answer, &talk->out->text);
	if (!make_request(talk->request, wait_s, &request)) {
		talk->out->result = HOOK_UNKNOWN;
		final = true;
		err_set(&talk->out->err, ERR_USAGE, "the paths are too long for a request");
	} else if (send_request(talk, &request, &outcome)) {
		outcome = read_answer(talk, &answer);
	}
	if (!final && outcome == OUTCOME_ANSWER) {
		talk->closed = 0;
		talk->closing = answer.close;
		final = judge(talk, &answer);
	} else if (!final && (outcome != OUTCOME_CLOSED || ++talk->closed >= CLOSED_MAX)) {
		final = give_up(talk, outcome, answer.why);
	} else {
		talk->closing = true;
	}
	answer_release(&answer);
	return final;
}

/* False: nobody is there (talk->out is final). */
static bool talk_connect(struct talk *talk)
{
	struct hook_answer *out = talk->out;

	if (talk->fd >= 0)
		return true;
	talk->connect_errno = 0;
	if (connect_socket(talk, &out->err))
		return true;
	/* A listen queue that stays full belongs to a server that is stopped. */
	out->result = talk->connect_errno == EAGAIN ? HOOK_HUNG : HOOK_NO_SERVER;
	/* Plainly no server runs: nothing to complain about, and at every segment. */
	if (talk->connect_errno == ENOENT || talk->connect_errno == ECONNREFUSED)
		err_clear(&out->err);
	return false;
}

void hook_ask(const struct hook_request *request, struct hook_answer *ret)
{
	struct talk talk = {.request = request, .out = ret, .fd = -1};
	bool asked = false;

	*ret = (struct hook_answer){.result = HOOK_UNKNOWN};
	buf_init(&ret->text, HOOK_TEXT_BYTES_MAX);
	talk.deadline_us = clock_mono_us() + (int64_t)request->total_ms * 1000;
	while (talk_connect(&talk)) {
		int64_t began_us = clock_mono_us(), left = left_ms(talk.deadline_us), pace;

		if (asked && left < LAST_ASK_MS) {
			give_up(&talk, OUTCOME_LATE, NULL);
			break;
		}
		if (ask_once(&talk, (unsigned)MAX(1, MIN((int64_t)request->wait_s, left / 1000))))
			break;
		asked = true;
		if (talk.closing)
			talk_close(&talk);
		pace = PACE_MS - (clock_mono_us() - began_us) / 1000;
		if (talk.closed == 0 && pace > 0)
			poll(NULL, 0, (int)pace);
	}
	talk_close(&talk);
}

void hook_answer_release(struct hook_answer *answer)
{
	buf_release(&answer->text);
}

const char *hook_result_name(enum hook_result result)
{
	static const char *const names[] = {
#define X(name) #name,
	        HOOK_RESULTS(X)
#undef X
	};

	return names[result];
}
