/* crypt.h — HKDF, scrypt and AES-256-GCM, and one object's key; OpenSSL behind it. */
#ifndef CODEC_CRYPT_H
#define CODEC_CRYPT_H

#include "codec/keys.h"
#include "codec/sealed.h"

/* bytes of any length; salt may be NULL. Like all here it ends the process where OpenSSL fails,
 * which it does without memory only. */
struct span {
	const void *bytes;
	size_t length;
};
void hkdf_sha256(struct span key, struct span salt, struct span info, uint8_t *out,
                 size_t out_bytes);
/* 128 * r * 2^log_n bytes of memory for a moment. */
void scrypt_key(struct span phrase, const struct wrapped_key *how, uint8_t out[KEY_BYTES]);

/* One short text, sealed or opened at once with a key that is used for it alone. */
void gcm_seal(const uint8_t key[KEY_BYTES], struct span associated, struct wrapped_key *what,
              const uint8_t plain[KEY_BYTES]);
bool gcm_open(const uint8_t key[KEY_BYTES], struct span associated, const struct wrapped_key *what,
              uint8_t plain[KEY_BYTES]);

/* The data key of that id; NULL: not opened. Locked memory. */
const uint8_t *keyring_key(const struct keyring *ring, uint64_t id);
const char *keyring_repository(const struct keyring *ring);
/* The own key of the line that wrapped it; NULL: it is none of them. Valid until the next call. */
const uint8_t *wrapper_find(struct wrapper *wrapper, const struct wrapped_key *wrapped);
/* That of the first line, to wrap with: fills method, wrapper, salt and the numbers of scrypt. */
const uint8_t *wrapper_first(struct wrapper *wrapper, struct wrapped_key *ret);

/*
 * An object's own key, and what goes with each of its pieces: its name and header. Piece number:
 * a frame's, or CRYPT_INDEX. One thread at a time.
 */
enum { CRYPT_INDEX = -1 };
struct crypt;
struct crypt_about {
	const struct keyring *ring;
	uint64_t id; /* of the data key, which must be opened */
	const char *name;
	const uint8_t *header, *salt;
	size_t header_bytes;
	bool seal;
};
struct crypt *crypt_new(const struct crypt_about *about);
void crypt_free(struct crypt *crypt);
/* In place, over as many pieces of memory as it takes: begin, go on, end. */
void crypt_begin(struct crypt *crypt, int64_t number);
void crypt_go_on(struct crypt *crypt, const void *in, void *out, size_t length);
void crypt_seal_end(struct crypt *crypt, uint8_t tag[KEY_TAG_BYTES]);
/* False: what came out is not what was sealed. */
bool crypt_open_end(struct crypt *crypt, const uint8_t tag[KEY_TAG_BYTES]);

#endif
