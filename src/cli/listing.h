/* listing.h — what the archive of a cluster holds: WAL, backups, and what follows from the two. */
#ifndef CLI_LISTING_H
#define CLI_LISTING_H

#include "codec/json.h"
#include "repo/restorable.h"
#include "server/presence.h"
#include "story.h"

struct listing {
	struct site *site;
	struct generation_open generation;
	bool list_places; /* in */
	struct restorable can;
	struct presence presence; /* only with list_places */
	/* private */
	struct op op;
};
/* ret is zero-filled but for list_places (where else backups lie), and released by the caller in
 * any case. WAL is listed where the index does not know it. */
MUST_USE bool listing_load(struct runtime *runtime, size_t cluster, struct listing *ret,
                           struct err *err);
/* The same of one of its repositories, and of no other one. */
MUST_USE bool listing_load_at(struct runtime *runtime, struct site *site, struct listing *ret,
                              struct err *err);
void listing_release(struct listing *listing);

/* Whether the backup's own WAL is not complete. */
bool listing_is_broken(const struct listing *listing, const char *id);
/* The restorable intervals and the holes, a line each. */
void listing_intervals(const struct listing *listing, struct buf *out);

/* Fields "contested" and "fences". */
void listing_json_branches(const struct listing *listing, struct jval *object);

#endif
