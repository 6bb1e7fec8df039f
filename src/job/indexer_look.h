/*
 * indexer_look.h — what the catalogue of an archive says of a stretch of its WAL is compared with
 * what is listed there now, and put right. Private to the indexer.
 */
#ifndef JOB_INDEXER_LOOK_H
#define JOB_INDEXER_LOOK_H

#include "repo/catalog.h"
#include "repo/lost.h"
#include "store/store.h"

/* Everything before that segment was compared. Zero-filled: nothing. */
struct look_place {
	uint32_t tli;
	uint64_t segno;
	char after[STORE_NAME_MAX + 1]; /* the listing goes on behind it; "": at the place */
};

/* The place that has the newest `segments` segments behind it, on whatever timelines they are; the
 * very beginning, when there are less. */
void look_place_newest(const struct catalog *catalog, uint64_t segments, struct look_place *ret);
/* As many of its segments as are on about one page of a listing. */
uint64_t look_page(const struct catalog *catalog);
bool look_place_is_behind(const struct look_place *place, const struct look_place *other);
/* Whether nothing of the catalogue is before it. */
bool look_place_is_first(const struct look_place *place, const struct catalog *catalog);

/* From a place on one page, or all to the end. */
struct indexer_look {
	struct op op;
	/* in; must stay */
	struct repo *repo;
	const char *generation;
	struct catalog *catalog; /* in, out */
	struct look_place from;  /* in; out: where the next one goes on */
	bool all;                /* in */
	/* out */
	bool ended;       /* nothing is behind `from` */
	bool strange;     /* WAL of a timeline that the catalogue does not know: it was left out */
	struct lost gone; /* what the catalogue had and is not there; the caller releases it */
	/* private */
	char prefix[NAME_BYTES];
	struct store_list list;
};
void indexer_look_start(struct op *parent, struct indexer_look *look);

#endif
