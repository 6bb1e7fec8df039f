/* backup_target.h — the repositories that get a backup, each with its own key, gate and fate.
 * Private to this layer.
 *
 * The data directory is read and compressed once. One repository that fails is left out from then
 * on, with a warning: what it has got until then is nothing that anybody refers to. A backup fails
 * when the last one does. */
#ifndef JOB_BACKUP_TARGET_H
#define JOB_BACKUP_TARGET_H

#include "backup_wal.h"
#include "cluster_generation.h"
#include "job/backup.h"
#include "repo/object.h"

struct backup_target {
	struct op op; /* opening it, or its end: waiting for its WAL and the manifest's head */
	struct site *site;
	char generation[NAME_GENERATION_MAX];
	struct generation_facts facts;
	struct object_builder *builder; /* of the manifest */
	bool left_out, complete;
	bool sealing;   /* the manifest's head was begun: it may be there, whatever was answered */
	struct err why; /* it is left out */
	/* private */
	struct backup_targets *targets;
	struct site_ready ready;
	struct cluster_generation open;
	struct wal_wait wait;
	struct buf head;
	struct object_builder_end end;
};

struct backup_targets {
	struct backup *backup;
	struct backup_target target[SITE_CHAIN_MAX];
	unsigned count, left, waiting; /* left: that are not left out; waiting: for their WAL */
	struct err last;               /* why the last of them was left out */
};

void targets_init(struct backup_targets *targets, struct backup *backup);
void targets_release(struct backup_targets *targets);
/* Opens them all: the generation of facts in each. Ends when all have ended; what could not be
 * opened is left out then. */
void targets_open_start(struct op *parent, struct backup_targets *targets,
                        const struct generation_facts *facts);
/* Begins a manifest in each. */
void targets_begin(struct backup_targets *targets);
/* The next one that is not left out, from number on; targets->count: none. */
unsigned target_next(const struct backup_targets *targets, unsigned number);
/* From now on without it; false: it was the last one, and err (targets->last) is why. */
bool target_leave_out(struct backup_targets *targets, unsigned number, const struct err *err);
/* Each on its own: waits for the WAL, then the head that is written now. */
void targets_finish_start(struct op *parent, struct backup_targets *targets);
/* After that: false with the reason when the backup is in none, or in fewer than "ack" wants. */
MUST_USE bool targets_judge(struct backup_targets *targets, struct err *err);

#endif
