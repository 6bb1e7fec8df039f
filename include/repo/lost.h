/*
 * lost.h — WAL that the index tells of and that is not archived any more: somebody took it away
 * behind the index's back. Who lists all WAL (the indexer, now and then) leaves a marker for it,
 * and who goes by the index lists those stretches itself: a marker says where to look, not what is
 * there, so it is never wrong and never goes.
 */
#ifndef REPO_LOST_H
#define REPO_LOST_H

#include "repo/harm.h"
#include "repo/walpieces.h"

struct lost_range {
	uint32_t tli;
	uint64_t first, last;
};
struct lost {
	struct lost_range *range; /* ascending; none touches the next */
	size_t count, size;
};
void lost_add(struct lost *lost, const struct lost_range *range);
/* What the pieces cover, the catalogue does not have and `known` does not name; added to ret. */
void lost_find(const struct walpieces *pieces, const struct catalog *catalog,
               const struct lost *known, struct lost *ret);
/* What of `lost` is not in `known`; added to ret. */
void lost_less(const struct lost *lost, const struct lost *known, struct lost *ret);
void lost_release(struct lost *lost);

/* All markers. */
struct lost_load {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	struct lost *ret;  /* zero-filled by the caller, who releases it also after a failure */
	struct harm *harm; /* the same; gets the marks of damaged segments. NULL: not wanted */
	/* private */
	char prefix[NAME_BYTES];
	struct store_walk walk;
};
void lost_load_start(struct op *parent, struct lost_load *load);

/* A marker for each. */
struct lost_write {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	const struct lost *lost; /* must stay */
	/* private */
	size_t at;
	char name[NAME_BYTES], text[NAME_BYTES];
	struct object_write write;
};
void lost_write_start(struct op *parent, struct lost_write *write);

#endif
