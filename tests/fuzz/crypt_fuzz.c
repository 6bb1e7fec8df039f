/*
 * crypt_fuzz.c — the reader of encrypted objects: any bytes, and any bytes behind right seals.
 *
 * No fuzzer finds a tag of AES-GCM, so the input is also taken as what was encrypted: header, index
 * and frames are sealed first with the key of the ring, and then the rules behind them are what is
 * tried.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "../../src/codec/crypt.h"
#include "base/bytes.h"
#include "codec/keys.h"
#include "codec/sealed.h"

enum { HEADER = 120, OBJECT_MAX = 1 << 20, ENTRY = 20, DIGEST = 16, AT_SALT = 40 };

static const char name[] = "wal/00000001/0000000A/000000010000000A000000FE";
static uint8_t scratch[SEALED_SCRATCH_BYTES], block[BLOCK_BYTES];

static struct keyring *ring_get(uint64_t *ret_id)
{
	static struct keyring *ring;
	struct key_about newest;
	struct err err = {0};
	unsigned i;

	if (!ring) {
		ring = keyring_new("00112233445566778899aabbccddeeff", &err);
		if (!ring || !keyring_make(ring, 1, &i, &err))
			abort();
	}
	if (!keyring_newest(ring, &newest))
		abort();
	*ret_id = newest.id;
	return ring;
}

static void pieces_seal(struct crypt *crypt, uint8_t *object, size_t length, size_t index_end)
{
	size_t at = index_end + KEY_TAG_BYTES;
	int64_t frame = 0;

	for (size_t i = HEADER + DIGEST; i < index_end; i += ENTRY, frame++) {
		size_t stored = get_u32(object + i) & INT32_MAX;

		if (stored > length - at)
			break;
		crypt_begin(crypt, frame);
		crypt_go_on(crypt, object + at, object + at, stored);
		crypt_seal_end(crypt, object + i + 4);
		at += stored;
	}
	crypt_begin(crypt, CRYPT_INDEX);
	crypt_go_on(crypt, object + HEADER, object + HEADER, index_end - HEADER);
	crypt_seal_end(crypt, object + index_end);
}

static void seals_mend(uint8_t *object, size_t length)
{
	uint64_t id, index_end;
	struct keyring *ring = ring_get(&id);
	struct crypt *crypt;

	if (length < HEADER)
		return;
	memcpy(object, "SEAWALL\x1a", 8);
	put_u16(object + 10, HEADER);
	object[14] = 1;
	put_u64(object + 56, id);
	put_u64(object + 64, XXH3_64bits(name, strlen(name)));
	put_u64(object + 112, XXH3_64bits(object, 112));
	index_end = HEADER + DIGEST + (uint64_t)get_u32(object + 20) * ENTRY;
	if (index_end > length || length - index_end < KEY_TAG_BYTES)
		return;
	crypt = crypt_new(&(struct crypt_about){.ring = ring,
	                                        .id = id,
	                                        .name = name,
	                                        .header = object,
	                                        .header_bytes = HEADER,
	                                        .salt = object + AT_SALT,
	                                        .seal = true});
	pieces_seal(crypt, object, length, (size_t)index_end);
	crypt_free(crypt);
}

static bool seen_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                      struct err *err)
{
	uint64_t *next = context;

	(void)err;
	assert(offset == *next && length <= SEALED_FRAME_BYTES_MAX);
	*next += length;
	return bytes != NULL;
}

static void object_try(const uint8_t *object, size_t length)
{
	static uint8_t *const blocks[] = {block};
	struct chain chain = {.block = blocks, .count = 1};
	uint64_t id, next = 0;
	struct sealed_want want = {.name = name, .keys = ring_get(&id)};
	struct sealed_reading reading = {.object = &chain,
	                                 .scratch = scratch,
	                                 .length = UINT64_MAX,
	                                 .each = seen_each,
	                                 .context = &next};
	struct err err = {0};
	struct sealed sealed;

	if (!chain_add(&chain, object, length))
		return;
	if (!sealed_open(object, length, &want, &sealed, &err)) {
		assert(err_is(&err) && !sealed.frame && !sealed.crypt);
		assert(sealed.wanted == 0 || sealed.wanted > length);
		return;
	}
	assert(sealed.encrypted && sealed.key == id);
	if (sealed_read(&sealed, &reading, &err))
		assert(next == sealed.logical_bytes && length == sealed.stored_bytes);
	else
		assert(err_is(&err));
	next = reading.from = sealed.logical_bytes / 3;
	reading.length = sealed.logical_bytes / 3;
	if (sealed_read(&sealed, &reading, &err))
		assert(next <= reading.from + reading.length);
	sealed_release(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	uint8_t *object;

	object_try(data, length);
	if (length < 1 || length > OBJECT_MAX || data[0] == 'S')
		return 0;
	object = xmalloc(length);
	memcpy(object, data + 1, length - 1);
	seals_mend(object, length - 1);
	object_try(object, length - 1);
	free(object);
	return 0;
}
