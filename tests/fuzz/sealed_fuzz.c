/*
 * sealed_fuzz.c — the reader of sealed objects: any bytes, and any bytes behind right checksums.
 *
 * No fuzzer finds an XXH3, so when the first byte is not the magic's, the rest is taken as an
 * object whose hashes are made right first: then the rules behind them are what is tried.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "codec/sealed.h"

enum { HEADER = 120, OBJECT_MAX = 1 << 20, ENTRY = 12, DIGEST = 16 };

static const char name[] = "wal/00000001/0000000A/000000010000000A000000FE";
static uint8_t scratch[SEALED_SCRATCH_BYTES], block[BLOCK_BYTES];

static void hashes_mend(uint8_t *object, size_t length)
{
	size_t index_end, at;
	XXH128_canonical_t seal;

	if (length < HEADER)
		return;
	memcpy(object, "SEAWALL\x1a", 8);
	put_u16(object + 10, HEADER);
	put_u64(object + 64, XXH3_64bits(name, strlen(name)));
	put_u64(object + 112, XXH3_64bits(object, 112));
	index_end = HEADER + DIGEST + (size_t)get_u32(object + 20) * ENTRY;
	if (index_end > length || length - index_end < DIGEST)
		return;
	at = index_end + DIGEST;
	for (size_t i = HEADER + DIGEST; i < index_end; i += ENTRY) {
		size_t stored = get_u32(object + i) & INT32_MAX;

		if (stored > length - at)
			break;
		put_u64(object + i + 4, XXH3_64bits(object + at, stored));
		at += stored;
	}
	XXH128_canonicalFromHash(&seal, XXH3_128bits(object, index_end));
	memcpy(object + index_end, seal.digest, DIGEST);
}

struct seen {
	uint64_t next;
};

static bool seen_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                      struct err *err)
{
	struct seen *seen = context;

	(void)err;
	assert(offset == seen->next && length <= SEALED_FRAME_BYTES_MAX);
	seen->next += length;
	return bytes != NULL;
}

static void object_try(const uint8_t *object, size_t length)
{
	static uint8_t *const blocks[] = {block};
	struct chain chain = {.block = blocks, .count = 1};
	struct sealed_want want = {.name = name};
	struct seen seen = {0};
	struct sealed_reading reading = {.object = &chain,
	                                 .scratch = scratch,
	                                 .length = UINT64_MAX,
	                                 .each = seen_each,
	                                 .context = &seen};
	struct err err = {0};
	struct sealed sealed;

	if (!chain_add(&chain, object, length))
		return;
	if (!sealed_open(object, length, &want, &sealed, &err)) {
		assert(err_is(&err) && !sealed.frame);
		assert(sealed.wanted == 0 || sealed.wanted > length);
		return;
	}
	if (sealed_read(&sealed, &reading, &err))
		assert(seen.next == sealed.logical_bytes && length == sealed.stored_bytes);
	else
		assert(err_is(&err));
	seen.next = reading.from = sealed.logical_bytes / 3;
	reading.length = sealed.logical_bytes / 3;
	if (sealed_read(&sealed, &reading, &err))
		assert(seen.next <= reading.from + reading.length);
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
	hashes_mend(object, length - 1);
	object_try(object, length - 1);
	free(object);
	return 0;
}
