/*
 * indexer_lost.c — START -> LOADING (what is marked) -> WRITING (what is not)
 *                        -> HEALING (what is marked as damaged and is good again) -> done
 *
 * Without it a segment that was taken away would be believed to be there as long as the index tells
 * of it: by status, by list, and by everything that goes by the index.
 */
#include "indexer_lost.h"

#include "base/log.h"

#include "base/poison.h"

enum lost_state { LOST_START, LOST_LOADING, LOST_WRITING, LOST_HEALING };

static void lost_tell(const struct indexer_lost *lost)
{
	for (size_t i = 0; i < lost->found.count; i++) {
		const struct lost_range *range = &lost->found.range[i];
		char first[SEGMENT_NAME_BYTES];

		segment_name(range->tli, range->first, lost->pieces->segment_bytes, first);
		log_warning("cluster \"%s\": %llu segments from \"%s\" on are not in repository "
		            "\"%s\" any more",
		            lost->site->cluster,
		            (unsigned long long)(range->last - range->first + 1), first,
		            lost->site->repository);
	}
}

/* What was damaged and is good again is read again. */
static void lost_unskip(struct indexer_lost *lost)
{
	for (size_t i = 0; i < lost->harm.count; i++) {
		const struct name_harm *name = &lost->harm.mark[i].name;

		if (name->word == HARM_GOOD)
			catalog_remove_segments(lost->skip, name->tli, name->segno, name->segno);
	}
}

static void lost_end(struct indexer_lost *lost, const struct op *child)
{
	lost_release(&lost->known);
	lost_release(&lost->found);
	lost_release(&lost->gone);
	harm_release(&lost->harm);
	if (!op_failed(child))
		return op_done(&lost->op);
	lost->op.err = child->err;
	op_fail_own(&lost->op);
}

static void lost_loaded(struct indexer_lost *lost)
{
	if (op_failed(&lost->load.op))
		return lost_end(lost, &lost->load.op);
	if (lost->gone.count > 0)
		lost_less(&lost->gone, &lost->known, &lost->found);
	else
		lost_find(lost->pieces, lost->catalog, &lost->known, &lost->found);
	lost->write = (struct lost_write){.repo = lost->site->repo,
	                                  .generation = lost->generation,
	                                  .segment_bytes = lost->pieces->segment_bytes,
	                                  .lost = &lost->found};
	lost_write_start(&lost->op, &lost->write);
	op_wait(&lost->op, LOST_WRITING);
}

static void lost_step(struct op *op)
{
	struct indexer_lost *lost = container_of(op, struct indexer_lost, op);

	switch ((enum lost_state)op->state) {
	case LOST_START:
		lost->load = (struct lost_load){.repo = lost->site->repo,
		                                .generation = lost->generation,
		                                .segment_bytes = lost->pieces->segment_bytes,
		                                .ret = &lost->known,
		                                .harm = &lost->harm};
		lost_load_start(op, &lost->load);
		return op_wait(op, LOST_LOADING);
	case LOST_LOADING:
		return lost_loaded(lost);
	case LOST_WRITING:
		if (op_failed(&lost->write.op))
			return lost_end(lost, &lost->write.op);
		lost_tell(lost);
		lost->look = (struct harm_look){.repo = lost->site->repo,
		                                .generation = lost->generation,
		                                .segment_bytes = lost->pieces->segment_bytes,
		                                .class = GATE_VERIFY,
		                                .heal = true,
		                                .harm = &lost->harm};
		harm_look_start(op, &lost->look);
		return op_wait(op, LOST_HEALING);
	case LOST_HEALING:
		lost_unskip(lost);
		return lost_end(lost, &lost->look.op);
	}
}

static const struct op_type lost_type = {.name = "index lost", .step = lost_step};

void indexer_lost_start(struct op *parent, struct indexer_lost *lost)
{
	op_start(parent, &lost->op, &lost_type);
}
