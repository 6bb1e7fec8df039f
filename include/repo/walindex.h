/*
 * walindex.h — the WAL index: what is in a stretch of archived WAL, without reading it again
 * (architecture.md 8).
 *
 * A piece tells of the segments [first, last] of one timeline: each segment's times and positions,
 * what happened that is worth finding, and per relation the blocks that were changed and the
 * limits. It is a pure function of that WAL and of what the piece before it left open: made again
 * from the archive it is the same, byte for byte. A record belongs to the segment that holds its
 * last byte.
 *
 * Level 0 has everything. Pieces of higher levels are merged from WALINDEX_FANOUT of the level
 * below and have no changed blocks, so that they stay small; what lies in several is the same in
 * all of them.
 */
#ifndef REPO_WALINDEX_H
#define REPO_WALINDEX_H

#include "base/buf.h"
#include "base/err.h"
#include "pg/lsn.h"

enum {
	WALINDEX_VERSION = 1,
	WALINDEX_LEVELS = 4,
	WALINDEX_FANOUT = 16, /* segments in a piece of level 0; pieces in one above */
	WALINDEX_GROUP_BYTES =
	        256 << 20, /* of WAL in a piece of level 0, whatever the segments' size */
	WALINDEX_SPAN_MAX = 16 * 16 * 16 * 16,
	WALINDEX_BYTES_MAX = 64 << 20,    /* of a piece, not compressed */
	WALINDEX_MARKS_MAX = 2 << 20,     /* blocks in a piece */
	WALINDEX_MARKS_FULL = 1 << 20,    /* a piece with so many is ended after its segment */
	WALINDEX_EVENTS_MAX = 512 << 10,  /* in a piece; what comes then is left out (crowded) */
	WALINDEX_EVENTS_FULL = 64 << 10,  /* as WALINDEX_MARKS_FULL, and not merged any further */
	WALINDEX_OPEN_MAX = 64 << 10,     /* transactions whose rows are counted at a time */
	WALINDEX_TOUCHED_MAX = 512 << 10, /* relations of all open transactions; of all events */
	WALINDEX_TEXT_MAX = 1024,
	WALINDEX_ROWS_MIN = 200, /* fewer deleted or updated rows are not worth an event */
};
#define WALINDEX_NO_LIMIT UINT32_MAX

/* A relation's main fork; number 0: everything of the database in that tablespace. */
struct walindex_rel {
	uint32_t tablespace, database, number;
};
int walindex_rel_compare(const struct walindex_rel *a, const struct walindex_rel *b);

/* Marks and limit are kept apart: a limit never erases marks (postgres-facts.md B.5). */
struct walindex_marks {
	struct walindex_rel rel;
	uint32_t limit;  /* the smallest length in blocks that it is known to have had, or
	                    WALINDEX_NO_LIMIT */
	uint32_t *block; /* ascending, each once */
	size_t blocks;
};

/* Of one segment. Positions and times are 0 without any. Times: those of commits and aborts, since
 * 1970; they are not monotonic, so the smallest and the greatest stand beside the first and the
 * last. */
struct walindex_segment {
	uint64_t records;
	uint32_t commits, aborts;
	lsn last_start, last_end;  /* of the last record */
	uint32_t last_tli;         /* of the page on which the last record starts */
	lsn first_xact, last_xact; /* starts of the first and last commit or abort */
	lsn last_xact_end;
	int64_t first_us, last_us, min_us, max_us;
	int64_t last_commit_us;    /* commits alone */
	uint32_t min_xid, max_xid; /* that ended in it, as numbers */
	uint32_t lost_bytes;       /* of a record that began before and that nobody saw */
};

enum walindex_kind {                             /* numbers are in the format */
	             WALINDEX_RESTORE_POINT = 1, /* text: its name */
	             WALINDEX_CHECKPOINT = 2,    /* position: redo; number: 1 at shutdown */
	             WALINDEX_TIMELINE = 3,   /* number: the new one, position: of the one before */
	             WALINDEX_PARAMETERS = 4, /* number: wal_level; text: "name=value …" */
	             WALINDEX_POISON = 5, /* changed blocks are not known from here on; text: why */
	             WALINDEX_DATABASE_CREATED = 6, /* touched: its folders */
	             WALINDEX_DATABASE_DROPPED = 7,
	             WALINDEX_TRANSACTION =
	                     8, /* committed; touched: what it did. number: rows of pg_class that it
	                           deleted; position: files that it created */
	             WALINDEX_BACKUP_END = 9, /* position: where the backup began */
};
#define WALINDEX_KIND_LAST WALINDEX_BACKUP_END

enum {                         /* of what a transaction touched */
       WALINDEX_DROPPED = 1,   /* the file was removed at its commit */
       WALINDEX_TRUNCATED = 2, /* to nothing, in place */
       WALINDEX_CREATED = 4,   /* the file was made by it */
       WALINDEX_TOUCHED_ALL = 7,
};
struct walindex_touched {
	struct walindex_rel rel;
	uint32_t flags;
	uint64_t deleted, updated, inserted; /* rows */
};

struct walindex_event {
	enum walindex_kind kind;
	lsn start, end; /* of the record */
	uint32_t tli;   /* of its page */
	int64_t time_us;
	uint32_t xid;
	uint64_t number, position;
	char *text;                       /* owned, or NULL */
	struct walindex_touched *touched; /* owned, in the order of relations */
	size_t toucheds;
};

/* A transaction that has not ended: what it touched so far. Subtransactions stand alone. */
struct walindex_open {
	uint32_t xid;
	uint64_t class_deleted, created; /* rows of pg_class; files */
	struct walindex_touched *touched;
	size_t toucheds;
};

struct walindex_piece {
	uint32_t tli, segment_bytes, level;
	uint64_t first, last;
	struct walindex_segment *segment; /* last - first + 1 */
	struct walindex_event *event;     /* by position */
	size_t events, events_size;
	struct walindex_marks *marks; /* by relation; level 0 only */
	size_t relations;
	bool poisoned;              /* changed blocks are not known for all of it */
	bool crowded;               /* there was more worth finding than it holds */
	bool full;                  /* it was ended early, because it was full */
	struct walindex_open *open; /* at its end, by xid */
	size_t opens;
};
void walindex_release(struct walindex_piece *piece);

/* So many segments make a whole piece of that level; it begins at a multiple of that. */
uint64_t walindex_span(uint32_t level, uint32_t segment_bytes);

/* ---- bytes (doc/format.md, "WAL index") ---- */

/* Appends to out; the same piece gives the same bytes. False: it is longer than out may be. */
MUST_USE bool walindex_encode(const struct walindex_piece *piece, struct buf *out);
/* Strict. ERR_DAMAGED; a newer version is ERR_REFUSED and says which is needed. On failure ret is
 * empty. */
MUST_USE bool walindex_decode(const void *bytes, size_t length, struct walindex_piece *ret,
                              struct err *err);

/* ---- building ---- */

/* Fed record by record, in the order of WAL; a record belongs to the segment where it ends. */
struct walindex_builder;
/* before: the piece that ends where this begins, for what it left open; NULL: there is none. */
struct walindex_builder *walindex_builder_new(uint32_t tli, uint64_t first, uint32_t segment_bytes,
                                              const struct walindex_piece *before);
void walindex_builder_free(struct walindex_builder *builder);

struct walindex_record { /* what all records that matter have */
	lsn start, end;  /* end: aligned */
	uint32_t tli, xid;
};
/* A block of a main fork was changed. */
void walindex_add_block(struct walindex_builder *builder, const struct walindex_rel *rel,
                        uint32_t block);
/* The main fork has, or once had, so few blocks. */
void walindex_add_limit(struct walindex_builder *builder, const struct walindex_rel *rel,
                        uint32_t limit);
/* Changed blocks cannot be told from here on, or for this stretch. */
void walindex_add_poison(struct walindex_builder *builder, const struct walindex_record *record,
                         const char *why);
/* Everything but a transaction. text may be NULL. */
void walindex_add_event(struct walindex_builder *builder, const struct walindex_record *record,
                        const struct walindex_event *event);
struct walindex_rows {
	uint64_t deleted, updated, inserted;
	uint32_t flags; /* WALINDEX_TRUNCATED, WALINDEX_CREATED */
};
/* What a transaction that has not ended did to a relation. */
void walindex_add_rows(struct walindex_builder *builder, uint32_t xid,
                       const struct walindex_rel *rel, const struct walindex_rows *rows);
/* The end of a transaction. xid: the top one, also of a prepared transaction. dropped, of a commit
 * and of an abort: the files that are removed. */
struct walindex_end {
	bool commit;
	uint32_t xid;
	int64_t time_us;
	const uint32_t *sub;
	size_t subs;
	const struct walindex_rel *dropped;
	size_t droppeds;
};
void walindex_add_end(struct walindex_builder *builder, const struct walindex_record *record,
                      const struct walindex_end *end);
/* Transactions below xid that are not open any more have ended in silence (a crash). */
void walindex_forget(struct walindex_builder *builder, uint32_t oldest_xid);

/* The segment at hand is complete. */
struct walindex_tail {
	uint64_t records;
	lsn last_start, last_end; /* of the last record that ended in it; 0: none did */
	uint32_t last_tli;
	uint32_t lost_bytes; /* of a record that began before and was not seen */
};
/* True: the piece is full and must be ended here. */
bool walindex_next_segment(struct walindex_builder *builder, const struct walindex_tail *tail);
/* How many segments are complete. */
uint64_t walindex_builder_segments(const struct walindex_builder *builder);
/* The piece of the segments that are complete. The builder goes on with the segment behind it. With
 * `keep`, it goes on as if this had not been asked for. */
void walindex_builder_take(struct walindex_builder *builder, bool keep, struct walindex_piece *ret);

/* ---- merging ---- */

/* Pieces of one timeline that follow each other, one after the other, into one of a higher level.
 * Takes the content of next; which is empty then. ERR_INTERNAL: it does not follow. */
MUST_USE bool walindex_append(struct walindex_piece *piece, struct walindex_piece *next,
                              struct err *err);

/* NULL: nothing is known of it. */
const struct walindex_segment *walindex_segment(const struct walindex_piece *piece, uint64_t segno);

#endif
