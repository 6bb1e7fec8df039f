/*
 * hmac.c — HMAC (RFC 2104) over our SHA-256; MD5 by OpenSSL; base64 (RFC 4648).
 */
#include "codec/hmac.h"

#include <openssl/evp.h>

#include "base/poison.h"

enum { SHA256_BLOCK_BYTES = 64 };

void hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t length,
                 uint8_t out[SHA256_BYTES])
{
	uint8_t pad[SHA256_BLOCK_BYTES] = {0}, inner[SHA256_BYTES];
	struct sha256 sha256;

	if (key_bytes > sizeof(pad))
		sha256_of(key, key_bytes, pad);
	else if (key_bytes > 0)
		memcpy(pad, key, key_bytes);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	sha256_init(&sha256);
	sha256_update(&sha256, pad, sizeof(pad));
	sha256_update(&sha256, bytes, length);
	sha256_final(&sha256, inner);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	sha256_init(&sha256);
	sha256_update(&sha256, pad, sizeof(pad));
	sha256_update(&sha256, inner, sizeof(inner));
	sha256_final(&sha256, out);
	/* With them one could go on as if one had the key. */
	explicit_bzero(pad, sizeof(pad));
	explicit_bzero(inner, sizeof(inner));
	explicit_bzero(&sha256, sizeof(sha256));
}

bool md5_init(struct md5 *md5)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context)
		abort();
	md5->context = context;
	if (EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1)
		return true;
	EVP_MD_CTX_free(context);
	md5->context = NULL;
	return false;
}

void md5_update(struct md5 *md5, const void *bytes, size_t length)
{
	if (EVP_DigestUpdate(md5->context, bytes, length) != 1)
		abort();
}

void md5_final(struct md5 *md5, uint8_t out[MD5_BYTES])
{
	unsigned length = 0;

	if (EVP_DigestFinal_ex(md5->context, out, &length) != 1 || length != MD5_BYTES)
		abort();
	EVP_MD_CTX_free(md5->context);
	md5->context = NULL;
}

void base64_of(const void *bytes, size_t length, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                             "0123456789+/";
	const uint8_t *in = bytes;

	for (size_t i = 0; i < length; i += 3) {
		uint32_t three = (uint32_t)in[i] << 16;

		if (i + 1 < length)
			three |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < length)
			three |= in[i + 2];
		*out++ = digits[three >> 18];
		*out++ = digits[three >> 12 & 63];
		*out++ = i + 1 < length ? digits[three >> 6 & 63] : '=';
		*out++ = i + 2 < length ? digits[three & 63] : '=';
	}
	*out = '\0';
}
