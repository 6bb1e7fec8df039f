/*
 * waldecode.h — what a WAL record touches and what it says: its block references, and for the
 * records that an index or a person asks about, an event. PostgreSQL 13 to 18.
 *
 * A decoder is a sink of the walker (walwalk.h): it is handed each record once the walker has
 *proven it. A record that lies whole in what was fed is decoded where it lies; of one that came in
 *pieces the decoder keeps what it needs: the item headers and the main data, never images.
 *
 *	waldecode_init(&decode, each, context);
 *	options.sink = &decode.sink;
 *	walwalk_init(&walk, &options) … walwalk_feed(…)  → each(context, &record) → walevent_of(…)
 *	waldecode_release(&decode);
 *
 * Nothing in a record is trusted for a length. One that has the right CRC and contradicts itself
 * makes the walk fail as damaged (in tail mode: end), with position and reason.
 */
#ifndef PG_WALDECODE_H
#define PG_WALDECODE_H

#include "pg/walwalk.h"

enum {
	WAL_BLOCKS_MAX = 33, /* XLR_MAX_BLOCK_ID + 1, access/xlogrecord.h */
	/* The item headers: 33 block references with images (28 bytes each), origin, top xid, main.
	 */
	WALDECODE_HEAD_BYTES = 1024,
	/* Main data that is kept of a record in pieces: longer ones (a commit that drops 340 000
	 * files) are `cut`. */
	WALDECODE_MAIN_MAX = 4 * 1024 * 1024,
};

/* Of access/rmgrlist.h; the ids are the same in 13 to 18. */
enum wal_manager {
	WAL_XLOG,
	WAL_XACT,
	WAL_STORAGE,
	WAL_CLOG,
	WAL_DATABASE,
	WAL_TABLESPACE,
	WAL_MULTIXACT,
	WAL_RELMAP,
	WAL_STANDBY,
	WAL_HEAP2,
	WAL_HEAP,
	WAL_MANAGERS_KNOWN = 22, /* 0 to 21 */
};

enum wal_fork { WAL_FORK_MAIN, WAL_FORK_FSM, WAL_FORK_VM, WAL_FORK_INIT };

enum wal_image { WAL_IMAGE_PLAIN, WAL_IMAGE_PGLZ, WAL_IMAGE_LZ4, WAL_IMAGE_ZSTD };

/* RelFileLocator; file is the relfilenumber, 0 in an event about a whole database. */
struct wal_relation {
	uint32_t tablespace, database, file;
};

struct wal_block {
	struct wal_relation relation;
	uint32_t number;
	uint8_t id, fork;
	bool image, init;     /* a page image; the page is made anew */
	bool image_applies;   /* replay puts it in place; else it is only there to be compared */
	uint8_t compression;  /* of the image: enum wal_image */
	uint16_t data_bytes;  /* of data that belongs to this block */
	uint16_t image_bytes; /* stored */
	uint16_t hole_offset, hole_bytes; /* of the page, left out of the image */
};

/* A record, proven; lives during the call only. */
struct wal_decoded {
	lsn start, end;        /* end: aligned; of XLOG_SWITCH the segment's end */
	uint32_t tli;          /* of the page on which it starts */
	uint32_t bytes;        /* the whole record */
	uint32_t xid, top_xid; /* top_xid: 0 when it is not told (13, or wal_level below logical) */
	uint16_t origin;       /* of replication; 0: not told */
	unsigned major;
	uint8_t manager, info; /* info with its low bits */
	unsigned blocks, images;
	struct wal_block block[WAL_BLOCKS_MAX];
	const uint8_t *main; /* main data */
	uint32_t main_bytes;
	bool cut; /* only the first WALDECODE_MAIN_MAX bytes of main are here; main_bytes says so */
};
typedef void waldecode_each(void *context, const struct wal_decoded *record);

/* ---- events ---- */

enum walevent_kind {
	WALEVENT_NONE, /* blocks at most */
	WALEVENT_COMMIT,
	WALEVENT_ABORT,
	WALEVENT_PREPARE,
	WALEVENT_FILE_CREATE,
	WALEVENT_FILE_TRUNCATE,
	WALEVENT_DATABASE_CREATE,
	WALEVENT_DATABASE_DROP,
	WALEVENT_TABLESPACE_CREATE,
	WALEVENT_TABLESPACE_DROP,
	WALEVENT_RELMAP,
	WALEVENT_ROWS,     /* inserted, updated, deleted, in `relation` */
	WALEVENT_TRUNCATE, /* the statement; only with wal_level = logical */
	WALEVENT_LOCKS,    /* AccessExclusiveLock on relations */
	WALEVENT_CHECKPOINT,
	WALEVENT_CHECKPOINT_REDO,
	WALEVENT_END_OF_RECOVERY,
	WALEVENT_PARAMETERS,
	WALEVENT_RESTORE_POINT,
	WALEVENT_BACKUP_END,
	WALEVENT_FULL_PAGE_WRITES,
	WALEVENT_SWITCH,
	WALEVENT_GAVE_UP,    /* XLOG_OVERWRITE_CONTRECORD */
	WALEVENT_NEXT_OID,   /* number */
	WALEVENT_ASSIGNMENT, /* subxids belong to xid */
	WALEVENT_INPLACE,    /* a row of a catalogue was changed where it lies, in `relation` */
	/* An extension's record that changes relation files in a way that its block references do
	 * not tell: what changed here cannot be known. */
	WALEVENT_UNKNOWN_CHANGE,
};

/* What wal_level says in a record that tells it; WAL_LEVEL_UNTOLD in one that does not. */
enum wal_level { WAL_LEVEL_UNTOLD = -1, WAL_LEVEL_MINIMAL, WAL_LEVEL_REPLICA, WAL_LEVEL_LOGICAL };

/* A list inside the main data; walevent_u32, walevent_relation and walevent_lock read it. */
struct wal_list {
	const uint8_t *at;
	uint32_t count;
};

/* What is not said to belong to a kind is not set, but for lists (empty), text and wal_level. */
struct walevent {
	enum walevent_kind kind;
	uint32_t xid;      /* COMMIT, ABORT, PREPARE: the transaction that ends, or is prepared */
	int64_t time_us;   /* since 1970; COMMIT, ABORT, PREPARE, CHECKPOINT, END_OF_RECOVERY,
	                      RESTORE_POINT,   GAVE_UP */
	bool prepared;     /* COMMIT, ABORT: of a prepared transaction */
	uint32_t database; /* COMMIT, ABORT: 0 when it is not told; DATABASE_*, PREPARE, RELMAP (0:
	                      shared), TRUNCATE */
	uint32_t tablespace;                         /* DATABASE_CREATE, TABLESPACE_*, RELMAP */
	uint32_t source_database, source_tablespace; /* DATABASE_CREATE by copying files */
	bool file_copy;
	struct wal_list subxids; /* COMMIT, ABORT, PREPARE, ASSIGNMENT */
	struct wal_list files;   /* COMMIT, ABORT: dropped at this moment. PREPARE: at its commit */
	struct wal_list abort_files;                /* PREPARE: dropped at its abort */
	uint32_t dropped_statistics, invalidations; /* COMMIT, ABORT: so many */
	lsn origin_lsn; /* COMMIT, ABORT: of the transaction where it was replicated from, or 0 */
	int64_t origin_us;            /* since 1970 */
	struct wal_list tablespaces;  /* DATABASE_DROP: where it had files */
	struct wal_list relations;    /* TRUNCATE: OIDs */
	struct wal_list locks;        /* LOCKS */
	struct wal_relation relation; /* FILE_*, ROWS */
	uint8_t fork;                 /* FILE_CREATE */
	uint32_t length_blocks;       /* FILE_TRUNCATE: what is left of the main fork */
	bool truncates_main, truncates_vm, truncates_fsm;
	uint32_t inserted, updated, deleted;
	int32_t wal_level; /* enum wal_level: PARAMETERS, and 17+: CHECKPOINT at shutdown,
	                      CHECKPOINT_REDO, END_OF_RECOVERY */
	bool shutdown, full_page_writes; /* CHECKPOINT; the second FULL_PAGE_WRITES too */
	lsn other; /* CHECKPOINT: redo; BACKUP_END: the backup's start; GAVE_UP: the record's start
	            */
	uint32_t new_tli, previous_tli;         /* CHECKPOINT, END_OF_RECOVERY */
	uint64_t next_xid;                      /* CHECKPOINT: with its epoch */
	uint32_t oldest_xid, oldest_active_xid; /* CHECKPOINT; the second is 0 at shutdown */
	uint32_t number;                        /* NEXT_OID, CHECKPOINT: the next OID */
	struct pg_parameters parameters;        /* PARAMETERS */
	const char *text; /* RESTORE_POINT: name; TABLESPACE_CREATE: path; else "" */
};

/* False: the record's main data is not laid out as it should be (of a `cut` record also when a list
 * goes beyond what is here). ret points into the record. */
MUST_USE bool walevent_of(const struct wal_decoded *record, struct walevent *ret);
uint32_t walevent_u32(const struct wal_list *list, uint32_t index);
struct wal_relation walevent_relation(const struct wal_list *files, uint32_t index);
struct wal_lock {
	uint32_t xid, database, relation; /* relation: its OID, not its file number */
};
struct wal_lock walevent_lock(const struct wal_list *locks, uint32_t index);
/* The name of a kind, in lower case: "commit", "file truncate". */
const char *walevent_name(enum walevent_kind kind);

/* ---- the decoder ---- */

struct waldecode {
	struct walwalk_sink sink; /* for walwalk_options.sink; private otherwise */
	waldecode_each *each;
	void *context;
	struct wal_decoded record;
	/* Of a record in pieces. */
	uint8_t head[WALDECODE_HEAD_BYTES];
	uint32_t body_have, head_have, main_at;
	bool headers_known, bad;
	uint8_t *main; /* owned */
	uint32_t main_have, main_size;
	const char *reason;
};

void waldecode_init(struct waldecode *decode, waldecode_each *each, void *context);
void waldecode_release(struct waldecode *decode);

#endif
