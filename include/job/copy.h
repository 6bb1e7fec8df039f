/*
 * copy.h — backups and WAL brought from one repository of a cluster to another.
 *
 * What the target has already is left alone, so that running it again completes a copy that broke
 * off. Each object is read whole and checked, sealed again where the target has other keys, and
 * stored create-only. A manifest comes last, after its packs and its WAL: until then nothing of the
 * backup is visible there.
 */
#ifndef JOB_COPY_H
#define JOB_COPY_H

#include "job/site.h"
#include "loop/op.h"
#include "repo/names.h"

enum { COPY_BACKUPS_MAX = 8 };

struct copy_figures {
	const char *phase;                 /* "listing", "copying WAL" … */
	uint64_t objects, bytes;           /* to be copied; bytes as stored */
	uint64_t objects_done, bytes_done; /* of them */
	uint64_t there;                    /* the target has them already */
	uint64_t backups, segments;        /* of the objects to be copied: manifests, WAL */
};

struct copy_run {
	struct op op;
	/* in; must stay */
	struct site *from, *to;
	const char *backup[COPY_BACKUPS_MAX]; /* ids; none: all */
	unsigned backups;
	bool dry_run; /* only finds out what there is to do; the target's store is a pretending one
	               */
	/* out */
	struct copy_figures figures;
	/* private */
	struct copy_detail *detail;
};
void copy_run_start(struct op *parent, struct copy_run *run);

#endif
