/*
 * copy_object.c — one sealed object from one repository to another.
 *
 *   START -> HOLDING -> QUEUED_FROM -> GETTING -> SEALING -> QUEUED_TO -> PUTTING -> done
 *                                                                            '-> COMPARING
 *
 * SEALING -> LOOKING -> SEALING when its data key is newer than what was read of keys/; ASSURING
 * before the good end of what is not encrypted (repo/keys.h).
 *
 * Its memory is reserved before anything is asked for, and shrinks to what it takes as soon as that
 * is known. Every frame is checked before a byte of it is stored, and content is never
 * recompressed.
 */
#include "copy_object.h"

#include "base/poison.h"

enum object_state {
	OBJECT_START,
	OBJECT_HOLDING,
	OBJECT_QUEUED_FROM,
	OBJECT_GETTING,
	OBJECT_SEALING,
	OBJECT_QUEUED_TO,
	OBJECT_PUTTING,
	OBJECT_COMPARING,
	OBJECT_LOOKING,
	OBJECT_ASSURING,
};

static void object_end(struct copy_object *object, const struct err *cause)
{
	gate_leave(&object->ticket);
	sealer_free(STEAL(object->sealer));
	blocks_keep(&object->hold, 0);
	op_wake(object->op.parent);
	if (cause)
		return op_fail(&object->op, cause,
		               "could not copy object \"%s\" to repository \"%s\"", object->name,
		               object->to->repository);
	op_done(&object->op);
}

/* On a worker. */
static void object_seal(struct work *work)
{
	struct copy_object *object = container_of(work, struct copy_object, work);
	const struct sealed_want want = {.name = name_sealed(object->name),
	                                 .keys = object->from->repo->keys};
	const struct sealed_again again = {.name = name_sealed(object->target),
	                                   .keys = object->to->repo->keys};

	object->plain = !again.keys;
	object->sealer = sealer_of_object(&object->hold, object->get.got, &want, &object->sealed,
	                                  &work->op.err);
	if (!object->sealer || (sealer_differs(object->sealer, &again) &&
	                        !sealer_again(object->sealer, &again, &work->op.err)))
		err_wrap(&work->op.err, "could not read object \"%s\" in repository \"%s\"",
		         object->name, object->from->repository);
}

static void object_seal_start(struct op *op, struct copy_object *object)
{
	object->sealed = (struct sealed){0};
	work_start_class(op, &object->work, WORK_BACKUP, object_seal);
	op_wait(op, OBJECT_SEALING);
}

/* True: a look may find its data key. */
static bool object_look(struct op *op, struct copy_object *object)
{
	if (object->sealer || object->looked || !object->sealed.key_missing ||
	    !keys_look_helps(object->from->repo))
		return false;
	object->looked = true;
	object->look = (struct keys_look){.repo = object->from->repo};
	keys_look_start(op, &object->look);
	op_wait(op, OBJECT_LOOKING);
	return true;
}

static void object_get(struct op *op, struct copy_object *object)
{
	object->get = (struct store_get){
	        .store = object->from->repo->store,
	        .name = object->name,
	        .length = SEALED_OBJECT_BYTES_MAX + 1, /* what is too long is seen to be */
	        .block = object->hold.block,
	        .blocks = object->hold.count,
	        .class = WORK_BACKUP,
	};
	store_get_start(op, &object->get);
	op_wait(op, OBJECT_GETTING);
}

static void object_put(struct op *op, struct copy_object *object)
{
	object_claim(object->to->repo, sealer_digest(object->sealer), &object->claim);
	object->put = (struct store_put){
	        .store = object->to->repo->store,
	        .name = object->target,
	        .piece = object->piece,
	        .pieces = sealer_pieces(object->sealer, object->piece),
	        .kind = name_store_kind(object->target),
	        .content = &object->claim,
	        .class = WORK_BACKUP,
	};
	store_put_start(op, &object->put);
	op_wait(op, OBJECT_PUTTING);
}

/* It is there: was it allowed to be? */
static void object_assure(struct copy_object *object)
{
	if (!object->plain || keys_guard_idle(object->to->repo, true))
		return object_end(object, NULL);
	gate_leave(&object->ticket);
	object->guard = (struct keys_guard){.repo = object->to->repo, .stored = true};
	keys_guard_start(&object->op, &object->guard);
	op_wait(&object->op, OBJECT_ASSURING);
}

/* Somebody was quicker: is it the same? */
static void object_stored(struct op *op, struct copy_object *object)
{
	object->stored_bytes = sealer_stored_bytes(object->sealer);
	if (!op_failed(&object->put.op))
		return object_assure(object);
	if (object->put.op.err.code != ERR_EXISTS)
		return object_end(object, &object->put.op.err);
	gate_leave(&object->ticket);
	object->stat = (struct object_stat){.repo = object->to->repo, .name = object->target};
	object_stat_start(op, &object->stat);
	op_wait(op, OBJECT_COMPARING);
}

static void object_compared(struct copy_object *object)
{
	if (op_failed(&object->stat.op))
		return object_end(object, &object->stat.op.err);
	object->there = digest_equal(&object->stat.sealed.digest, sealer_digest(object->sealer));
	if (!object->there)
		return object_end(object, &object->put.op.err);
	object_assure(object);
}

static void object_step(struct op *op)
{
	struct copy_object *object = container_of(op, struct copy_object, op);

	switch ((enum object_state)op->state) {
	case OBJECT_START:
		blocks_hold(op, &object->hold, object->from->blocks, GATE_BACKUP, BLOCKS_SEAL);
		return op_wait(op, OBJECT_HOLDING);
	case OBJECT_HOLDING:
		if (op_failed(&object->hold.op))
			return object_end(object, &object->hold.op.err);
		gate_enter(op, &object->ticket, object->from->transfers, GATE_BACKUP, 1);
		return op_wait(op, OBJECT_QUEUED_FROM);
	case OBJECT_QUEUED_FROM:
		if (op_failed(&object->ticket.op))
			return object_end(object, &object->ticket.op.err);
		return object_get(op, object);
	case OBJECT_GETTING:
		gate_leave(&object->ticket);
		if (op_failed(&object->get.op))
			return object_end(object, &object->get.op.err);
		return object_seal_start(op, object);
	case OBJECT_SEALING:
		if (object_look(op, object))
			return;
		if (op_failed(&object->work.op))
			return object_end(object, &object->work.op.err);
		blocks_keep(&object->hold, sealer_blocks_used(object->sealer));
		gate_enter(op, &object->ticket, object->to->transfers, GATE_BACKUP, 1);
		return op_wait(op, OBJECT_QUEUED_TO);
	case OBJECT_QUEUED_TO:
		if (op_failed(&object->ticket.op))
			return object_end(object, &object->ticket.op.err);
		return object_put(op, object);
	case OBJECT_PUTTING:
		return object_stored(op, object);
	case OBJECT_COMPARING:
		return object_compared(object);
	case OBJECT_LOOKING:
		return object_seal_start(op, object);
	case OBJECT_ASSURING:
		return object_end(object,
		                  op_failed(&object->guard.op) ? &object->guard.op.err : NULL);
	}
}

static const struct op_type object_type = {.name = "copy-object", .step = object_step};

void copy_object_start(struct op *parent, struct copy_object *object)
{
	op_start(parent, &object->op, &object_type);
}
