/* hold.h — blocks for sealing and reading without a loop, and an object in one piece. */
#ifndef TESTS_UNIT_CODEC_HOLD_H
#define TESTS_UNIT_CODEC_HOLD_H

#include "base/bytes.h"
#include "codec/sealed.h"

/* Kept for the next one: touching 17 MiB anew for each object would be all that a test does. */
enum { HOLDS_KEPT = 4 };
static struct blocks_hold *holds_kept[HOLDS_KEPT];

static inline struct blocks_hold *hold_new(void)
{
	struct blocks_hold *hold;

	for (unsigned i = 0; i < HOLDS_KEPT; i++)
		if (holds_kept[i])
			return STEAL(holds_kept[i]);
	hold = xcalloc(1, sizeof(*hold));
	for (hold->count = 0; hold->count < BLOCKS_SEAL; hold->count++)
		hold->block[hold->count] = xmalloc(BLOCK_BYTES);
	return hold;
}

static inline void hold_free(struct blocks_hold *hold)
{
	unsigned i = 0;

	while (holds_kept[i])
		if (++i == HOLDS_KEPT)
			abort();
	holds_kept[i] = hold;
}

static inline void holds_end(void)
{
	for (unsigned i = 0; i < HOLDS_KEPT; i++) {
		for (unsigned b = 0; holds_kept[i] && b < BLOCKS_SEAL; b++)
			free(holds_kept[i]->block[b]);
		free(STEAL(holds_kept[i]));
	}
}

/* Its bytes, on the heap and of exactly their length, so that reading past the end is seen. */
static inline uint8_t *object_bytes(const struct sealer *sealer, size_t *ret_length)
{
	struct iovec piece[1 + BLOCKS_SEAL];
	unsigned count = sealer_pieces(sealer, piece);
	size_t length = 0;
	uint8_t *bytes = xmalloc((size_t)sealer_stored_bytes(sealer));

	for (unsigned i = 0; i < count; i++) {
		memcpy(bytes + length, piece[i].iov_base, piece[i].iov_len);
		length += piece[i].iov_len;
	}
	*ret_length = length;
	return bytes;
}

#endif
