/*
 * wal_fill.h — one repository gets the WAL that it lacks and others of the same cluster have.
 * Private to this layer.
 *
 * Nothing is queued: what is missing is the difference of what they hold, looked up when a fill
 * begins. What pg_wal still has comes from there, the rest from the nearest other repository; both
 * are proven again and sealed for the target.
 */
#ifndef JOB_WAL_FILL_H
#define JOB_WAL_FILL_H

#include "nearest.h"
#include "push.h"

struct wal_fill {
	struct op op;
	/* in; the rest zero-filled; must stay */
	struct site *first;  /* of the chain that is read from; may hold the target */
	struct site *target; /* gets what it lacks */
	struct push_destination *destination; /* of the target */
	const char *folder; /* the cluster's data directory, for what pg_wal has, or NULL */
	bool dry_run;       /* only counts */
	void (*moved)(struct wal_fill *fill); /* after each file; may be NULL */
	void *context;
	/* out */
	uint64_t missing, missing_bytes; /* segments, still */
	uint64_t filled, from_pg_wal;    /* files; of them */
	uint64_t damaged;                /* files that were left out, and told of */
	bool unsure; /* not all could be asked: they may have more that is lacking */
	char generation[NAME_GENERATION_MAX];
	struct generation_facts facts;
	/* private */
	struct nearest_generation open;
	struct site_ready ready;
	struct catalog have, want;
	struct catalog_load load;
	struct nearest_catalog union_load;
	struct work work;
	size_t timeline, file;
	uint64_t segno;
	bool history_done, local;
	struct walname name;
	char text[WALNAME_BYTES];
	char *path; /* of the file at hand; owned */
	struct nearest_file fetch;
	struct push push;
};
/* A cluster of which nothing is archived lacks nothing: success. */
void wal_fill_start(struct op *parent, struct wal_fill *fill);
void wal_fill_start_root(struct loop *loop, struct wal_fill *fill, void (*on_done)(struct op *op));
/* After the end. */
void wal_fill_release(struct wal_fill *fill);

#endif
