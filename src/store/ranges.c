/*
 * ranges.c — a large object by several requests at once.
 *
 *   START -> FIRST -> REST -> done        FIRST, REST -> WHOLE -> done: the store names no version
 *     `--------^-------^                  REST -> FIRST: once, when the object was replaced
 * meanwhile
 *
 * One connection of an object store far away gives some tens of megabytes a second, whatever the
 * line can do. The first request asks for the beginning. As soon as its answer says how long the
 * object is and which version, and while its bytes still come, the rest is asked for in ranges of
 * that very version. So what is not large costs one request, as ever, and nothing is asked for that
 * is not there. Who knows how long the object will be gets all ranges at once, without waiting for
 * that answer; then it is the answers whose versions must be the same. Bytes of two versions are
 * never mixed. The blocks are the caller's, who holds room for all of it before he asks: no more
 * memory is used than by one request.
 */
#include "ranges.h"

#include <string.h>

#include "base/mem.h"
#include "patience.h"

#include "base/poison.h"

enum { RANGES_MAX = 8 };

struct store_ranges {
	struct store_get first, rest[RANGES_MAX];
	unsigned count;       /* of rest */
	uint64_t total_bytes; /* of the object, as the first answer said */
	char version[STORE_VERSION_BYTES];
	int64_t deadline_ms, begun_ms;
	bool again, at_once;
};

#define RANGED_STATES(X) X(RANGED_START) X(RANGED_FIRST) X(RANGED_REST) X(RANGED_WHOLE)
OP_STATES(ranged_state, RANGED_STATES)

static uint64_t room_of(const struct store_get *get)
{
	return MIN(get->length, (uint64_t)get->blocks * BLOCK_BYTES);
}

bool ranges_wanted(const struct store_get *get)
{
	return get->store->pins && !get->store->unversioned && !get->single &&
	       room_of(get) > STORE_RANGE_FIRST_BYTES;
}

/* A part of what is wanted, from a byte that begins a block on. */
static struct store_get part_of(struct store_get *get, uint64_t from, uint64_t length)
{
	struct store_ranges *ranges = get->ranges;
	unsigned block = (unsigned)(from / BLOCK_BYTES);
	int64_t passed_ms = loop_now_ms(get->op.loop) - ranges->begun_ms -
	                    store_call_waited_ms(&ranges->first.call);

	return (struct store_get){
	        .store = get->store,
	        .name = get->name,
	        .offset = get->offset + from,
	        .length = length,
	        .block = get->block + block,
	        .blocks = get->blocks - block,
	        .deadline_ms = MAX(ranges->deadline_ms - passed_ms, 1),
	        .stall_ms = get->stall_ms,
	        .class = get->class,
	        .single = true,
	};
}

static void first_sized(struct store_get *first)
{
	struct store_get *get = first->context;

	if (get->op.state == RANGED_FIRST && !get->op.cancelled)
		op_wake(&get->op);
}

static void first_start(struct store_get *get)
{
	struct store_ranges *ranges = get->ranges;

	ranges->at_once = false;
	ranges->count = 0;
	ranges->first = part_of(get, 0, STORE_RANGE_FIRST_BYTES);
	ranges->first.sized = first_sized;
	ranges->first.context = get;
	store_get_start(&get->op, &ranges->first);
	op_wait(&get->op, RANGED_FIRST);
}

static void end(struct store_get *get, const struct err *cause)
{
	if (cause && err_is(cause))
		get->op.err = *cause;
	free(STEAL(get->ranges));
	op_done(&get->op);
}

/* What one request alone gave is all of it. */
static void end_with(struct store_get *get, const struct store_get *only)
{
	get->got = only->got;
	get->object_bytes = only->object_bytes;
	memcpy(get->version, only->version, sizeof(get->version));
	end(get, &only->op.err);
}

/* What there is of the object behind the first part. */
static uint64_t rest_bytes(const struct store_get *get, uint64_t object_bytes)
{
	uint64_t from = get->offset + STORE_RANGE_FIRST_BYTES;

	return object_bytes > from
	               ? MIN(object_bytes - from, room_of(get) - STORE_RANGE_FIRST_BYTES)
	               : 0;
}

/* [from, to) in equal ranges of whole blocks, the last one up to `end`. */
static void rest_start(struct store_get *get, uint64_t from, uint64_t to, uint64_t end)
{
	struct store_ranges *ranges = get->ranges;
	uint64_t count = (to - from + STORE_RANGE_BYTES / 2) / STORE_RANGE_BYTES, share;

	count = MIN(MAX(count, 1), (uint64_t)RANGES_MAX);
	share = (to - from + count - 1) / count;
	share += (BLOCK_BYTES - share % BLOCK_BYTES) % BLOCK_BYTES;
	for (ranges->count = 0; from < to; from += share) {
		struct store_get *part = &ranges->rest[ranges->count++];
		bool last = from + share >= to;

		*part = part_of(get, from, last ? end - from : share);
		part->pin = ranges->at_once ? NULL : ranges->version;
		store_get_start(&get->op, part);
	}
	op_wait(&get->op, RANGED_REST);
}

/* All of what is expected, and what there may be behind it. */
static void all_start(struct store_get *get)
{
	struct store_ranges *ranges = get->ranges;

	ranges->at_once = true;
	ranges->first = part_of(get, 0, STORE_RANGE_BYTES);
	store_get_start(&get->op, &ranges->first);
	rest_start(get, STORE_RANGE_BYTES, MIN(get->expect_bytes, room_of(get)), room_of(get));
}

static void whole_start(struct store_get *get)
{
	get->store->unversioned = true;
	get->ranges->first = part_of(get, 0, room_of(get));
	store_get_start(&get->op, &get->ranges->first);
	op_wait(&get->op, RANGED_WHOLE);
}

/* Called when the first answer's headers are there, and when it has ended. */
static void first_look(struct store_get *get)
{
	struct store_ranges *ranges = get->ranges;
	const struct store_get *first = &ranges->first;
	bool ended = !op_running(&first->op);
	uint64_t rest = rest_bytes(get, first->object_bytes);
	struct err err = {0};

	if (ended && op_failed(&first->op))
		return end(get, &first->op.err);
	if (!get->op.cancelled && first->version[0] && rest > 0) {
		ranges->total_bytes = first->object_bytes;
		memcpy(ranges->version, first->version, sizeof(ranges->version));
		return rest_start(get, STORE_RANGE_FIRST_BYTES, STORE_RANGE_FIRST_BYTES + rest,
		                  STORE_RANGE_FIRST_BYTES + rest);
	}
	if (!ended)
		return op_wait(&get->op, RANGED_FIRST);
	if (rest == 0)
		return end_with(get, first);
	if (get->op.cancelled) {
		err_set(&err, ERR_CANCELLED, "cancelled");
		return end(get, &err);
	}
	whole_start(get);
}

static bool is_other(const struct store_ranges *ranges, const struct store_get *part)
{
	if (part->replaced)
		return true;
	if (op_failed(&part->op))
		return false;
	return part->object_bytes != ranges->total_bytes ||
	       (part->got > 0 && strcmp(part->version, ranges->version) != 0);
}

/* Whether a part is of another version; also the first one, which was perhaps asked for twice. */
static bool is_mixture(const struct store_ranges *ranges)
{
	bool mixed = is_other(ranges, &ranges->first);

	for (unsigned i = 0; i < ranges->count; i++)
		mixed = mixed || is_other(ranges, &ranges->rest[i]);
	return mixed;
}

static const struct store_get *part_failed(const struct store_ranges *ranges)
{
	if (op_failed(&ranges->first.op))
		return &ranges->first;
	for (unsigned i = 0; i < ranges->count; i++)
		if (op_failed(&ranges->rest[i].op))
			return &ranges->rest[i];
	return NULL;
}

static void rest_take(struct store_get *get)
{
	const struct store_ranges *ranges = get->ranges;

	get->got = ranges->first.got;
	for (unsigned i = 0; i < ranges->count; i++)
		get->got += ranges->rest[i].got;
	get->object_bytes = ranges->total_bytes;
	memcpy(get->version, ranges->version, sizeof(get->version));
	end(get, NULL);
}

static void rest_judge(struct store_get *get)
{
	struct store_ranges *ranges = get->ranges;
	const struct store_get *failed = part_failed(ranges);
	struct err err = {0};

	if (ranges->at_once && op_failed(&ranges->first.op))
		return end(get, &ranges->first.op.err);
	if (ranges->at_once) {
		ranges->total_bytes = ranges->first.object_bytes;
		memcpy(ranges->version, ranges->first.version, sizeof(ranges->version));
	}
	if (is_mixture(ranges) && !ranges->again && !get->op.cancelled) {
		ranges->again = true;
		return first_start(get);
	}
	if (failed)
		return end(get, &failed->op.err);
	if (is_mixture(ranges)) {
		err_set(&err, ERR_STORE,
		        "could not read object \"%s\" in repository \"%s\": it was replaced by "
		        "another while it was read",
		        get->name, get->store->label);
		return end(get, &err);
	}
	if (ranges->first.got > 0 && !ranges->version[0] && !get->op.cancelled)
		return whole_start(get);
	rest_take(get);
}

static void ranged_step(struct op *op)
{
	struct store_get *get = container_of(op, struct store_get, op);

	switch ((enum ranged_state)op->state) {
	case RANGED_START:
		if (op->cancelled)
			return op_fail_as(op, ERR_CANCELLED, "cancelled");
		get->ranges = xcalloc(1, sizeof(*get->ranges));
		get->ranges->begun_ms = loop_now_ms(op->loop);
		get->ranges->deadline_ms =
		        get->deadline_ms > 0 ? get->deadline_ms : patience_deadline_ms(get->store);
		return get->expect_bytes > STORE_RANGE_FIRST_BYTES ? all_start(get)
		                                                   : first_start(get);

	case RANGED_FIRST:
		return first_look(get);

	case RANGED_REST:
		return op->children > 0 ? op_wait(op, RANGED_REST) : rest_judge(get);

	case RANGED_WHOLE:
		return end_with(get, &get->ranges->first);
	}
}

const struct op_type store_ranged_get = {
        .name = "store get, in ranges", .step = ranged_step, .state_name = ranged_state_name};
