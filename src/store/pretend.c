/*
 * pretend.c — a store that changes nothing (--dry-run): what would come of a put or a removal.
 *
 * A dry run is the real story to its end, so that it says what the real one would say; only the
 * writes are left out, here, at the one place that all of them pass. A put looks whether the name
 * is taken: ERR_EXISTS then, as from a driver, else success.
 */
#include "pretend.h"

#include "base/mem.h"

#include "base/poison.h"

struct store_pretence {
	struct store_head head;
};

enum pretend_state { PRETEND_START, PRETEND_LOOKING };

static void pretend_put_step(struct op *op)
{
	struct store_put *put = container_of(op, struct store_put, op);
	struct err err = {0};

	if (op->state == PRETEND_START) {
		put->pretence = xcalloc(1, sizeof(*put->pretence));
		put->pretence->head = (struct store_head){
		        .store = put->store, .name = put->name, .deadline_ms = put->deadline_ms};
		store_head_start(op, &put->pretence->head);
		return op_wait(op, PRETEND_LOOKING);
	}
	if (op_failed(&put->pretence->head.op))
		err = put->pretence->head.op.err;
	else
		err_set(&err, ERR_EXISTS, "there is an object of that name");
	free(STEAL(put->pretence));
	if (err.code == ERR_NOTFOUND)
		return op_done(op);
	op_fail(op, &err, "could not store object \"%s\" in repository \"%s\"", put->name,
	        store_label(put->store));
}

static void pretend_remove_step(struct op *op)
{
	op_done(op);
}

const struct op_type store_pretend_put = {.name = "store put, pretended", .step = pretend_put_step};
const struct op_type store_pretend_remove = {.name = "store remove, pretended",
                                             .step = pretend_remove_step};
