/*
 * backup_copy.c — the pipeline of a backup.
 *
 *   slot: START -> YIELDING -> PLANNING -> HOLDING -> FILLING -> QUEUED -> PUTTING -> done
 *                                                      AGAIN ->-^  <---------+  the next repository
 *
 * One slot plans at a time, when WAL that is to be archived lets it (backup_yield.h). Then it waits
 * for memory, reads and compresses slice by slice, waits for a place among the transfers, and
 * stores its pack in one repository after the other: sealed again in the same memory (AGAIN) where
 * the next one has another key, so that a second repository costs no memory and no second look at
 * the data. The copy is woken by its slots: it takes over what they found out in the order
 * of the plans, and gives free slots new plans. Records go into the manifest's builder meanwhile
 * (flush).
 *
 * A slot gives its memory back as soon as its pack is stored, and what compression saved already
 * before; only its plan waits for its turn, so a slow pack holds up no memory.
 */
#include "backup_copy.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "pg/crc32c.h"

#include "base/poison.h"

enum {
	BODY_FLUSH_BYTES = 256 * 1024, /* as many records are worth an addition */
	BODY_STOP_BYTES = 1024 * 1024, /* no new plans while so many wait */
	BODY_BYTES_MAX =
	        512 * 1024 * 1024, /* never: one turn adds PLAN_ITEMS_MAX records at most */
	WARNINGS_MAX = MANIFEST_FINDINGS_MAX / 2, /* so that real damage finds a place */
};

/* ---- the tally: pieces become records ---- */

void copy_tally_init(struct copy_tally *tally)
{
	buf_init(&tally->body, BODY_BYTES_MAX);
}

void copy_tally_release(struct copy_tally *tally)
{
	buf_release(&tally->body);
	for (size_t i = 0; i < tally->doubts; i++)
		free(tally->doubt[i].path);
	free(STEAL(tally->doubt));
	tally->doubts = 0;
	free(tally->path);
	free(tally->extent);
	tally->path = NULL;
	tally->extent = NULL;
}

static void tally_extent(struct copy_tally *tally, const struct plan_item *item, uint32_t pack)
{
	struct manifest_entry *entry = &tally->entry;

	if (entry->extents == tally->extent_size) {
		tally->extent_size = MAX(2 * tally->extent_size, 16U);
		tally->extent =
		        xrealloc(tally->extent, tally->extent_size * sizeof(*tally->extent));
	}
	tally->extent[entry->extents++] = (struct extent){
	        .offset = entry->size_bytes,
	        .length = item->got,
	        .pack = pack,
	        .pack_offset = item->pack_offset,
	};
	entry->crc32c = crc32c_combine(entry->crc32c, item->crc32c, item->got);
	entry->size_bytes += item->got;
}

static void tally_begin(struct copy_tally *tally, const struct plan_item *item)
{
	free(tally->path);
	tally->path = xstrdup(item->path);
	tally->entry = (struct manifest_entry){
	        .kind = item->kind,
	        .path = tally->path,
	        .mode = item->mode,
	        .modified_us = item->modified_us,
	        .crc32c = CRC32C_EMPTY,
	};
	tally->open = !item->missing;
	tally->cut = false;
}

static void tally_end(struct copy_tally *tally)
{
	tally->entry.extent = tally->extent;
	manifest_entry_encode(&tally->entry, &tally->body);
	tally->head->files++;
	tally->head->logical_bytes += tally->entry.size_bytes;
	tally->progress->files_done++;
	tally->open = false;
}

static void tally_item(struct copy_tally *tally, const struct plan_item *item, uint32_t pack)
{
	if (item->kind == MANIFEST_FOLDER || item->kind == MANIFEST_LINK) {
		manifest_entry_encode(&(struct manifest_entry){.kind = item->kind,
		                                               .path = item->path,
		                                               .target = item->target,
		                                               .mode = item->mode,
		                                               .modified_us = item->modified_us},
		                      &tally->body);
		tally->head->folders += item->kind == MANIFEST_FOLDER;
		return;
	}
	if (item->first)
		tally_begin(tally, item);
	if (!tally->open)
		return;
	if (!tally->cut && item->got > 0)
		tally_extent(tally, item, pack);
	if (item->missing || item->got < item->length ||
	    tally->entry.extents == MANIFEST_EXTENTS_MAX)
		tally->cut = true;
	if (item->last)
		tally_end(tally);
}

static void tally_finding(struct copy_tally *tally, const char *path,
                          const struct page_finding *finding)
{
	struct manifest_head *head = tally->head;

	tally->progress->findings = ++head->findings_total;
	if (finding->warning)
		log_warning("page %" PRIu32
		            " of \"%s\" has a wrong checksum or looks odd; the server "
		            "mends such pages itself",
		            finding->block, path);
	else
		log_error("page %" PRIu32 " of \"%s\" is damaged: its checksum is wrong",
		          finding->block, path);
	if (head->findings == MANIFEST_FINDINGS_MAX ||
	    (finding->warning && tally->warnings == WARNINGS_MAX))
		return;
	tally->warnings += finding->warning;
	if (!head->finding)
		head->finding = xcalloc(MANIFEST_FINDINGS_MAX, sizeof(*head->finding));
	head->finding[head->findings++] = (struct manifest_finding){
	        .path = xstrdup(path), .block = finding->block, .warning = finding->warning};
}

static void tally_doubt(struct copy_tally *tally, const char *path,
                        const struct page_finding *finding)
{
	if (tally->doubts == MANIFEST_FINDINGS_MAX)
		return;
	if (!tally->doubt)
		tally->doubt = xcalloc(MANIFEST_FINDINGS_MAX, sizeof(*tally->doubt));
	tally->doubt[tally->doubts++] =
	        (struct copy_doubt){.path = xstrdup(path), .finding = *finding};
}

void copy_tally_judge(struct copy_tally *tally, lsn stop_lsn)
{
	for (size_t i = 0; i < tally->doubts; i++) {
		const struct copy_doubt *doubt = &tally->doubt[i];

		if (doubt->finding.position > stop_lsn)
			tally_finding(tally, doubt->path, &doubt->finding);
	}
}

/* Takes over what became of a slot's plan. */
static void tally_slot(struct copy_tally *tally, struct copy_slot *slot)
{
	for (size_t i = 0; i < slot->plan.count; i++)
		tally_item(tally, &slot->plan.item[i], slot->pack);
	for (size_t i = 0; i < slot->fill.findings; i++) {
		const struct page_finding *finding = &slot->fill.finding[i];
		const char *path = slot->plan.item[finding->item].path;

		if (finding->position > 0)
			tally_doubt(tally, path, finding);
		else
			tally_finding(tally, path, finding);
	}
	/* Those beyond the limit are counted without a name. */
	tally->head->findings_total += slot->fill.findings_total - slot->fill.findings;
	tally->head->packs += slot->stored_bytes > 0;
	tally->head->stored_bytes += slot->stored_bytes;
}

/* ---- one slot ---- */

/* clang-format off */
#define SLOT_STATES(X) \
	X(SLOT_START) X(SLOT_YIELDING) X(SLOT_PLANNING) X(SLOT_HOLDING) X(SLOT_FILLING) \
	X(SLOT_AGAIN) X(SLOT_QUEUED) X(SLOT_PUTTING)
/* clang-format on */
OP_STATES(slot_state, SLOT_STATES)

static void slot_plan(struct work *work)
{
	struct copy_slot *slot = container_of(work, struct copy_slot, work);

	(void)slot->copy->source(slot->copy->context, &slot->plan, &work->op.err);
}

static struct backup_target *slot_target(const struct copy_slot *slot)
{
	return &slot->copy->tally->targets->target[slot->target];
}

/* A slice of the pack. */
static void slot_fill(struct work *work)
{
	struct copy_slot *slot = container_of(work, struct copy_slot, work);
	const struct copy_tally *tally = slot->copy->tally;
	struct err *err = &work->op.err;

	if (!slot->sealer) {
		const struct sealed_spec spec = {
		        .kind = SEALED_PACK,
		        .compression = tally->site->pack_compression,
		        .frame_bytes = SEALED_FRAME_BYTES_PACK,
		        .name = name_sealed(slot->name),
		        .created_us = clock_now_us(),
		        .keys = slot_target(slot)->site->repo->keys,
		};

		slot->sealer = sealer_new(&spec, &slot->hold, NULL);
		slot->fill.sealer = slot->sealer;
	}
	if (!fill_slice(&slot->fill, &slot->filled, err) || !slot->filled || slot->fill.bytes == 0)
		return;
	if (!sealer_end(slot->sealer, err))
		err_wrap(err, "could not seal pack \"%s\"", slot->name);
}

/* The same pack for the next repository, whose keys are others. */
static void slot_seal_again(struct work *work)
{
	struct copy_slot *slot = container_of(work, struct copy_slot, work);
	const struct sealed_again again = {.name = name_sealed(slot->name),
	                                   .keys = slot_target(slot)->site->repo->keys};

	if (!sealer_again(slot->sealer, &again, &work->op.err))
		err_wrap(&work->op.err, "could not seal pack \"%s\"", slot->name);
}

/* The one end of a slot: lets go of everything but its plan and what was found, wakes the copy. */
static void slot_end(struct copy_slot *slot, const struct err *cause)
{
	gate_leave(&slot->ticket);
	sealer_free(STEAL(slot->sealer));
	blocks_keep(&slot->hold, 0);
	if (!slot->planned)
		slot->copy->planning = false;
	op_wake(slot->op.parent);
	if (cause)
		return op_fail(&slot->op, cause, "could not copy the data directory");
	op_done(&slot->op);
}

static void slot_planned(struct op *op, struct copy_slot *slot)
{
	struct copy *copy = slot->copy;
	struct copy_tally *tally = copy->tally;

	if (op_failed(&slot->work.op))
		return slot_end(slot, &slot->work.op.err);
	slot->planned = true;
	copy->planning = false;
	copy->ended = slot->plan.count == 0;
	if (slot->plan.bytes == 0 && slot->plan.slack == 0)
		return slot_end(slot, NULL);
	if (tally->targets->left == 0)
		return slot_end(slot, &tally->targets->last);
	op_wake(op->parent); /* the next one may plan */
	slot->pack = ++tally->pack;
	slot->target = target_next(tally->targets, 0);
	name_pack(slot->name, slot_target(slot)->generation, tally->id, slot->pack);
	blocks_hold(op, &slot->hold, tally->site->blocks, GATE_BACKUP, BLOCKS_SEAL);
	op_wait(op, SLOT_HOLDING);
}

static void slot_queue(struct op *op, struct copy_slot *slot)
{
	gate_enter(op, &slot->ticket, slot_target(slot)->site->transfers, GATE_BACKUP, 1);
	op_wait(op, SLOT_QUEUED);
}

/* It goes to the repository whose turn it is, or to the next that is not left out. */
static void slot_next(struct op *op, struct copy_slot *slot)
{
	const struct copy_tally *tally = slot->copy->tally;
	struct sealed_again again;

	slot->target = target_next(tally->targets, slot->target);
	if (slot->target == tally->targets->count)
		return slot_end(slot, NULL);
	if (op->cancelled) {
		err_set(&op->err, ERR_CANCELLED, "cancelled");
		return slot_end(slot, &op->err);
	}
	name_pack(slot->name, slot_target(slot)->generation, tally->id, slot->pack);
	again = (struct sealed_again){.name = name_sealed(slot->name),
	                              .keys = slot_target(slot)->site->repo->keys};
	if (!sealer_differs(slot->sealer, &again))
		return slot_queue(op, slot);
	work_start_class(op, &slot->work, WORK_BACKUP, slot_seal_again);
	op_wait(op, SLOT_AGAIN);
}

/* A repository that did not take the pack gets no others. */
static void slot_refused(struct op *op, struct copy_slot *slot, const struct err *cause)
{
	if (op->cancelled || cause->code == ERR_CANCELLED ||
	    !target_leave_out(slot->copy->tally->targets, slot->target, cause))
		return slot_end(slot, cause);
	slot_next(op, slot);
}

static void slot_filled(struct op *op, struct copy_slot *slot)
{
	struct copy_tally *tally = slot->copy->tally;

	if (op_failed(&slot->work.op))
		return slot_end(slot, &slot->work.op.err);
	if (!slot->filled) {
		work_start_class(op, &slot->work, WORK_BACKUP, slot_fill);
		return op_wait(op, SLOT_FILLING);
	}
	tally->progress->bytes_done += slot->fill.bytes;
	if (slot->fill.bytes == 0) /* all of it is empty or gone */
		return slot_end(slot, NULL);
	blocks_keep(&slot->hold, sealer_blocks_used(slot->sealer));
	slot->stored_bytes = sealer_stored_bytes(slot->sealer);
	slot_next(op, slot);
}

static void slot_put(struct op *op, struct copy_slot *slot)
{
	slot->put = (struct store_put){
	        .store = slot_target(slot)->site->repo->store,
	        .name = slot->name,
	        .piece = slot->piece,
	        .pieces = sealer_pieces(slot->sealer, slot->piece),
	        .kind = name_store_kind(slot->name),
	        .class = WORK_BACKUP,
	};
	store_put_start(op, &slot->put);
	op_wait(op, SLOT_PUTTING);
}

static void slot_stored(struct op *op, struct copy_slot *slot)
{
	gate_leave(&slot->ticket);
	if (op_failed(&slot->put.op))
		return slot_refused(op, slot, &slot->put.op.err);
	if (slot->target == target_next(slot->copy->tally->targets, 0))
		slot->copy->tally->progress->bytes_stored += slot->stored_bytes;
	slot->target++;
	slot_next(op, slot);
}

static void slot_step(struct op *op)
{
	struct copy_slot *slot = container_of(op, struct copy_slot, op);
	struct copy_tally *tally = slot->copy->tally;

	switch ((enum slot_state)op->state) {
	case SLOT_START:
		slot->yield = (struct yield){.pgdata = tally->pgdata, .progress = tally->progress};
		yield_start(op, &slot->yield);
		return op_wait(op, SLOT_YIELDING);

	case SLOT_YIELDING:
		if (op_failed(&slot->yield.op))
			return slot_end(slot, &slot->yield.op.err);
		work_start_class(op, &slot->work, WORK_BACKUP, slot_plan);
		return op_wait(op, SLOT_PLANNING);

	case SLOT_PLANNING:
		return slot_planned(op, slot);

	case SLOT_HOLDING:
		if (op_failed(&slot->hold.op))
			return slot_end(slot, &slot->hold.op.err);
		slot->fill = (struct fill){.pgdata = tally->pgdata,
		                           .start_lsn = tally->start_lsn,
		                           .plan = &slot->plan};
		work_start_class(op, &slot->work, WORK_BACKUP, slot_fill);
		return op_wait(op, SLOT_FILLING);

	case SLOT_FILLING:
		return slot_filled(op, slot);

	case SLOT_AGAIN:
		if (op_failed(&slot->work.op))
			return slot_refused(op, slot, &slot->work.op.err);
		return slot_queue(op, slot);

	case SLOT_QUEUED:
		if (op_failed(&slot->ticket.op))
			return slot_end(slot, &slot->ticket.op.err);
		return slot_put(op, slot);

	case SLOT_PUTTING:
		return slot_stored(op, slot);
	}
}

static const struct op_type slot_type = {
        .name = "pack", .step = slot_step, .state_name = slot_state_name};

static void slot_start(struct copy *copy, struct copy_slot *slot)
{
	*slot = (struct copy_slot){.copy = copy, .used = true, .turn = copy->turn_next++};
	copy->planning = true;
	op_start(&copy->op, &slot->op, &slot_type);
}

static void slot_release(struct copy_slot *slot)
{
	plan_release(&slot->plan);
	fill_release(&slot->fill);
	slot->used = false;
}

/* ---- records into the builder ---- */

enum flush_state { FLUSH_START, FLUSH_ADDING };

static void flush_add(struct op *op, struct copy_flush *flush, const struct backup_targets *targets)
{
	flush->add.builder = targets->target[flush->target].builder;
	flush->add.bytes = flush->bytes.data + flush->done;
	flush->add.length = MIN(flush->bytes.length - flush->done, (size_t)OBJECT_STREAM_ADD_MAX);
	object_builder_add_start(op, &flush->add);
	op_wait(op, FLUSH_ADDING);
}

static void flush_fail(struct op *op, const struct err *cause)
{
	op_wake(op->parent);
	op_fail(op, cause, "could not write the manifest");
}

static void flush_step(struct op *op)
{
	struct copy_flush *flush = container_of(op, struct copy_flush, op);
	struct backup_targets *targets = container_of(flush, struct copy, flush)->tally->targets;
	const struct err *why = &flush->add.op.err;

	if (op->state == FLUSH_ADDING && op_failed(&flush->add.op) &&
	    (why->code == ERR_CANCELLED || !target_leave_out(targets, flush->target, why)))
		return flush_fail(op, why);
	if (targets->left == 0)
		return flush_fail(op, &targets->last);
	flush->target = target_next(targets, flush->target + (op->state == FLUSH_ADDING));
	if (flush->target == targets->count) {
		flush->target = target_next(targets, 0);
		flush->done += flush->add.length;
	}
	if (flush->done < flush->bytes.length)
		return flush_add(op, flush, targets);
	op_wake(op->parent);
	op_done(op);
}

static const struct op_type flush_type = {.name = "manifest", .step = flush_step};

static void flush_start(struct copy *copy)
{
	struct copy_flush *flush = &copy->flush;

	buf_release(&flush->bytes);
	flush->bytes = copy->tally->body;
	buf_init(&copy->tally->body, BODY_BYTES_MAX);
	copy->tally->head->body_bytes += flush->bytes.length;
	flush->done = 0;
	flush->target = target_next(copy->tally->targets, 0);
	copy->flushing = true;
	op_start(&copy->op, &flush->op, &flush_type);
}

/* ---- the copy ---- */

static struct copy_slot *copy_slot_of_turn(struct copy *copy, uint64_t turn)
{
	for (unsigned i = 0; i < copy->slots; i++)
		if (copy->slot[i].used && copy->slot[i].turn == turn)
			return &copy->slot[i];
	return NULL;
}

static struct copy_slot *copy_slot_free(struct copy *copy)
{
	for (unsigned i = 0; i < copy->slots; i++)
		if (!copy->slot[i].used)
			return &copy->slot[i];
	return NULL;
}

/* Takes over finished slots in their order; false: one has failed (op.err is set). */
static bool copy_take(struct copy *copy)
{
	struct copy_slot *slot;

	while ((slot = copy_slot_of_turn(copy, copy->turn_taken)) && slot->op.done) {
		if (op_failed(&slot->op)) {
			copy->op.err = slot->op.err;
			return false;
		}
		tally_slot(copy->tally, slot);
		slot_release(slot);
		copy->turn_taken++;
	}
	if (copy->flushing && copy->flush.op.done) {
		copy->flushing = false;
		if (op_failed(&copy->flush.op)) {
			copy->op.err = copy->flush.op.err;
			return false;
		}
	}
	return true;
}

/* A failure behind the turn at hand ends the copy as well, before it is reached. */
static bool copy_look_for_failure(struct copy *copy)
{
	for (unsigned i = 0; i < copy->slots && !err_is(&copy->op.err); i++)
		if (copy->slot[i].used && copy->slot[i].op.done && op_failed(&copy->slot[i].op))
			copy->op.err = copy->slot[i].op.err;
	return !err_is(&copy->op.err);
}

static void copy_end(struct copy *copy)
{
	for (unsigned i = 0; i < copy->slots; i++)
		slot_release(&copy->slot[i]);
	buf_release(&copy->flush.bytes);
	if (err_is(&copy->op.err))
		return op_fail_own(&copy->op);
	if (copy->op.cancelled)
		return op_fail_as(&copy->op, ERR_CANCELLED, "cancelled");
	op_done(&copy->op);
}

static void copy_abort(struct copy *copy)
{
	for (unsigned i = 0; i < copy->slots; i++)
		if (copy->slot[i].used && !copy->slot[i].op.done)
			op_cancel(&copy->slot[i].op);
	if (copy->op.children > 0)
		return op_wait(&copy->op, copy->op.state);
	copy_end(copy);
}

enum copy_state { COPY_RUNNING };

static void copy_step(struct op *op)
{
	struct copy *copy = container_of(op, struct copy, op);
	struct copy_slot *slot;
	size_t waiting;

	if (op->cancelled || err_is(&op->err) || !copy_take(copy) || !copy_look_for_failure(copy))
		return copy_abort(copy);
	waiting = copy->tally->body.length;
	if (!copy->flushing && waiting > 0 &&
	    (waiting >= BODY_FLUSH_BYTES || (copy->ended && copy->turn_taken == copy->turn_next)))
		flush_start(copy);
	if (!copy->ended && !copy->planning && copy->tally->body.length < BODY_STOP_BYTES &&
	    (slot = copy_slot_free(copy)))
		slot_start(copy, slot);
	if (op->children == 0)
		return copy_end(copy);
	op_wait(op, COPY_RUNNING);
}

static const struct op_type copy_type = {.name = "copy", .step = copy_step};

void copy_start(struct op *parent, struct copy *copy)
{
	/* As many as read, and two that are being stored. */
	copy->slots = MIN(loop_workers(parent->loop) + 2, (unsigned)COPY_SLOTS_MAX);
	op_start(parent, &copy->op, &copy_type);
}
