/*
 * keys.h — the keys of a repository: data keys, which seal objects, and wrapping keys, which open
 * data keys (doc/format.md, "Encryption").
 *
 * A data key is 32 random bytes. Its id is derived from it and stands in the header of every object
 * that it sealed (the key check value). It lies in the repository wrapped by a wrapping key: a line
 * of text from a file, a command, or a passphrase. Keys are in locked memory (base/secret.h) only,
 * and in no error, log or argument.
 *
 * A key ring is read by workers while the loop may add to it; what is in it stays until it is
 * freed.
 */
#ifndef CODEC_KEYS_H
#define CODEC_KEYS_H

#include "base/buf.h"
#include "base/err.h"

enum {
	KEY_BYTES = 32,
	KEY_ID_BYTES = 17, /* 16 hex digits and NUL */
	KEYS_MAX = 64,     /* data keys of one repository */
	KEY_SALT_BYTES = 16,
	KEY_NONCE_BYTES = 12,
	KEY_TAG_BYTES = 16,
	WRAPPER_LINES_MAX = 8,
	WRAPPER_TEXT_MAX = 4000,
	WRAPPER_LINE_MIN = 32,    /* of a key: 128 bits as hex digits */
	WRAPPER_PHRASE_MIN = 8,   /* of a passphrase */
	WRAPPED_TEXT_MAX = 16384, /* bytes of a wrapped key's JSON */
};

void key_id_text(uint64_t id, char out[KEY_ID_BYTES]);
bool key_id_parse(const char *text, uint64_t *ret);

/* ---- wrapping keys ---- */

enum wrap_method { WRAP_KEY = 0, WRAP_PASSPHRASE = 1 }; /* "key", "passphrase" in the repository */
const char *wrap_method_name(enum wrap_method method);

/* The text of a source (key_file …): each line that is not empty and does not begin with '#' is a
 * wrapping key. The first wraps, all may open. */
struct wrapper;
struct wrapper *wrapper_new(enum wrap_method method, struct err *err); /* NULL with err */
/* Where the text goes, WRAPPER_TEXT_MAX + 1 bytes of locked memory: one more than may be filled. */
char *wrapper_room(struct wrapper *wrapper);
/* length bytes were put there. what: the source, for messages ("file \"…\""). ERR_CONFIG. */
MUST_USE bool wrapper_filled(struct wrapper *wrapper, size_t length, const char *what,
                             struct err *err);
void wrapper_free(struct wrapper *wrapper);

/* ---- a wrapped data key, as it lies in the repository ---- */

struct wrapped_key {
	uint64_t id;        /* of the data key */
	uint64_t wrapper;   /* id of the wrapping key, derived from it */
	uint32_t number;    /* of the data key: the highest is the newest */
	int64_t created_us; /* the data key */
	int64_t wrapped_us;
	enum wrap_method method;
	uint32_t log_n, r, p; /* of scrypt; 0 for WRAP_KEY */
	uint8_t salt[KEY_SALT_BYTES], nonce[KEY_NONCE_BYTES];
	uint8_t sealed[KEY_BYTES], tag[KEY_TAG_BYTES];
};
MUST_USE bool wrapped_parse(const char *text, size_t length, struct wrapped_key *ret,
                            struct err *err);
void wrapped_print(const struct wrapped_key *wrapped, struct buf *out);

/* ---- the ring ---- */

struct keyring;
/* repository: its id, 32 hex digits. NULL with err. */
struct keyring *keyring_new(const char *repository, struct err *err);
void keyring_free(struct keyring *ring);

struct key_about {
	uint64_t id;
	uint32_t number;
	int64_t created_us;
	bool opened; /* else it is only known to be there */
};
unsigned keyring_count(const struct keyring *ring);
struct key_about keyring_about(const struct keyring *ring, unsigned i);
unsigned keyring_opened(const struct keyring *ring);
/* The newest of all that are known; sealing needs it opened. False: there is none. */
bool keyring_newest(const struct keyring *ring, struct key_about *ret);

enum unwrap { UNWRAP_OPENED, UNWRAP_OTHER, UNWRAP_DAMAGED };
/* The data key comes into the ring in any case, opened or only known. OTHER: the wrapper has not
 * the key that wrapped it. DAMAGED: it has, but what lies there was changed. Takes 0.3 s for a
 * passphrase that was not tried yet. */
enum unwrap keyring_unwrap(struct keyring *ring, const struct wrapped_key *wrapped,
                           struct wrapper *wrapper);
/* Whether the wrapper has the key that wrapped it, and whether the ring has that data key opened.
 */
bool wrapper_opens(struct wrapper *wrapper, const struct wrapped_key *wrapped);
bool keyring_opens(const struct keyring *ring, uint64_t id);
/* A new data key, the newest from now on. False: the ring is full. */
MUST_USE bool keyring_make(struct keyring *ring, int64_t now_us, unsigned *ret_i, struct err *err);
/* Data key i, which is opened, wrapped by the first line of wrapper. */
void keyring_wrap(const struct keyring *ring, unsigned i, struct wrapper *wrapper, int64_t now_us,
                  struct wrapped_key *ret);
/* Whether wrapped is by the first line of wrapper. */
bool wrapper_made(struct wrapper *wrapper, const struct wrapped_key *wrapped);

/* What stands for a digest where others see it: another digest that says nothing about the content.
 * The same as long as the oldest data key can be opened. */
void keyring_blind(const struct keyring *ring, const uint8_t *digest, size_t bytes, uint8_t *ret);

/*
 * The marker: which objects may be unencrypted, as XXH3-64 of their sealed names. hash: the ring's
 * from now on (it sorts it). Not thread-safe: before the ring is used.
 */
void keyring_plain(struct keyring *ring, uint64_t *hash, size_t count);
bool keyring_accepts_plain(const struct keyring *ring, const char *name);
uint64_t keyring_plain_at(const struct keyring *ring, size_t i);
uint64_t key_name_hash(const char *name);

#endif
