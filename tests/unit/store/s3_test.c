/*
 * s3_test.c — the S3 driver against a scripted peer. What a real store does is in tests/store; what
 * is said of its errors in s3_cause_test.c.
 */
#include "s3_peer.h"

/* ---- put ---- */

static void a_put_is_create_only_and_signed(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 1);
	assert_non_null(strstr(peer->seen[0], "PUT /bucket/root/a/b HTTP/1.1\r\n"));
	assert_non_null(strstr(peer->seen[0], "if-none-match: *\r\n"));
	/* over http the bytes are signed too */
	assert_non_null(strstr(peer->seen[0],
	                       "x-amz-content-sha256: 982d9e3eb996f559e633f4d194def3761d909f5a3b64"
	                       "7d1a851fead67c32c9d1\r\n"));
	assert_non_null(strstr(peer->seen[0], "SignedHeaders=host;if-none-match;"));
	assert_non_null(strstr(peer->seen[0], "/here/s3/aws4_request"));
	assert_null(strstr(peer->seen[0], "very-secret"));
}

static void what_was_asked_for_is_sent_with_it(void **state)
{
	struct peer *peer = *state;
	const struct store_s3 s3 = {
	        .storage_class = {[STORE_OTHER] = "STANDARD_IA", [STORE_PACK] = "COLD"},
	        .sse = "aws:kms",
	        .sse_key = "key-1",
	        .lock_mode = "GOVERNANCE",
	        .lock_days = 3};
	const char *const answer[] = {OK, OK, OK};
	const char *until;
	int64_t now_s;
	int year, month, day;

	serve_with(peer, s3, 3, answer);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[0], "x-amz-storage-class: STANDARD_IA\r\n"));
	peer->kind = STORE_PACK;
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[1], "x-amz-storage-class: COLD\r\n"));
	peer->kind = STORE_WAL;
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_null(strstr(peer->seen[2], "x-amz-storage-class"));
	assert_non_null(strstr(peer->seen[0], "x-amz-server-side-encryption: aws:kms\r\n"));
	assert_non_null(
	        strstr(peer->seen[0], "x-amz-server-side-encryption-aws-kms-key-id: key-1\r\n"));
	assert_non_null(strstr(peer->seen[0], "x-amz-object-lock-mode: GOVERNANCE\r\n"));
	until = strstr(peer->seen[0], "x-amz-object-lock-retain-until-date: ");
	now_s = clock_now_us() / US_PER_S;
	assert_non_null(until);
	assert_int_equal(sscanf(until, "%*s %d-%d-%dT00:00:00Z", &year, &month, &day), 3);
	assert_in_range(clock_days(year, month, day) * 86400 - now_s, 3 * 86400 - 60, 4 * 86400);
	assert_non_null(strstr(peer->seen[0], "content-md5: HLJR7A1WjeapKbUgxK7Y0Q==\r\n"));
}

/* Each header costs something somewhere: MD5 the processor, the others a store that knows none of
 * them. */
static void what_was_not_asked_for_is_not_sent(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_null(strcasestr(peer->seen[0], "content-md5"));
	assert_null(strstr(peer->seen[0], "storage-class"));
	assert_null(strstr(peer->seen[0], "server-side-encryption"));
	assert_null(strstr(peer->seen[0], "object-lock"));
}

/* ---- which host ---- */

static void a_bucket_may_be_named_in_the_host(void **state)
{
	struct peer *peer = *state;
	const char *const answer[] = {OK, PAGE_OF_NOTHING};

	peer->host = "localhost";
	serve_with(peer, (struct store_s3){.virtual_host = true}, 2, answer);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[0], "PUT /root/a/b HTTP/1.1\r\n"));
	assert_non_null(strcasestr(peer->seen[0], "\r\nhost: bucket.localhost:"));
	assert_page(peer->store, "", NULL, 0, "");
	assert_non_null(strstr(peer->seen[1], "GET /?encoding-type=url&list-type=2&"));
}

static const struct {
	const char *url, *region, *said;
	bool path_style;
} aws_hosts[] = {
        {"s3://bucket/root", "here-1", "CONNECT bucket.s3.here-1.amazonaws.com:443 ", false},
        {"s3://bucket/root", "cn-1", "CONNECT bucket.s3.cn-1.amazonaws.com.cn:443 ", false},
        {"s3://bucket/root", "here-1", "CONNECT s3.here-1.amazonaws.com:443 ", true},
        /* no certificate is of such a host */
        {"s3://my.bucket/root", "here-1", "CONNECT s3.here-1.amazonaws.com:443 ", false},
};
static size_t aws_host; /* which of them */

/* The peer is the proxy on the way there. */
static bool aws_asked(struct peer *peer, int64_t times)
{
	struct store_s3 s3 = {.path_style = aws_hosts[aws_host].path_style};
	const char *const answer[] = {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"};
	char proxy[64];

	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", peer->net.port);
	setenv("https_proxy", proxy, 1);
	peer->url = aws_hosts[aws_host].url;
	peer->aws_region = aws_hosts[aws_host].region;
	serve_with(peer, s3, 1, answer);
	assert_int_equal(put(peer, "text", 100 * times), ERR_NETWORK);
	unsetenv("https_proxy");
	if (peer->given == 0)
		return false;
	assert_ptr_equal(strstr(peer->seen[0], aws_hosts[aws_host].said), peer->seen[0]);
	return true;
}

static void without_an_endpoint_it_is_that_of_the_region(void **state)
{
	(void)state;
	for (aws_host = 0; aws_host < ARRAY_LENGTH(aws_hosts); aws_host++)
		in_time(aws_asked);
}

static void a_200_is_believed_only_after_its_body(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, FAULT("200 OK", "InternalError"), OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 2);
}

static void a_200_that_is_not_the_stores_is_no_success(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, ANSWER("200 OK", "Content-Type: text/html\r\n", "<html>Welcome</html>"), OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 2);
}

static void a_lost_answer_is_looked_after(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, "", FAULT("412 Precondition Failed", "PreconditionFailed"),
	      RANGE("0", "3", "4", "text"));
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 3);
}

static void a_taken_name_is_not_ours_when_its_bytes_are_others(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, "", FAULT("412 Precondition Failed", "PreconditionFailed"),
	      RANGE("0", "3", "4", "tesT"));
	assert_int_equal(put(peer, "text", 0), ERR_EXISTS);
}

static void a_store_that_is_busy_gets_the_rest_that_it_asks_for(void **state)
{
	struct peer *peer = *state;
	int64_t before_us = clock_mono_us();

	SERVE(peer, ANSWER("503 Slow Down", "Retry-After: 1\r\n", ERROR_BODY("SlowDown")), OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_true(clock_mono_us() - before_us >= 900 * 1000);
}

#define BUSY ANSWER("503 Slow Down", "Retry-After: 60\r\n", ERROR_BODY("SlowDown"))

static bool throttled(struct peer *peer, int64_t times)
{
	SERVE(peer, BUSY, BUSY, BUSY);
	assert_int_equal(put(peer, "text", 300 * times), ERR_NETWORK);
	if (!strstr(peer->err.text, "503"))
		return false;
	assert_said(&peer->err, "503 SlowDown");
	assert_said(&peer->err, "throttled");
	return true;
}

static void a_throttled_put_says_so_when_time_is_up(void **state)
{
	(void)state;
	in_time(throttled);
}

static void lift(struct timer *timer)
{
	struct peer *peer = container_of(timer, struct peer, timer);

	if (peer->given == 0)
		return timer_set(timer, 20);
	peer->lifted = true;
	store_limit(peer->store, 0, 0);
}

static void a_limit_holds_and_can_be_lifted_meanwhile(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf got = {0};

	buf_init(&got, BLOCK_BYTES);
	SERVE(peer, RANGE("0", "4", "5", "hello"));
	store_limit(peer->store, 0, 1);
	timer_init(&peer->timer, peer->loop, lift);
	timer_set(&peer->timer, 400);
	assert_int_equal(get(peer, 5, &got, 0), ERR_NONE);
	assert_true(peer->lifted); /* not before */
	assert_string_equal(buf_text(&got), "hello");
	timer_release(&peer->timer);
}

/* ---- errors ---- */

static void a_refusal_names_everything_and_is_final(void **state)
{
	struct peer *peer = *state;
	char endpoint[64];

	SERVE(peer, FAULT("403 Forbidden", "SignatureDoesNotMatch"), OK);
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_int_equal(peer->given, 1);
	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", peer->net.port);
	assert_said(&peer->err, endpoint);
	assert_said(&peer->err, "could not store object \"a/b\" in repository \"test\"");
	assert_said(&peer->err, "403 SignatureDoesNotMatch \"because\", request id tx-42");
	assert_said(&peer->err, "secret_key_file");
}

static void a_token_that_ended_is_asked_for_again(void **state)
{
	struct peer *peer = *state;

	setenv("AWS_SESSION_TOKEN", "token-1", 1);
	SERVE(peer, FAULT("400 Bad Request", "ExpiredToken"), OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 2);
	assert_non_null(strstr(peer->seen[1], "x-amz-security-token: token-1\r\n"));
	assert_non_null(strstr(peer->seen[1], "x-amz-security-token,")); /* signed */
	unsetenv("AWS_SESSION_TOKEN");
}

#define EXPIRED FAULT("400 Bad Request", "ExpiredToken")

static bool expired(struct peer *peer, int64_t times)
{
	enum err_code code;

	SERVE(peer, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED, EXPIRED);
	code = put(peer, "text", 500 * times);
	if (peer->given < 2)
		return false;
	/* with more time its tries are used up first */
	assert_int_equal(code, peer->given < 5 ? ERR_NETWORK : ERR_STORE);
	assert_said(&peer->err, "400 ExpiredToken");
	assert_said(&peer->err, "The credentials have ended and there are no newer ones.");
	return true;
}

static void a_token_that_ended_and_is_not_renewed_is_said_to_have(void **state)
{
	(void)state;
	in_time(expired);
}

static void write_key(const char *path, const char *key)
{
	FILE *file = fopen(path, "wx");

	assert_non_null(file);
	fchmod(fileno(file), 0600);
	fprintf(file, "[default]\naws_access_key_id = %s\naws_secret_access_key = s\n", key);
	fclose(file);
}

/* The key is in a file, which is replaced while a request waits to be tried again. */
static void a_key_that_is_renewed_meanwhile_signs_the_next_try(void **state)
{
	struct peer *peer = *state;
	char folder[] = "/tmp/seawall-s3-key.XXXXXX", path[64], next[64];
	const char *const answer[] = {EXPIRED, OK};

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/key", folder);
	snprintf(next, sizeof(next), "%s/next", folder);
	write_key(path, "OLD");
	write_key(next, "NEW");
	peer->rewrites = next;
	peer->rewritten = path;
	serve_with(peer, (struct store_s3){.credentials_file = path}, 2, answer);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 2);
	assert_non_null(strstr(peer->seen[0], "Credential=OLD/"));
	assert_non_null(strstr(peer->seen[1], "Credential=NEW/"));
	unlink(path);
	rmdir(folder);
}

static void without_a_key_nothing_is_asked(void **state)
{
	struct peer *peer = *state;
	const struct store_s3 s3 = {.access_key = "AKIA", .secret_key_file = "/no/such/file"};
	const char *const answer[] = {OK};

	serve_with(peer, s3, 1, answer);
	assert_int_equal(put(peer, "text", 0), ERR_CONFIG);
	assert_said(&peer->err, "there is no key to sign with");
	assert_int_equal(peer->given, 0);
}

static void a_clock_that_is_off_is_named(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, ANSWER("403 Forbidden", "Date: Mon, 12 Oct 2009 17:50:30 GMT\r\n",
	                   ERROR_BODY("RequestTimeTooSkewed")));
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "s ahead of the store's");
}

/* Not every store says why it refuses. */
static void a_clock_that_is_off_is_named_also_by_a_store_that_only_refuses(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, ANSWER("403 Forbidden", "Date: Mon, 12 Oct 2009 17:50:30 GMT\r\n",
	                   ERROR_BODY("AccessDenied")));
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "s ahead of the store's");
}

static void a_bucket_that_is_not_there_is_no_missing_object(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	SERVE(peer, FAULT("404 Not Found", "NoSuchBucket"));
	assert_int_equal(get(peer, 10, &buf, 0), ERR_STORE);
	assert_said(&peer->err, "NoSuchBucket");
}

static void a_404_that_is_not_the_stores_proves_nothing(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	SERVE(peer, ANSWER("404 Not Found", "", "<html><body>nginx</body></html>"), NO_KEY);
	assert_int_equal(get(peer, 10, &buf, 0), ERR_NOTFOUND);
	assert_int_equal(peer->given, 2);
}

static void a_web_server_that_is_no_store_is_suspected(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, ANSWER("405 Method Not Allowed", "", "<html><body>nginx</body></html>"),
	      ANSWER("405 Method Not Allowed", "x-amz-request-id: 1\r\n", ""));
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_non_null(strstr(peer->err.hint, "no S3 at all"));
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_string_equal(peer->err.hint, "");
}

static void a_head_that_failed_is_explained_by_a_get(void **state)
{
	struct peer *peer = *state;
	uint64_t bytes;

	SERVE(peer, "HTTP/1.1 404 Not Found\r\n\r\n", FAULT("404 Not Found", "NoSuchBucket"),
	      "HTTP/1.1 404 Not Found\r\n\r\n", NO_KEY);
	assert_int_equal(head_of(peer->store, "a/b", &bytes), ERR_STORE);
	assert_int_equal(head_of(peer->store, "a/b", &bytes), ERR_NOTFOUND);
}

static void another_repository_is_no_place_where_something_is_missing(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	SERVE(peer, NO_KEY, ANSWER("200 OK", "", "mine"), NO_KEY, ANSWER("200 OK", "", "other"),
	      NO_KEY, NO_KEY);
	store_anchor(peer->store, "seawall.json", "mine", 4);
	assert_int_equal(get(peer, 10, &buf, 0), ERR_NOTFOUND);
	assert_int_equal(get(peer, 10, &buf, 0), ERR_STORE);
	assert_said(&peer->err, "another repository");
	assert_int_equal(get(peer, 10, &buf, 0), ERR_STORE);
	assert_said(&peer->err, "\"seawall.json\" is gone");
}

static void a_place_that_was_found_wrong_takes_nothing_until_it_is_right_again(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	SERVE(peer, OK, NO_KEY, NO_KEY, NO_KEY, FAULT("403 Forbidden", "AccessDenied"),
	      ANSWER("200 OK", "", "other"), ANSWER("200 OK", "", ERROR_BODY("InternalError")),
	      ANSWER("200 OK", "", "mine"), OK, OK);
	store_anchor(peer->store, "seawall.json", "mine", 4);
	assert_int_equal(put(peer, "text", 0), ERR_NONE); /* it was seen a moment ago */
	assert_int_equal(get(peer, 10, &buf, 0), ERR_STORE);
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "\"seawall.json\" is gone");
	assert_non_null(strstr(peer->err.hint, "`seawall init`"));
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "AccessDenied");
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "another repository");
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_int_equal(peer->given, 10);
	for (unsigned i = 3; i < 8; i++)
		assert_memory_equal(peer->seen[i], "GET /bucket/root/seawall.json ", 30);
}

/* ---- elsewhere ---- */

#define MOVED_TO(region)                                                                           \
	ANSWER("301 Moved Permanently", "x-amz-bucket-region: " region "\r\n",                     \
	       ERROR_BODY("PermanentRedirect"))
#define MALFORMED(region)                                                                          \
	ANSWER("400 Bad Request", "",                                                              \
	       "<Error><Code>AuthorizationHeaderMalformed</Code><Region>" region                   \
	       "</Region></Error>")

static void the_right_region_is_found_and_remembered(void **state)
{
	struct peer *peer = *state;

	peer->anywhere = true;
	SERVE(peer, MOVED_TO("there-1"), OK, MALFORMED("far-2"), OK, OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[0], "/here/s3/aws4_request"));
	assert_non_null(strstr(peer->seen[1], "/there-1/s3/aws4_request"));
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[2], "/there-1/s3/aws4_request"));
	assert_non_null(strstr(peer->seen[3], "/far-2/s3/aws4_request"));
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[4], "/far-2/s3/aws4_request"));
	assert_int_equal(peer->given, 5);
}

static void a_region_that_is_written_down_is_said_to_be_wrong_and_which_is_right(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, MOVED_TO("there-1"), MALFORMED("far-2"), OK);
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "301 PermanentRedirect");
	assert_string_equal(peer->err.hint,
	                    "The bucket is in region \"there-1\", not in \"here\": set "
	                    "\"region = there-1\".");
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_said(&peer->err, "set \"region = far-2\"");
	assert_int_equal(peer->given, 2);
}

static void regions_that_send_in_a_circle_end_and_what_is_none_is_not_signed_for(void **state)
{
	struct peer *peer = *state;

	peer->anywhere = true;
	SERVE(peer, MOVED_TO("a"), MOVED_TO("b"), MOVED_TO("c"), MOVED_TO("evil.example/"), OK);
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_int_equal(peer->given, 3);
	assert_int_equal(put(peer, "text", 0), ERR_STORE);
	assert_int_equal(peer->given, 4);
}

/* Whoever answered would be sent what was signed, and its bytes. */
static void a_location_is_not_gone_to(void **state)
{
	struct peer *peer = *state;
	AUTO_FREE char *moved = xasprintf("HTTP/1.1 307 Temporary Redirect\r\nLocation: "
	                                  "http://127.0.0.1:%u/evil\r\nContent-Length: 0\r\n"
	                                  "Connection: close\r\n\r\n",
	                                  peer->net.port);
	AUTO_BUF struct buf buf = {0};

	SERVE(peer, moved, OK, moved, RANGE("0", "3", "4", "text"));
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[1], "PUT /bucket/root/a/b "));
	buf_init(&buf, BLOCK_BYTES);
	assert_int_equal(get(peer, 10, &buf, 0), ERR_NONE);
	assert_non_null(strstr(peer->seen[3], "GET /bucket/root/a/b "));
	assert_int_equal(peer->given, 4);
}

static const char *elsewhere(struct buf *buf, const char *host)
{
	buf_init(buf, SEEN_BYTES);
	buf_addf(buf,
	         ANSWER("301 Moved Permanently", "",
	                "<Error><Code>PermanentRedirect</Code><Endpoint>%s</Endpoint></Error>"),
	         host);
	return buf_text(buf);
}

static void a_host_below_the_endpoint_is_followed(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};
	char host[64];

	peer->host = "localhost";
	snprintf(host, sizeof(host), "bucket.far.localhost:%u", peer->net.port);
	SERVE(peer, elsewhere(&buf, host), OK, OK);
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strcasestr(peer->seen[0], "\r\nhost: localhost:"));
	assert_non_null(strcasestr(peer->seen[1], "\r\nhost: far.localhost:"));
	assert_non_null(strstr(peer->seen[1], "PUT /bucket/root/a/b "));
	assert_int_equal(put(peer, "text", 0), ERR_NONE);
	assert_non_null(strcasestr(peer->seen[2], "\r\nhost: far.localhost:"));
}

static void a_host_of_somebody_else_gets_nothing(void **state)
{
	/* and what stands before the port */
	static const struct {
		const char *host, *behind;
		bool port;
	} hosts[] = {
	        {"evil.example", "", true},   {"evillocalhost", "", true},
	        {"far.localhost", "", false}, {"s3.eu-west-1.amazonaws.com", "", false},
	        {"far.localhost", "0", true}, {"far.localhost", ".evil.example", true},
	        {".localhost", "", true},     {"evil@far.localhost", "", true},
	        {"far.localhost", "/", true},
	};
	struct peer *peer = *state;
	struct buf buf[ARRAY_LENGTH(hosts)] = {0};
	const char *answer[ARRAY_LENGTH(hosts)];
	char host[64], port[16];

	snprintf(port, sizeof(port), ":%u", peer->net.port);
	for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
		snprintf(host, sizeof(host), "%s%s%s", hosts[i].host, hosts[i].port ? port : "",
		         hosts[i].behind);
		answer[i] = elsewhere(&buf[i], host);
	}
	peer->host = "localhost";
	serve_with(peer, (struct store_s3){0}, ARRAY_LENGTH(hosts), answer);
	for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
		assert_int_equal(put(peer, "text", 0), ERR_STORE);
		assert_int_equal(peer->given, i + 1);
		if (i < 6)
			assert_said(&peer->err, "names another host");
		buf_release(&buf[i]);
	}
}

/* ---- get ---- */

static void a_get_that_ends_early_is_repeated(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	SERVE(peer,
	      ANSWER("206 Partial Content", "Content-Range: bytes 0-9/20\r\nContent-Length: 10\r\n",
	             "01234"),
	      RANGE("0", "9", "20", "01234"), RANGE("0", "9", "20", "0123456789"));
	assert_int_equal(get(peer, 10, &buf, 0), ERR_NONE);
	assert_string_equal(buf_text(&buf), "0123456789");
	assert_int_equal(peer->given, 3);
	assert_non_null(strstr(peer->seen[0], "range: bytes=0-9\r\n"));
}

/* The bytes of an error are never taken for those of an object. */
static void d03_a_get_whose_200_carries_an_error_is_repeated(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf;

	buf_init(&buf, 100);
	SERVE(peer, ANSWER("200 OK", "Content-Length: 113\r\n", ERROR_BODY("InternalError")),
	      RANGE("0", "3", "4", "text"));
	assert_int_equal(get(peer, 10, &buf, 0), ERR_NONE);
	assert_string_equal(buf_text(&buf), "text");
}

/* Nor is the store called one that cannot answer ranges. */
static void a_range_whose_200_carries_an_error_is_repeated(void **state)
{
	struct peer *peer = *state;
	uint8_t *block = xmalloc(BLOCK_BYTES);
	struct store_get request = {
	        .name = "a/b", .offset = 2, .length = 10, .block = &block, .blocks = 1};

	SERVE(peer, ANSWER("200 OK", "Content-Length: 113\r\n", ERROR_BODY("InternalError")),
	      RANGE("2", "3", "4", "xt"));
	request.store = peer->store;
	assert_true(RUN(peer->loop, store_get_start, &request));
	assert_int_equal(request.got, 2);
	free(block);
}

static void another_range_than_asked_for_is_not_taken(void **state)
{
	struct peer *peer = *state;
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	SERVE(peer, RANGE("5", "9", "20", "56789"), RANGE("0", "9", "20", "0123456789"));
	assert_int_equal(get(peer, 10, &buf, 0), ERR_NONE);
	assert_string_equal(buf_text(&buf), "0123456789");
}

/* ---- list ---- */

static void names_may_hold_any_bytes_and_only_ours_are_listed(void **state)
{
	struct peer *peer = *state;

	SERVE(peer,
	      ANSWER("200 OK", "",
	             "<ListBucketResult><IsTruncated>true</IsTruncated>"
	             "<NextContinuationToken>t/1</NextContinuationToken>"
	             "<Contents><Key>root/%00</Key><Size>1</Size></Contents>"
	             "<Contents><Key>root/a+b</Key><Size>1</Size></Contents>"
	             "<EncodingType>url</EncodingType></ListBucketResult>"),
	      ANSWER("200 OK", "",
	             "<ListBucketResult><IsTruncated>false</IsTruncated>"
	             "<CommonPrefixes><Prefix>root%2Fb%2F</Prefix></CommonPrefixes>"
	             "<Contents><Key>root/c%2Dc</Key><Size>7</Size>"
	             "<LastModified>2009-10-12T17:50:30.000Z</LastModified></Contents>"
	             "<Contents><Key>root/a</Key><Size>1</Size></Contents>"
	             "<Contents><Key>root/%ff%fe</Key><Size>1</Size></Contents>"
	             "<EncodingType>url</EncodingType></ListBucketResult>"));
	assert_folders(peer->store, "", NULL, 0, "a b/ c-c");
	assert_int_equal(peer->given, 2);
	assert_non_null(strstr(peer->seen[0], "GET /bucket?delimiter=%2F&encoding-type=url&"
	                                      "list-type=2&max-keys=1000&prefix=root%2F "));
	assert_non_null(strstr(peer->seen[1], "continuation-token=t%2F1&"));
}

static void a_listing_that_is_none_is_asked_for_again(void **state)
{
	struct peer *peer = *state;

	SERVE(peer, ANSWER("200 OK", "", "<html></html>"),
	      ANSWER("200 OK", "", "<ListBucketResult><Contents><Key>root/a</Key>"),
	      ANSWER("200 OK", "", "<ListBucketResult></ListBucketResult>"),
	      ANSWER("200 OK", "",
	             "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"));
	assert_page(peer->store, "", NULL, 0, "");
	assert_int_equal(peer->given, 4);
}

/* ---- remove ---- */

static void a_batch_says_what_could_not_be_removed(void **state)
{
	static const char *const names[] = {"a", "b"};
	struct peer *peer = *state;
	struct store_remove batch = {.store = NULL, .name = names, .names = 2};

	batch.store = SERVE(
	        peer,
	        ANSWER("200 OK", "",
	               "<DeleteResult><Error><Key>root/a</Key><Code>InternalError</Code></Error>"
	               "</DeleteResult>"),
	        ANSWER("200 OK", "",
	               "<DeleteResult><Error><Key>root/a</Key><Code>NoSuchKey</Code></Error>"
	               "<Error><Key>root/b</Key><Code>AccessDenied</Code></Error></DeleteResult>"));
	assert_false(RUN(peer->loop, store_remove_start, &batch));
	assert_int_equal(batch.op.err.code, ERR_STORE);
	assert_said(&batch.op.err, "\"root/b\": AccessDenied");
	assert_non_null(strstr(peer->seen[0], "POST /bucket?delete= HTTP/1.1"));
	assert_non_null(strstr(peer->seen[0], "content-md5: "));
	assert_non_null(strstr(peer->seen[0], "<Key>root/a</Key>"));
}

static void a_key_that_may_not_delete_is_told_what_it_lacks(void **state)
{
	static const char *const names[] = {"a", "b"};
	struct peer *peer = *state;
	struct store_remove remove = {.name = names, .names = 1};

	remove.store =
	        SERVE(peer, FAULT("403 Forbidden", "AccessDenied"),
	              ANSWER("200 OK", "",
	                     "<DeleteResult><Error><Key>root/b</Key><Code>AccessDenied</Code>"
	                     "</Error></DeleteResult>"));
	for (unsigned count = 1; count <= 2; count++) {
		remove.names = count;
		assert_false(RUN(peer->loop, store_remove_start, &remove));
		assert_int_equal(remove.op.err.code, ERR_STORE);
		assert_said(&remove.op.err, "AccessDenied");
		assert_said(&remove.op.err, "s3:DeleteObject");
		assert_int_equal(peer->given, count); /* not tried again */
	}
}

static void one_is_removed_by_its_name(void **state)
{
	static const char *const names[] = {"a"};
	struct peer *peer = *state;

	SERVE(peer, NO_CONTENT);
	assert_int_equal(remove_names(peer->store, names, 1), ERR_NONE);
	assert_non_null(strstr(peer->seen[0], "DELETE /bucket/root/a HTTP/1.1"));
}

/* ---- opening ---- */

static void what_cannot_be_meant_is_refused_at_opening(void **state)
{
	static const struct {
		const char *url, *endpoint, *said;
	} bad[] = {
	        {"s3://B/x", NULL, "bucket"},
	        {"s3://no", NULL, "bucket"},
	        {"s3://bucket//x", NULL, "prefix"},
	        {"s3://bucket/../x", NULL, "prefix"},
	        {"s3://bucket/x", "s3.example.com", "endpoint"},
	        {"s3://bucket/x", "https://s3.example.com/path", "endpoint"},
	        {"s3://bucket/x", "https://user@s3.example.com", "endpoint"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct store_options options = {
		        .url = bad[i].url, .label = "r", .s3.endpoint = bad[i].endpoint};
		struct store *store;
		struct err err = {0};

		assert_false(store_open(NULL, &options, &store, &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_said(&err, bad[i].said);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_put_is_create_only_and_signed),
	        TEST(what_was_asked_for_is_sent_with_it),
	        TEST(what_was_not_asked_for_is_not_sent),
	        TEST(a_bucket_may_be_named_in_the_host),
	        cmocka_unit_test(without_an_endpoint_it_is_that_of_the_region),
	        TEST(a_200_is_believed_only_after_its_body),
	        TEST(a_200_that_is_not_the_stores_is_no_success),
	        TEST(a_lost_answer_is_looked_after),
	        TEST(a_taken_name_is_not_ours_when_its_bytes_are_others),
	        TEST(a_store_that_is_busy_gets_the_rest_that_it_asks_for),
	        cmocka_unit_test(a_throttled_put_says_so_when_time_is_up),
	        TEST(a_limit_holds_and_can_be_lifted_meanwhile),
	        TEST(a_refusal_names_everything_and_is_final),
	        TEST(a_token_that_ended_is_asked_for_again),
	        cmocka_unit_test(a_token_that_ended_and_is_not_renewed_is_said_to_have),
	        TEST(a_key_that_is_renewed_meanwhile_signs_the_next_try),
	        TEST(without_a_key_nothing_is_asked),
	        TEST(a_clock_that_is_off_is_named),
	        TEST(a_clock_that_is_off_is_named_also_by_a_store_that_only_refuses),
	        TEST(a_bucket_that_is_not_there_is_no_missing_object),
	        TEST(a_404_that_is_not_the_stores_proves_nothing),
	        TEST(a_web_server_that_is_no_store_is_suspected),
	        TEST(a_head_that_failed_is_explained_by_a_get),
	        TEST(another_repository_is_no_place_where_something_is_missing),
	        TEST(a_place_that_was_found_wrong_takes_nothing_until_it_is_right_again),
	        TEST(the_right_region_is_found_and_remembered),
	        TEST(a_region_that_is_written_down_is_said_to_be_wrong_and_which_is_right),
	        TEST(regions_that_send_in_a_circle_end_and_what_is_none_is_not_signed_for),
	        TEST(a_location_is_not_gone_to),
	        TEST(a_host_below_the_endpoint_is_followed),
	        TEST(a_host_of_somebody_else_gets_nothing),
	        TEST(a_get_that_ends_early_is_repeated),
	        TEST(d03_a_get_whose_200_carries_an_error_is_repeated),
	        TEST(a_range_whose_200_carries_an_error_is_repeated),
	        TEST(another_range_than_asked_for_is_not_taken),
	        TEST(names_may_hold_any_bytes_and_only_ours_are_listed),
	        TEST(a_listing_that_is_none_is_asked_for_again),
	        TEST(a_batch_says_what_could_not_be_removed),
	        TEST(a_key_that_may_not_delete_is_told_what_it_lacks),
	        TEST(one_is_removed_by_its_name),
	        TEST(what_cannot_be_meant_is_refused_at_opening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
