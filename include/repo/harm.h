/*
 * harm.h — archived WAL that is known to be damaged. Who reads a segment from a repository and
 * finds it damaged leaves a mark there (names.h, name_harm), and who archives one as damaged on
 * purpose does; who goes by listings and the WAL index takes marked segments for missing ones.
 *
 * A mark is never changed: what is found out later gets the next number, "good" too. It is a hint
 * and no proof. Before anything depends on it the segment is read once more (harm_look), so
 * whatever repaired it, an outdated mark refuses nothing. What was accepted as damaged, maybe for
 * its seam alone, is good again only when the seam is proven, too.
 */
#ifndef REPO_HARM_H
#define REPO_HARM_H

#include "repo/catalog.h"
#include "repo/names.h"
#include "repo/object.h"

struct walwalk;

enum { HARM_OBJECT_BYTES_MIN = 152 }; /* a sealed object that is shorter was cut */

struct harm_mark {
	const struct repo *repo; /* whose copy it is about */
	struct name_harm name;
};
struct harm {
	struct harm_mark *mark; /* the one that counts for each segment and repository */
	size_t count, size;
};
/* Pure. The later number counts; of two with the same one the worse, for two may have marked at
 * once. */
void harm_take(struct harm *harm, const struct repo *repo, const struct name_harm *name);
/* It was just read, and is damaged. */
void harm_found(struct harm *harm, const struct repo *repo, uint32_t tli, uint64_t segno);
/* NULL: the copy is not known to be damaged. */
const struct harm_mark *harm_at(const struct harm *harm, const struct repo *repo, uint32_t tli,
                                uint64_t segno);
/* What is damaged and nowhere good becomes the catalogue's harm, in place of what that was. */
void harm_into_catalog(const struct harm *harm, struct catalog *catalog);
/* What a mark says next; false: no other is needed. known: the one that counts, or NULL. */
bool harm_next(const struct name_harm *known, enum harm_word word, struct name_harm *ret);
void harm_release(struct harm *harm);

/* One segment read and proven, with the seam to the one before if that is there and whole. Fails
 * with ERR_DAMAGED, ERR_NOTFOUND, or when the repository did not answer. */
struct harm_proof {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes, tli;
	uint64_t segno;
	enum gate_class class;
	/* out */
	bool alone; /* nothing can be said of the seam */
	/* private */
	struct walwalk *walk;
	uint32_t before_tli; /* of the segment before: that of the first page */
	struct object_stream stream;
	char name[NAME_BYTES];
};
void harm_proof_start(struct op *parent, struct harm_proof *proof);

/* A mark, unless what is known says the same: "good" of what was never marked is none, and what
 * was accepted as damaged stays so. */
struct harm_write {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation; /* must stay */
	uint32_t segment_bytes, tli;
	uint64_t segno;
	enum harm_word word;
	const char *why; /* one line for people, or NULL; must stay */
	/* private */
	struct harm known;
	char name[NAME_BYTES], text[2 * ERR_TEXT_MAX];
	struct store_walk walk;
	struct object_write write;
};
void harm_write_start(struct op *parent, struct harm_write *write);

/* The marks of one repository are looked into: what is good is forgotten, and what is gone. */
struct harm_look {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	enum gate_class class;
	unsigned max;      /* so many are read, the others are believed; 0: all are read */
	bool heal;         /* what is good is marked so; a repository that may not be written to
	                      stays as it is */
	struct harm *harm; /* in and out */
	/* private */
	size_t at;
	unsigned read;
	struct harm_proof proof;
	struct harm_write write;
};
void harm_look_start(struct op *parent, struct harm_look *look);

#endif
