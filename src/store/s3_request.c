/*
 * s3_request.c — one signed request: its address, its headers, where its bytes come from and go.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "s3.h"

#include "base/poison.h"

enum { URL_MAX = 16 * 1024 };

static const char unsigned_payload[] = "UNSIGNED-PAYLOAD";
static const char token_name[] = "x-amz-security-token";

void s3_escape(struct buf *out, const char *text)
{
	for (const char *slash; *text; text = slash) {
		size_t length = strcspn(text, "/");
		AUTO_FREE char *part = xstrndup(text, length);

		http_escape(out, part);
		slash = text + length;
		if (*slash) {
			buf_addstr(out, "%2F");
			slash++;
		}
	}
}

/* "bucket.host:port" or "host:port", as it stands in the header Host. */
static char *host_of(const struct s3_store *s3)
{
	const char *host = strstr(s3->endpoint, "://") + strlen("://");

	return s3->virtual_host ? xasprintf("%s.%s", s3->bucket, host) : xstrdup(host);
}

static char *path_of(const struct s3_store *s3, const char *key)
{
	AUTO_BUF struct buf path = {0};

	buf_init(&path, URL_MAX);
	buf_addc(&path, '/');
	if (!s3->virtual_host) {
		http_escape(&path, s3->bucket);
		if (key)
			buf_addc(&path, '/');
	}
	if (key) {
		http_escape(&path, s3->root);
		http_escape(&path, key);
	}
	assert(!path.overflow);
	return buf_steal(&path);
}

/* Bytes [offset, offset + length) of the put's pieces. */
static size_t give_pieces(struct http_request *request, uint64_t offset, void *out, size_t length)
{
	const struct store_put *put = request->context;
	size_t done = 0;

	for (unsigned i = 0; i < put->pieces && done < length; i++) {
		uint64_t size = put->piece[i].iov_len;
		size_t part;

		if (offset >= size) {
			offset -= size;
			continue;
		}
		part = (size_t)MIN(size - offset, (uint64_t)(length - done));
		memcpy((char *)out + done, (char *)put->piece[i].iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

/* "bytes 0-9/1234", or "bytes * /1234" of a 416. */
static bool content_range(const char *text, uint64_t *ret_first, uint64_t *ret_total)
{
	unsigned long long first = 0, last, total;
	int end = -1;

	if (!text)
		return false;
	if (sscanf(text, "bytes */%20llu%n", &total, &end) != 1 &&
	    sscanf(text, "bytes %20llu-%20llu/%20llu%n", &first, &last, &total, &end) != 3)
		return false;
	if (end < 0 || text[end])
		return false;
	*ret_first = first;
	*ret_total = total;
	return true;
}

bool s3_replaced(struct s3_attempt *attempt, struct err *err)
{
	attempt->base.get->replaced = true;
	return err_set(err, ERR_STORE, "the object was replaced by another while it was read");
}

/* A strong one: a weak one stands for bytes that are alike, not for the same. */
static void version_take(const struct s3_attempt *attempt, struct store_get *get)
{
	const char *tag = http_header(&attempt->request, "ETag");

	if (!tag || tag[0] != '"' || !str_copy(get->version, sizeof(get->version), tag))
		get->version[0] = '\0';
}

bool s3_range_begins(struct s3_attempt *attempt, struct err *err)
{
	struct store_get *get = attempt->base.get;
	uint64_t first = 0;
	const char *length;

	if (attempt->request.status == 206) {
		version_take(attempt, get);
		if (get->pin && strcmp(get->version, get->pin) != 0)
			return s3_replaced(attempt, err);
		if (!content_range(http_header(&attempt->request, "Content-Range"), &first,
		                   &get->object_bytes) ||
		    first != get->offset)
			return err_set(err, ERR_NETWORK,
			               "the answer is not the range that was asked for");
		return true;
	}
	if (!http_header(&attempt->request, "Last-Modified")) { /* a 200 that carries an error */
		err_set(err, ERR_NETWORK, "the answer is no object, though its status is 200");
		if (!http_header(&attempt->request, "x-amz-request-id"))
			err_hint(err, S3_HINT_NO_STORE);
		return false;
	}
	length = http_header(&attempt->request, "Content-Length");
	if (get->offset > 0 || !length || !str_u64(length, &get->object_bytes))
		return err_set(err, ERR_STORE, "the store does not answer ranges of objects");
	return true;
}

/* The bytes of an object, into the blocks; of anything else, into answer. */
static bool take_bytes(struct http_request *request, const void *bytes, size_t length,
                       struct err *err)
{
	struct s3_attempt *attempt = request->context;
	struct store_get *get = attempt->base.get;
	uint64_t room = MIN(get->length, (uint64_t)get->blocks * BLOCK_BYTES);

	if (request->status != 200 && request->status != 206) {
		if (buf_add(&attempt->answer, bytes, length))
			return true;
		return err_set(err, ERR_NETWORK, "the answer is longer than %d bytes",
		               S3_ERROR_MAX);
	}
	if (attempt->position == 0 && !s3_range_begins(attempt, err))
		return false;
	if (attempt->position == 0 && get->sized)
		get->sized(get);
	attempt->position += length;
	attempt->moved_ms = loop_now_ms(attempt->base.op.loop);
	for (size_t part; length > 0 && get->got < room; length -= part) {
		size_t at = (size_t)(get->got % BLOCK_BYTES);

		part = MIN(length, BLOCK_BYTES - at);
		part = (size_t)MIN((uint64_t)part, room - get->got);
		memcpy(get->block[get->got / BLOCK_BYTES] + at, bytes, part);
		bytes = (const char *)bytes + part;
		get->got += part;
	}
	return true;
}

const struct buf *s3_answer(const struct s3_attempt *attempt)
{
	return attempt->request.take ? &attempt->answer : &attempt->request.answer;
}

/* Of a 416: the object's size, where it is said. */
bool s3_range_total(const struct s3_attempt *attempt, uint64_t *ret_total)
{
	uint64_t first;

	return content_range(http_header(&attempt->request, "Content-Range"), &first, ret_total);
}

void s3_request_clear(struct s3_attempt *attempt)
{
	attempt->waited_ms += http_waited_ms(&attempt->request);
	http_release(&attempt->request);
	attempt->request = (struct http_request){0};
	for (size_t i = 0; i < attempt->header.count; i++)
		if (str_starts(attempt->header.item[i], token_name))
			secret_wipe(attempt->header.item[i], strlen(attempt->header.item[i]));
	strs_release(&attempt->header);
	free(STEAL(attempt->header_list));
	buf_release(&attempt->url);
}

static void add_header(struct strs *list, const char *name, const char *value)
{
	AUTO_FREE char *line = xasprintf("%s: %s", name, value);

	strs_add(list, line);
	if (name == token_name)
		secret_wipe(line, strlen(line));
}

/* The list of pointers that signing and sending want: from the first-th on, NULL at the end. */
static void list_headers(struct s3_attempt *attempt)
{
	struct strs *header = &attempt->header;

	free(attempt->header_list);
	attempt->header_list = xcalloc(header->count + 1, sizeof(*attempt->header_list));
	for (size_t i = 0; i < header->count; i++)
		attempt->header_list[i] = header->item[i];
}

static void sign(struct s3_attempt *attempt, const struct s3_ask *ask, const char *host,
                 const char *path)
{
	const struct s3_store *s3 = s3_of(attempt);
	const struct credentials *key = attempt->key.credentials;
	AUTO_BUF struct buf authorization = {0};
	char date[SIGV4_DATE_BYTES], hash[SIGV4_HASH_BYTES];
	struct sigv4 sigv4 = {.access_key = key->access_key,
	                      .secret_key = key->secret_key,
	                      .region = s3->region,
	                      .service = "s3",
	                      .method = ask->method,
	                      .path = path,
	                      .query = ask->query ? ask->query : "",
	                      .payload = hash,
	                      .date = date};

	sigv4_date(clock_now_us(), date);
	if (!ask->give)
		sigv4_hash(ask->body ? ask->body : "", (size_t)ask->body_bytes, hash);
	else
		sigv4.payload = s3->tls ? unsigned_payload : attempt->payload;
	add_header(&attempt->header, "host", host); /* the first: libcurl sends its own */
	add_header(&attempt->header, "x-amz-content-sha256", sigv4.payload);
	add_header(&attempt->header, "x-amz-date", date);
	if (key->session_token)
		add_header(&attempt->header, token_name, key->session_token);
	for (size_t i = 0; i < ask->header.count; i++)
		strs_add(&attempt->header, ask->header.item[i]);
	list_headers(attempt);
	sigv4.header = attempt->header_list;
	buf_init(&authorization, SIGV4_AUTHORIZATION_MAX);
	sigv4_sign(&sigv4, &authorization);
	add_header(&attempt->header, "Authorization", buf_text(&authorization));
	list_headers(attempt);
}

void s3_send(struct s3_attempt *attempt, struct s3_ask *ask)
{
	struct s3_store *s3 = s3_of(attempt);
	AUTO_FREE char *host = host_of(s3);
	AUTO_FREE char *path = path_of(s3, ask->key);

	s3_request_clear(attempt);
	attempt->moves = s3->moves;
	buf_init(&attempt->url, URL_MAX);
	buf_addf(&attempt->url, "%s://%s%s%s%s", s3->tls ? "https" : "http", host, path,
	         ask->query ? "?" : "", ask->query ? ask->query : "");
	assert(!attempt->url.overflow);
	sign(attempt, ask, host, path);
	strs_release(&ask->header);
	if (strcmp(ask->method, "POST") == 0)
		add_header(&attempt->header, "Content-Type", "application/xml");
	list_headers(attempt);
	attempt->request = (struct http_request){
	        .method = ask->method,
	        .url = attempt->url.data,
	        .ca_file = s3->ca_file,
	        .fresh = attempt->fresh,
	        .stall_ms = s3->stall_ms,
	        .header = attempt->header_list + 1,
	        .body = ask->body,
	        .body_bytes = ask->body_bytes,
	        .give = ask->give ? give_pieces : NULL,
	        .take = ask->collect ? take_bytes : NULL,
	        .context = ask->give ? (void *)attempt->base.put : (void *)attempt,
	        .answer_max = ask->collect ? 0 : S3_ANSWER_MAX,
	};
	if (ask->collect) {
		attempt->position = 0;
		attempt->base.get->got = 0;
		buf_release(&attempt->answer);
		buf_init(&attempt->answer, S3_ERROR_MAX);
	}
	http_start(&attempt->base.op, &attempt->request, s3->http);
}
