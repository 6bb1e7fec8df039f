/* space.h — how full a repository's disk is, and when it will be: samples of the last day. */
#ifndef SERVER_SPACE_H
#define SERVER_SPACE_H

#include "base/err.h"

enum {
	SPACE_SAMPLES_MAX = 1440,
	SPACE_APART_S = 60,         /* between two samples */
	SPACE_WINDOW_S = 86400,     /* what a forecast looks at */
	SPACE_FORECAST_MIN_S = 3600 /* less than that says nothing */
};

struct space_sample {
	int64_t time_s; /* since 1970 */
	uint64_t free_bytes;
};

struct space {
	bool known; /* of an object store it is not */
	uint64_t free_bytes, total_bytes;
	struct space_sample sample[SPACE_SAMPLES_MAX]; /* oldest first */
	unsigned samples;
};

/* Takes a sample; one that is younger than SPACE_APART_S than the last, or older, only updates the
 * present. */
void space_add(struct space *space, int64_t time_s, uint64_t free_bytes, uint64_t total_bytes);
/* Days until it is full at the rate of the last day; false: it does not fill, or too little is
 * known. */
bool space_days_left(const struct space *space, double *ret_days);

/* The samples as a small file that may be deleted; what is wrong in it is ignored. */
void space_load(struct space *space, const char *path, int64_t now_s);
MUST_USE bool space_save(const struct space *space, const char *path, struct err *err);

#endif
