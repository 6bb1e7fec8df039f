/*
 * backup_copy.h — the copying part of a backup: plans become packs, packs become records of the
 * manifest. Private to this layer.
 *
 * Several packs are under way at once, as many as memory and gates allow; what they found out is
 * taken in the order of the plans, so that the manifest's records come in the order of the walk.
 */
#ifndef JOB_BACKUP_COPY_H
#define JOB_BACKUP_COPY_H

#include "backup_fill.h"
#include "backup_target.h"
#include "backup_walk.h"
#include "backup_yield.h"
#include "job/backup.h"
#include "repo/object.h"

enum { COPY_SLOTS_MAX = 16 };

/* A page that is damaged unless the backup ends behind its LSN. */
struct copy_doubt {
	char *path;
	struct page_finding finding;
};

/* What is copied, where to, and what has come of it so far; one for each backup. */
struct copy_tally {
	/* in */
	struct site *site;              /* the first: whose memory, and whose compression */
	struct backup_targets *targets; /* all that get it; opened, their manifests begun */
	const char *id;
	const char *pgdata;
	lsn start_lsn;
	struct manifest_head *head; /* files, folders, bytes, packs and findings are counted */
	struct backup_progress *progress; /* bytes and files */
	/* private */
	uint32_t pack;   /* the last number given out */
	struct buf body; /* records that are not on their way yet */
	/* the file whose pieces are coming in */
	struct manifest_entry entry;
	char *path;
	struct extent *extent;
	uint32_t extent_size;
	bool open, cut;    /* cut: it became shorter, the pieces behind do not count */
	uint32_t warnings; /* findings kept that are only warnings */
	struct copy_doubt *doubt;
	size_t doubts; /* at most MANIFEST_FINDINGS_MAX */
};
void copy_tally_init(struct copy_tally *tally);
/* When the backup's end is known: which pages in doubt are damaged. */
void copy_tally_judge(struct copy_tally *tally, lsn stop_lsn);
void copy_tally_release(struct copy_tally *tally);

/* Where plans come from; on a worker, one call after the other. An empty plan is the end. */
typedef bool copy_source(void *context, struct plan *plan, struct err *err);

struct copy;
struct copy_slot {
	struct op op;
	struct copy *copy;
	bool used, planned, filled;
	uint64_t turn; /* its place in the order */
	struct plan plan;
	struct fill fill;
	uint32_t pack;
	unsigned target; /* whose turn it is to get it */
	char name[NAME_BYTES];
	struct blocks_hold hold;
	struct yield yield;
	struct work work;
	struct sealer *sealer;
	struct ticket ticket;
	struct store_put put;
	struct iovec piece[1 + BLOCKS_SEAL];
	uint64_t stored_bytes;
};

/* Records on their way into the manifest. */
struct copy_flush {
	struct op op;
	struct object_builder_add add;
	struct buf bytes;
	size_t done;
	unsigned target; /* whose manifest it goes into now */
};

struct copy {
	struct op op;
	/* in */
	struct copy_tally *tally;
	copy_source *source;
	void *context;
	/* private */
	struct copy_slot slot[COPY_SLOTS_MAX];
	unsigned slots;
	uint64_t turn_next, turn_taken; /* given to the next plan; next to be taken over */
	bool planning, ended, flushing;
	struct copy_flush flush;
};
/* Ends when all plans of the source are stored and their records are in the builder. The caller has
 * zero-filled it and set the inputs. */
void copy_start(struct op *parent, struct copy *copy);

#endif
