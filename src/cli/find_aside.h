/*
 * find_aside.h — WAL that was refused and set aside under conflict/: the branch of a server that
 * was fenced, or another one's history of the same timeline. It is in no index, and no restore
 * reads it, but what was lost in a split brain is there: it is read itself.
 */
#ifndef CLI_FIND_ASIDE_H
#define CLI_FIND_ASIDE_H

#include "repo/object.h"
#include "repo/walfind.h"
#include "repo/walscan.h"

enum { FIND_ASIDE_MAX = 128 }; /* segments that are read */

struct aside_segment {
	char name[NAME_BYTES]; /* of the object */
	uint32_t tli;
	uint64_t segno;
	bool read; /* false: it was not, or could not be */
};

struct find_aside {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	uint64_t system_identifier;
	struct walfind *find; /* gets rows with the number of their segment, from 1, in `aside` */
	/* out; find_aside_release */
	struct aside_segment *segment; /* in the order of their names */
	size_t segments, size;
	/* private */
	char prefix[NAME_BYTES];
	struct store_walk walk;
	struct object_stream stream;
	struct walscan *scan;
	struct walindex_builder *builder;
	size_t at;
	bool chained; /* the scan goes on from the one before */
};
/* Fails only when the repository does, not for what is damaged. */
void find_aside_start(struct op *parent, struct find_aside *aside);
void find_aside_release(struct find_aside *aside);
/* How many were not read. */
size_t find_aside_unread(const struct find_aside *aside);

#endif
