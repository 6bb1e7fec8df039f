/*
 * sigv4.c — canonical request, string to sign, key, signature: the four steps of AWS's "Signature
 * Version 4", in their order.
 */
#include "net/sigv4.h"

#include <assert.h>
#include <ctype.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/hmac.h"

#include "base/poison.h"

enum { CANONICAL_MAX = 64 * 1024, DAY_LENGTH = 8 };

void sigv4_date(int64_t unix_us, char out[SIGV4_DATE_BYTES])
{
	char text[TIME_TEXT_BYTES];
	bool fits;

	clock_compact(unix_us, text);
	fits = str_copy(out, SIGV4_DATE_BYTES, text);
	assert(fits);
}

void sigv4_hash(const void *bytes, size_t length, char out[SIGV4_HASH_BYTES])
{
	uint8_t digest[SHA256_BYTES];

	sha256_of(bytes, length, digest);
	str_hex_of(digest, sizeof(digest), out);
}

/* "name:value", the name in lower case, runs of blanks in the value made one. */
static char *header_line(const char *header)
{
	char *line = xstrdup(header), *colon = strchr(line, ':'), *out;

	assert(colon);
	for (char *at = line; at < colon; at++)
		*at = (char)tolower((unsigned char)*at);
	out = colon + 1;
	for (const char *at = str_trim(colon + 1); *at; at++)
		if (*at != ' ' || at[1] != ' ')
			*out++ = *at;
	*out = '\0';
	return line;
}

/* By name alone: ':' sorts after '-', so whole lines would put "a-b" before "a". */
static int line_compare(const void *a, const void *b)
{
	const char *left = *(char *const *)a, *right = *(char *const *)b;
	size_t l = strcspn(left, ":"), r = strcspn(right, ":");
	int order = memcmp(left, right, MIN(l, r));

	return order ? order : (l > r) - (l < r);
}

static void headers_sorted(const struct sigv4 *sigv4, struct strs *ret)
{
	for (const char *const *header = sigv4->header; *header; header++) {
		AUTO_FREE char *line = header_line(*header);

		strs_add(ret, line);
	}
	qsort(ret->item, ret->count, sizeof(*ret->item), line_compare);
}

static void signed_names(const struct strs *lines, struct buf *out)
{
	for (size_t i = 0; i < lines->count; i++)
		buf_addf(out, "%s%.*s", i ? ";" : "", (int)strcspn(lines->item[i], ":"),
		         lines->item[i]);
}

static void canonical_request(const struct sigv4 *sigv4, const struct strs *lines, struct buf *out)
{
	buf_addf(out, "%s\n%s\n", sigv4->method, sigv4->path);
	for (const char *at = sigv4->query; *at;) { /* a name without a value gets its '=' */
		size_t length = strcspn(at, "&");

		buf_add(out, at, length);
		if (!memchr(at, '=', length))
			buf_addc(out, '=');
		at += length;
		if (*at)
			buf_addc(out, *at++);
	}
	buf_addc(out, '\n');
	for (size_t i = 0; i < lines->count; i++)
		buf_addf(out, "%s\n", lines->item[i]);
	buf_addc(out, '\n');
	signed_names(lines, out);
	buf_addf(out, "\n%s", sigv4->payload);
}

static void signing_key(const struct sigv4 *sigv4, uint8_t key[SHA256_BYTES])
{
	AUTO_FREE char *secret = xasprintf("AWS4%s", sigv4->secret_key);

	hmac_sha256(secret, strlen(secret), sigv4->date, DAY_LENGTH, key);
	hmac_sha256(key, SHA256_BYTES, sigv4->region, strlen(sigv4->region), key);
	hmac_sha256(key, SHA256_BYTES, sigv4->service, strlen(sigv4->service), key);
	hmac_sha256(key, SHA256_BYTES, "aws4_request", strlen("aws4_request"), key);
	explicit_bzero(secret, strlen(secret));
}

void sigv4_sign(const struct sigv4 *sigv4, struct buf *out)
{
	AUTO_BUF struct buf request = {0};
	AUTO_FREE char *scope = xasprintf("%.*s/%s/%s/aws4_request", DAY_LENGTH, sigv4->date,
	                                  sigv4->region, sigv4->service);
	AUTO_FREE char *to_sign = NULL;
	struct strs lines = {0};
	uint8_t key[SHA256_BYTES], signature[SHA256_BYTES];
	char hex[SIGV4_HASH_BYTES];

	buf_init(&request, CANONICAL_MAX);
	headers_sorted(sigv4, &lines);
	canonical_request(sigv4, &lines, &request);
	assert(!request.overflow);
	sigv4_hash(request.data, request.length, hex);
	to_sign = xasprintf("AWS4-HMAC-SHA256\n%s\n%s\n%s", sigv4->date, scope, hex);
	signing_key(sigv4, key);
	hmac_sha256(key, sizeof(key), to_sign, strlen(to_sign), signature);
	explicit_bzero(key, sizeof(key));
	str_hex_of(signature, sizeof(signature), hex);
	buf_addf(out, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", sigv4->access_key, scope);
	signed_names(&lines, out);
	buf_addf(out, ",Signature=%s", hex);
	strs_release(&lines);
}
