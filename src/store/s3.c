/*
 * s3.c — objects in a bucket: S3 and what speaks like it.
 *
 *   START -> KEYING -> (HASHING ->) SENDING -> done
 *                SENDING -> SENDING   to another region; the next page when this one held nothing
 *                SENDING -> EXPLAINING -> done     a HEAD that failed has no body: a GET says why
 *                SENDING -> SIZING -> done         a range past the end of an object of what size
 *                SENDING, EXPLAINING -> PROVING -> done   "not there" counts only in the right
 * place
 *        KEYING, HASHING -> PLACING -> SENDING     a put, too; the proof holds for a while
 *
 * A bucket that was emptied, or another one of the same name, takes whatever is put: nothing in the
 * answer tells. So the place is proven now and then before a put, and before each one from the
 * moment on that anybody found it wrong.
 *
 * Over http the bytes of a put are hashed first, on a worker, and the hash is signed; over https
 * TLS guards them.
 */
#include "s3.h"

#include <assert.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/hmac.h"
#include "codec/xml.h"

#include "base/poison.h"

/* clang-format off */
#define S3_STATES(X) \
	X(S3_START) X(S3_KEYING) X(S3_HASHING) X(S3_SENDING) X(S3_EXPLAINING) X(S3_SIZING) \
	X(S3_PROVING) X(S3_PLACING)
/* clang-format on */
OP_STATES(s3_state, S3_STATES)

enum { S3_PLACED_S = 10 }; /* so long a put believes that the place is the right one */

/* ---- asking ---- */

static void add_header(struct s3_ask *ask, const char *name, const char *value)
{
	AUTO_FREE char *line = value ? xasprintf("%s: %s", name, value) : NULL;

	if (line)
		strs_add(&ask->header, line);
}

static void ask_put(struct s3_attempt *attempt, struct s3_ask *ask)
{
	const struct s3_store *s3 = s3_of(attempt);
	const struct store_put *put = attempt->base.put;
	char until[TIME_TEXT_BYTES];

	ask->method = "PUT";
	ask->key = put->name;
	ask->give = true;
	for (unsigned i = 0; i < put->pieces; i++)
		ask->body_bytes += put->piece[i].iov_len;
	add_header(ask, "if-none-match", "*");
	add_header(ask, "content-md5", attempt->md5[0] ? attempt->md5 : NULL);
	add_header(ask, "x-amz-storage-class", s3->storage_class[put->kind]);
	add_header(ask, "x-amz-server-side-encryption", s3->sse);
	add_header(ask, "x-amz-server-side-encryption-aws-kms-key-id", s3->sse_key);
	if (s3->lock_mode) {
		/* the first midnight when that many days are over */
		int64_t days = clock_now_us() / US_PER_S / 86400 + s3->lock_days + 1;
		int year, month, day;

		clock_civil(days, &year, &month, &day);
		snprintf(until, sizeof(until), "%04d-%02d-%02dT00:00:00Z", year, month, day);
		add_header(ask, "x-amz-object-lock-mode", s3->lock_mode);
		add_header(ask, "x-amz-object-lock-retain-until-date", until);
	}
}

static void ask_get(struct s3_attempt *attempt, struct s3_ask *ask)
{
	const struct store_get *get = attempt->base.get;
	uint64_t room = MIN(get->length, (uint64_t)get->blocks * BLOCK_BYTES);
	uint64_t last = get->offset + room - 1;
	AUTO_FREE char *range = NULL;

	ask->key = get->name;
	ask->method = room > 0 ? "GET" : "HEAD";
	if (room == 0)
		return;
	if (last < get->offset)
		last = INT64_MAX;
	range = xasprintf("bytes=%llu-%llu", (unsigned long long)get->offset,
	                  (unsigned long long)last);
	add_header(ask, "range", range);
	add_header(ask, "if-match", get->pin);
	ask->collect = true;
}

static void ask_remove(struct s3_attempt *attempt, struct s3_ask *ask)
{
	const struct store_remove *batch = attempt->base.remove;
	struct buf *text = &attempt->text;

	if (batch->names == 1) {
		ask->method = "DELETE";
		ask->key = batch->name[0];
		return;
	}
	buf_release(text);
	buf_init(text, STORE_REMOVE_MAX * (6 * (S3_KEY_MAX + STORE_NAME_MAX) + 64));
	buf_addstr(text, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (unsigned i = 0; i < batch->names; i++) {
		buf_addstr(text, "<Object><Key>");
		xml_escape(text, s3_of(attempt)->root);
		xml_escape(text, batch->name[i]);
		buf_addstr(text, "</Key></Object>");
	}
	buf_addstr(text, "<Quiet>true</Quiet></Delete>");
	assert(!text->overflow);
	ask->method = "POST";
	ask->query = "delete=";
	ask->body = text->data;
	ask->body_bytes = text->length;
	add_header(ask, "content-md5", attempt->md5[0] ? attempt->md5 : NULL);
}

static void ask_this(struct s3_attempt *attempt)
{
	struct s3_ask ask = {0};

	switch (attempt->base.verb) {
	case STORE_PUT:
		ask_put(attempt, &ask);
		break;
	case STORE_GET:
		ask_get(attempt, &ask);
		break;
	case STORE_LIST:
		s3_list_ask(attempt, &ask);
		break;
	case STORE_HEAD:
		ask.method = "HEAD";
		ask.key = attempt->base.head->name;
		break;
	default:
		ask_remove(attempt, &ask);
		break;
	}
	s3_send(attempt, &ask);
	op_wait(&attempt->base.op, S3_SENDING);
}

static void ask_other(struct s3_attempt *attempt, const char *method, const char *key,
                      const char *range, int state)
{
	struct s3_ask ask = {.method = method, .key = key};

	add_header(&ask, "range", range);
	s3_send(attempt, &ask);
	op_wait(&attempt->base.op, state);
}

/* ---- the place ---- */

/* One put asks; the others go on meanwhile, unless the place is known to be wrong. */
static bool must_place(struct s3_store *s3)
{
	int64_t now = clock_mono_us();

	if (!s3->anchor)
		return false;
	if (!s3->lost && now - s3->placed_us < (int64_t)S3_PLACED_S * US_PER_S)
		return false;
	s3->placed_us = now;
	return true;
}

static void ask_first(struct s3_attempt *attempt)
{
	struct s3_store *s3 = s3_of(attempt);

	if (attempt->base.verb == STORE_PUT && must_place(s3))
		return ask_other(attempt, "GET", s3->anchor_name, NULL, S3_PLACING);
	ask_this(attempt);
}

/* ---- what is signed of a body ---- */

static void hash_pieces(struct work *work)
{
	struct s3_attempt *attempt = container_of(work, struct s3_attempt, hash);
	const struct store_put *put = attempt->base.put;
	uint8_t digest[SHA256_BYTES], md5_digest[MD5_BYTES];
	struct sha256 sha256;
	struct md5 md5 = {0};
	bool with_md5 = s3_of(attempt)->lock_mode && md5_init(&md5);

	sha256_init(&sha256);
	for (unsigned i = 0; i < put->pieces; i++) {
		sha256_update(&sha256, put->piece[i].iov_base, put->piece[i].iov_len);
		if (with_md5)
			md5_update(&md5, put->piece[i].iov_base, put->piece[i].iov_len);
	}
	sha256_final(&sha256, digest);
	str_hex_of(digest, sizeof(digest), attempt->payload);
	if (with_md5) {
		md5_final(&md5, md5_digest);
		base64_of(md5_digest, sizeof(md5_digest), attempt->md5);
	}
	attempt->hashed = true;
}

/* A batch delete wants it of its body, which is small. */
static void hash_batch(struct s3_attempt *attempt)
{
	struct s3_ask ask = {0};
	uint8_t digest[MD5_BYTES];
	struct md5 md5;

	ask_remove(attempt, &ask);
	strs_release(&ask.header);
	if (!ask.body || !md5_init(&md5))
		return;
	md5_update(&md5, ask.body, (size_t)ask.body_bytes);
	md5_final(&md5, digest);
	base64_of(digest, sizeof(digest), attempt->md5);
}

static void begin(struct s3_attempt *attempt)
{
	credentials_get_release(&attempt->key);
	attempt->key = (struct credentials_get){0};
	credentials_get_start(&attempt->base.op, &attempt->key, s3_of(attempt)->credentials);
	op_wait(&attempt->base.op, S3_KEYING);
}

static void keyed(struct s3_attempt *attempt)
{
	const struct s3_store *s3 = s3_of(attempt);
	struct op *op = &attempt->base.op;

	if (op_failed(&attempt->key.op))
		return op_fail(op, &attempt->key.op.err, "there is no key to sign with");
	attempt->redirects = 0;
	free(STEAL(attempt->token));
	if (attempt->base.verb == STORE_REMOVE)
		hash_batch(attempt);
	if (attempt->base.verb != STORE_PUT || attempt->hashed || (s3->tls && !s3->lock_mode))
		return ask_first(attempt);
	work_start_class(op, &attempt->hash, attempt->base.put->class, hash_pieces);
	op_wait(op, S3_HASHING);
}

/* ---- judging ---- */

struct removal {
	char key[S3_KEY_MAX + 1], code[S3_TEXT_BYTES];
	char now_key[S3_KEY_MAX + 1], now_code[S3_TEXT_BYTES];
	unsigned failed;
	bool seen;
};

static void removal_element(void *context, const char *path, const char *text)
{
	struct removal *removal = context;

	if (strcmp(path, "DeleteResult/Error/Key") == 0)
		snprintf(removal->now_key, sizeof(removal->now_key), "%s", text);
	else if (strcmp(path, "DeleteResult/Error/Code") == 0)
		snprintf(removal->now_code, sizeof(removal->now_code), "%s", text);
	else if (strcmp(path, "DeleteResult") == 0)
		removal->seen = true;
	if (strcmp(path, "DeleteResult/Error") != 0)
		return;
	/* One that is final is worth more words than one that will be tried again. */
	if (strcmp(removal->now_code, "NoSuchKey") != 0 &&
	    (removal->failed++ == 0 || s3_code_retry(removal->code))) {
		memcpy(removal->key, removal->now_key, sizeof(removal->key));
		memcpy(removal->code, removal->now_code, sizeof(removal->code));
	}
	removal->now_key[0] = removal->now_code[0] = '\0';
}

static bool removed(struct s3_attempt *attempt, struct err *err)
{
	const struct buf *body = s3_answer(attempt);
	struct removal removal = {0};
	const struct xml_reader reader = {.element = removal_element, .context = &removal};

	if (attempt->base.remove->names == 1)
		return true;
	if (!xml_read(buf_text(body), body->length, &reader, err))
		return err_wrap_as(err, ERR_NETWORK, "the answer cannot be read");
	if (!removal.seen)
		return err_set(err, ERR_NETWORK, "the answer does not say what was removed");
	if (removal.failed == 0)
		return true;
	str_clean(removal.key);
	str_clean(removal.code);
	err_set(err, s3_code_retry(removal.code) ? ERR_NETWORK : ERR_STORE,
	        "%u of the objects could not be removed, one is \"%s\": %s", removal.failed,
	        removal.key, removal.code);
	s3_code_hint(removal.code, err);
	return false;
}

static bool head_taken(struct s3_attempt *attempt, struct err *err)
{
	const char *length = http_header(&attempt->request, "Content-Length");
	const char *modified = http_header(&attempt->request, "Last-Modified");
	uint64_t bytes;
	int64_t modified_us;

	if (!length || !str_u64(length, &bytes) || !modified || !s3_time(modified, &modified_us))
		return err_set(err, ERR_NETWORK, "the answer does not say how long the object is");
	if (attempt->base.verb == STORE_GET) {
		attempt->base.get->object_bytes = bytes;
		return true;
	}
	attempt->base.head->bytes = bytes;
	attempt->base.head->modified_us = modified_us;
	return true;
}

/* A bucket that keeps old versions names the new one; "null" where that was switched off again. */
static bool gives_versions(const struct s3_attempt *attempt)
{
	const char *version = http_header(&attempt->request, "x-amz-version-id");

	return version && *version && strcmp(version, "null") != 0;
}

/* Whoever stands in between may say 200 to anything (a portal, a page for maintenance): only a
 * store says which bytes it has. Its own answer without that is looked after like one that was
 * lost. */
static bool put_taken(struct s3_attempt *attempt, struct err *err)
{
	if (!http_header(&attempt->request, "ETag"))
		return err_set(err, ERR_NETWORK,
		               "the answer does not say what was stored, though its status is %u",
		               attempt->request.status);
	attempt->base.put->versioned = gives_versions(attempt);
	return true;
}

/* True: the answer is what was wanted. False: err, or *ret_again. */
static bool taken(struct s3_attempt *attempt, bool *ret_again, struct err *err)
{
	*ret_again = false;
	switch (attempt->base.verb) {
	case STORE_GET:
		if (!attempt->request.take)
			return head_taken(attempt, err);
		return attempt->position > 0 || s3_range_begins(attempt, err);
	case STORE_LIST:
		return s3_list_take(attempt, ret_again, err);
	case STORE_HEAD:
		return head_taken(attempt, err);
	case STORE_REMOVE:
		return removed(attempt, err);
	default:
		return put_taken(attempt, err);
	}
}

static void finish(struct s3_attempt *attempt)
{
	if (err_is(&attempt->base.op.err))
		return op_fail_own(&attempt->base.op);
	op_done(&attempt->base.op);
}

/* "Not there", or an empty page: only in the place that we know. */
static void prove(struct s3_attempt *attempt)
{
	const struct s3_store *s3 = s3_of(attempt);
	bool nothing = attempt->base.op.err.code == ERR_NOTFOUND ||
	               (attempt->base.verb == STORE_LIST && !err_is(&attempt->base.op.err) &&
	                attempt->base.list->count == 0);

	if (!nothing || !s3->anchor)
		return finish(attempt);
	ask_other(attempt, "GET", s3->anchor_name, NULL, S3_PROVING);
}

/* The answer to a question for the anchor. False: err, and whether the place is wrong. */
static bool place_is_right(struct s3_attempt *attempt, bool *ret_wrong)
{
	struct s3_store *s3 = s3_of(attempt);
	const struct buf *body = s3_answer(attempt);
	struct err *err = &attempt->base.op.err;

	*ret_wrong = false;
	if (attempt->request.status == 200 && body->length == s3->anchor_bytes &&
	    memcmp(buf_text(body), s3->anchor, s3->anchor_bytes) == 0) {
		s3->lost = false;
		s3->placed_us = clock_mono_us();
		return true;
	}
	err_clear(err);
	*ret_wrong = attempt->request.status == 200 && !s3_body_is_error(attempt);
	if (*ret_wrong)
		err_set(err, ERR_STORE, "there is another repository at this place now");
	else
		s3_error(attempt);
	*ret_wrong = *ret_wrong || err->code == ERR_NOTFOUND;
	if (err->code == ERR_NOTFOUND) {
		err_clear(err);
		err_set(err, ERR_STORE,
		        "the repository is not at this place any more: object "
		        "\"%s\" is gone",
		        s3->anchor_name);
	}
	if (!*ret_wrong)
		return false;
	s3->lost = true;
	err_hint(err, "Was the bucket emptied or replaced? Bring back what was in it, and all goes "
	              "on by itself; or begin anew in an empty place: `seawall init`, restart the "
	              "server, take a "
	              "backup.");
	return false;
}

static void proven(struct s3_attempt *attempt)
{
	bool wrong;

	place_is_right(attempt, &wrong);
	finish(attempt);
}

/* Only a place that is known to be wrong is a reason not to put: what else stands in the way, the
 * put will meet by itself. */
static void placed(struct s3_attempt *attempt)
{
	struct err *err = &attempt->base.op.err;
	bool wrong;

	if (place_is_right(attempt, &wrong))
		return ask_this(attempt);
	if (err_code_retry(err->code))
		s3_of(attempt)->placed_us = 0; /* nothing was proven: the next one asks again */
	if (wrong || s3_of(attempt)->lost || err_code_retry(err->code))
		return finish(attempt);
	err_clear(err);
	ask_this(attempt);
}

static void judge_failure(struct s3_attempt *attempt)
{
	const char *method = attempt->request.method;
	unsigned status = attempt->request.status;
	struct op *op = &attempt->base.op;

	if (s3_redirected(attempt))
		return ask_this(attempt);
	if (err_is(&op->err))
		return finish(attempt);
	if (status == 412 && attempt->base.verb == STORE_GET && attempt->base.get->pin) {
		s3_replaced(attempt, &op->err);
		return finish(attempt);
	}
	if (status == 416 && attempt->base.verb == STORE_GET) {
		attempt->base.get->got = 0;
		if (s3_range_total(attempt, &attempt->base.get->object_bytes))
			return finish(attempt);
		return ask_other(attempt, "HEAD", attempt->base.get->name, NULL, S3_SIZING);
	}
	if (strcmp(method, "HEAD") == 0 && status >= 400 && status < 500)
		return ask_other(attempt, "GET",
		                 attempt->base.verb == STORE_GET ? attempt->base.get->name
		                                                 : attempt->base.head->name,
		                 "bytes=0-0", S3_EXPLAINING);
	s3_error(attempt);
	if (op->err.code == ERR_NOTFOUND)
		return prove(attempt);
	finish(attempt);
}

static bool request_failed(struct s3_attempt *attempt)
{
	struct op *op = &attempt->base.op;

	if (!op_failed(&attempt->request.op))
		return false;
	if (op->state == S3_PLACING)
		s3_of(attempt)->placed_us = 0;
	attempt->fresh = true; /* a connection that stalled or broke is not used again */
	op->err = attempt->request.op.err;
	if (err_code_retry(op->err.code) && !attempt->request.reached)
		err_hint(&op->err,
		         "Nobody was reached there: look at \"endpoint\", at the network, "
		         "and at firewalls and proxies on the way.");
	else if (err_code_retry(op->err.code))
		err_hint(&op->err, "The network is probably bad, or the store overloaded: the "
		                   "transfer stalled or broke off.");
	if (attempt->base.verb == STORE_GET && attempt->base.get->replaced) {
		err_clear(&op->err); /* there was an answer */
		s3_replaced(attempt, &op->err);
	}
	op_fail_own(op);
	return true;
}

static void judge(struct s3_attempt *attempt)
{
	unsigned status = attempt->request.status;
	struct op *op = &attempt->base.op;
	bool again;

	attempt->fresh = false;
	if (status < 200 || status >= 300)
		return judge_failure(attempt);
	if (!attempt->request.take && s3_body_is_error(attempt)) {
		s3_error(attempt); /* a 200 that is none */
		if (op->err.code == ERR_NOTFOUND || op->err.code == ERR_EXISTS)
			op->err.code = ERR_STORE;
		return finish(attempt);
	}
	if (!taken(attempt, &again, &op->err))
		return finish(attempt);
	if (again)
		return ask_this(attempt);
	prove(attempt);
}

static void judge_other(struct s3_attempt *attempt)
{
	unsigned status = attempt->request.status;
	struct op *op = &attempt->base.op;

	if (op->state == S3_PROVING)
		return proven(attempt);
	if (op->state == S3_PLACING)
		return placed(attempt);
	if (op->state == S3_SIZING) {
		if (status == 200 && head_taken(attempt, &op->err))
			return finish(attempt);
		if (!err_is(&op->err))
			s3_error(attempt);
		return finish(attempt);
	}
	if (status < 400) /* it was not there a moment ago */
		err_set(&op->err, ERR_NETWORK, "the object appeared meanwhile");
	else
		s3_error(attempt);
	if (op->err.code == ERR_NOTFOUND)
		return prove(attempt);
	finish(attempt);
}

static void s3_step(struct op *op)
{
	struct s3_attempt *attempt = container_of(op, struct s3_attempt, base.op);

	if (op->cancelled && op->state <= S3_HASHING)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	switch ((enum s3_state)op->state) {
	case S3_START:
		return begin(attempt);
	case S3_KEYING:
		return keyed(attempt);
	case S3_HASHING:
		return ask_first(attempt);
	case S3_SENDING:
		if (!request_failed(attempt))
			judge(attempt);
		return;
	default:
		if (!request_failed(attempt))
			judge_other(attempt);
	}
}

static const struct op_type s3_type = {.name = "s3", .step = s3_step, .state_name = s3_state_name};

static void s3_start(struct op *parent, struct store_attempt *base)
{
	op_start(parent, &base->op, &s3_type);
}

static void s3_release(struct store_attempt *base)
{
	struct s3_attempt *attempt = container_of(base, struct s3_attempt, base);

	credentials_get_release(&attempt->key);
	s3_request_clear(attempt);
	buf_release(&attempt->text);
	buf_release(&attempt->answer);
	free(attempt->token);
}

static int64_t s3_moved_ms(const struct store_attempt *base)
{
	return container_of(base, struct s3_attempt, base)->moved_ms;
}

static int64_t s3_waited_ms(const struct store_attempt *base)
{
	const struct s3_attempt *attempt = container_of(base, struct s3_attempt, base);

	return attempt->waited_ms + http_waited_ms(&attempt->request);
}

const struct store_driver store_s3_driver = {
        .scheme = "s3://",
        .open = s3_open,
        .close = s3_close,
        .anchor = s3_anchor,
        .credentials = s3_credentials,
        .limit = s3_limit,
        .waited_ms = s3_waited_ms,
        .moved_ms = s3_moved_ms,
        .attempt_bytes = sizeof(struct s3_attempt),
        .start = s3_start,
        .release = s3_release,
};
