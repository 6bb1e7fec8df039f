/*
 * indexer_check.c — START -> READING (each piece that tells of something, one after the other) ->
 * done
 *
 * Few pieces tell of a long archive; those below them are read when they fail.
 */
#include "indexer_check.h"

#include "base/log.h"

#include "base/poison.h"

static void check_next(struct indexer_check *check)
{
	const struct walpieces *pieces = check->pieces;

	for (; check->timeline < pieces->timelines; check->timeline++, check->next = 0) {
		uint32_t tli = pieces->timeline[check->timeline].tli;
		const struct name_index *piece = walpieces_from(pieces, tli, check->next);

		if (!piece)
			continue;
		check->read = (struct walpieces_read){.repo = check->repo,
		                                      .generation = check->generation,
		                                      .pieces = check->pieces,
		                                      .tli = tli,
		                                      .segno = MAX(check->next, piece->first)};
		walpieces_read_start(&check->op, &check->read);
		return op_wait(&check->op, 1);
	}
	op_done(&check->op);
}

static void check_step(struct op *op)
{
	struct indexer_check *check = container_of(op, struct indexer_check, op);
	struct walpieces_read *read = &check->read;

	if (op->state == 0)
		return check_next(check);
	if (op_failed(&read->op) && !walpiece_is_bad(&read->op.err)) {
		op->err = read->op.err;
		return op_fail_own(op);
	}
	if (err_is(&read->first))
		log_err(LOG_WARNING, &read->first, ", it is made again");
	check->next = op_failed(&read->op) ? read->segno + 1 : read->piece.last + 1;
	walindex_release(&read->piece);
	check_next(check);
}

static const struct op_type check_type = {.name = "index check", .step = check_step};

void indexer_check_start(struct op *parent, struct indexer_check *check)
{
	op_start(parent, &check->op, &check_type);
}
