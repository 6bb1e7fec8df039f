/*
 * s3_cause_test.c — what is said of a store that refuses, is busy, silent or slow, word by word:
 * the store, the object, what was done, the status, the store's code and request id, and what is
 * probably the cause; and what of it is tried again.
 */
#include "s3_peer.h"

#include "../../../src/store/s3.h"

enum { SOON_MS = 10 * 1000 };

static int64_t now_ms(void)
{
	return clock_mono_us() / 1000;
}

/* ---- causes ---- */

#define KEY                                                                                        \
	"The key is wrong: look at \"access_key\" and \"secret_key_file\", or at what the "        \
	"environment says."
#define RIGHT                                                                                      \
	"The key may not do that: it needs s3:GetObject, s3:PutObject and s3:DeleteObject on the " \
	"objects, and s3:ListBucket on the bucket."
#define SLOW "The store asks for fewer requests (throttled)."

struct cause {
	const char *status, *headers, *code; /* what the store answers; code NULL: no body */
	enum err_code is;                    /* ERR_NETWORK: tried until time is up */
	const char *hint;                    /* the whole; "": none */
};

static const struct cause causes[] = {
        /* the key */
        {"403 Forbidden", "", "SignatureDoesNotMatch", ERR_STORE, KEY},
        {"403 Forbidden", "", "InvalidAccessKeyId", ERR_STORE, KEY},
        {"400 Bad Request", "", "InvalidToken", ERR_STORE, KEY},
        {"403 Forbidden", "", "AccessDenied", ERR_STORE, RIGHT},
        {"403 Forbidden", "", "AllAccessDisabled", ERR_STORE, RIGHT},
        {"403 Forbidden", "", "AccountProblem", ERR_STORE, RIGHT},
        {"403 Forbidden", "", NULL, ERR_STORE, RIGHT},
        {"403 Forbidden", "", "NeverHeardOf", ERR_STORE, RIGHT},
        /* the bucket */
        {"404 Not Found", "", "NoSuchBucket", ERR_STORE,
         "Make the bucket, or correct \"url\" or \"endpoint\"."},
        /* the region */
        {"400 Bad Request", "", "AuthorizationHeaderMalformed", ERR_STORE,
         "\"region\" is probably wrong."},
        {"400 Bad Request", "x-amz-bucket-region: moon-1\r\n", "AuthorizationHeaderMalformed",
         ERR_STORE,
         "The bucket is in region \"moon-1\", not in \"here\": set \"region = moon-1\"."},
        {"400 Bad Request", "", "IllegalLocationConstraintException", ERR_STORE,
         "\"region\" is probably wrong."},
        {"301 Moved Permanently", "", "PermanentRedirect", ERR_STORE,
         "\"region\" or \"endpoint\" is probably wrong."},
        {"307 Temporary Redirect", "", "TemporaryRedirect", ERR_NETWORK,
         "\"endpoint\" is probably wrong."},
        /* throttled */
        {"503 Slow Down", "", "SlowDown", ERR_NETWORK, SLOW},
        {"503 Slow Down", "", NULL, ERR_NETWORK, SLOW},
        {"429 Too Many Requests", "", NULL, ERR_NETWORK, SLOW},
        {"400 Bad Request", "", "Throttling", ERR_NETWORK, SLOW},
        {"400 Bad Request", "", "ThrottlingException", ERR_NETWORK, SLOW},
        {"400 Bad Request", "", "RequestLimitExceeded", ERR_NETWORK, SLOW},
        {"400 Bad Request", "", "TooManyRequests", ERR_NETWORK, SLOW},
        {"400 Bad Request", "", "BandwidthLimitExceeded", ERR_NETWORK, SLOW},
        /* the way there, the store itself */
        {"400 Bad Request", "", "BadDigest", ERR_NETWORK, "The bytes were changed on their way."},
        {"400 Bad Request", "", "XAmzContentSHA256Mismatch", ERR_NETWORK,
         "The bytes were changed on their way."},
        {"400 Bad Request", "", "IncompleteBody", ERR_NETWORK, ""},
        {"400 Bad Request", "", "RequestTimeout", ERR_NETWORK, ""},
        {"500 Internal Server Error", "", "InternalError", ERR_NETWORK, ""},
        {"409 Conflict", "", "OperationAborted", ERR_NETWORK, ""},
        {"409 Conflict", "", "ConditionalRequestConflict", ERR_NETWORK, ""},
        {"200 OK", "", "InternalError", ERR_NETWORK, ""},
        /* what was asked for */
        {"400 Bad Request", "", "InvalidStorageClass", ERR_STORE,
         "The store does not know this \"storage_class\"."},
        {"400 Bad Request", "", "InvalidArgument", ERR_STORE,
         "The store does not take something that is asked for: look at \"storage_class\", "
         "\"sse\" and \"object_lock\", if they are set."},
        {"403 Forbidden", "", "InvalidObjectState", ERR_STORE,
         "The object is in an archive class; restore it in the store first."},
        {"501 Not Implemented", "", "NotImplemented", ERR_STORE,
         "The store does not know this kind of request."},
        {"400 Bad Request", "", "ObjectLockConfigurationNotFoundError", ERR_STORE,
         "The bucket was made without object lock."},
        {"403 Forbidden", "", "QuotaExceeded", ERR_FULL, "The store's quota is used up."},
        {"400 Bad Request", "", "EntityTooLarge", ERR_STORE, ""},
};

/* "… answered 403 AccessDenied "because", request id tx-42", in the store, of the object. */
static void assert_told(const struct peer *peer, const struct cause *cause, int64_t deadline_ms)
{
	unsigned status = (unsigned)strtoul(cause->status, NULL, 10);
	AUTO_FREE char *why = xasprintf(
	        "http://127.0.0.1:%u answered %u%s%s%s", peer->net.port, status,
	        cause->code ? " " : "", cause->code ? cause->code : "",
	        cause->code ? " \"because\", request id tx-42" : ", request id tx-header");
	AUTO_FREE char *tried = xasprintf("gave up after %llu attempts in %lld ms\n",
	                                  (unsigned long long)store_counts(peer->store)->puts,
	                                  (long long)deadline_ms);
	AUTO_FREE char *wanted =
	        xasprintf("could not store object \"a/b\" in repository \"test\"\n%s%s",
	                  cause->is == ERR_NETWORK ? tried : "", why);

	if (peer->err.code != cause->is || strcmp(peer->err.text, wanted) != 0 ||
	    strcmp(peer->err.hint, cause->hint) != 0)
		fail_msg("%s %s: %s\n%s\n--- instead of: %s\n%s", cause->status,
		         cause->code ? cause->code : "", peer->err.text, peer->err.hint, wanted,
		         cause->hint);
	assert_int_equal(store_counts(peer->store)->retries > 0, cause->is == ERR_NETWORK);
}

/* False: the machine was too busy for an answer in that time. */
static bool is_told(const struct cause *cause, int64_t deadline_ms)
{
	AUTO_FREE char *body = cause->code ? xasprintf(ERROR_BODY("%s"), cause->code) : xstrdup("");
	AUTO_FREE char *answer =
	        xasprintf("HTTP/1.1 %s\r\n%s%s\r\n%s", cause->status, cause->headers,
	                  cause->code ? "" : "x-amz-request-id: tx-header\r\n", body);
	const char *answers[ANSWERS_MAX];
	struct peer *peer;
	bool answered;

	for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
		answers[i] = answer;
	begin((void **)&peer);
	serve_with(peer, (struct store_s3){0}, ARRAY_LENGTH(answers), answers);
	put(peer, "text", deadline_ms);
	answered = cause->is != ERR_NETWORK || store_counts(peer->store)->retries > 0 ||
	           deadline_ms >= SOON_MS;
	if (answered)
		assert_told(peer, cause, deadline_ms);
	end((void **)&peer);
	return answered;
}

static void every_cause_is_told_in_full(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(causes); i++) {
		int64_t deadline_ms = causes[i].is == ERR_NETWORK ? 150 : SOON_MS;

		while (!is_told(&causes[i], deadline_ms))
			deadline_ms *= 2;
	}
}

/* Its first 40 bytes are all that came. */
static void d03_a_200_whose_error_was_cut_off_is_not_believed(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, ANSWER("200 OK", "Content-Length: 40\r\n", ERROR_BODY("InternalError")), OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 2);
}

static bool nobody(struct peer *peer, int64_t times)
{
	close(peer->net.listener); /* so that this port is nobody's */
	peer->net.listener = dup(peer->net.stop[0]);
	SERVE(peer, OK);
	assert_int_equal(put(peer, "text", 300 * times), ERR_NETWORK);
	assert_said(&peer->err, "could not store object \"a/b\" in repository \"test\"");
	if (!strstr(peer->err.text, "no answer from"))
		return false;
	assert_said(&peer->err, "/bucket/root/a/b\"");
	assert_said(&peer->err, "no answer from \"http://127.0.0.1:");
	assert_string_equal(
	        peer->err.hint,
	        "Nobody was reached there: look at \"endpoint\", at the network, and at "
	        "firewalls and proxies on the way.");
	return true;
}

static void nobody_there_is_told_with_where_to_look(void **state)
{
	(void)state;
	in_time(nobody);
}

static bool broken(struct peer *peer, int64_t times)
{
	SERVE(peer, "", "", "", "", "", "", "", "");
	assert_int_equal(put(peer, "text", 300 * times), ERR_NETWORK);
	if (peer->given < 2 || store_counts(peer->store)->retries == 0)
		return false;
	assert_said(&peer->err, "no answer from \"http://127.0.0.1:");
	assert_string_equal(peer->err.hint, "The network is probably bad, or the store overloaded: "
	                                    "the transfer stalled or broke off.");
	return true;
}

static void a_connection_that_breaks_is_told_to_be_the_networks(void **state)
{
	(void)state;
	in_time(broken);
}

/* ---- a stall ---- */

/* Answers on two connections and keeps them. The next request it does not answer until the other
 * end hangs up, and then one on a third connection alone. */
static void *stalling_main(void *context)
{
	static const char kept[] = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 0\r\n\r\n";
	struct peer *peer = context;
	struct pollfd one[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	int asked;
	char byte;

	for (int i = 0; i < 2; i++) {
		one[i].fd = accept(peer->net.listener, NULL, NULL);
		if (!peer_read(peer->seen[i], one[i].fd))
			return NULL;
	}
	for (int i = 0; i < 2; i++)
		(void)send(one[i].fd, kept, strlen(kept), MSG_NOSIGNAL);
	poll(one, 2, -1);
	asked = one[0].revents ? 0 : 1;
	if (peer_read(peer->seen[2], one[asked].fd) && read(one[asked].fd, &byte, 1) == 0)
		peer->given = 3; /* hung up */
	close(one[asked].fd);
	one[asked].fd = peer->net.listener;
	poll(one, 2, -1);
	if (one[asked].revents) {
		one[2].fd = accept(peer->net.listener, NULL, NULL);
		if (peer_read(peer->seen[3], one[2].fd)) {
			peer->given = 4;
			(void)send(one[2].fd, kept, strlen(kept), MSG_NOSIGNAL);
		}
		close(one[2].fd);
	}
	close(one[1 - asked].fd);
	return NULL;
}

/* So that there are two connections. */
struct two_puts {
	struct op op;
	struct store_put put[2];
};

static void two_step(struct op *op)
{
	struct two_puts *two = container_of(op, struct two_puts, op);

	if (op->state == 0) {
		for (size_t i = 0; i < ARRAY_LENGTH(two->put); i++)
			store_put_start(op, &two->put[i]);
		return op_wait(op, 1);
	}
	if (op->children > 0)
		return op_wait(op, 1);
	op_done(op);
}

static const struct op_type two_type = {.name = "two puts", .step = two_step};

static void put_two(struct peer *peer)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t) "text", .iov_len = 4};
	struct two_puts two = {0};

	for (size_t i = 0; i < ARRAY_LENGTH(two.put); i++)
		two.put[i] = (struct store_put){.store = peer->store,
		                                .name = i ? "a/c" : "a/b",
		                                .piece = &piece,
		                                .pieces = 1};
	loop_run_op(peer->loop, &two.op, &two_type);
	for (size_t i = 0; i < ARRAY_LENGTH(two.put); i++)
		assert_false(op_failed(&two.put[i].op));
}

/* Not on another one that was kept: what swallowed the first may swallow that too. */
static void a_transfer_that_stalls_is_dropped_and_repeated_on_a_new_connection(void **state)
{
	struct peer *peer = *state;
	AUTO_FREE char *endpoint = xasprintf("http://127.0.0.1:%u", peer->net.port);
	struct store_s3 s3 = {.endpoint = endpoint, .region = "here"};
	pthread_t thread;

	peer->loop = loop_new(&(struct loop_options){.workers = 1});
	peer->store = open_place_s3(peer->loop, "s3://bucket/root", true, &s3);
	assert_int_equal(pthread_create(&thread, NULL, stalling_main, peer), 0);
	put_two(peer);
	container_of(peer->store, struct s3_store, store)->stall_ms = 300;
	assert_int_equal(put(peer, "text", 20000), ERR_NONE);
	pthread_join(thread, NULL);
	assert_int_equal(peer->given, 4);
	assert_int_equal(store_counts(peer->store)->retries, 1);
	assert_non_null(strstr(peer->seen[3], "PUT /bucket/root/a/b "));
	store_close(peer->store);
	loop_free(peer->loop);
	peer->store = NULL; /* its thread is joined already */
}

/* ---- a get that is not to be silent for long ---- */

enum { DRIP_BYTES = 12, DRIP_MS = 200, STALL_MS = 2000 };

/* Answers a get with one byte after the other, each sooner than silence would be too long; a second
 * one with a few, and then with nothing, until the other end hangs up. */
static void *dripping_main(void *context)
{
	struct peer *peer = context;
	const char *head = "HTTP/1.1 206 Partial Content\r\nContent-Length: 12\r\nContent-Range: "
	                   "bytes 0-11/12\r\nConnection: close\r\n\r\n";

	for (unsigned i = 0; i < 2; i++) {
		int fd = accept(peer->net.listener, NULL, NULL);
		unsigned bytes = i == 0 ? DRIP_BYTES : 3;
		char byte;

		if (!peer_read(peer->seen[i], fd))
			return NULL;
		(void)send(fd, head, strlen(head), MSG_NOSIGNAL);
		for (unsigned at = 0; at < bytes; at++) {
			(void)poll(NULL, 0, DRIP_MS);
			(void)send(fd, "x", 1, MSG_NOSIGNAL);
		}
		if (bytes < DRIP_BYTES && read(fd, &byte, 1) == 0)
			peer->given = 1;
		close(fd);
	}
	return NULL;
}

static enum err_code get_soon(struct peer *peer, uint64_t *ret_got)
{
	uint8_t *block = xmalloc(BLOCK_BYTES);
	struct store_get request = {.store = peer->store,
	                            .name = "a/b",
	                            .length = DRIP_BYTES,
	                            .block = &block,
	                            .blocks = 1,
	                            .stall_ms = STALL_MS};

	RUN(peer->loop, store_get_start, &request);
	*ret_got = request.got;
	free(block);
	peer->err = request.op.err;
	return request.op.err.code;
}

static void a_get_ends_soon_when_nothing_comes_any_more_and_not_because_it_is_slow(void **state)
{
	struct peer *peer = *state;
	AUTO_FREE char *endpoint = xasprintf("http://127.0.0.1:%u", peer->net.port);
	struct store_s3 s3 = {.endpoint = endpoint, .region = "here"};
	int64_t begun_ms;
	pthread_t thread;
	uint64_t got;

	peer->loop = loop_new(&(struct loop_options){.workers = 1});
	peer->store = open_place_s3(peer->loop, "s3://bucket/root", true, &s3);
	assert_int_equal(pthread_create(&thread, NULL, dripping_main, peer), 0);
	begun_ms = now_ms();
	assert_int_equal(get_soon(peer, &got), ERR_NONE);
	assert_int_equal(got, DRIP_BYTES);
	assert_true(now_ms() - begun_ms > STALL_MS);
	begun_ms = now_ms();
	assert_int_equal(get_soon(peer, &got), ERR_NETWORK);
	assert_true(now_ms() - begun_ms < SOON_MS);
	assert_said(&peer->err, "nothing came for 2000 ms");
	pthread_join(thread, NULL);
	assert_int_equal(peer->given, 1);
	store_close(peer->store);
	loop_free(peer->loop);
	peer->store = NULL; /* its thread is joined already */
}

/* ---- a token that has ended ---- */

#define EXPIRED FAULT("400 Bad Request", "ExpiredToken")

/* Also when they were looked for a moment ago. */
static void newer_credentials_are_taken_at_once_and_the_request_is_repeated(void **state)
{
	struct peer *peer = *state;
	int64_t begun_ms = now_ms();

	setenv("AWS_SESSION_TOKEN", "token-1", 1);
	SERVE(peer, OK, EXPIRED, OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	setenv("AWS_SESSION_TOKEN", "token-2", 1);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	unsetenv("AWS_SESSION_TOKEN");
	assert_int_equal(peer->given, 3);
	assert_non_null(strstr(peer->seen[1], "x-amz-security-token: token-1\r\n"));
	assert_non_null(strstr(peer->seen[2], "x-amz-security-token: token-2\r\n"));
	assert_true(now_ms() - begun_ms < SOON_MS);
}

static void a_token_that_stays_ended_is_an_error_soon_and_its_source_is_named(void **state)
{
	struct peer *peer = *state;
	int64_t begun_ms = now_ms();
	AUTO_FREE char *why = NULL;

	setenv("AWS_SESSION_TOKEN", "token-1", 1);
	SERVE(peer, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, OK);
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	unsetenv("AWS_SESSION_TOKEN");
	assert_true(now_ms() - begun_ms < SOON_MS);
	assert_int_equal(peer->given, 5);
	why = xasprintf(
	        "could not store object \"a/b\" in repository \"test\"\nhttp://127.0.0.1:%u "
	        "answered 400 ExpiredToken \"because\", request id tx-42",
	        peer->net.port);
	assert_string_equal(peer->err.text, why);
	assert_string_equal(
	        peer->err.hint,
	        "The credentials have ended and there are no newer ones. They come from "
	        "the environment: access key \"AKIAEXAMPLE\", with a session token.");
}

/* ---- our own limit ---- */

/* Two bytes a second: what comes first waits for half a second, longer than it may take. */
enum { LIMIT_BYTES = 2, WAIT_MS = 500, DEADLINE_MS = 400 };

static bool put_waits(struct peer *peer, int64_t times)
{
	int64_t begun_ms = now_ms();

	(void)times; /* it is always out of time whose waiting counts */
	SERVE(peer, OK);
	store_limit(peer->store, LIMIT_BYTES, 0);
	if (put(peer, "text", DEADLINE_MS) == ERR_NETWORK)
		return false;
	assert_int_equal(peer->err.code, ERR_NONE);
	assert_true(now_ms() - begun_ms >= WAIT_MS);
	assert_int_equal(peer->given, 1);
	return true;
}

static void a_put_that_waits_for_the_limit_is_not_out_of_time(void **state)
{
	(void)state;
	in_time(put_waits);
}

static bool get_waits(struct peer *peer, int64_t times)
{
	int64_t begun_ms = now_ms();
	AUTO_BUF struct buf got = {0};

	(void)times;
	buf_init(&got, BLOCK_BYTES);
	SERVE(peer, RANGE("0", "4", "5", "hello"));
	store_limit(peer->store, 0, LIMIT_BYTES);
	if (get(peer, 5, &got, DEADLINE_MS) == ERR_NETWORK)
		return false;
	assert_int_equal(peer->err.code, ERR_NONE);
	assert_true(now_ms() - begun_ms >= WAIT_MS);
	assert_string_equal(buf_text(&got), "hello");
	return true;
}

static void a_get_that_waits_for_the_limit_is_not_out_of_time(void **state)
{
	(void)state;
	in_time(get_waits);
}

/* Only the waiting is given back: who has his turn has his deadline. */
static void with_a_limit_a_silent_store_is_out_of_time_as_ever(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf got = {0};
	int64_t begun_ms = now_ms();

	buf_init(&got, BLOCK_BYTES);
	SERVE(peer, "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "");
	store_limit(peer->store, 0, LIMIT_BYTES);
	assert_int_equal(get(peer, 5, &got, DEADLINE_MS), ERR_NETWORK);
	assert_true(now_ms() - begun_ms < SOON_MS);
}

#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_cause_is_told_in_full),
	        WITH_PEER(d03_a_200_whose_error_was_cut_off_is_not_believed),
	        cmocka_unit_test(nobody_there_is_told_with_where_to_look),
	        cmocka_unit_test(a_connection_that_breaks_is_told_to_be_the_networks),
	        WITH_PEER(a_transfer_that_stalls_is_dropped_and_repeated_on_a_new_connection),
	        WITH_PEER(a_get_ends_soon_when_nothing_comes_any_more_and_not_because_it_is_slow),
	        WITH_PEER(newer_credentials_are_taken_at_once_and_the_request_is_repeated),
	        WITH_PEER(a_token_that_stays_ended_is_an_error_soon_and_its_source_is_named),
	        cmocka_unit_test(a_put_that_waits_for_the_limit_is_not_out_of_time),
	        cmocka_unit_test(a_get_that_waits_for_the_limit_is_not_out_of_time),
	        WITH_PEER(with_a_limit_a_silent_store_is_out_of_time_as_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
