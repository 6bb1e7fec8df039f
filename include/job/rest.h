/*
 * rest.h — what may wait lets a recovery go first (doc/architecture.md, "Fetching").
 *
 * A recovery catches up while the files of a restore are copied, and while segments that were
 * prefetched for it are delivered. As long as the last pack or segment came less than HASTE_MS ago,
 * in this process or in another one with the same state folder, the background rests; but never
 * more than HASTE_REST_MS at a stretch, then it works for HASTE_WORK_MS. So a standby that lags for
 * months cannot starve it, and one that follows the archive, which finds nothing to prefetch, does
 * not hold it up at all.
 */
#ifndef JOB_REST_H
#define JOB_REST_H

#include "loop/nap.h"

enum {
	HASTE_MS = 3000,
	HASTE_REST_MS = 30 * 1000,
	HASTE_WORK_MS = 3000,
	HASTE_TELL_MS = 1000, /* between two touches of the file, and between two looks at it */
};

/* One for the process: cores and disk are shared by all clusters. Zero-filled: nobody hurries, and
 * no other process is told or looked at. */
struct haste {
	int64_t begun_ms, until_ms; /* loop clock */
	char *file;                 /* touched by whoever recovers; NULL: none */
	bool told, looked;
	int64_t told_ms, looked_ms, stamp_us; /* stamp: the file's time as it was last seen */
};
/* From now on with the other processes that have the same state folder, which need not exist. */
void haste_share(struct haste *haste, const char *state);
void haste_release(struct haste *haste);
/* A recovery got some of what it waits for. haste may be NULL. */
void haste_note(struct haste *haste, int64_t now_ms);
/* Whether the background rests now. haste may be NULL: no. */
bool haste_rests(struct haste *haste, int64_t now_ms);

/* Ends when the background may go on: at once, mostly. No error but ERR_CANCELLED. */
struct rest {
	struct op op;
	struct haste *haste; /* in; must stay; NULL: nobody hurries */
	struct nap nap;
};
void rest_start(struct op *parent, struct rest *rest);

#endif
