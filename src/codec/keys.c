/*
 * keys.c — a repository's data keys at hand, and which of them seals.
 *
 * The ring is one piece of locked memory of fixed size: what lies in it does not move, so that
 * workers may read it while a key is added (count is the last thing to change).
 */
#include "codec/keys.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/str.h"
#include "crypt.h"
#include "internal.h"

#include "base/poison.h"

struct ring_key {
	struct key_about about;
	_Atomic bool opened;
	uint8_t bytes[KEY_BYTES];
};

struct keyring {
	char repository[33];
	_Atomic unsigned count;
	uint64_t *plain; /* sorted */
	size_t plains;
	struct ring_key key[KEYS_MAX];
};

void key_id_text(uint64_t id, char out[KEY_ID_BYTES])
{
	snprintf(out, KEY_ID_BYTES, "%016" PRIx64, id);
}

bool key_id_parse(const char *text, uint64_t *ret)
{
	char again[KEY_ID_BYTES];

	if (strlen(text) != KEY_ID_BYTES - 1 || !str_hex(text, KEY_ID_BYTES - 1, false, ret))
		return false;
	key_id_text(*ret, again); /* one key, one name: lower case only */
	return *ret != 0 && strcmp(text, again) == 0;
}

struct keyring *keyring_new(const char *repository, struct err *err)
{
	struct keyring *ring = secret_new(sizeof(*ring), err);

	if (ring && !str_copy(ring->repository, sizeof(ring->repository), repository))
		abort();
	return ring;
}

void keyring_free(struct keyring *ring)
{
	if (!ring)
		return;
	free(ring->plain);
	secret_free(ring, sizeof(*ring));
}

const char *keyring_repository(const struct keyring *ring)
{
	return ring->repository;
}

unsigned keyring_count(const struct keyring *ring)
{
	return ring->count;
}

struct key_about keyring_about(const struct keyring *ring, unsigned i)
{
	struct key_about about = ring->key[i].about;

	about.opened = ring->key[i].opened;
	return about;
}

unsigned keyring_opened(const struct keyring *ring)
{
	unsigned opened = 0;

	for (unsigned i = 0; i < ring->count; i++)
		opened += ring->key[i].opened;
	return opened;
}

/* Two rotations at the same time make two keys of one number: all who look agree on which it is. */
static bool is_newer(const struct key_about *a, const struct key_about *b)
{
	if (a->number != b->number)
		return a->number > b->number;
	if (a->created_us != b->created_us)
		return a->created_us > b->created_us;
	return a->id > b->id;
}

bool keyring_newest(const struct keyring *ring, struct key_about *ret)
{
	for (unsigned i = 0; i < ring->count; i++) {
		struct key_about about = keyring_about(ring, i);

		if (i == 0 || is_newer(&about, ret))
			*ret = about;
	}
	return ring->count > 0;
}

void keyring_blind(const struct keyring *ring, const uint8_t *digest, size_t bytes, uint8_t *ret)
{
	const struct ring_key *oldest = NULL;
	char info[64];
	int length = snprintf(info, sizeof(info), "seawall claim %s", ring->repository);

	for (unsigned i = 0; i < ring->count; i++)
		if (ring->key[i].opened &&
		    (!oldest || is_newer(&oldest->about, &ring->key[i].about)))
			oldest = &ring->key[i];
	assert(oldest); /* nothing is sealed without one */
	hkdf_sha256((struct span){oldest->bytes, KEY_BYTES}, (struct span){digest, bytes},
	            (struct span){info, (size_t)length}, ret, bytes);
}

static struct ring_key *ring_find(const struct keyring *ring, uint64_t id)
{
	for (unsigned i = 0; i < ring->count; i++)
		if (ring->key[i].about.id == id)
			return (struct ring_key *)&ring->key[i];
	return NULL;
}

const uint8_t *keyring_key(const struct keyring *ring, uint64_t id)
{
	const struct ring_key *key = ring_find(ring, id);

	return key && key->opened ? key->bytes : NULL;
}

bool keyring_opens(const struct keyring *ring, uint64_t id)
{
	return keyring_key(ring, id) != NULL;
}

/* bytes NULL: only known. False: full. */
static bool ring_add(struct keyring *ring, const struct key_about *about, const uint8_t *bytes)
{
	struct ring_key *key = ring_find(ring, about->id);
	bool is_new = key == NULL;

	if (is_new && ring->count == KEYS_MAX)
		return false;
	if (is_new)
		key = &ring->key[ring->count];
	if (is_new)
		key->about = *about;
	if (bytes && !key->opened) {
		/* What is authenticated counts, not what an unreadable wrap says. Workers may read
		 * the ring: they differ only where somebody changed that wrap. */
		if (key->about.number != about->number ||
		    key->about.created_us != about->created_us)
			key->about = *about;
		memcpy(key->bytes, bytes, KEY_BYTES);
		key->opened = true;
	}
	if (is_new)
		ring->count++;
	return true;
}

static uint64_t key_check_of(const struct keyring *ring, const uint8_t key[KEY_BYTES])
{
	char info[64];
	uint8_t check[8];
	int length = snprintf(info, sizeof(info), "seawall key check %s", ring->repository);

	hkdf_sha256((struct span){key, KEY_BYTES}, (struct span){0},
	            (struct span){info, (size_t)length}, check, sizeof(check));
	return get_u64(check);
}

bool keyring_make(struct keyring *ring, int64_t now_us, unsigned *ret_i, struct err *err)
{
	struct key_about newest = {0}, about = {.created_us = now_us};
	struct ring_key *key;

	if (ring->count == KEYS_MAX)
		return err_set(err, ERR_REFUSED, "the repository has %d data keys already",
		               KEYS_MAX);
	if (keyring_newest(ring, &newest) && newest.number == UINT32_MAX)
		return err_set(err, ERR_REFUSED, "the number of data keys is used up");
	about.number = newest.number + 1;
	*ret_i = ring->count;
	key = &ring->key[ring->count];
	do {
		if (getrandom(key->bytes, KEY_BYTES, 0) != KEY_BYTES)
			return err_sys(err, "could not get random bytes");
		about.id = key_check_of(ring, key->bytes);
	} while (about.id == 0 || ring_find(ring, about.id));
	key->about = about;
	key->opened = true;
	ring->count++;
	return true;
}

/* ---- wrapped ---- */

/* What is authenticated beside the key: all of it that a reader acts on. */
static int wrap_associated(const struct keyring *ring, const struct wrapped_key *w, char out[256])
{
	return snprintf(out, 256,
	                "seawall key %s %016" PRIx64 " %" PRIu32 " %" PRId64 " %" PRId64
	                " %s %" PRIu32 " %" PRIu32 " %" PRIu32,
	                ring->repository, w->id, w->number, w->created_us, w->wrapped_us,
	                wrap_method_name(w->method), w->log_n, w->r, w->p);
}

/* The key that seals the data key, from a line's own. */
static void wrap_key_of(const struct keyring *ring, const uint8_t line_key[KEY_BYTES],
                        const uint8_t salt[KEY_SALT_BYTES], uint8_t out[KEY_BYTES])
{
	char info[64];
	int length = snprintf(info, sizeof(info), "seawall wrap %s", ring->repository);

	hkdf_sha256((struct span){line_key, KEY_BYTES}, (struct span){salt, KEY_SALT_BYTES},
	            (struct span){info, (size_t)length}, out, KEY_BYTES);
}

static bool wrap_open(struct keyring *ring, const struct wrapped_key *wrapped,
                      const uint8_t line_key[KEY_BYTES])
{
	struct key_about about = {
	        .id = wrapped->id, .number = wrapped->number, .created_us = wrapped->created_us};
	uint8_t key[KEY_BYTES], plain[KEY_BYTES];
	char associated[256];
	int length = wrap_associated(ring, wrapped, associated);
	bool good;

	wrap_key_of(ring, line_key, wrapped->salt, key);
	good = gcm_open(key, (struct span){associated, (size_t)length}, wrapped, plain) &&
	       key_check_of(ring, plain) == wrapped->id && ring_add(ring, &about, plain);
	secret_wipe(key, sizeof(key));
	secret_wipe(plain, sizeof(plain));
	return good;
}

enum unwrap keyring_unwrap(struct keyring *ring, const struct wrapped_key *wrapped,
                           struct wrapper *wrapper)
{
	struct key_about about = {
	        .id = wrapped->id, .number = wrapped->number, .created_us = wrapped->created_us};
	const uint8_t *line_key = wrapper_find(wrapper, wrapped);

	if (line_key)
		return wrap_open(ring, wrapped, line_key) ? UNWRAP_OPENED : UNWRAP_DAMAGED;
	(void)ring_add(ring, &about, NULL);
	return UNWRAP_OTHER;
}

void keyring_wrap(const struct keyring *ring, unsigned i, struct wrapper *wrapper, int64_t now_us,
                  struct wrapped_key *ret)
{
	const struct ring_key *from = &ring->key[i];
	const uint8_t *line_key;
	uint8_t key[KEY_BYTES];
	char associated[256];
	int length;

	assert(i < ring->count && from->opened);
	*ret = (struct wrapped_key){.id = from->about.id,
	                            .number = from->about.number,
	                            .created_us = from->about.created_us,
	                            .wrapped_us = now_us};
	line_key = wrapper_first(wrapper, ret);
	if (getrandom(ret->nonce, sizeof(ret->nonce), 0) != sizeof(ret->nonce))
		abort();
	length = wrap_associated(ring, ret, associated);
	wrap_key_of(ring, line_key, ret->salt, key);
	gcm_seal(key, (struct span){associated, (size_t)length}, ret, from->bytes);
	secret_wipe(key, sizeof(key));
}

/* ---- the marker ---- */

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

void keyring_plain(struct keyring *ring, uint64_t *hash, size_t count)
{
	free(ring->plain);
	ring->plain = hash;
	ring->plains = count;
	if (count > 1)
		qsort(hash, count, sizeof(*hash), by_value);
}

uint64_t keyring_plain_at(const struct keyring *ring, size_t i)
{
	assert(i < ring->plains);
	return ring->plain[i];
}

uint64_t key_name_hash(const char *name)
{
	return hash64(name, strlen(name));
}

bool keyring_accepts_plain(const struct keyring *ring, const char *name)
{
	uint64_t hash = key_name_hash(name);

	return ring->plains > 0 &&
	       bsearch(&hash, ring->plain, ring->plains, sizeof(hash), by_value) != NULL;
}
