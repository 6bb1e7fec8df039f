/*
 * trial.c — see trial.h.
 *
 *   START -> HOLDING -> PUTTING -> READING -> AGAIN -> LOOKING -> REMOVING -> done
 *
 * Its name is that of init's own trials, so that what a killed one leaves behind is known for what
 * it is. Whatever fails after the object was written, it is removed.
 */
#include <sys/uio.h>
#include <unistd.h>
#include "base/clock.h"
#include "story.h"
#include "trial.h"
#include "base/poison.h"

static char content[] = "a trial of seawall check";
static char other[] = "another content";

struct trying {
	struct op op;
	struct trial *trial;
	struct blocks *blocks;
	struct blocks_hold hold;
	char name[64];
	const char *names[1];
	struct iovec piece;
	struct store_put put;
	struct store_get get;
	struct store_head head;
	struct store_remove remove;
	int64_t written_us;
};

enum {
	TRYING_START,
	TRYING_HOLDING,
	TRYING_PUTTING,
	TRYING_READING,
	TRYING_AGAIN,
	TRYING_LOOKING,
	TRYING_REMOVING
};

static void put(struct trying *trying, char *bytes, int state)
{
	trying->piece = (struct iovec){bytes, strlen(bytes)};
	trying->put = (struct store_put){.store = trying->trial->store,
	                                 .name = trying->name,
	                                 .piece = &trying->piece,
	                                 .pieces = 1};
	store_put_start(&trying->op, &trying->put);
	op_wait(&trying->op, state);
}

/* The first failure is what is told; the object goes away in any case. */
static void remove_it(struct trying *trying)
{
	trying->names[0] = trying->name;
	trying->remove = (struct store_remove){
	        .store = trying->trial->store, .name = trying->names, .names = 1};
	store_remove_start(&trying->op, &trying->remove);
	op_wait(&trying->op, TRYING_REMOVING);
}

static void give_up(struct trying *trying, const struct op *child, const char *what)
{
	trying->op.err = child->err;
	err_wrap(&trying->op.err, "could not %s an object", what);
	remove_it(trying);
}

static void put_done(struct trying *trying)
{
	if (op_failed(&trying->put.op))
		return op_fail(&trying->op, &trying->put.op.err, "could not write an object");
	trying->written_us = clock_now_us();
	trying->get = (struct store_get){.store = trying->trial->store,
	                                 .name = trying->name,
	                                 .length = BLOCK_BYTES,
	                                 .block = trying->hold.block,
	                                 .blocks = 1};
	store_get_start(&trying->op, &trying->get);
	op_wait(&trying->op, TRYING_READING);
}

static void read_done(struct trying *trying)
{
	if (op_failed(&trying->get.op))
		return give_up(trying, &trying->get.op, "read");
	if (trying->get.got != strlen(content) ||
	    memcmp(trying->hold.block[0], content, strlen(content)) != 0) {
		err_set(&trying->op.err, ERR_DAMAGED, "what was read is not what was written");
		return remove_it(trying);
	}
	put(trying, other, TRYING_AGAIN);
}

static void again_done(struct trying *trying)
{
	const struct op *op = &trying->put.op;

	if (!op_failed(op)) {
		err_set(&trying->op.err, ERR_STORE, "an object was overwritten");
		return remove_it(trying);
	}
	if (op->err.code != ERR_EXISTS)
		return give_up(trying, op, "try to overwrite");
	trying->head = (struct store_head){.store = trying->trial->store, .name = trying->name};
	store_head_start(&trying->op, &trying->head);
	op_wait(&trying->op, TRYING_LOOKING);
}

static void trying_step(struct op *op)
{
	struct trying *trying = container_of(op, struct trying, op);

	switch (op->state) {
	case TRYING_START:
		blocks_hold(op, &trying->hold, trying->blocks, GATE_VERIFY, 1);
		return op_wait(op, TRYING_HOLDING);
	case TRYING_HOLDING:
		if (op_failed(&trying->hold.op)) {
			op->err = trying->hold.op.err;
			return op_fail_own(op);
		}
		return put(trying, content, TRYING_PUTTING);
	case TRYING_PUTTING:
		return put_done(trying);
	case TRYING_READING:
		return read_done(trying);
	case TRYING_AGAIN:
		return again_done(trying);
	case TRYING_LOOKING:
		if (op_failed(&trying->head.op))
			return give_up(trying, &trying->head.op, "look at");
		trying->trial->clock_off_us = trying->head.modified_us - trying->written_us;
		return remove_it(trying);
	case TRYING_REMOVING:
		if (err_is(&op->err))
			return op_fail_own(op);
		if (op_failed(&trying->remove.op))
			return op_fail(op, &trying->remove.op.err, "could not delete an object");
		return op_done(op);
	}
}

static const struct op_type trying_type = {.name = "trial", .step = trying_step};

static void start_trying(struct op *parent, void *context)
{
	struct trying *trying = context;

	op_start(parent, &trying->op, &trying_type);
}

bool trial_run(struct runtime *runtime, struct trial *trial, struct err *err)
{
	struct trying trying = {.trial = trial, .blocks = runtime->blocks};
	bool done;

	snprintf(trying.name, sizeof(trying.name), "probe/try-%08x%016llx", (unsigned)getpid(),
	         (unsigned long long)clock_now_us());
	done = story_run(runtime, start_trying, &trying.op, &trying, err);
	blocks_keep(&trying.hold, 0);
	return done;
}
