/*
 * features.h — what a store was found to do, and what that means for those who write there.
 *
 * Nothing is assumed from a name such as "S3": `seawall init` measures (probe.h) and keeps the
 * result in the repository, as probe/<n>; whoever opens the repository reads the newest one. What a
 * feature that is missing means is decided here, by features_safety, and nowhere else. Pure.
 */
#ifndef REPO_FEATURES_H
#define REPO_FEATURES_H

#include "base/buf.h"
#include "store/store.h"

struct features {
	bool known;               /* false: nobody measured, or it cannot be read */
	bool create_only;         /* a put of a name that is taken is refused */
	bool create_only_at_once; /* also of several puts at once exactly one succeeds */
	bool versioned;           /* it keeps old versions of what is deleted */
	bool range;
	bool list_after_put;    /* what was put is in the next listing */
	bool list_after_remove; /* what was removed is not */
	bool removes;           /* we may remove */
	int64_t clock_off_us;   /* the store's clock, less ours; 0: no difference was seen */
	int64_t measured_us;
};

/* The one decision. Not known: claims, which need least. */
enum store_safety features_safety(const struct features *features);
const char *features_safety_name(enum store_safety safety); /* "create_only" */

/* The same, but for time. */
bool features_equal(const struct features *a, const struct features *b);

/* As they are kept. What an older version did not measure is taken from what it did. */
struct jval;
void features_json(const struct features *features, struct jval *object);
MUST_USE bool features_read(struct features *ret, const char *text, size_t length, struct err *err);

/* What the safety is and why, in a sentence without a full stop; with what to do when that is worth
 * a warning ("": it is not). */
enum { FEATURES_TEXT_BYTES = 256 };
void features_say(const struct features *features, char out[FEATURES_TEXT_BYTES]);
const char *features_advice(const struct features *features);
/* All of them in plain words, a line each, behind `indent`. */
void features_tell(const struct features *features, const char *indent, struct buf *out);

#endif
