/*
 * blocks.h — the process's big memory: a fixed set of buffers of 1 MiB, and chains of them.
 *
 * A story reserves its worst case at a gate before it starts (blocks_hold), hands the chain to a
 * worker or a driver, and gives back what it does not need (blocks_keep). So chains cannot wait for
 * each other, and two sets of BLOCKS_SEAL always belong to WAL. Pages are reused; after 10 s in
 * which nobody took or gave any, the free ones go back to the system.
 */
#ifndef LOOP_BLOCKS_H
#define LOOP_BLOCKS_H

#include "loop/gate.h"
#include "loop/loop.h"

enum {
	BLOCK_BYTES = 1024 * 1024,
	BLOCKS_SEAL = 17, /* to build or read one sealed object: 16 of frames, 1 for scratch */
	BLOCKS_IDLE_MS = 10000,
};

struct blocks;
/* bytes is rounded down to whole blocks; at least 2 * BLOCKS_SEAL are made. */
struct blocks *blocks_new(struct loop *loop, uint64_t bytes);
void blocks_free(struct blocks *blocks);
unsigned blocks_count(const struct blocks *blocks);
unsigned blocks_taken(const struct blocks *blocks);

struct blocks_hold {
	struct op op;
	struct ticket ticket;
	struct blocks *blocks;
	unsigned wanted;
	uint8_t *block[BLOCKS_SEAL]; /* block[0..count): each BLOCK_BYTES, contents undefined */
	unsigned count;
};
/* Ends when count (at most BLOCKS_SEAL) blocks are ours. */
void blocks_hold(struct op *parent, struct blocks_hold *hold, struct blocks *blocks,
                 enum gate_class class, unsigned count);
/* Gives back all but the first keep blocks; 0 gives back all. Safe on one that holds none. */
void blocks_keep(struct blocks_hold *hold, unsigned keep);

/* Bytes over blocks that somebody holds: byte i is in block[i / BLOCK_BYTES]. A view, owns nothing.
 */
struct chain {
	uint8_t *const *block;
	unsigned count;  /* blocks that may be used */
	uint64_t length; /* bytes in use */
};
static inline struct chain chain_of(const struct blocks_hold *hold, unsigned count)
{
	return (struct chain){.block = hold->block, .count = count};
}
/* Appends; false (nothing is appended) when it does not fit. */
bool chain_add(struct chain *chain, const void *bytes, size_t length);
/* Copies out; asserts that the range is inside. */
void chain_copy(const struct chain *chain, uint64_t offset, void *out, size_t length);
/* The bytes at offset when they lie in one block, else NULL. */
const uint8_t *chain_at(const struct chain *chain, uint64_t offset, size_t length);

#endif
