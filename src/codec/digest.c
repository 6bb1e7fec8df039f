/* digest.c — XXH3: 128 bits over content, 64 bits over what is stored. */
#include "internal.h"

#include "base/file.h"
#include "base/str.h"

#include <string.h>
/* Where the library was built so, with the widest registers of the processor at hand: three times
 * as fast as with those that every one has. */
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#include "base/poison.h"

struct digester {
	XXH3_state_t *state; /* has an alignment of its own */
};

struct digester *digester_new(void)
{
	struct digester *digester = xcalloc(1, sizeof(*digester));

	digester->state = XXH3_createState();
	if (!digester->state)
		abort(); /* 600 bytes, as xmalloc() does */
	XXH3_128bits_reset(digester->state);
	return digester;
}

struct digester *digester_copy(const struct digester *digester)
{
	struct digester *copy = digester_new();

	XXH3_copyState(copy->state, digester->state);
	return copy;
}

void digester_add(struct digester *digester, const void *bytes, size_t length)
{
	XXH3_128bits_update(digester->state, bytes, length);
}

bool digester_add_file(struct digester *digester, int fd)
{
	AUTO_FREE
	uint8_t *piece = xmalloc(SEALED_FRAME_BYTES_WAL);
	uint64_t offset = 0;
	ssize_t got;

	while ((got = file_pread_full(fd, piece, SEALED_FRAME_BYTES_WAL, offset)) > 0) {
		digester_add(digester, piece, (size_t)got);
		offset += (uint64_t)got;
	}
	return got == 0;
}

void digester_end(const struct digester *digester, struct digest *ret)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digester->state));
	memcpy(ret->bytes, canonical.digest, sizeof(ret->bytes));
}
_Static_assert(sizeof(XXH128_canonical_t) == SEALED_DIGEST_BYTES, "the digest is XXH3-128");

void digester_free(struct digester *digester)
{
	if (!digester)
		return;
	XXH3_freeState(digester->state);
	free(digester);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void digest_text(const struct digest *digest, char out[2 * SEALED_DIGEST_BYTES + 1])
{
	str_hex_of(digest->bytes, sizeof(digest->bytes), out);
}

uint64_t hash64(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}
