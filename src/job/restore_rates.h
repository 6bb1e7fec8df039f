/*
 * restore_rates.h — how fast restores on this host have been, for the estimate of the next one.
 * Private to this layer.
 */
#ifndef JOB_RESTORE_RATES_H
#define JOB_RESTORE_RATES_H

#include "job/restore.h"

/* Bytes in a second; 0: never measured here. */
struct restore_rates {
	uint64_t copy;   /* of files, until they are on disk */
	uint64_t replay; /* of WAL */
};

enum {
	/* Less takes a moment that says nothing about the rest. */
	RATE_BYTES_MIN = 1 << 20,
};

/* What the state folder remembers; without one (NULL), nothing, or what cannot be read: zeros. */
void restore_rates_read(const char *state, struct restore_rates *ret);
/* One of them (the other 0) was measured now. What cannot be
 * written is left: it is only an estimate. */
void restore_rates_keep(const char *state, const struct restore_rates *measured);
/* bytes in ms; 0: too little to tell. */
uint64_t restore_rate(uint64_t bytes, int64_t ms);

/* backup_ms: how long the backup took. */
struct restore_estimate restore_estimate(const struct restore_rates *rates,
                                         const struct restore_plan *plan, int64_t backup_ms);
/* The line of the plan: how long, and how that is known. */
void restore_estimate_text(const struct restore_estimate *estimate, struct buf *out);

#endif
