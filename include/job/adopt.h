/*
 * adopt.h — a data directory becomes the one that goes on: `seawall adopt` (architecture.md 7, "Who
 * may write").
 *
 * Its timeline's fences are lifted, the branches that it left behind or that compete with it are
 * fenced, in every repository of the cluster, and the mark of a clone is removed last. With
 * new_generation the archive begins anew beside the old one.
 */
#ifndef JOB_ADOPT_H
#define JOB_ADOPT_H

#include "job/site.h"
#include "loop/work.h"
#include "pg/control.h"
#include "pg/timeline.h"
#include "repo/catalog.h"

struct adopt_done { /* what was done, or would be */
	const char *repository;
	struct owner_note note;
};

struct adopt {
	struct op op;
	/* in; must stay */
	struct site *site; /* the first of the chain: all of it is told */
	const char *folder;
	bool new_generation;
	bool dry_run;
	bool sight; /* with dry_run: nothing is decided, path and owners are for the caller */
	/* out */
	uint32_t tli;
	struct history path;   /* of tli, from pg_wal or from the archive */
	struct catalog owners; /* in the last repository */
	bool recovering;       /* failed, because its recovery has not ended */
	bool was_clone, unmarked;
	bool nothing_there;                   /* nothing of this system identifier is archived */
	char generation[NAME_GENERATION_MAX]; /* that was begun */
	struct adopt_done *done;
	size_t dones, dones_size;
	/* private */
	struct control control;
	bool path_known;
	struct work look;
	struct site *at;
	struct site_ready ready;
	struct generation_open open;
	bool asking;     /* each which generation it has, before one is begun in any */
	uint32_t newest; /* of all */
	struct catalog_load load;
	struct owner_note *todo;
	size_t todos, todos_size, next;
	int64_t time_us;
	struct owner_write write;
};
/* The caller has zero-filled it and set the inputs. */
void adopt_start(struct op *parent, struct adopt *adopt);
void adopt_release(struct adopt *adopt);

/* Appends to ret what has to be noted so that timeline `path` goes on: pure. */
void adopt_decide(const struct catalog *owners, const struct history *path, struct owner_note **ret,
                  size_t *ret_count, size_t *ret_size);

#endif
