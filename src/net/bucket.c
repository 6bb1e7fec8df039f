/*
 * bucket.c — bytes per second. Time comes in whole milliseconds; what a fraction of a byte is lost
 * in rounding is less than one each time somebody asks.
 */
#include "net/bucket.h"

#include "base/poison.h"

enum { DEPTH_PARTS = 10, PAUSE_MAX_MS = 1000 };

void bucket_set(struct bucket *bucket, uint64_t rate, int64_t now_ms)
{
	*bucket =
	        (struct bucket){.rate = (int64_t)MIN(rate, UINT64_C(1) << 40), .filled_ms = now_ms};
}

bool bucket_open(struct bucket *bucket, int64_t now_ms)
{
	int64_t add;

	if (bucket->rate == 0)
		return true;
	add = MIN(now_ms - bucket->filled_ms, (int64_t)PAUSE_MAX_MS) * bucket->rate / 1000;
	if (add > 0) {
		bucket->left = MIN(bucket->left + add, MAX(bucket->rate / DEPTH_PARTS, 1));
		bucket->filled_ms = now_ms;
	}
	return bucket->left > 0;
}

void bucket_take(struct bucket *bucket, size_t length)
{
	if (bucket->rate > 0)
		bucket->left -= (int64_t)length;
}
