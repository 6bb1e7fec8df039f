/*
 * rest.h — what may wait lets a recovery go first (doc/architecture.md, "Fetching").
 *
 * A recovery catches up while segments that were prefetched for it are delivered. As long as the
 * last one was delivered less than HASTE_MS ago, the background rests; but never more than
 * HASTE_REST_MS at a stretch, then it works for HASTE_WORK_MS. So a standby that lags for months
 * cannot starve it, and one that follows the archive, which finds nothing to prefetch, does not
 * hold it up at all.
 */
#ifndef JOB_REST_H
#define JOB_REST_H

#include "loop/nap.h"

enum { HASTE_MS = 3000, HASTE_REST_MS = 30 * 1000, HASTE_WORK_MS = 3000 };

/* One for the process: cores and disk are shared by all clusters. Zero-filled: nobody hurries. */
struct haste {
	int64_t begun_ms, until_ms; /* loop clock */
};
/* A recovery got what was prefetched for it. haste may be NULL. */
void haste_note(struct haste *haste, int64_t now_ms);
/* Whether the background rests now. haste may be NULL: no. */
bool haste_rests(const struct haste *haste, int64_t now_ms);

/* Ends when the background may go on: at once, mostly. No error but ERR_CANCELLED. */
struct rest {
	struct op op;
	const struct haste *haste; /* in; must stay; NULL: nobody hurries */
	struct nap nap;
};
void rest_start(struct op *parent, struct rest *rest);

#endif
