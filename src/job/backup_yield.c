/*
 * backup_yield.c — a backup lets WAL go first.
 *
 *   START -> LOOKING -> done
 *              ^  '-> NAPPING, while more than YIELD_BEHIND segments wait
 *              +---------'
 *
 * The gates and the threads already put WAL before a backup at each single place; this is for what
 * they do not see: one disk and one processor cache under both, and the hooks of PostgreSQL, which
 * are processes of their own. (doc/architecture.md, "Order of importance")
 */
#include "backup_yield.h"

#include <inttypes.h>

#include "base/log.h"
#include "ready.h"

#include "base/poison.h"

enum yield_state { YIELD_START, YIELD_LOOKING, YIELD_NAPPING };

static void yield_look(struct work *work)
{
	struct yield *yield = container_of(work, struct yield, work);

	/* Whether archive_status can be read is the archiver's trouble, not this one's. */
	if (!ready_count(yield->pgdata, &yield->behind, &work->op.err))
		yield->behind = 0;
	err_clear(&work->op.err);
}

static void yield_look_start(struct op *op, struct yield *yield)
{
	work_start_look(op, &yield->work, WORK_BACKUP, yield_look);
	op_wait(op, YIELD_LOOKING);
}

static void yield_end(struct yield *yield)
{
	if (yield->held) {
		yield->progress->waiting_for[0] = '\0';
		log_info("the backup goes on: %" PRIu64 " WAL segment%s to be archived",
		         yield->behind, yield->behind == 1 ? " waits" : "s wait");
	}
	if (yield->op.cancelled)
		return op_fail_as(&yield->op, ERR_CANCELLED, "cancelled");
	op_done(&yield->op);
}

static void yield_hold(struct op *op, struct yield *yield)
{
	snprintf(yield->progress->waiting_for, sizeof(yield->progress->waiting_for),
	         "%" PRIu64 " WAL segments go first", yield->behind);
	if (!yield->held)
		log_info("the backup waits: %" PRIu64 " WAL segments are to be archived first",
		         yield->behind);
	yield->held = true;
	nap_start(op, &yield->nap, YIELD_LOOK_MS);
	op_wait(op, YIELD_NAPPING);
}

static void yield_step(struct op *op)
{
	struct yield *yield = container_of(op, struct yield, op);

	switch ((enum yield_state)op->state) {
	case YIELD_START:
		yield->begun_ms = loop_now_ms(op->loop);
		return yield_look_start(op, yield);

	case YIELD_LOOKING:
		if (op->cancelled || yield->behind <= YIELD_BEHIND ||
		    loop_now_ms(op->loop) - yield->begun_ms >= YIELD_MS_MAX)
			return yield_end(yield);
		return yield_hold(op, yield);

	case YIELD_NAPPING:
		if (op->cancelled)
			return yield_end(yield);
		return yield_look_start(op, yield);
	}
}

static const struct op_type yield_type = {.name = "yield", .step = yield_step};

void yield_start(struct op *parent, struct yield *yield)
{
	yield->held = false;
	yield->behind = 0;
	op_start(parent, &yield->op, &yield_type);
}
