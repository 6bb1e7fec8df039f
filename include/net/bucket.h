/*
 * bucket.h — how many bytes may pass in a second, as arithmetic without a clock of its own.
 *
 * `left` grows by `rate` each second, up to a tenth of it, so that a pause is not made up for by a
 * burst. Whoever comes while some is left passes whole, which may leave less than nothing; the next
 * one waits until that is paid back.
 */
#ifndef NET_BUCKET_H
#define NET_BUCKET_H

#include "base/mem.h"

struct bucket {
	int64_t rate; /* bytes per second; 0: no limit */
	int64_t left, filled_ms;
};

/* Begins empty. */
void bucket_set(struct bucket *bucket, uint64_t rate, int64_t now_ms);
/* Whether somebody may pass now. */
bool bucket_open(struct bucket *bucket, int64_t now_ms);
void bucket_take(struct bucket *bucket, size_t length);

#endif
