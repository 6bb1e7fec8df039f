/*
 * backup_target.c — the repositories that get a backup.
 *
 *   open     START -> READYING -> OPENING -> done
 *   finish   START -> WAITING -> WRITING -> done      WAL of the copy, then the manifest's head
 *
 * Both run for all repositories at once, and neither ends in failure: what went wrong leaves its
 * repository out. So one that cannot be reached holds up none of the others.
 */
#include "backup_target.h"

#include "base/log.h"

#include "base/poison.h"

void targets_init(struct backup_targets *targets, struct backup *backup)
{
	*targets = (struct backup_targets){.backup = backup};
	for (struct site *site = backup->site; site && targets->count < SITE_CHAIN_MAX;
	     site = site->next)
		targets->target[targets->count++] =
		        (struct backup_target){.site = site, .targets = targets};
	targets->left = targets->count;
}

void targets_release(struct backup_targets *targets)
{
	for (unsigned i = 0; i < targets->count; i++) {
		object_builder_free(STEAL(targets->target[i].builder));
		buf_release(&targets->target[i].head);
	}
}

unsigned target_next(const struct backup_targets *targets, unsigned number)
{
	while (number < targets->count && targets->target[number].left_out)
		number++;
	return number;
}

/* For those who look at the progress. */
static void left_out_note(struct backup *backup, const char *repository)
{
	char *text = backup->progress.left_out;
	size_t length = strlen(text), room = sizeof(backup->progress.left_out) - length;

	snprintf(text + length, room, "%s%s", length ? ", " : "", repository);
}

bool target_leave_out(struct backup_targets *targets, unsigned number, const struct err *err)
{
	struct backup_target *target = &targets->target[number];
	struct err why = *err;

	if (target->left_out)
		return targets->left > 0;
	target->left_out = true;
	target->why = targets->last = *err;
	targets->left--;
	site_note(target->site, target->open.waits ? NULL : err);
	if (targets->count == 1)
		return false;
	left_out_note(targets->backup, target->site->repository);
	err_wrap(&why, "repository \"%s\" is left out of the backup of cluster \"%s\"",
	         target->site->repository, target->site->cluster);
	log_err(LOG_WARNING, &why, NULL);
	return targets->left > 0;
}

/* ---- opening ---- */

enum open_state { OPEN_START, OPEN_READYING, OPEN_OPENING };

static void open_end(struct backup_target *target, const struct err *cause)
{
	if (cause)
		target->why = *cause;
	op_done(&target->op);
}

static void open_step(struct op *op)
{
	struct backup_target *target = container_of(op, struct backup_target, op);

	switch ((enum open_state)op->state) {
	case OPEN_START:
		site_ready_start(op, &target->ready, target->site);
		return op_wait(op, OPEN_READYING);
	case OPEN_READYING:
		if (op_failed(&target->ready.op))
			return open_end(target, &target->ready.op.err);
		target->open =
		        (struct cluster_generation){.site = target->site, .facts = target->facts};
		cluster_generation_start(op, &target->open);
		return op_wait(op, OPEN_OPENING);
	case OPEN_OPENING:
		if (op_failed(&target->open.op))
			return open_end(target, &target->open.op.err);
		target->facts = target->open.facts;
		memcpy(target->generation, target->open.generation, sizeof(target->generation));
		return open_end(target, NULL);
	}
}

static const struct op_type open_type = {.name = "backup-target", .step = open_step};

void targets_open_start(struct op *parent, struct backup_targets *targets,
                        const struct generation_facts *facts)
{
	for (unsigned i = 0; i < targets->count; i++) {
		targets->target[i].facts = *facts;
		op_start(parent, &targets->target[i].op, &open_type);
	}
}

void targets_begin(struct backup_targets *targets)
{
	char name[NAME_BYTES];

	for (unsigned i = target_next(targets, 0); i < targets->count;
	     i = target_next(targets, i + 1)) {
		struct backup_target *target = &targets->target[i];

		name_backup(name, target->generation, targets->backup->id);
		target->builder = object_builder_new(target->site->repo, name, SEALED_MANIFEST,
		                                     &target->site->pack_compression, GATE_BACKUP);
	}
}

/* ---- the end ---- */

enum finish_state { FINISH_START, FINISH_WAITING, FINISH_WRITING };

static void finish_wait(struct op *op, struct backup_target *target)
{
	struct backup *backup = target->targets->backup;

	_Static_assert(sizeof(backup->progress.waiting_for) >= WALNAME_BYTES, "room for a name");
	target->wait = (struct wal_wait){
	        .repo = target->site->repo,
	        .generation = target->generation,
	        .segment_bytes = backup->head.segment_bytes,
	        .tli = backup->head.start_tli,
	        .start_lsn = backup->head.start_lsn,
	        .stop_lsn = backup->head.stop_lsn,
	        .pgdata = backup->head.pgdata,
	        .wait_ms = backup->wal_wait_ms ? backup->wal_wait_ms : BACKUP_WAL_WAIT_MS,
	        .waiting_for = backup->progress.waiting_for,
	};
	wal_wait_start(op, &target->wait);
	op_wait(op, FINISH_WAITING);
}

/* The last that waited waits no longer. */
static void finish_waited(struct backup_targets *targets)
{
	struct backup *backup = targets->backup;

	if (--targets->waiting > 0)
		return;
	backup->progress.waiting_for[0] = '\0';
	backup->progress.phase = BACKUP_WRITING;
	if (backup->changed)
		backup->changed(backup);
}

static void finish_write(struct op *op, struct backup_target *target)
{
	const struct backup *backup = target->targets->backup;

	buf_init(&target->head, MANIFEST_HEAD_BYTES_MAX);
	manifest_head_write(&backup->head, &target->head);
	if (target->head.overflow) {
		err_set(&target->why, ERR_REFUSED, "the head of the manifest is too big");
		return op_done(op);
	}
	target->sealing = true;
	target->end = (struct object_builder_end){.builder = target->builder,
	                                          .bytes = target->head.data,
	                                          .length = target->head.length};
	object_builder_end_start(op, &target->end);
	op_wait(op, FINISH_WRITING);
}

static void finish_step(struct op *op)
{
	struct backup_target *target = container_of(op, struct backup_target, op);

	switch ((enum finish_state)op->state) {
	case FINISH_START:
		return finish_wait(op, target);
	case FINISH_WAITING:
		finish_waited(target->targets);
		if (op_failed(&target->wait.op)) {
			target->why = target->wait.op.err;
			return op_done(op);
		}
		return finish_write(op, target);
	case FINISH_WRITING:
		if (op_failed(&target->end.op)) {
			target->why = target->end.op.err;
			return op_done(op);
		}
		target->complete = true;
		target->targets->backup->progress.bytes_stored += target->end.stored_bytes;
		return op_done(op);
	}
}

static const struct op_type finish_type = {.name = "backup-end", .step = finish_step};

void targets_finish_start(struct op *parent, struct backup_targets *targets)
{
	targets->waiting = targets->left;
	for (unsigned i = target_next(targets, 0); i < targets->count;
	     i = target_next(targets, i + 1))
		op_start(parent, &targets->target[i].op, &finish_type);
}

/* "local", or "local, s3": those that have it. */
static void complete_names(const struct backup_targets *targets, char *out, size_t out_bytes)
{
	size_t length = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < targets->count; i++)
		if (targets->target[i].complete && length < out_bytes)
			length += (size_t)snprintf(out + length, out_bytes - length, "%s\"%s\"",
			                           length ? ", " : "",
			                           targets->target[i].site->repository);
}

bool targets_judge(struct backup_targets *targets, struct err *err)
{
	struct backup *backup = targets->backup;
	unsigned complete = 0, wanted = MAX(MIN(backup->site->acks, targets->count), 1U);
	char names[256];

	for (unsigned i = target_next(targets, 0); i < targets->count;
	     i = target_next(targets, i + 1)) {
		complete += targets->target[i].complete;
		if (!targets->target[i].complete)
			(void)target_leave_out(targets, i, &targets->target[i].why);
	}
	if (complete >= wanted)
		return true;
	*err = targets->last;
	if (complete == 0)
		return false;
	complete_names(targets, names, sizeof(names));
	err_wrap(err, "backup %s is complete in repository %s only: %u of %u, but \"ack\" wants %u",
	         backup->id, names, complete, targets->count, wanted);
	err_hint(err, "It can be restored. \"seawall copy\" brings it to the others.");
	return false;
}
