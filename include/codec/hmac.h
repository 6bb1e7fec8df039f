/* hmac.h — HMAC-SHA256, MD5 and base64: what signing a request for an object store takes. */
#ifndef CODEC_HMAC_H
#define CODEC_HMAC_H

#include "codec/sha256.h"

enum { MD5_BYTES = 16 };

void hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t length,
                 uint8_t out[SHA256_BYTES]);

/* MD5, for stores that want it of a request's body; of no use against anybody who means harm. */
struct md5 {
	void *context; /* owned until final */
};
/* False: this host's OpenSSL does not allow it (FIPS). */
MUST_USE bool md5_init(struct md5 *md5);
void md5_update(struct md5 *md5, const void *bytes, size_t length);
void md5_final(struct md5 *md5, uint8_t out[MD5_BYTES]);

/* With padding and a NUL: out has room for BASE64_BYTES(length). */
#define BASE64_BYTES(length) (((length) + 2) / 3 * 4 + 1)
void base64_of(const void *bytes, size_t length, char *out);

#endif
