/* restore_scan.h — the whole manifest, read before anything is written. Private to this layer. */
#ifndef JOB_RESTORE_SCAN_H
#define JOB_RESTORE_SCAN_H

#include "job/site.h"
#include "repo/object.h"
#include "repo/plan.h"
#include "restore_sweep.h"
#include "turn.h"

struct restore_scan {
	struct op op;
	/* in; must stay */
	struct site *site, *home; /* the chain; who is asked first */
	const struct restore_plan *plan;
	const struct manifest_head *head;
	/* out */
	struct digest digest; /* of the manifest */
	uint64_t main_bytes;
	uint64_t *tablespace_bytes; /* owned; as plan->tablespace */
	struct sweep *sweep;        /* in place: what would be removed; else NULL */
	/* private */
	struct turn turn;
	bool refused, ended; /* refused: what was read */
	struct object_stream body;
	struct manifest_reader *reader;
	char name[NAME_BYTES];
};
void restore_scan_start(struct op *parent, struct restore_scan *scan);
void restore_scan_release(struct restore_scan *scan);

#endif
