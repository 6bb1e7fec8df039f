/*
 * crypt.c — AES-256-GCM, HKDF-SHA-256 and scrypt by OpenSSL's EVP, which picks the processor's
 * instructions.
 *
 * OpenSSL wipes what it copies of a key when its contexts are freed. An object's own key lies in
 * such a context as long as that object is at hand; data keys and wrapping keys only pass through.
 */
#include "crypt.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "base/bytes.h"
#include "base/secret.h"

#include "base/poison.h"

enum { SCRYPT_MEMORY_MAX = 256 * 1024 * 1024 };

struct crypt {
	EVP_CIPHER_CTX *context;
	bool seal;
	size_t header_bytes, name_bytes;
	uint8_t header[256];
	char name[SEALED_NAME_MAX];
};

static void must(int result)
{
	if (result != 1)
		abort();
}

void hkdf_sha256(struct span key, struct span salt, struct span info, uint8_t *out,
                 size_t out_bytes)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[5], *p = params;

	if (!context)
		abort();
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key.bytes, key.length);
	if (salt.length)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt.bytes,
		                                         salt.length);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info.bytes,
	                                         info.length);
	*p = OSSL_PARAM_construct_end();
	must(EVP_KDF_derive(context, out, out_bytes, params));
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
}

void scrypt_key(struct span phrase, const struct wrapped_key *how, uint8_t out[KEY_BYTES])
{
	must(EVP_PBE_scrypt(phrase.bytes, phrase.length, how->salt, sizeof(how->salt),
	                    UINT64_C(1) << how->log_n, how->r, how->p, SCRYPT_MEMORY_MAX, out,
	                    KEY_BYTES));
}

/* ---- one short text ---- */

static EVP_CIPHER_CTX *gcm_new(const uint8_t key[KEY_BYTES], const uint8_t *nonce, bool seal)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (!context)
		abort();
	must(EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, seal));
	return context;
}

static void gcm_update(EVP_CIPHER_CTX *context, const void *in, void *out, size_t length)
{
	int made = 0;

	must(EVP_CipherUpdate(context, out, &made, in, (int)length));
}

void gcm_seal(const uint8_t key[KEY_BYTES], struct span associated, struct wrapped_key *what,
              const uint8_t plain[KEY_BYTES])
{
	EVP_CIPHER_CTX *context = gcm_new(key, what->nonce, true);
	uint8_t none[KEY_TAG_BYTES];
	int made = 0;

	gcm_update(context, associated.bytes, NULL, associated.length);
	gcm_update(context, plain, what->sealed, KEY_BYTES);
	must(EVP_CipherFinal_ex(context, none, &made));
	must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, KEY_TAG_BYTES, what->tag));
	EVP_CIPHER_CTX_free(context);
}

bool gcm_open(const uint8_t key[KEY_BYTES], struct span associated, const struct wrapped_key *what,
              uint8_t plain[KEY_BYTES])
{
	EVP_CIPHER_CTX *context = gcm_new(key, what->nonce, false);
	uint8_t none[KEY_TAG_BYTES];
	int made = 0;
	bool good;

	gcm_update(context, associated.bytes, NULL, associated.length);
	gcm_update(context, what->sealed, plain, KEY_BYTES);
	must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, KEY_TAG_BYTES, (void *)what->tag));
	good = EVP_CipherFinal_ex(context, none, &made) == 1;
	EVP_CIPHER_CTX_free(context);
	if (!good)
		secret_wipe(plain, KEY_BYTES);
	return good;
}

/* ---- an object ---- */

struct crypt *crypt_new(const struct crypt_about *about)
{
	struct crypt *crypt = xcalloc(1, sizeof(*crypt));
	const uint8_t *data_key = keyring_key(about->ring, about->id);
	const char *repository = keyring_repository(about->ring);
	uint8_t key[KEY_BYTES];

	assert(data_key && about->header_bytes <= sizeof(crypt->header));
	crypt->seal = about->seal;
	crypt->header_bytes = about->header_bytes;
	memcpy(crypt->header, about->header, about->header_bytes);
	crypt->name_bytes = strlen(about->name);
	assert(crypt->name_bytes < sizeof(crypt->name));
	memcpy(crypt->name, about->name, crypt->name_bytes);
	hkdf_sha256((struct span){data_key, KEY_BYTES}, (struct span){about->salt, KEY_SALT_BYTES},
	            (struct span){repository, strlen(repository)}, key, sizeof(key));
	crypt->context = gcm_new(key, NULL, about->seal);
	secret_wipe(key, sizeof(key));
	return crypt;
}

void crypt_free(struct crypt *crypt)
{
	if (!crypt)
		return;
	EVP_CIPHER_CTX_free(crypt->context);
	free(crypt);
}

void crypt_begin(struct crypt *crypt, int64_t number)
{
	uint8_t nonce[KEY_NONCE_BYTES] = {0};

	if (number == CRYPT_INDEX)
		memset(nonce, 0xFF, sizeof(nonce));
	else
		put_u64(nonce, (uint64_t)number);
	must(EVP_CipherInit_ex(crypt->context, NULL, NULL, NULL, nonce, crypt->seal));
	gcm_update(crypt->context, crypt->name, NULL, crypt->name_bytes);
	gcm_update(crypt->context, crypt->header, NULL, crypt->header_bytes);
	gcm_update(crypt->context, nonce, NULL, sizeof(nonce));
}

void crypt_go_on(struct crypt *crypt, const void *in, void *out, size_t length)
{
	gcm_update(crypt->context, in, out, length);
}

void crypt_seal_end(struct crypt *crypt, uint8_t tag[KEY_TAG_BYTES])
{
	uint8_t none[KEY_TAG_BYTES];
	int made = 0;

	must(EVP_CipherFinal_ex(crypt->context, none, &made));
	must(EVP_CIPHER_CTX_ctrl(crypt->context, EVP_CTRL_GCM_GET_TAG, KEY_TAG_BYTES, tag));
}

bool crypt_open_end(struct crypt *crypt, const uint8_t tag[KEY_TAG_BYTES])
{
	uint8_t none[KEY_TAG_BYTES];
	int made = 0;

	must(EVP_CIPHER_CTX_ctrl(crypt->context, EVP_CTRL_GCM_SET_TAG, KEY_TAG_BYTES, (void *)tag));
	return EVP_CipherFinal_ex(crypt->context, none, &made) == 1;
}
