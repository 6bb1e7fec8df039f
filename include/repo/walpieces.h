/*
 * walpieces.h — which pieces of the WAL index a generation has: found with few requests, however
 * long the archive is, and read one by one.
 *
 * The highest level is listed first, and of each lower one only what the levels above leave open.
 * The result are pieces that follow each other and do not overlap. Every segment that a piece
 * covers was in the archive when the piece was made.
 *
 * A piece may be damaged, of a newer version, or gone since it was listed. The levels below it say
 * the same, so who reads with walpieces_read sees it only where they do not reach either.
 */
#ifndef REPO_WALPIECES_H
#define REPO_WALPIECES_H

#include "repo/catalog.h"
#include "repo/names.h"
#include "repo/object.h"
#include "repo/walindex.h"

struct walpieces_timeline {
	uint32_t tli;
	struct name_index *piece; /* ascending, no segment in two */
	size_t count, size;
};
struct walpieces_bad {
	struct name_index which;
	enum err_code code; /* of the error when it was read */
};
struct walpieces {
	uint32_t segment_bytes;
	struct walpieces_timeline *timeline; /* ascending */
	size_t timelines;
	struct walpieces_bad *bad; /* could not be read, and do not count any more */
	size_t bads;
};
void walpieces_release(struct walpieces *pieces);
const struct walpieces_timeline *walpieces_timeline(const struct walpieces *pieces, uint32_t tli);
/* The piece that covers segno; NULL: none does. */
const struct name_index *walpieces_at(const struct walpieces *pieces, uint32_t tli, uint64_t segno);
/* The first piece that ends at or above segno; NULL: none does. */
const struct name_index *walpieces_from(const struct walpieces *pieces, uint32_t tli,
                                        uint64_t segno);
/* Names in the order of a listing, of one timeline and level, into the pieces that are there: what
 * overlaps is left out. For the loader, writers and tests. */
void walpieces_add(struct walpieces *pieces, uint32_t tli, const struct name_index *name,
                   size_t names);
/* It could not be read: it is taken out and does not come back. */
void walpieces_spoil(struct walpieces *pieces, const struct name_index *which, enum err_code code);
/* The first piece among those that covers a segment of the stretch; NULL: none. */
const struct walpieces_bad *walpieces_bad_in(const struct walpieces *pieces, uint32_t tli,
                                             uint64_t first, uint64_t last);
/* How many pieces of timeline number `which`, from number `from` on, fill one of `level`; 0: they
 * do not. */
size_t walpieces_group(const struct walpieces *pieces, size_t which, size_t from, uint32_t level,
                       const struct catalog *catalog);
/* What overlaps it is left out from now on. */
void walpieces_drop(struct walpieces *pieces, const struct name_index *new);
/* All that they cover, as archived segments. */
void walpieces_into_catalog(const struct walpieces *pieces, struct catalog *catalog);

struct walpieces_load {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	bool lowest;                    /* level 0 alone, all of it: for what only that level has */
	const struct name_index *below; /* only what can stand for this one, which was spoilt and
	                                   must stay; NULL: everything */
	struct walpieces *ret; /* zero-filled by the caller, who releases it also after a failure */
	/* private */
	struct walpieces_detail *detail;
};
void walpieces_load_start(struct op *parent, struct walpieces_load *load);

/* One piece. ERR_DAMAGED also when it says that it is another one. */
struct walpiece_read {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	struct name_index which;
	/* out */
	struct walindex_piece piece; /* the caller releases it */
	uint64_t stored_bytes;
	/* private */
	char name[NAME_BYTES];
	struct object_read read;
};
void walpiece_read_start(struct op *parent, struct walpiece_read *read);

/* An error of reading a piece that says something about the piece, not about the repository. */
bool walpiece_is_bad(const struct err *err);

/* The piece that covers a segment, of whatever level can be read. Those that cannot are spoilt, and
 * what stands for them is loaded into `pieces`. After a failure nothing there covers the segment
 * any more: ERR_NOTFOUND nothing ever did, else the error of the first piece. */
struct walpieces_read {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	struct walpieces *pieces; /* loaded before */
	uint32_t tli;
	uint64_t segno;
	/* out */
	struct walindex_piece piece; /* the caller releases it */
	struct err first;            /* of the first piece that could not be read */
	/* private */
	struct name_index which;
	struct walpiece_read read;
	struct walpieces_load load;
};
void walpieces_read_start(struct op *parent, struct walpieces_read *read);

/* Writes one, sealed with zstd. The same again is success; if there is another one of its name, the
 * next n. */
struct walpiece_write {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	const struct walindex_piece *piece; /* must stay */
	enum gate_class class;
	bool check; /* one that is there already is read: what is damaged does not count */
	/* out */
	struct name_index which;
	bool repeated;
	uint64_t stored_bytes;
	/* private */
	char name[NAME_BYTES];
	struct buf bytes;
	struct object_write write;
	struct object_read read;
};
void walpiece_write_start(struct op *parent, struct walpiece_write *write);

#endif
