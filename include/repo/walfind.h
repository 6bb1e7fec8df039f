/*
 * walfind.h — what happened, from the WAL index alone: tables dropped, truncated or emptied,
 * restore points, a transaction, or everything around a moment.
 *
 * A question is put to one piece of the index after the other, oldest first; what fits is kept,
 * with names where they are known. Nothing here reads WAL.
 */
#ifndef REPO_WALFIND_H
#define REPO_WALFIND_H

#include "repo/walindex.h"

enum {
	WALFIND_ROWS_MAX = 10000, /* what is kept; then `more` is set */
	WALFIND_NAME_BYTES = 3 * 64 + 8,
	WALFIND_FOLLOWED_MAX = 4096,
};

enum walfind_what {
	WALFIND_DROPPED,   /* a table, or a whole database */
	WALFIND_TRUNCATED, /* emptied at once, or written anew */
	WALFIND_REPLACED,  /* dropped, or written anew by VACUUM FULL, CLUSTER or ALTER TABLE: WAL
	                      has the same of DROP and CREATE in one transaction. Answers both */
	WALFIND_DELETED,   /* rows */
	WALFIND_UPDATED,
	WALFIND_CREATED, /* a database */
	WALFIND_RESTORE_POINT,
	WALFIND_TIMELINE, /* begun here */
	WALFIND_ENDED,    /* a transaction that did nothing of the above */
};
const char *walfind_what_name(enum walfind_what what);

/* What is asked for: all conditions that are set must hold. */
struct walfind_question {
	bool dropped, truncated, deleted, restore_points; /* kinds; none of them: all */
	const char *table;    /* of dropped, truncated, deleted: NAME, SCHEMA.NAME, * and ? allowed;
	                         NULL: any */
	uint64_t deleted_min; /* rows; with deleted */
	uint32_t xid;         /* 0: any */
	int64_t since_us, until_us; /* INT64_MIN, INT64_MAX: open */
};

/* Names of a file at a position: false when nobody knows them. */
struct walfind_name {
	char database[64], schema[64], table[64];
};
struct walfind_names {
	bool (*name)(const struct walfind_names *names, const struct walindex_rel *rel,
	             lsn position, struct walfind_name *ret);
};

/* One row of the answer. A transaction with several relations has several. */
struct walfind_row {
	enum walfind_what what;
	lsn start, end; /* of the record: of a transaction that of its commit */
	uint32_t tli;
	uint32_t stored_tli; /* in whose WAL it was found: a timeline begins with its parent's */
	size_t aside;        /* the number of the segment that was set aside; 0: archived WAL */
	int64_t time_us;     /* 0: the record has none */
	uint32_t xid;
	struct walindex_rel rel; /* number 0: none, or a whole database */
	bool named;
	struct walfind_name name; /* of a restore point: `table` */
	uint64_t rows;            /* DELETED, UPDATED */
};

struct walfind_followed {
	struct walindex_rel rel;
	struct walfind_name name;
};

struct walfind {
	const struct walfind_question *question;
	const struct walfind_names *names; /* may be NULL */
	struct walfind_row *row;           /* by position, oldest first */
	size_t rows, size;
	bool more;        /* there was more than WALFIND_ROWS_MAX */
	bool crowded;     /* a piece says that it does not hold everything that happened */
	uint64_t unnamed; /* records left out only because nobody knows what the table was called */
	lsn unnamed_at;   /* private: the last of them */
	struct walfind_followed *followed; /* private: files that a table got anew */
	size_t follows;
	const struct walindex_piece *piece; /* private: at hand */
	size_t aside; /* in: the first segment of the piece is this one that was set aside */
};
void walfind_release(struct walfind *find);
/* The next piece, in the order of WAL along one timeline after the other. What two of them have,
 * since a timeline begins with a copy of its parent's WAL, is told once. */
void walfind_add(struct walfind *find, const struct walindex_piece *piece);

#endif
