/*
 * sha256.c — SHA-256 by OpenSSL's EVP, which picks the processor's instructions.
 *
 * OpenSSL fails here only without memory (or when it is built without the digest): both end the
 * process.
 */
#include "codec/sha256.h"

#include <assert.h>
#include <openssl/evp.h>

#include "base/poison.h"

/* One line on standard error would need more than OpenSSL has left: just end. */
static void must(int result)
{
	if (result != 1)
		abort();
}

void sha256_init(struct sha256 *sha256)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context)
		abort();
	must(EVP_DigestInit_ex(context, EVP_sha256(), NULL));
	sha256->context = context;
}

void sha256_update(struct sha256 *sha256, const void *bytes, size_t length)
{
	must(EVP_DigestUpdate(sha256->context, bytes, length));
}

void sha256_final(struct sha256 *sha256, uint8_t out[SHA256_BYTES])
{
	unsigned length = 0;

	must(EVP_DigestFinal_ex(sha256->context, out, &length));
	assert(length == SHA256_BYTES);
	sha256_release(sha256);
}

void sha256_release(struct sha256 *sha256)
{
	EVP_MD_CTX_free(sha256->context);
	sha256->context = NULL;
}

void sha256_of(const void *bytes, size_t length, uint8_t out[SHA256_BYTES])
{
	struct sha256 sha256;

	sha256_init(&sha256);
	sha256_update(&sha256, bytes, length);
	sha256_final(&sha256, out);
}
