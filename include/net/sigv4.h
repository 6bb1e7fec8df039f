/*
 * sigv4.h — signing a request as AWS wants it (Signature Version 4), for S3 and its relatives.
 *
 * A pure function of what is sent. The caller adds the headers that it signs (host, x-amz-date,
 * x-amz-content-sha256 …) and sends exactly them.
 */
#ifndef NET_SIGV4_H
#define NET_SIGV4_H

#include "base/buf.h"
#include "codec/sha256.h"

enum {
	SIGV4_HEADERS_MAX = 24,
	SIGV4_DATE_BYTES = 17, /* "20130524T000000Z" */
	SIGV4_HASH_BYTES = 65, /* 64 hex digits */
	SIGV4_AUTHORIZATION_MAX = 2048,
};

struct sigv4 {
	const char *access_key, *secret_key;
	const char *region, *service; /* "us-east-1", "s3" */
	const char *method;
	const char *path;  /* as sent: escaped, begins with '/' */
	const char *query; /* as sent: "a=1&b=2" escaped and ascending by name; "" without one */
	/* All that are signed: "name: value", names in any case, NULL-terminated. */
	const char *const *header;
	const char *payload; /* hex SHA-256 of the body, or "UNSIGNED-PAYLOAD" */
	const char *date;    /* sigv4_date, the same as in x-amz-date */
};

void sigv4_date(int64_t unix_us, char out[SIGV4_DATE_BYTES]);
void sigv4_hash(const void *bytes, size_t length, char out[SIGV4_HASH_BYTES]);
/* Adds the value of the header Authorization. */
void sigv4_sign(const struct sigv4 *sigv4, struct buf *out);

#endif
