/*
 * blocks.c — the fixed set of 1 MiB buffers. One mapping, a stack of free blocks, a gate in front.
 *
 * The last given back is the first taken, so the pages in use stay few and warm. The idle timer
 * gives the pages of free blocks back to the system (MADV_DONTNEED) once nobody took or gave any
 * for a while.
 */
#include "loop/blocks.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "base/poison.h"

struct blocks {
	struct loop *loop;
	struct gate gate;
	struct timer idle;
	uint8_t *base;
	unsigned count, free_count;
	uint8_t **free; /* a stack; below `cold` nothing was touched since the last idle time */
};

static void blocks_idle(struct timer *timer)
{
	struct blocks *blocks = container_of(timer, struct blocks, idle);

	for (unsigned i = 0; i < blocks->free_count; i++)
		madvise(blocks->free[i], BLOCK_BYTES, MADV_DONTNEED);
}

struct blocks *blocks_new(struct loop *loop, uint64_t bytes)
{
	struct blocks *blocks = xcalloc(1, sizeof(*blocks));
	unsigned count = (unsigned)MIN(bytes / BLOCK_BYTES, 1U << 20);

	blocks->loop = loop;
	blocks->count = MAX(count, 2U * BLOCKS_SEAL);
	blocks->base = mmap(NULL, (size_t)blocks->count * BLOCK_BYTES, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (blocks->base == MAP_FAILED)
		abort();
	blocks->free = xcalloc(blocks->count, sizeof(*blocks->free));
	for (unsigned i = 0; i < blocks->count; i++)
		blocks->free[blocks->free_count++] =
		        blocks->base + (size_t)(blocks->count - 1 - i) * BLOCK_BYTES;
	/* A set for WAL always: two where there is room for a third beside them, else one. */
	gate_init(&blocks->gate, blocks->count,
	          blocks->count >= 3 * BLOCKS_SEAL ? 2 * BLOCKS_SEAL : BLOCKS_SEAL);
	timer_init(&blocks->idle, loop, blocks_idle);
	return blocks;
}

void blocks_free(struct blocks *blocks)
{
	if (!blocks)
		return;
	assert(blocks->free_count == blocks->count);
	timer_release(&blocks->idle);
	munmap(blocks->base, (size_t)blocks->count * BLOCK_BYTES);
	free(blocks->free);
	free(blocks);
}

unsigned blocks_count(const struct blocks *blocks)
{
	return blocks->count;
}

unsigned blocks_taken(const struct blocks *blocks)
{
	return blocks->count - blocks->free_count;
}

enum hold_state { HOLD_START, HOLD_QUEUED };

static void hold_step(struct op *op)
{
	struct blocks_hold *hold = container_of(op, struct blocks_hold, op);
	struct blocks *blocks = hold->blocks;

	if (op->state == HOLD_START) {
		gate_enter(op, &hold->ticket, &blocks->gate, hold->ticket.class, hold->wanted);
		return op_wait(op, HOLD_QUEUED);
	}
	if (op_failed(&hold->ticket.op))
		return op_fail(op, &hold->ticket.op.err, "could not get memory");
	assert(hold->ticket.places == hold->wanted && blocks->free_count >= hold->wanted);
	while (hold->count < hold->wanted)
		hold->block[hold->count++] = blocks->free[--blocks->free_count];
	timer_set(&blocks->idle, BLOCKS_IDLE_MS);
	op_done(op);
}

static const struct op_type hold_type = {.name = "blocks", .step = hold_step};

void blocks_hold(struct op *parent, struct blocks_hold *hold, struct blocks *blocks,
                 enum gate_class class, unsigned count)
{
	assert(count > 0 && count <= BLOCKS_SEAL);
	*hold = (struct blocks_hold){.blocks = blocks, .wanted = count, .ticket.class = class};
	op_start(parent, &hold->op, &hold_type);
}

void blocks_keep(struct blocks_hold *hold, unsigned keep)
{
	struct blocks *blocks = hold->blocks;

	if (hold->count <= keep)
		return;
	while (hold->count > keep)
		blocks->free[blocks->free_count++] = hold->block[--hold->count];
	timer_set(&blocks->idle, BLOCKS_IDLE_MS);
	gate_shrink(&hold->ticket, keep);
}

bool chain_add(struct chain *chain, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;

	if (chain->length + length > (uint64_t)chain->count * BLOCK_BYTES)
		return false;
	while (length > 0) {
		size_t at = chain->length % BLOCK_BYTES;
		size_t part = MIN(length, BLOCK_BYTES - at);

		memcpy(chain->block[chain->length / BLOCK_BYTES] + at, from, part);
		from += part;
		chain->length += part;
		length -= part;
	}
	return true;
}

void chain_copy(const struct chain *chain, uint64_t offset, void *out, size_t length)
{
	uint8_t *to = out;

	assert(offset + length <= chain->length);
	while (length > 0) {
		size_t at = offset % BLOCK_BYTES;
		size_t part = MIN(length, BLOCK_BYTES - at);

		memcpy(to, chain->block[offset / BLOCK_BYTES] + at, part);
		to += part;
		offset += part;
		length -= part;
	}
}

const uint8_t *chain_at(const struct chain *chain, uint64_t offset, size_t length)
{
	size_t at = offset % BLOCK_BYTES;

	if (at + length > BLOCK_BYTES || offset + length > chain->length)
		return NULL;
	return chain->block[offset / BLOCK_BYTES] + at;
}
