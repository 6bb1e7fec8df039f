/* sha256.h — SHA-256, in one call or as bytes come (OpenSSL). */
#ifndef CODEC_SHA256_H
#define CODEC_SHA256_H

#include "base/mem.h"

enum { SHA256_BYTES = 32 };

struct sha256 {
	void *context; /* owned until final or release */
};

void sha256_init(struct sha256 *sha256);
void sha256_update(struct sha256 *sha256, const void *bytes, size_t length);
/* The digest; what was held is released. */
void sha256_final(struct sha256 *sha256, uint8_t out[SHA256_BYTES]);
/* Safe on a zero-filled, ended or released one. */
void sha256_release(struct sha256 *sha256);
void sha256_of(const void *bytes, size_t length, uint8_t out[SHA256_BYTES]);

#endif
