/*
 * object_write.c — content of any length becomes one object, or parts and a head.
 *
 *   START -> HOLDING -> SEALING -> PUTTING -> done           what fits one object
 *              ^          |-> LOOKING -^ |                   first part: is the thing there?
 *              '----- next part ---------'
 *                                    `-> COMPARING -> done   the name is taken: same content?
 *   SEALING -> SETTLING -> done          there already: it is on disk, and then: same content?
 *
 * Before START stands ASKING, and before each good end ASSURING, where the repository may have been
 * encrypted by somebody else since it was opened (keys_guard).
 *
 * Whether 16 MiB are the whole or its first part shows only when one more piece of the content
 * comes, so a worker seals first and says then what it has sealed (sealer_become). Memory is never
 * asked for while some is held: all blocks go back between two objects, and looking at a header
 * takes none.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "codec/keys.h"
#include "repo/keys.h"
#include "repo/object.h"

#include "base/poison.h"

enum { PEEK_BYTES = 4096 };

struct write_detail {
	struct object_write *write;
	struct blocks_hold hold;
	struct work work;
	struct store_put put;
	struct object_stat stat;
	struct store_head settle;
	struct sealer *sealer;
	struct digester *whole; /* from the second object on */
	struct sealed_spec spec;
	struct iovec piece[1 + BLOCKS_SEAL];
	char part_name[SEALED_NAME_MAX]; /* full */
	uint64_t from;                   /* of write->bytes */
	uint8_t peek[PEEK_BYTES];        /* the beginning of the next object */
	size_t peeked;
	struct keys_guard guard;
	struct digest claim; /* what it is known by to other writers */
	bool ended;          /* what is sealed is the last: the object itself, or the head */
	bool exists;         /* the thing is there already: nothing more is stored, only compared */
};

void repo_random(void *bytes, size_t length)
{
	if (getrandom(bytes, length, 0) != (ssize_t)length)
		abort();
}

uint64_t repo_random_id(void)
{
	uint64_t id;

	do
		repo_random(&id, sizeof(id));
	while (id == 0);
	return id;
}

/* ---- on a worker ---- */

static bool produce(struct write_detail *d, uint8_t *room, size_t room_bytes, size_t *ret_length,
                    struct err *err)
{
	struct object_write *write = d->write;

	if (work_cancelled(&d->work))
		return err_set(err, ERR_CANCELLED, "cancelled");
	if (d->peeked > 0) { /* less than a frame, which is what there is room for */
		assert(d->peeked <= room_bytes);
		memcpy(room, d->peek, d->peeked);
		*ret_length = d->peeked;
		d->peeked = 0;
		return true;
	}
	*ret_length = 0;
	if (write->produce)
		return write->produce(write, room, room_bytes, ret_length, err);
	*ret_length = (size_t)MIN((uint64_t)room_bytes, write->length - d->from);
	if (*ret_length)
		memcpy(room, (const uint8_t *)write->bytes + d->from, *ret_length);
	d->from += *ret_length;
	return true;
}

/* Until the object is full or the content has ended. */
static bool fill(struct write_detail *d, struct err *err)
{
	while (!d->ended) {
		size_t room_bytes, length;
		uint8_t *room = sealer_room(d->sealer, &room_bytes);

		if (room_bytes == 0)
			break;
		if (!produce(d, room, room_bytes, &length, err))
			return false;
		assert(length <= room_bytes);
		d->ended = length == 0;
		d->write->logical_bytes += length;
		if (d->whole)
			digester_add(d->whole, room, length);
		if (!sealer_filled(d->sealer, length, err))
			return false;
	}
	if (d->ended)
		return true;
	if (!produce(d, d->peek, PEEK_BYTES, &d->peeked, err))
		return false;
	d->ended = d->peeked == 0;
	return true;
}

static bool seal_last(struct write_detail *d, struct err *err)
{
	struct digest whole;

	if (d->write->accept && !d->write->accept(d->write, err))
		return false;
	if (d->spec.parts > 0) {
		digester_end(d->whole, &whole);
		sealer_become(d->sealer, &d->spec, &whole);
	}
	if (!sealer_end(d->sealer, err))
		return false;
	d->write->digest = *sealer_digest(d->sealer);
	return true;
}

static bool seal_part(struct write_detail *d, struct err *err)
{
	struct sealed_spec spec = d->spec;

	if (d->spec.parts == SEALED_PARTS_MAX)
		return err_set(err, ERR_REFUSED, "it has more than %d parts", SEALED_PARTS_MAX);
	if (d->spec.parts == 0)
		d->spec.attempt = repo_random_id();
	d->spec.parts++;
	d->spec.parts_bytes += SEALED_PART_BYTES;
	sealed_part_name(d->write->name, d->spec.attempt, d->spec.parts, d->part_name);
	spec.kind = SEALED_PART;
	spec.name = name_sealed(d->part_name);
	spec.attempt = spec.parts = 0;
	spec.parts_bytes = 0;
	sealer_become(d->sealer, &spec, NULL);
	if (!sealer_end(d->sealer, err))
		return false;
	if (!d->whole)
		d->whole = sealer_digester(d->sealer);
	return true;
}

static void seal_run(struct work *work)
{
	struct write_detail *d = container_of(work, struct write_detail, work);
	struct err *err = &work->op.err;
	struct sealed_spec spec = d->spec;

	spec.attempt = spec.parts = 0; /* until it is known to be a head */
	spec.parts_bytes = 0;
	d->sealer = sealer_new(&spec, &d->hold, NULL);
	if (fill(d, err))
		(void)(d->ended ? seal_last(d, err) : seal_part(d, err));
}

/* ---- the story ---- */

/* clang-format off */
#define WRITE_STATES(X) \
	X(WRITE_START) X(WRITE_ASKING) X(WRITE_HOLDING) X(WRITE_SEALING) X(WRITE_LOOKING) \
	X(WRITE_PUTTING) X(WRITE_COMPARING) X(WRITE_SETTLING) X(WRITE_ASSURING)
/* clang-format on */
OP_STATES(write_state, WRITE_STATES)

static void object_drop(struct write_detail *d)
{
	sealer_free(STEAL(d->sealer));
	blocks_keep(&d->hold, 0);
}

static void write_release(struct object_write *write)
{
	struct write_detail *d = write->detail;

	object_drop(d);
	digester_free(d->whole);
	free(d);
	write->detail = NULL;
}

static void write_fail(struct object_write *write, const struct err *cause)
{
	write->op.err = *cause;
	write_release(write);
	op_fail_own(&write->op);
}

/* Keys open themselves, the marker is encrypted by who makes it, and a note of what the store can
 * do is read before any key. */
static bool write_is_guarded(const struct object_write *write)
{
	return write->kind != SEALED_KEY && write->kind != SEALED_MARKER &&
	       write->kind != SEALED_PROBE;
}

/* Whether the repository is (still) one that takes this. */
static void write_ask(struct object_write *write, bool stored, int state)
{
	struct write_detail *d = write->detail;

	d->guard = (struct keys_guard){.repo = write->repo, .stored = stored};
	keys_guard_start(&write->op, &d->guard);
	op_wait(&write->op, state);
}

static void write_end(struct object_write *write)
{
	write_release(write);
	op_done(&write->op);
}

static void write_done(struct object_write *write)
{
	struct write_detail *d = write->detail;

	if (d->spec.keys || !write_is_guarded(write) || keys_guard_idle(write->repo, true))
		return write_end(write);
	object_drop(d);
	write_ask(write, true, WRITE_ASSURING);
}

static void write_begin(struct object_write *write)
{
	struct write_detail *d = write->detail;

	write->logical_bytes = write->stored_bytes = 0;
	write->repeated = false;
	d->write = write;
	d->spec = (struct sealed_spec){
	        .kind = write->kind,
	        .compression = write->compression,
	        .frame_bytes = write->frame_bytes ? write->frame_bytes : SEALED_FRAME_BYTES_WAL,
	        .name = name_sealed(write->name),
	        .created_us = clock_now_us(),
	        .keys = write->kind == SEALED_KEY ? NULL : write->repo->keys,
	};
}

static void write_hold(struct object_write *write)
{
	struct write_detail *d = write->detail;

	object_drop(d);
	blocks_hold(&write->op, &d->hold, write->repo->blocks, write->class, BLOCKS_SEAL);
	op_wait(&write->op, WRITE_HOLDING);
}

static void write_look(struct object_write *write, int state)
{
	struct write_detail *d = write->detail;

	d->stat = (struct object_stat){.repo = write->repo, .name = write->name};
	object_stat_start(&write->op, &d->stat);
	op_wait(&write->op, state);
}

/* There is a thing of that name: is it this? */
static void write_compare(struct object_write *write)
{
	struct write_detail *d = write->detail;
	const struct sealed *there = &d->stat.sealed;
	struct err err = {0};
	char digest[2 * SEALED_DIGEST_BYTES + 1];

	write->existing = there->digest;
	write->existing_created_us = there->created_us;
	if (there->kind == write->kind && digest_equal(&there->digest, &write->digest)) {
		write->repeated = true;
		write->stored_bytes = d->stat.object_bytes;
		return write_done(write);
	}
	digest_text(&there->digest, digest);
	err_set(&err, ERR_EXISTS,
	        "object \"%s\" is in repository \"%s\" already, with other content (digest %s)",
	        write->name, store_label(write->repo->store), digest);
	write_fail(write, &err);
}

/* No put says that what was found is durable: who stored it may not have got that far. */
static void write_settle(struct object_write *write)
{
	struct write_detail *d = write->detail;

	object_drop(d);
	d->settle = (struct store_head){
	        .store = write->repo->store, .name = write->name, .durable = true};
	store_head_start(&write->op, &d->settle);
	op_wait(&write->op, WRITE_SETTLING);
}

/* Claims are seen by those who have no key. */
void object_claim(const struct repo *repo, const struct digest *digest, struct digest *ret)
{
	*ret = *digest;
	if (repo->keys)
		keyring_blind(repo->keys, digest->bytes, sizeof(ret->bytes), ret->bytes);
}

static void write_put(struct object_write *write)
{
	struct write_detail *d = write->detail;

	if (d->exists)
		return d->ended ? write_settle(write) : write_hold(write);
	object_claim(write->repo, &write->digest, &d->claim);
	d->put = (struct store_put){
	        .store = write->repo->store,
	        .name = d->ended ? write->name : d->part_name,
	        .piece = d->piece,
	        .pieces = sealer_pieces(d->sealer, d->piece),
	        .kind = name_store_kind(write->name),
	        .content = d->ended ? &d->claim : NULL,
	        .class = repo_work_class(write->class),
	};
	blocks_keep(&d->hold, sealer_blocks_used(d->sealer));
	store_put_start(&write->op, &d->put);
	op_wait(&write->op, WRITE_PUTTING);
}

static void write_sealed(struct object_write *write)
{
	struct write_detail *d = write->detail;
	struct err err = d->work.op.err;

	if (err_is(&err)) {
		err_wrap(&err, "could not make object \"%s\"", write->name);
		return write_fail(write, &err);
	}
	/* Before the first part: parts of what is there already would be left over. */
	if (!d->ended && d->spec.parts == 1)
		return write_look(write, WRITE_LOOKING);
	write_put(write);
}

static void write_stored(struct object_write *write)
{
	struct write_detail *d = write->detail;
	enum err_code code = d->put.op.err.code;

	if (code == ERR_EXISTS && d->ended) {
		object_drop(d);
		return write_look(write, WRITE_COMPARING);
	}
	if (code != ERR_NONE)
		return write_fail(write, &d->put.op.err);
	write->stored_bytes += sealer_stored_bytes(d->sealer);
	if (d->ended)
		return write_done(write);
	write_hold(write);
}

static void write_step(struct op *op)
{
	struct object_write *write = container_of(op, struct object_write, op);
	struct write_detail *d = write->detail;

	switch ((enum write_state)op->state) {
	case WRITE_START:
		write->detail = xcalloc(1, sizeof(struct write_detail));
		if (write_is_guarded(write) && !keys_guard_idle(write->repo, false))
			return write_ask(write, false, WRITE_ASKING);
		write_begin(write);
		return write_hold(write);

	case WRITE_ASKING:
		if (op_failed(&d->guard.op))
			return write_fail(write, &d->guard.op.err);
		write_begin(write);
		return write_hold(write);

	case WRITE_ASSURING:
		if (op_failed(&d->guard.op))
			return write_fail(write, &d->guard.op.err);
		return write_end(write);

	case WRITE_HOLDING:
		if (op_failed(&d->hold.op))
			return write_fail(write, &d->hold.op.err);
		work_start_class(op, &d->work, repo_work_class(write->class), seal_run);
		return op_wait(op, WRITE_SEALING);

	case WRITE_SEALING:
		return write_sealed(write);

	case WRITE_LOOKING:
		d->exists = !op_failed(&d->stat.op);
		if (!d->exists && d->stat.op.err.code != ERR_NOTFOUND)
			return write_fail(write, &d->stat.op.err);
		return write_put(write);

	case WRITE_PUTTING:
		return write_stored(write);

	case WRITE_COMPARING:
		if (op_failed(&d->stat.op))
			return write_fail(write, &d->stat.op.err);
		return write_compare(write);

	case WRITE_SETTLING:
		if (op_failed(&d->settle.op))
			return write_fail(write, &d->settle.op.err);
		return write_compare(write);
	}
}

static const struct op_type write_type = {
        .name = "object write", .step = write_step, .state_name = write_state_name};

void object_write_start(struct op *parent, struct object_write *write)
{
	write->detail = NULL;
	op_start(parent, &write->op, &write_type);
}
