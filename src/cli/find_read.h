/*
 * find_read.h — what `seawall find` goes through: the WAL index of every timeline, and what was set
 * aside. What it could not see is told, never passed over.
 */
#ifndef CLI_FIND_READ_H
#define CLI_FIND_READ_H

#include "find_aside.h"
#include "find_names.h"
#include "repo/heads.h"
#include "repo/holdings.h"
#include "repo/walfind.h"

/* Why a stretch of archived WAL was not searched. */
enum find_cause {
	FIND_NOT_YET, /* behind all pieces of its timeline: the indexer did not get there yet */
	FIND_MISSING, /* no piece of the index tells of it, and pieces behind it are there */
	FIND_DAMAGED, /* the piece that tells of it cannot be read */
	FIND_NEWER,   /* nor can this version */
};
const char *find_cause_name(enum find_cause cause);
const char *find_cause_text(enum find_cause cause);

struct find_gap {
	enum find_cause cause;
	uint32_t tli;
	uint64_t first, last;
	int64_t from_us, until_us; /* of the transactions around it; 0: not known */
};

struct find_span { /* what was read of the index */
	uint32_t tli;
	uint64_t first, last;
	int64_t first_us, last_us; /* of its transactions; 0: none */
};

struct find_read {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	uint64_t system_identifier;
	struct walfind *find;
	bool others; /* there are repositories beside this one, which may have older backups */
	/* out; find_read_release */
	struct catalog catalog; /* WAL, histories and owner notes */
	struct walpieces pieces;
	struct find_names names;
	struct find_aside aside;
	struct find_gap *gap;
	size_t gaps;
	struct err first;   /* why the first piece could not be read */
	lsn restorable_lsn; /* no restore of any backup ends before it; LSN_MAX: there is none */
	/* private */
	struct holdings_load load;
	struct heads heads;
	struct heads_load heads_load;
	struct walpieces_read read;
	struct find_span *span;
	size_t spans, spans_size;
	size_t timeline;
	uint64_t next;
};
void find_read_start(struct op *parent, struct find_read *read);
void find_read_release(struct find_read *read);

/* The gap that makes the answer incomplete; NULL: there is none but what is about to be indexed. */
const struct find_gap *find_read_lacks(const struct find_read *read);

#endif
