/*
 * work.h — plain blocking functions (files and CPU) on the worker pool, as operations.
 *
 * A worker owns its job and nothing else: it gets its inputs copied or constant, writes its result
 * and the operation's err, and touches no other state. A started job is not interrupted by a cancel
 * (one still in the queue is), so jobs must be short: one segment, one pack, not "back up
 * everything". A long one looks at work_cancelled() between pieces.
 */
#ifndef LOOP_WORK_H
#define LOOP_WORK_H

#include "loop/op.h"

/* Queued work runs in this order, and WAL first among equals in time. */
enum work_class { WORK_WAL, WORK_RESTORE, WORK_BACKUP, WORK_VERIFY, WORK_CLASSES };
/* What a job takes: a core; or mostly patience (writing and syncing a file); or next to nothing (a
 * stat, a rename, a small file). Each has threads of its own. */
enum work_place { WORK_CORE, WORK_DISK, WORK_LOOK, WORK_PLACES };

struct disk;
struct work {
	struct op op; /* op.err: set by run on failure */
	void (*run)(struct work *work);
	enum work_class class;
	enum work_place place;
	struct disk *disk; /* whose threads; NULL: those of all */
	int stage;         /* the pool's */
	int cancel_asked;  /* atomic */
	struct work *queue_next;
};

/* Runs run(work) on a worker; class WORK_WAL. Ends when it has returned. */
void work_start(struct op *parent, struct work *work, void (*run)(struct work *work));
void work_start_class(struct op *parent, struct work *work, enum work_class class,
                      void (*run)(struct work *work));
/* For a job that waits for the disk more than it computes. */
void work_start_disk(struct op *parent, struct work *work, enum work_class class,
                     void (*run)(struct work *work));
/* The same with threads for one file system: when that hangs, so do only its own jobs. */
enum { DISK_HANGS_MS = 2000 };
struct disk *disk_new(struct loop *loop);
/* All of its jobs must have ended. NULL is fine. */
void disk_free(struct disk *disk);
void work_start_on(struct op *parent, struct work *work, enum work_class class, struct disk *disk,
                   void (*run)(struct work *work));
/* Whether it has jobs and none came back for DISK_HANGS_MS. */
bool disk_hangs(struct disk *disk);
/* For a short look at files, which is not to wait behind a segment. */
void work_start_look(struct op *parent, struct work *work, enum work_class class,
                     void (*run)(struct work *work));
/* In run: whether the operation was cancelled meanwhile. */
bool work_cancelled(struct work *work);

#endif
