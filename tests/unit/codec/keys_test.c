/* keys_test.c — data keys are wrapped and opened; objects are encrypted; each fault has its
 * sentence. */
#include "codec/keys.h"
#include "base/bytes.h"
#include "codec/sealed.h"
#include "hold.h"
#include "../../../src/codec/crypt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include <cmocka.h>

static const char repository[] = "00112233445566778899aabbccddeeff";
static const char name[] = "1-15-1/wal/00000001/0000000A/000000010000000A000000FE";
static const char line_a[] = "# a comment\n\n  \nKEY-A-0123456789abcdef0123456789ab\n";
static const char line_b[] =
        "KEY-B-0123456789abcdef0123456789ab\nKEY-A-0123456789abcdef0123456789ab\r\n";

enum { HEADER = 120, CONTENT = 300000, AT_NAME_HASH = 64, AT_HASH = 112 };

static struct wrapper *wrapper_of(enum wrap_method method, const char *text)
{
	struct err err = {0};
	struct wrapper *wrapper = wrapper_new(method, &err);

	assert_non_null(wrapper);
	memcpy(wrapper_room(wrapper), text, strlen(text));
	if (!wrapper_filled(wrapper, strlen(text), "file \"k\"", &err))
		fail_msg("%s", err.text);
	return wrapper;
}

static struct keyring *ring_of(unsigned keys)
{
	struct err err = {0};
	struct keyring *ring = keyring_new(repository, &err);
	unsigned i;

	assert_non_null(ring);
	while (keys-- > 0)
		assert_true(keyring_make(ring, 1700000000000000, &i, &err));
	return ring;
}

static uint64_t newest_of(const struct keyring *ring)
{
	struct key_about newest;

	assert_true(keyring_newest(ring, &newest));
	return newest.id;
}

/* ---- wrapping ---- */

static void check_wrapping(enum wrap_method method, const char *mine, const char *others)
{
	struct keyring *ring = ring_of(1), *again = ring_of(0);
	struct wrapper *by = wrapper_of(method, mine), *fresh = wrapper_of(method, mine);
	struct wrapper *other = wrapper_of(method, others);
	struct wrapped_key wrapped, read;
	struct buf text;
	struct err err = {0};

	keyring_wrap(ring, 0, by, 1700000000000001, &wrapped);
	assert_true(wrapper_made(by, &wrapped));
	assert_true(wrapper_made(fresh, &wrapped));
	assert_false(wrapper_made(other, &wrapped));
	buf_init(&text, WRAPPED_TEXT_MAX);
	wrapped_print(&wrapped, &text);
	if (!wrapped_parse(text.data, text.length, &read, &err))
		fail_msg("%s", err.text);
	assert_int_equal(keyring_unwrap(again, &read, other), UNWRAP_OTHER);
	assert_int_equal(keyring_count(again), 1);
	assert_int_equal(keyring_opened(again), 0);
	assert_int_equal(keyring_unwrap(again, &read, fresh), UNWRAP_OPENED);
	assert_int_equal(keyring_opened(again), 1);
	assert_int_equal(newest_of(again), newest_of(ring));
	read.number++; /* all that a reader acts on is authenticated */
	assert_int_equal(keyring_unwrap(again, &read, fresh), UNWRAP_DAMAGED);
	read.number--;
	read.sealed[5] ^= 1;
	assert_int_equal(keyring_unwrap(again, &read, fresh), UNWRAP_DAMAGED);
	buf_release(&text);
	wrapper_free(by);
	wrapper_free(fresh);
	wrapper_free(other);
	keyring_free(ring);
	keyring_free(again);
}

static void a_data_key_is_wrapped_by_a_key(void **state)
{
	(void)state;
	check_wrapping(WRAP_KEY, line_a, "KEY-C-0123456789abcdef0123456789ab");
}

static void a_data_key_is_wrapped_by_a_passphrase(void **state)
{
	(void)state;
	check_wrapping(WRAP_PASSPHRASE, "correct horse\n", "battery staple\n");
}

static void any_line_opens_and_the_first_wraps(void **state)
{
	struct keyring *ring = ring_of(1), *again = ring_of(0);
	struct wrapper *a = wrapper_of(WRAP_KEY, line_a), *b = wrapper_of(WRAP_KEY, line_b);
	struct wrapped_key wrapped;

	(void)state;
	keyring_wrap(ring, 0, a, 1, &wrapped);
	assert_int_equal(keyring_unwrap(again, &wrapped, b), UNWRAP_OPENED);
	assert_false(wrapper_made(b, &wrapped));
	keyring_wrap(again, 0, b, 1, &wrapped);
	assert_true(wrapper_made(b, &wrapped));
	assert_int_equal(keyring_unwrap(ring, &wrapped, a), UNWRAP_OTHER);
	wrapper_free(a);
	wrapper_free(b);
	keyring_free(ring);
	keyring_free(again);
}

static void a_key_of_another_repository_does_not_open(void **state)
{
	struct err err = {0};
	struct keyring *ring = ring_of(1);
	struct keyring *other = keyring_new("ffeeddccbbaa99887766554433221100", &err);
	struct wrapper *a = wrapper_of(WRAP_KEY, line_a);
	struct wrapped_key wrapped;

	(void)state;
	keyring_wrap(ring, 0, a, 1, &wrapped);
	assert_int_equal(keyring_unwrap(other, &wrapped, a), UNWRAP_DAMAGED);
	assert_int_equal(keyring_opened(other), 0);
	wrapper_free(a);
	keyring_free(ring);
	keyring_free(other);
}

/* A wrap that anybody could have put there must not choose how hard a passphrase is to guess. */
static void a_weak_scrypt_is_read_and_never_written(void **state)
{
	struct keyring *ring = ring_of(1);
	struct wrapper *by = wrapper_of(WRAP_PASSPHRASE, "correct horse\n");
	struct wrapped_key weak = {.id = 1, .method = WRAP_PASSPHRASE, .log_n = 1, .r = 1, .p = 1};
	struct wrapped_key wrapped, second;

	(void)state;
	assert_int_equal(keyring_unwrap(ring, &weak, by), UNWRAP_OTHER);
	keyring_wrap(ring, 0, by, 1, &wrapped);
	assert_int_equal(wrapped.log_n, 15);
	assert_int_equal(wrapped.p, 3);
	keyring_wrap(ring, 0, by, 1, &second); /* the same salt, so that it is derived once */
	assert_memory_equal(wrapped.salt, second.salt, sizeof(wrapped.salt));
	assert_memory_not_equal(wrapped.nonce, second.nonce, sizeof(wrapped.nonce));
	wrapper_free(by);
	keyring_free(ring);
}

static void what_is_no_key_is_refused_without_showing_it(void **state)
{
	static const struct {
		enum wrap_method method;
		const char *text;
		size_t length;
		const char *sentence;
	} cases[] = {
	        {WRAP_KEY, "", 0, "there is no key in file \"k\""},
	        {WRAP_KEY, "# only\n \n", 9, "there is no key in file \"k\""},
	        {WRAP_KEY, "SECRET1\n", 8, "is shorter than 32 characters"},
	        {WRAP_PASSPHRASE, "SECRET1\n", 8, "is shorter than 8 characters"},
	        {WRAP_KEY, "SECRET1\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 39, "no text"},
	};
	char *room;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = {0};
		struct wrapper *wrapper = wrapper_new(cases[i].method, &err);

		memcpy(wrapper_room(wrapper), cases[i].text, cases[i].length);
		assert_false(wrapper_filled(wrapper, cases[i].length, "file \"k\"", &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.text, cases[i].sentence));
		assert_null(strstr(err.text, "SECRET"));
		wrapper_free(wrapper);
	}
	{
		struct err err = {0};
		struct wrapper *wrapper = wrapper_new(WRAP_KEY, &err);

		room = wrapper_room(wrapper);
		memset(room, 'x', WRAPPER_TEXT_MAX + 1);
		assert_false(wrapper_filled(wrapper, WRAPPER_TEXT_MAX + 1, "file \"k\"", &err));
		assert_non_null(strstr(err.text, "more than"));
		wrapper_free(wrapper);
	}
}

static void damaged_json_is_no_wrapped_key(void **state)
{
	static const char *const texts[] = {
	        "",
	        "{}",
	        "[]",
	        "{\"format\": 2}",
	        "{\"format\": 1, \"id\": \"0000000000000000\"}",
	        "{\"format\": 1, \"id\": \"00000000000000AB\"}",
	        "{\"format\": 1, \"id\": \"00000000000000ab\", \"number\": 1, \"created\": \"1\", "
	        "\"wrapped\": \"1\", \"method\": \"rot13\"}",
	        "{\"format\": 1, \"id\": \"00000000000000ab\", \"number\": 1, \"created\": \"1\", "
	        "\"wrapped\": \"1\", \"method\": \"passphrase\", \"scrypt\": {\"log_n\": 40, "
	        "\"r\": 8, "
	        "\"p\": 1}}",
	        "{\"format\": 1, \"id\": \"00000000000000ab\", \"number\": 1, \"created\": \"1\", "
	        "\"wrapped\": \"1\", \"method\": \"key\", \"wrapping_key\": \"00000000000000ab\", "
	        "\"salt\": \"00\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct wrapped_key wrapped;
		struct err err = {0};

		assert_false(wrapped_parse(texts[i], strlen(texts[i]), &wrapped, &err));
		assert_true(err_is(&err));
	}
}

static void the_newest_is_the_highest_number_whatever_came_first(void **state)
{
	struct keyring *ring = ring_of(3), *again = ring_of(0);
	struct wrapper *a = wrapper_of(WRAP_KEY, line_a);
	struct wrapped_key wrapped;

	(void)state;
	for (unsigned i = 3; i-- > 0;) {
		keyring_wrap(ring, i, a, 1, &wrapped);
		assert_int_equal(keyring_unwrap(again, &wrapped, a), UNWRAP_OPENED);
	}
	assert_int_equal(keyring_count(again), 3);
	assert_int_equal(newest_of(again), newest_of(ring));
	assert_int_equal(newest_of(ring), keyring_about(ring, 2).id);
	wrapper_free(a);
	keyring_free(ring);
	keyring_free(again);
}

static void a_blinded_digest_stays_the_same_and_tells_nothing(void **state)
{
	static const uint8_t digest[16] = {1, 2, 3}, other[16] = {1, 2, 4};
	struct keyring *ring = ring_of(1), *stranger = ring_of(1);
	uint8_t blind[16], again[16];
	struct err err = {0};
	unsigned i;

	(void)state;
	keyring_blind(ring, digest, sizeof(digest), blind);
	assert_memory_not_equal(blind, digest, sizeof(digest));
	assert_true(
	        keyring_make(ring, 1800000000000000, &i, &err)); /* a newer key changes nothing */
	keyring_blind(ring, digest, sizeof(digest), again);
	assert_memory_equal(blind, again, sizeof(blind));
	keyring_blind(ring, other, sizeof(other), again);
	assert_memory_not_equal(blind, again, sizeof(blind));
	keyring_blind(stranger, digest, sizeof(digest), again);
	assert_memory_not_equal(blind, again, sizeof(blind));
	keyring_free(ring);
	keyring_free(stranger);
}

static void a_full_ring_makes_no_more(void **state)
{
	struct keyring *ring = ring_of(KEYS_MAX);
	struct err err = {0};
	unsigned i;

	(void)state;
	assert_false(keyring_make(ring, 1, &i, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	keyring_free(ring);
}

/* ---- objects ---- */

struct object {
	uint8_t *bytes;
	size_t length;
};

static uint8_t content_at(size_t i, bool noise)
{
	return (uint8_t)(noise ? (i * 2654435761U) >> 13 ^ i >> 3 : i % 50 + i / 4096);
}

static struct object seal(const struct keyring *ring, const char *compression, size_t length,
                          bool noise)
{
	struct sealed_spec spec = {.kind = SEALED_WAL,
	                           .frame_bytes = SEALED_FRAME_BYTES_WAL,
	                           .name = name,
	                           .keys = ring};
	struct blocks_hold *hold = hold_new();
	uint8_t *content = xmalloc(length + 1);
	struct object object;
	struct sealer *sealer;
	struct err err = {0};

	for (size_t i = 0; i < length; i++)
		content[i] = content_at(i, noise);
	assert_true(compression_parse(compression, &spec.compression));
	sealer = sealer_new(&spec, hold, NULL);
	assert_true(sealer_add(sealer, content, length, &err));
	if (!sealer_end(sealer, &err))
		fail_msg("%s", err.text);
	object.bytes = object_bytes(sealer, &object.length);
	assert_int_equal(object.length, sealer_stored_bytes(sealer));
	sealer_free(sealer);
	hold_free(hold);
	free(content);
	return object;
}

struct seen {
	uint64_t next;
	bool noise;
};

static bool seen_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                      struct err *err)
{
	struct seen *seen = context;

	(void)err;
	assert_int_equal(offset, seen->next);
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != content_at(offset + i, seen->noise))
			fail_msg("byte %zu", (size_t)offset + i);
	seen->next += length;
	return true;
}

static bool read_object(struct object object, const struct keyring *ring, const char *under,
                        struct seen *seen, struct err *err)
{
	const struct sealed_want want = {.name = under, .keys = ring};
	struct blocks_hold *hold = hold_new();
	struct chain chain = chain_of(hold, BLOCKS_SEAL);
	struct sealed_reading reading = {.object = &chain,
	                                 .scratch = sealed_scratch(hold),
	                                 .length = UINT64_MAX,
	                                 .each = seen_each,
	                                 .context = seen};
	struct sealed sealed;
	bool done;

	*err = (struct err){0};
	seen->next = 0;
	assert_true(chain_add(&chain, object.bytes, object.length));
	done = sealed_open(object.bytes, object.length, &want, &sealed, err) &&
	       sealed_read(&sealed, &reading, err);
	if (done) { /* and again, as a range: nothing was changed where it lies */
		reading.from = seen->next = sealed.logical_bytes / 3;
		reading.length = sealed.logical_bytes / 2;
		done = sealed_read(&sealed, &reading, err);
		assert_int_equal(seen->next, reading.from + reading.length);
	}
	sealed_release(&sealed);
	hold_free(hold);
	return done;
}

static void encrypted_objects_are_read_again(void **state)
{
	static const char *const compressions[] = {"none", "lz4", "zstd:3"};
	/* the last one crosses blocks, with frames that are as they are */
	static const size_t lengths[] = {0, 1, 131072, CONTENT, 3 * 1024 * 1024 + 77};
	struct keyring *ring = ring_of(2);

	(void)state;
	for (size_t c = 0; c < 3; c++)
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
			for (int noise = 0; noise <= 1; noise++) {
				struct object object =
				        seal(ring, compressions[c], lengths[l], noise);
				struct seen seen = {.noise = noise};
				struct err err;

				if (!read_object(object, ring, name, &seen, &err))
					fail_msg("%s, %zu: %s", compressions[c], lengths[l],
					         err.text);
				free(object.bytes);
			}
	keyring_free(ring);
	codec_thread_end();
}

static bool memory_has(const uint8_t *bytes, size_t length, const void *what, size_t what_length)
{
	return memmem(bytes, length, what, what_length) != NULL;
}

static void nothing_of_the_content_stands_in_clear(void **state)
{
	struct keyring *ring = ring_of(1);
	struct object open = seal(NULL, "none", CONTENT, false);
	struct object object = seal(ring, "none", CONTENT, false);

	(void)state;
	for (size_t at = HEADER + 16; at + 64 < open.length; at += 4096)
		assert_false(memory_has(object.bytes, object.length, open.bytes + at, 32));
	/* neither is the digest */
	assert_false(memory_has(object.bytes, object.length, open.bytes + HEADER, 16));
	free(open.bytes);
	free(object.bytes);
	keyring_free(ring);
}

static void check_refused(struct object object, const struct keyring *ring, const char *under,
                          enum err_code code, const char *sentence)
{
	struct seen seen = {.noise = true};
	struct err err;

	assert_false(read_object(object, ring, under, &seen, &err));
	if (err.code != code || !strstr(err.text, sentence))
		fail_msg("%s instead of \"%s\"", err.text, sentence);
}

static void each_fault_has_a_sentence_of_its_own(void **state)
{
	struct keyring *ring = ring_of(1), *other = ring_of(1);
	struct object object = seal(ring, "lz4", CONTENT, true);

	(void)state;
	check_refused(object, NULL, name, ERR_STORE, "it needs a key");
	check_refused(object, other, name, ERR_STORE, "which the key at hand does not open");
	check_refused(object, ring, "1-15-1/other", ERR_DAMAGED, "made under another name");
	object.bytes[object.length - 1] ^= 1;
	check_refused(object, ring, name, ERR_DAMAGED, "frame 2");
	object.bytes[object.length - 1] ^= 1;
	object.bytes[HEADER + 3] ^= 1;
	check_refused(object, ring, name, ERR_DAMAGED, "index is damaged or was changed");
	object.bytes[HEADER + 3] ^= 1;
	object.bytes[30] ^= 1;
	check_refused(object, ring, name, ERR_DAMAGED, "header is damaged");
	free(object.bytes);
	keyring_free(ring);
	keyring_free(other);
}

/* The checksums of the header are everybody's: with them made right, the seal still says no. */
static void a_changed_header_does_not_open(void **state)
{
	static const char other[] = "1-15-1/wal/00000001/0000000A/000000010000000A000000FF";
	static const size_t changed[] = {12, 32, 40, 72};
	struct keyring *ring = ring_of(1);
	struct object object = seal(ring, "lz4", CONTENT, true);

	(void)state;
	put_u64(object.bytes + AT_NAME_HASH, XXH3_64bits(other, strlen(other)));
	put_u64(object.bytes + AT_HASH, XXH3_64bits(object.bytes, AT_HASH));
	check_refused(object, ring, other, ERR_DAMAGED, "seal is wrong");
	put_u64(object.bytes + AT_NAME_HASH, XXH3_64bits(name, strlen(name)));
	for (size_t i = 0; i < 3; i++) {
		object.bytes[changed[i]] ^= 2; /* kind, creation time, salt */
		put_u64(object.bytes + AT_HASH, XXH3_64bits(object.bytes, AT_HASH));
		check_refused(object, ring, name, ERR_DAMAGED, "seal is wrong");
		object.bytes[changed[i]] ^= 2;
	}
	free(object.bytes);
	keyring_free(ring);
}

static void two_frames_cannot_change_places(void **state)
{
	struct keyring *ring = ring_of(1);
	struct object object = seal(ring, "none", 3 * SEALED_FRAME_BYTES_WAL, true);
	uint8_t *first = object.bytes + object.length - 3 * SEALED_FRAME_BYTES_WAL;
	uint8_t *copy = xmalloc(SEALED_FRAME_BYTES_WAL);

	(void)state;
	memcpy(copy, first, SEALED_FRAME_BYTES_WAL);
	memcpy(first, first + SEALED_FRAME_BYTES_WAL, SEALED_FRAME_BYTES_WAL);
	memcpy(first + SEALED_FRAME_BYTES_WAL, copy, SEALED_FRAME_BYTES_WAL);
	check_refused(object, ring, name, ERR_DAMAGED, "frame 0");
	free(copy);
	free(object.bytes);
	keyring_free(ring);
}

/* GCM gives away what was sealed when two pieces have one nonce. */
static void equal_frames_are_sealed_differently(void **state)
{
	struct keyring *ring = ring_of(1);
	struct sealed_spec spec = {.kind = SEALED_WAL,
	                           .frame_bytes = SEALED_FRAME_BYTES_MIN,
	                           .name = name,
	                           .keys = ring};
	struct blocks_hold *hold = hold_new();
	uint8_t *zeros = xcalloc(2, SEALED_FRAME_BYTES_MIN), *last;
	struct sealer *sealer;
	struct object object;
	struct err err = {0};

	(void)state;
	sealer = sealer_new(&spec, hold, NULL);
	assert_true(sealer_add(sealer, zeros, (size_t)2 * SEALED_FRAME_BYTES_MIN, &err));
	assert_true(sealer_end(sealer, &err));
	object.bytes = object_bytes(sealer, &object.length);
	last = object.bytes + object.length - SEALED_FRAME_BYTES_MIN;
	assert_memory_not_equal(last - SEALED_FRAME_BYTES_MIN, last, SEALED_FRAME_BYTES_MIN);
	sealer_free(sealer);
	hold_free(hold);
	free(object.bytes);
	free(zeros);
	keyring_free(ring);
}

/* Whether a piece opens as what it was sealed as: under its name, with its header, as its number.
 */
static bool piece_opens(const struct keyring *ring, const char *under, uint8_t header_byte,
                        int64_t number)
{
	static const uint8_t salt[KEY_SALT_BYTES] = {1, 2, 3};
	uint8_t header[64] = {0}, text[] = "what nobody may see", tag[KEY_TAG_BYTES];
	struct crypt_about about = {.ring = ring,
	                            .name = name,
	                            .header = header,
	                            .header_bytes = sizeof(header),
	                            .salt = salt,
	                            .seal = true};
	struct key_about newest;
	struct crypt *crypt;
	bool good;

	assert_true(keyring_newest(ring, &newest));
	about.id = newest.id;
	crypt = crypt_new(&about);
	crypt_begin(crypt, 7);
	crypt_go_on(crypt, text, text, sizeof(text));
	crypt_seal_end(crypt, tag);
	crypt_free(crypt);
	about.seal = false;
	about.name = under;
	header[10] = header_byte;
	crypt = crypt_new(&about);
	crypt_begin(crypt, number);
	crypt_go_on(crypt, text, text, sizeof(text));
	good = crypt_open_end(crypt, tag);
	crypt_free(crypt);
	assert_int_equal(good && strcmp((char *)text, "what nobody may see") == 0, good);
	return good;
}

/* The header's plain hash of the name is for a clear sentence; this is what nobody can forge. */
static void a_piece_opens_in_its_own_place_only(void **state)
{
	struct keyring *ring = ring_of(1);

	(void)state;
	assert_true(piece_opens(ring, name, 0, 7));
	assert_false(piece_opens(ring, "wal/00000001/00000000/other", 0, 7));
	assert_false(piece_opens(ring, name, 1, 7));
	assert_false(piece_opens(ring, name, 0, 8));
	assert_false(piece_opens(ring, name, 0, CRYPT_INDEX));
	keyring_free(ring);
}

static void an_unencrypted_object_needs_the_marker(void **state)
{
	struct keyring *ring = ring_of(1);
	struct object object = seal(NULL, "lz4", CONTENT, true);
	uint64_t *hash = xmalloc(2 * sizeof(*hash));
	struct seen seen = {.noise = true};
	struct err err;

	(void)state;
	check_refused(object, ring, name, ERR_DAMAGED, "not encrypted, and appeared after");
	hash[0] = key_name_hash("other");
	hash[1] = key_name_hash(name);
	keyring_plain(ring, hash, 2);
	assert_true(read_object(object, ring, name, &seen, &err));
	assert_false(keyring_accepts_plain(ring, "another"));
	free(object.bytes);
	keyring_free(ring);
}

static void old_objects_stay_readable_and_the_newest_key_seals(void **state)
{
	struct keyring *ring = ring_of(1), *newer = ring_of(0);
	struct wrapper *a = wrapper_of(WRAP_KEY, line_a);
	struct wrapper *b = wrapper_of(WRAP_KEY, "KEY-B-0123456789abcdef0123456789ab");
	struct object old = seal(ring, "lz4", CONTENT, true), now;
	struct wrapped_key first, second;
	struct seen seen = {.noise = true};
	struct err err = {0};
	unsigned i;

	(void)state;
	assert_true(keyring_make(ring, 1, &i, &err));
	now = seal(ring, "lz4", CONTENT, true);
	assert_memory_not_equal(old.bytes + 56, now.bytes + 56, 8); /* key check value */
	assert_true(read_object(old, ring, name, &seen, &err));
	assert_true(read_object(now, ring, name, &seen, &err));
	/* Who has the old key only reads what is old, and writes nothing. */
	keyring_wrap(ring, 0, a, 1, &first);
	keyring_wrap(ring, 1, b, 1, &second);
	assert_int_equal(keyring_unwrap(newer, &first, a), UNWRAP_OPENED);
	assert_int_equal(keyring_unwrap(newer, &second, a), UNWRAP_OTHER);
	assert_true(read_object(old, newer, name, &seen, &err));
	assert_false(read_object(now, newer, name, &seen, &err));
	assert_non_null(strstr(err.text, "does not open"));
	{
		struct blocks_hold *hold = hold_new();
		struct sealer *sealer = sealer_new(&(struct sealed_spec){.kind = SEALED_WAL,
		                                                         .frame_bytes = 8192,
		                                                         .name = name,
		                                                         .keys = newer},
		                                   hold, NULL);

		err = (struct err){0};
		assert_false(sealer_end(sealer, &err));
		assert_non_null(strstr(err.text, "newest data key"));
		sealer_free(sealer);
		hold_free(hold);
	}
	wrapper_free(a);
	wrapper_free(b);
	free(old.bytes);
	free(now.bytes);
	keyring_free(ring);
	keyring_free(newer);
}

/* Read, and sealed again for another name and other keys, in the same memory. */
static struct object seal_again(struct object object, const struct keyring *from, const char *under,
                                const struct sealed_again *again)
{
	const struct sealed_want want = {.name = under, .keys = from, .kind = SEALED_WAL};
	struct blocks_hold *hold = hold_new();
	struct chain chain = chain_of(hold, BLOCKS_SEAL);
	struct err err = {0};
	struct object next;
	struct sealed sealed;
	struct sealer *sealer;

	assert_true(chain_add(&chain, object.bytes, object.length));
	sealer = sealer_of_object(hold, object.length, &want, &sealed, &err);
	if (!sealer)
		fail_msg("%s", err.text);
	assert_int_equal(sealed.kind, SEALED_WAL);
	assert_true(sealer_differs(sealer, again));
	if (!sealer_again(sealer, again, &err))
		fail_msg("%s", err.text);
	assert_false(sealer_differs(sealer, again));
	next.bytes = object_bytes(sealer, &next.length);
	assert_int_equal(next.length, sealer_stored_bytes(sealer));
	sealer_free(sealer);
	hold_free(hold);
	free(object.bytes);
	return next;
}

static void an_object_is_sealed_again_for_other_keys(void **state)
{
	static const size_t lengths[] = {0, 1, CONTENT, SEALED_FRAMES_BYTES_MAX};
	struct keyring *a = ring_of(1), *b = ring_of(2);
	const struct sealed_again way[] = {{"n/a", a},        {"n/b", b},         {"n/b2", b},
	                                   {"n/plain", NULL}, {"n/plain2", NULL}, {"n/a2", a}};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LENGTH(lengths); i++) {
		struct object object = seal(NULL, i % 2 ? "zstd:1" : "lz4", lengths[i / 2], i % 2);
		const struct sealed_again *before = &(struct sealed_again){name, NULL};

		for (size_t n = 0; n < ARRAY_LENGTH(way); n++) {
			struct seen seen = {.noise = i % 2};
			struct err err = {0};

			object = seal_again(object, before->keys, before->name, &way[n]);
			before = &way[n];
			if (!read_object(object, before->keys, before->name, &seen, &err))
				fail_msg("%s", err.text);
			assert_int_equal(seen.next, lengths[i / 2] / 3 + lengths[i / 2] / 2);
			assert_false(read_object(object, before->keys, "n/other", &seen, &err));
		}
		free(object.bytes);
	}
	keyring_free(a);
	keyring_free(b);
}

static void a_damaged_object_is_not_sealed_again(void **state)
{
	struct keyring *a = ring_of(1);
	const struct sealed_want want = {.name = name, .keys = a};
	struct object object = seal(a, "lz4", CONTENT, true);

	(void)state;
	for (size_t at = 0; at < object.length; at += 1 + object.length / 97) {
		struct blocks_hold *hold = hold_new();
		struct chain chain = chain_of(hold, BLOCKS_SEAL);
		struct err err = {0};

		assert_true(chain_add(&chain, object.bytes, object.length));
		hold->block[at / BLOCK_BYTES][at % BLOCK_BYTES] ^= 4;
		assert_null(sealer_of_object(hold, object.length, &want, NULL, &err));
		assert_true(err_is(&err));
		hold_free(hold);
	}
	free(object.bytes);
	keyring_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_data_key_is_wrapped_by_a_key),
	        cmocka_unit_test(a_data_key_is_wrapped_by_a_passphrase),
	        cmocka_unit_test(any_line_opens_and_the_first_wraps),
	        cmocka_unit_test(a_key_of_another_repository_does_not_open),
	        cmocka_unit_test(a_weak_scrypt_is_read_and_never_written),
	        cmocka_unit_test(what_is_no_key_is_refused_without_showing_it),
	        cmocka_unit_test(damaged_json_is_no_wrapped_key),
	        cmocka_unit_test(the_newest_is_the_highest_number_whatever_came_first),
	        cmocka_unit_test(a_blinded_digest_stays_the_same_and_tells_nothing),
	        cmocka_unit_test(a_full_ring_makes_no_more),
	        cmocka_unit_test(encrypted_objects_are_read_again),
	        cmocka_unit_test(nothing_of_the_content_stands_in_clear),
	        cmocka_unit_test(each_fault_has_a_sentence_of_its_own),
	        cmocka_unit_test(a_changed_header_does_not_open),
	        cmocka_unit_test(two_frames_cannot_change_places),
	        cmocka_unit_test(equal_frames_are_sealed_differently),
	        cmocka_unit_test(a_piece_opens_in_its_own_place_only),
	        cmocka_unit_test(an_unencrypted_object_needs_the_marker),
	        cmocka_unit_test(old_objects_stay_readable_and_the_newest_key_seals),
	        cmocka_unit_test(an_object_is_sealed_again_for_other_keys),
	        cmocka_unit_test(a_damaged_object_is_not_sealed_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
