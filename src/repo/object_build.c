/*
 * object_build.c — a big thing built piece by piece while a story goes on (a manifest).
 *
 *   add   START -> SEALING -> done            most pieces only go into the part at hand
 *                    '-> PUTTING -> SEALING   the part is full: it is stored, the rest begins the
 * next. What is not encrypted is assured after each put (ASSURING, keys_guard).
 *   end   START -> SEALING -> PUTTING -> ... -> done      the last part, then the head
 *
 * The builder lives as long as the story, and the story asks for blocks meanwhile; so its own
 * memory is none of the gate's: a mapping of one set of blocks, of which only the pages that
 * compressed frames fill are ever touched.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "repo/keys.h"
#include "repo/object.h"

#include "base/poison.h"

enum { MAPPING_BYTES = BLOCKS_SEAL * BLOCK_BYTES };

struct object_builder {
	struct repo *repo;
	char *name;
	struct sealed_spec spec; /* of the head */
	enum gate_class class;
	uint8_t *mapping;
	struct blocks_hold hold; /* only the places: never entered the gate */
	struct sealer *sealer;   /* the part at hand; NULL between two */
	bool sealed;             /* it is complete and waits to be stored */
	struct digester *whole;
	uint64_t stored_bytes;
	bool broken;
	/* of the operation under way; there is one at a time */
	struct work work;
	struct store_put put;
	struct keys_guard guard;
	struct iovec piece[1 + BLOCKS_SEAL];
	char part_name[SEALED_NAME_MAX];
	const uint8_t *bytes;
	size_t length;
	bool head; /* what is sealed is the head */
};

struct object_builder *object_builder_new(struct repo *repo, const char *name,
                                          enum sealed_kind kind,
                                          const struct compression *compression,
                                          enum gate_class class)
{
	struct object_builder *b = xcalloc(1, sizeof(*b));

	b->repo = repo;
	b->name = xstrdup(name);
	b->class = class;
	b->spec = (struct sealed_spec){
	        .kind = kind,
	        .compression = *compression,
	        .frame_bytes = SEALED_FRAME_BYTES_WAL,
	        .name = name_sealed(b->name),
	        .created_us = clock_now_us(),
	        .keys = repo->keys,
	};
	b->mapping = mmap(NULL, MAPPING_BYTES, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->mapping == MAP_FAILED)
		abort();
	for (b->hold.count = 0; b->hold.count < BLOCKS_SEAL; b->hold.count++)
		b->hold.block[b->hold.count] = b->mapping + (size_t)b->hold.count * BLOCK_BYTES;
	b->whole = digester_new();
	return b;
}

void object_builder_free(struct object_builder *b)
{
	if (!b)
		return;
	sealer_free(b->sealer);
	digester_free(b->whole);
	munmap(b->mapping, MAPPING_BYTES);
	free(b->name);
	free(b);
}

/* ---- on a worker ---- */

static bool part_end(struct object_builder *b, struct err *err)
{
	if (b->spec.parts == SEALED_PARTS_MAX)
		return err_set(err, ERR_REFUSED, "it has more than %d parts", SEALED_PARTS_MAX);
	if (b->spec.parts == 0)
		b->spec.attempt = repo_random_id();
	b->spec.parts_bytes += sealer_logical_bytes(b->sealer);
	b->spec.parts++;
	sealed_part_name(b->name, b->spec.attempt, b->spec.parts, b->part_name);
	sealer_become(b->sealer,
	              &(struct sealed_spec){.kind = SEALED_PART, .name = name_sealed(b->part_name)},
	              NULL);
	b->sealed = sealer_end(b->sealer, err);
	return b->sealed;
}

static void add_run(struct work *work)
{
	struct object_builder *b = container_of(work, struct object_builder, work);
	struct sealed_spec spec = b->spec;
	size_t part;

	if (!b->sealer) {
		spec.attempt = spec.parts = 0;
		spec.parts_bytes = 0;
		b->sealer = sealer_new(&spec, &b->hold, NULL);
	}
	part = (size_t)MIN((uint64_t)b->length,
	                   SEALED_PART_BYTES - sealer_logical_bytes(b->sealer));
	digester_add(b->whole, b->bytes, part);
	if (!sealer_add(b->sealer, b->bytes, part, &work->op.err))
		return;
	b->bytes += part;
	b->length -= part;
	if (sealer_logical_bytes(b->sealer) == SEALED_PART_BYTES)
		(void)part_end(b, &work->op.err);
}

/* The last part, if something is in it; else the head. */
static void end_run(struct work *work)
{
	struct object_builder *b = container_of(work, struct object_builder, work);
	struct err *err = &work->op.err;

	if (b->sealer) {
		(void)part_end(b, err);
		return;
	}
	b->sealer = sealer_new(&b->spec, &b->hold, b->whole);
	b->head = true;
	if (sealer_add(b->sealer, b->bytes, b->length, err))
		b->sealed = sealer_end(b->sealer, err);
}

/* ---- the stories ---- */

#define BUILD_STATES(X) X(BUILD_START) X(BUILD_SEALING) X(BUILD_PUTTING) X(BUILD_ASSURING)
OP_STATES(build_state, BUILD_STATES)

static void build_seal(struct op *op, struct object_builder *b, void (*run)(struct work *work))
{
	work_start_class(op, &b->work, repo_work_class(b->class), run);
	op_wait(op, BUILD_SEALING);
}

static void build_put(struct op *op, struct object_builder *b)
{
	b->put = (struct store_put){
	        .store = b->repo->store,
	        .name = b->head ? b->name : b->part_name,
	        .piece = b->piece,
	        .pieces = sealer_pieces(b->sealer, b->piece),
	        .kind = name_store_kind(b->head ? b->name : b->part_name),
	        .class = repo_work_class(b->class),
	};
	store_put_start(op, &b->put);
	op_wait(op, BUILD_PUTTING);
}

/* Nothing more can be added after a failure: a piece of the content may be missing. */
static void build_fail(struct op *op, struct object_builder *b, const struct err *cause)
{
	b->broken = true;
	op_fail(op, cause, "could not make object \"%s\"", b->name);
}

/* True: it waits. */
static bool build_assure(struct op *op, struct object_builder *b)
{
	if (b->spec.keys || keys_guard_idle(b->repo, true))
		return false;
	b->guard = (struct keys_guard){.repo = b->repo, .stored = true};
	keys_guard_start(op, &b->guard);
	op_wait(op, BUILD_ASSURING);
	return true;
}

static void build_stored(struct object_builder *b)
{
	b->stored_bytes += sealer_stored_bytes(b->sealer);
	sealer_free(STEAL(b->sealer));
	b->sealed = false;
	madvise(b->mapping, MAPPING_BYTES, MADV_DONTNEED);
}

static void add_stored(struct op *op, struct object_builder *b)
{
	build_stored(b);
	if (b->length > 0)
		return build_seal(op, b, add_run);
	op_done(op);
}

static void add_step(struct op *op)
{
	struct object_builder_add *add = container_of(op, struct object_builder_add, op);
	struct object_builder *b = add->builder;

	switch ((enum build_state)op->state) {
	case BUILD_START:
		assert(!b->broken && add->length <= OBJECT_STREAM_ADD_MAX);
		b->bytes = add->bytes;
		b->length = add->length;
		return build_seal(op, b, add_run);

	case BUILD_SEALING:
		if (op_failed(&b->work.op))
			return build_fail(op, b, &b->work.op.err);
		return b->sealed ? build_put(op, b) : op_done(op);

	case BUILD_PUTTING:
		if (op_failed(&b->put.op))
			return build_fail(op, b, &b->put.op.err);
		return build_assure(op, b) ? (void)0 : add_stored(op, b);

	case BUILD_ASSURING:
		if (op_failed(&b->guard.op))
			return build_fail(op, b, &b->guard.op.err);
		return add_stored(op, b);
	}
}

static void end_stored(struct op *op, struct object_builder_end *end)
{
	struct object_builder *b = end->builder;

	build_stored(b);
	if (!b->head)
		return build_seal(op, b, end_run);
	end->stored_bytes = b->stored_bytes;
	op_done(op);
}

static void end_step(struct op *op)
{
	struct object_builder_end *end = container_of(op, struct object_builder_end, op);
	struct object_builder *b = end->builder;

	switch ((enum build_state)op->state) {
	case BUILD_START:
		assert(!b->broken && !b->head);
		b->bytes = end->bytes;
		b->length = end->length;
		return build_seal(op, b, end_run);

	case BUILD_SEALING:
		if (op_failed(&b->work.op))
			return build_fail(op, b, &b->work.op.err);
		return build_put(op, b);

	case BUILD_PUTTING:
		if (op_failed(&b->put.op))
			return build_fail(op, b, &b->put.op.err);
		return build_assure(op, b) ? (void)0 : end_stored(op, end);

	case BUILD_ASSURING:
		if (op_failed(&b->guard.op))
			return build_fail(op, b, &b->guard.op.err);
		return end_stored(op, end);
	}
}

static const struct op_type add_type = {
        .name = "object add", .step = add_step, .state_name = build_state_name};
static const struct op_type end_type = {
        .name = "object end", .step = end_step, .state_name = build_state_name};

void object_builder_add_start(struct op *parent, struct object_builder_add *add)
{
	op_start(parent, &add->op, &add_type);
}

void object_builder_end_start(struct op *parent, struct object_builder_end *end)
{
	op_start(parent, &end->op, &end_type);
}
