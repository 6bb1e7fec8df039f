/*
 * http.c — libcurl's multi interface on the loop. The only file that knows libcurl.
 *
 *   START -> RUNNING -> done        woken by the end of the transfer, the stall timer, a cancel
 *
 * libcurl tells which sockets and which time it waits for (on_want_socket, on_want_timer); the loop
 * tells libcurl what happened (on_ready, on_timer), and after each such call the transfers that
 * ended are collected and their operations woken. A transfer's handle is removed in its operation's
 * step, so never inside a callback of libcurl's.
 *
 * The timer's milliseconds stay milliseconds: rounded down to seconds, "0.4 s" becomes "now" and
 * the loop spins.
 */
#include "net/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <strings.h>

#include "base/str.h"
#include "net/bucket.h"

#include "base/poison.h"

struct http_socket {
	struct fd_watch watch;
	struct http *http;
	curl_socket_t fd;
};

struct http {
	struct loop *loop;
	CURLM *multi;
	struct timer timer;
	unsigned running;
	struct bucket send, receive;
	struct http_request *paused; /* those that wait for a bucket, the oldest first */
	struct timer refill;
};

/* What libcurl moves at once. */
enum { HTTP_RECEIVE_BYTES = 256 * 1024, HTTP_SEND_BYTES = 256 * 1024 };

enum http_state { HTTP_START, HTTP_RUNNING };

static void http_over(struct http_request *request, CURLcode code)
{
	request->code = (int)code;
	request->over = true;
	op_wake(&request->op);
}

/* What ended: note how, and wake the operation. */
static void http_collect(struct http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct http_request *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		http_over(request, message->data.result);
	}
}

static void http_action(struct http *http, curl_socket_t fd, int events)
{
	int running;

	curl_multi_socket_action(http->multi, fd, events, &running);
	http_collect(http);
}

static void on_ready(struct fd_watch *watch, int events)
{
	struct http_socket *one = container_of(watch, struct http_socket, watch);

	http_action(one->http, one->fd,
	            (events & WATCH_READ ? CURL_CSELECT_IN : 0) |
	                    (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct timer *timer)
{
	http_action(container_of(timer, struct http, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned)
{
	struct http *http = context;
	struct http_socket *one = assigned;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (one) {
			fd_watch_release(&one->watch);
			free(one);
		}
		curl_multi_assign(http->multi, fd, NULL);
		return 0;
	}
	if (!one) {
		one = xcalloc(1, sizeof(*one));
		one->http = http;
		one->fd = fd;
		fd_watch_init(&one->watch, http->loop, on_ready);
		curl_multi_assign(http->multi, fd, one);
	}
	fd_watch_set(&one->watch, fd,
	             (what & CURL_POLL_IN ? WATCH_READ : 0) |
	                     (what & CURL_POLL_OUT ? WATCH_WRITE : 0));
	return 0;
}

static int on_want_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct http *http = context;

	(void)multi;
	if (timeout_ms < 0)
		timer_stop(&http->timer);
	else
		timer_set(&http->timer, timeout_ms);
	return 0;
}

/* ---- limits ---- */

enum { REFILL_MS = 20 };

/* The last in the queue: each passes a piece in its turn, and none starves. */
static void pause_request(struct http_request *request)
{
	struct http *http = request->http;
	struct http_request **at = &http->paused;

	if (request->paused)
		return;
	if (!http->paused)
		timer_set(&http->refill, REFILL_MS);
	while (*at)
		at = &(*at)->paused_next;
	*at = request;
	request->paused = true;
	request->paused_ms = loop_now_ms(http->loop);
	request->paused_next = NULL;
}

static void unpause_request(struct http_request *request)
{
	struct http_request **at = &request->http->paused;

	while (*at && *at != request)
		at = &(*at)->paused_next;
	if (*at)
		*at = request->paused_next;
	request->waited_ms = http_waited_ms(request);
	request->paused = false;
}

int64_t http_waited_ms(const struct http_request *request)
{
	return request->waited_ms +
	       (request->paused ? loop_now_ms(request->http->loop) - request->paused_ms : 0);
}

/* All go on and ask again; whose bucket is still empty pauses again. What libcurl had received
 * before the pause is handed over in this very call: when it is refused there, libcurl forgets the
 * transfer instead of ending it. */
static void on_refill(struct timer *timer)
{
	struct http *http = container_of(timer, struct http, refill);
	struct http_request *request = http->paused, *next;
	CURLcode code;

	http->paused = NULL;
	for (; request; request = next) {
		next = request->paused_next;
		request->waited_ms = http_waited_ms(request);
		request->paused = false;
		request->active_ms = loop_now_ms(http->loop);
		code = curl_easy_pause(request->easy, CURLPAUSE_CONT);
		if (code != CURLE_OK && !request->over) /* it may have ended in its pause */
			http_over(request, code);
	}
	http_collect(http);
}

void http_limit(struct http *http, uint64_t send_bytes, uint64_t receive_bytes)
{
	bucket_set(&http->send, send_bytes, loop_now_ms(http->loop));
	bucket_set(&http->receive, receive_bytes, loop_now_ms(http->loop));
}

struct http *http_new(struct loop *loop, unsigned connections_max)
{
	struct http *http = xcalloc(1, sizeof(*http));

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		abort(); /* out of memory, or a broken TLS library */
	http->loop = loop;
	http->multi = curl_multi_init();
	if (!http->multi)
		abort();
	timer_init(&http->timer, loop, on_timer);
	timer_init(&http->refill, loop, on_refill);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)connections_max);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	assert(http->running == 0);
	curl_multi_cleanup(http->multi);
	timer_release(&http->timer);
	timer_release(&http->refill);
	free(http);
	curl_global_cleanup();
}

/* What libcurl asks of a request. */

static size_t on_body(char *bytes, size_t one, size_t count, void *context)
{
	struct http_request *request = context;
	size_t length = one * count;
	uint64_t max = request->answer_max ? request->answer_max : HTTP_ANSWER_MAX;
	long status = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	request->status = (unsigned)status;
	request->active_ms = loop_now_ms(request->http->loop);
	if (!bucket_open(&request->http->receive, request->active_ms)) {
		pause_request(request);
		return CURL_WRITEFUNC_PAUSE; /* the same bytes come again */
	}
	bucket_take(&request->http->receive, length);
	request->got += length;
	if ((!request->take || request->answer_max) && request->got > max) {
		err_set(&request->op.err, ERR_NETWORK,
		        "the answer is longer than %llu bytes, the most that is accepted",
		        (unsigned long long)max);
		return 0;
	}
	if (!request->take)
		return buf_add(&request->answer, bytes, length) ? length : 0;
	if (length > 0 && !request->take(request, bytes, length, &request->op.err)) {
		assert(err_is(&request->op.err));
		return 0;
	}
	return length;
}

/* Keeps "name: value" lines, each ended by a NUL; a new status line (after a 100) begins again. */
static size_t on_header(char *bytes, size_t one, size_t count, void *context)
{
	struct http_request *request = context;
	size_t length = one * count, text = length;

	request->active_ms = loop_now_ms(request->http->loop);
	if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
		buf_clear(&request->headers);
		request->complete = false;
	}
	while (text > 0 && (bytes[text - 1] == '\r' || bytes[text - 1] == '\n'))
		text--;
	if (text == 0)
		request->complete = true;
	if (text == 0 || memchr(bytes, '\0', text))
		return length;
	buf_add(&request->headers, bytes, text);
	buf_addc(&request->headers, '\0');
	if (!request->headers.overflow)
		return length;
	err_set(&request->op.err, ERR_NETWORK, "the answer's headers are longer than %d bytes",
	        HTTP_HEADERS_MAX);
	return 0;
}

static size_t on_send(char *out, size_t one, size_t count, void *context)
{
	struct http_request *request = context;
	uint64_t left = request->body_bytes - request->sent;
	size_t length = (size_t)MIN((uint64_t)(one * count), left);

	request->active_ms = loop_now_ms(request->http->loop);
	if (length == 0)
		return 0;
	if (!bucket_open(&request->http->send, request->active_ms)) {
		pause_request(request);
		return CURL_READFUNC_PAUSE;
	}
	if (request->give) {
		length = request->give(request, request->sent, out, length);
		if (length == 0)
			return CURL_READFUNC_ABORT;
	} else {
		memcpy(out, (const char *)request->body + request->sent, length);
	}
	bucket_take(&request->http->send, length);
	request->sent += length;
	return length;
}

/* A kept connection broke off after the body was sent, and libcurl would send it again by itself.
 * The request may have taken effect, which who asked must know before it is repeated: a create-only
 * put would be told that its own object is another's. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
	struct http_request *request = context;

	if (origin == SEEK_SET && offset == 0 && request->sent == 0)
		return CURL_SEEKFUNC_OK;
	err_set(&request->op.err, ERR_NETWORK, "the connection ended before the answer came");
	return CURL_SEEKFUNC_FAIL;
}

const char *http_header(const struct http_request *request, const char *name)
{
	size_t name_length = strlen(name);
	const char *at = request->headers.data, *end;

	if (!at)
		return NULL;
	for (end = at + request->headers.length; at < end; at += strlen(at) + 1)
		if (strncasecmp(at, name, name_length) == 0 && at[name_length] == ':') {
			at += name_length + 1;
			return at + strspn(at, " \t");
		}
	return NULL;
}

/* The operation. */

static void stall_fired(struct timer *timer)
{
	struct http_request *request = container_of(timer, struct http_request, timer);
	int64_t quiet_ms =
	        request->paused ? 0 : loop_now_ms(request->http->loop) - request->active_ms;

	if (quiet_ms < request->stall_ms)
		return timer_set(timer, request->stall_ms - quiet_ms);
	request->stalled = true;
	op_wake(&request->op);
}

static void request_method(struct http_request *request)
{
	const char *method = request->method ? request->method : "GET";
	CURL *easy = request->easy;
	curl_off_t bytes = (curl_off_t)request->body_bytes;

	if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (strcmp(method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, bytes);
	} else if (strcmp(method, "PUT") == 0) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, bytes);
	} else {
		assert(bytes == 0);
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
		if (strcmp(method, "GET") != 0)
			curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
		return;
	}
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(easy, CURLOPT_READDATA, request);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, request);
}

static void request_headers(struct http_request *request)
{
	struct curl_slist *list = NULL;

	/* no "Expect: 100-continue": it costs a round trip, or a second with a peer that ignores it
	 */
	list = curl_slist_append(list, "Expect:");
	for (const char *const *header = request->header; header && *header; header++)
		list = curl_slist_append(list, *header);
	request->header_list = list;
	curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, list);
}

static void request_where(struct http_request *request)
{
	CURL *easy = request->easy;

	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	if (request->direct)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* what is signed is what is sent */
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)HTTP_RECEIVE_BYTES);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)HTTP_SEND_BYTES);
	if (request->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
	if (request->fresh)
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	if (!request->unix_socket)
		return;
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
}

static void request_begin(struct http_request *request)
{
	CURL *easy = curl_easy_init();

	if (!easy)
		abort();
	request->easy = easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->reason);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A request that ends while its host's name is looked up leaves the thread that does so
	 * behind; else libcurl waits for it, and with it the whole loop, as long as a name server
	 * is silent. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	request_where(request);
	request_method(request);
	request_headers(request);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
	if (request->whole_ms > 0)
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->whole_ms);
	request->active_ms = loop_now_ms(request->http->loop);
	timer_init(&request->timer, request->http->loop, stall_fired);
	timer_set(&request->timer, request->stall_ms);
	request->http->running++;
	curl_multi_add_handle(request->http->multi, easy);
}

/* Gives back the handle; what is known about the answer stays. */
static void request_end(struct http_request *request)
{
	long status = 0;

	if (!request->easy)
		return;
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	request->status = (unsigned)status;
	unpause_request(request);
	curl_multi_remove_handle(request->http->multi, request->easy);
	curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->header_list);
	request->easy = request->header_list = NULL;
	timer_release(&request->timer);
	request->http->running--;
}

/* Another try would end in the same way. */
static bool code_means_distrust(int code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
	       code == CURLE_SSL_ISSUER_ERROR;
}

static enum err_code code_error(int code)
{
	if (code == CURLE_OPERATION_TIMEDOUT)
		return ERR_TIMEOUT;
	return code_means_distrust(code) ? ERR_STORE : ERR_NETWORK;
}

static void request_failed(struct http_request *request)
{
	const char *where = request->unix_socket ? request->unix_socket : request->url;

	str_clean(request->reason);
	if (!err_is(&request->op.err))
		err_set(&request->op.err, code_error(request->code), "%s",
		        request->reason[0] ? request->reason
		                           : curl_easy_strerror((CURLcode)request->code));
	err_wrap(&request->op.err, "no answer from \"%s\"", where);
	if (code_means_distrust(request->code))
		err_hint(&request->op.err,
		         "The certificate is of another host, or of an authority that "
		         "is not in \"ca_file\" (the system's, unless given).");
	if (request->code == CURLE_SSL_CONNECT_ERROR)
		err_hint(&request->op.err,
		         "What answers there may not speak TLS on that port: is it "
		         "http in place of https?");
	op_fail_own(&request->op);
}

static bool code_means_nobody(int code)
{
	return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
	       code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_URL_MALFORMAT;
}

static void request_step(struct op *op)
{
	struct http_request *request = container_of(op, struct http_request, op);
	curl_off_t connected = 0;

	if (op->state == HTTP_START && !op->cancelled) {
		request_begin(request);
		return op_wait(op, HTTP_RUNNING);
	}
	if (!request->over && !request->stalled && !op->cancelled)
		return op_wait(op, HTTP_RUNNING);
	if (request->easy)
		curl_easy_getinfo(request->easy, CURLINFO_CONNECT_TIME_T, &connected);
	request->reached = request->over && request->code != CURLE_OPERATION_TIMEDOUT
	                           ? !code_means_nobody(request->code)
	                           : connected > 0;
	request_end(request);
	if (request->over && request->code == CURLE_OK && request->complete)
		return op_done(op);
	if (request->over && request->code == CURLE_OK) /* libcurl lets this pass */
		err_set(&op->err, ERR_NETWORK, "it broke off inside its headers");
	if (request->over)
		return request_failed(request);
	if (op->cancelled)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	op_fail_as(op, ERR_TIMEOUT, "no byte from \"%s\" for %lld ms",
	           request->unix_socket ? request->unix_socket : request->url,
	           (long long)request->stall_ms);
}

static void request_cancel(struct op *op)
{
	op_wake(op);
}

static const char *request_state_name(int state)
{
	return state == HTTP_START ? "START" : "RUNNING";
}

static const struct op_type request_type = {.name = "http",
                                            .step = request_step,
                                            .cancel = request_cancel,
                                            .state_name = request_state_name};

void http_start(struct op *parent, struct http_request *request, struct http *http)
{
	assert(request->url);
	request->http = http;
	if (request->connect_ms <= 0)
		request->connect_ms = HTTP_CONNECT_MS;
	if (request->stall_ms <= 0)
		request->stall_ms = HTTP_STALL_MS;
	buf_init(&request->answer,
	         (size_t)(request->answer_max ? request->answer_max : HTTP_ANSWER_MAX) + 1);
	buf_init(&request->headers, HTTP_HEADERS_MAX);
	op_start(parent, &request->op, &request_type);
}

void http_release(struct http_request *request)
{
	if (!request->http)
		return;
	assert(!request->easy);
	buf_release(&request->answer);
	buf_release(&request->headers);
}

void http_escape(struct buf *out, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                            "0123456789-._~/";

	for (; *text; text++)
		if (strchr(plain, *text))
			buf_addc(out, *text);
		else
			buf_addf(out, "%%%02X", (unsigned char)*text);
}
