/*
 * walwalk.h — THE RECORD WALKER: proves WAL while it streams by, and tells what is in it.
 *
 * Push style: it is fed the bytes of a segment from its first on, in pieces of any size, on
 * whatever thread has them (frames of 128 KiB that are being compressed, for example), and keeps
 * nothing of them but its state and at most WALWALK_HEAD_BYTES of one record. It allocates
 * nothing.
 *
 *	walwalk_init(&w, &options);
 *	walwalk_begin(&w, tli, segno, &err) && walwalk_feed(&w, …, &err) … && walwalk_end(&w, &err)
 *
 * Segments begun one after the other with consecutive numbers (also across a timeline switch)
 * are one walk: previous pointers and records that cross the boundary are proven too. A first
 * segment, or one after a hole, starts at its boundary: the tail of a record from before is
 * skipped by the length that its page header states, everything after is proven.
 *
 * Proven are page headers (magic, flags, address, timeline, system identifier, sizes), record
 * headers, the chain of previous pointers, the CRC of each record that is wholly in the walk,
 * continuations and abandoned records (flag 0x0008). What follows XLOG_SWITCH in its segment
 * means nothing to anybody; it is zero but after a rare crash, and seen.dirty_lsn tells.
 *
 * Strict (archived whole segments): whatever is invalid is ERR_DAMAGED with position and reason.
 * Tail (.partial files, the newest segment in pg_wal, a segment still being written): the first
 * invalid thing is the end of the WAL, as for the server itself; seen.ended, seen.end_lsn and
 * seen.end_reason tell. In both, another cluster's system identifier or an unknown version of
 * PostgreSQL is ERR_REFUSED.
 */
#ifndef PG_WALWALK_H
#define PG_WALWALK_H

#include "base/err.h"
#include "pg/control.h"
#include "pg/lsn.h"

enum {
	WALWALK_HEAD_BYTES = 2048, /* kept of a record that is told about */
	WALWALK_REASON_BYTES = 160,
	WALWALK_NAME_BYTES = 64,      /* of a restore point, with NUL */
	WALWALK_PATH_BYTES = 1025,    /* of a tablespace, with NUL */
	WALWALK_RECORD_MAX = 1 << 30, /* longer is not valid */
};

enum walrecord_kind {
	WALRECORD_COMMIT,
	WALRECORD_ABORT,
	WALRECORD_RESTORE_POINT,
	WALRECORD_CREATE_TABLESPACE,
	WALRECORD_CHECKPOINT,
	WALRECORD_END_OF_RECOVERY,
	WALRECORD_BACKUP_END,
	WALRECORD_SWITCH,
	WALRECORD_PARAMETER_CHANGE,
};

/* A record of interest, proven. Lives during the call only. */
struct walrecord {
	enum walrecord_kind kind;
	lsn start, end; /* end: aligned; of a SWITCH the end of the segment */
	lsn previous;   /* start of the record before it */
	uint32_t tli;   /* of the page on which it starts */
	uint32_t xid; /* COMMIT, ABORT: the top transaction (of COMMIT PREPARED the prepared one) */
	bool prepared;   /* COMMIT, ABORT: of a prepared transaction */
	int64_t time_us; /* since 1970. COMMIT, ABORT, RESTORE_POINT, END_OF_RECOVERY, CHECKPOINT */
	bool shutdown;   /* CHECKPOINT: at shutdown */
	lsn other;       /* BACKUP_END: the backup's start; CHECKPOINT: redo */
	uint32_t new_tli,
	        previous_tli; /* CHECKPOINT, END_OF_RECOVERY; different: it begins new_tli */
	uint32_t tablespace;  /* CREATE_TABLESPACE */
	const char *text;     /* RESTORE_POINT: name, CREATE_TABLESPACE: path; else "" */
	const struct pg_parameters *parameters; /* PARAMETER_CHANGE; else NULL */
};
typedef void walwalk_each(void *context, const struct walrecord *record);

/*
 * Sees every record, whatever it is: waldecode.h. piece() gets bytes of the body of the record in
 * walk->header, in order, when the record does not lie whole in what was fed; record() comes when
 * it is proven, with all of it from its header on if it lies whole, else NULL. False with a reason:
 * the record is damaged; nothing has been done with it.
 */
struct walwalk;
struct walwalk_sink {
	void (*piece)(struct walwalk_sink *sink, const struct walwalk *walk, uint32_t offset,
	              const uint8_t *bytes, size_t length);
	bool (*record)(struct walwalk_sink *sink, const struct walwalk *walk, const uint8_t *whole,
	               lsn end, const char **ret_reason);
};

struct walwalk_options {
	uint64_t system_identifier; /* 0: the first page's */
	uint32_t segment_bytes;     /* required */
	unsigned major;             /* 0: the first page's */
	bool tail;
	walwalk_each *each; /* may be NULL */
	void *context;
	struct walwalk_sink *sink; /* may be NULL */
};

/* What the walk has found so far, over all segments since walwalk_init. Positions are 0 when there
 * is none. */
struct walwalk_seen {
	unsigned major;
	uint64_t system_identifier;
	uint32_t page_bytes;
	uint32_t tli;           /* of the newest page */
	uint64_t records;       /* complete and proven */
	lsn first_start;        /* of the first record that starts in the walk */
	lsn first_previous;     /* the record before that, as it says; 0: none, or not read yet */
	uint64_t skipped_bytes; /* of a record that began before the walk */
	lsn last_start,
	        last_end; /* of the last complete record; last_end of a SWITCH: the segment's end */
	uint32_t last_tli; /* of the page on which the last complete record starts */
	bool open; /* the segment ended inside a record (that may have begun before the walk) */
	lsn open_start;           /* its start; 0 when it began before the walk */
	uint32_t open_left_bytes; /* how much of it is still to come */
	bool switched;            /* the segment ended with XLOG_SWITCH */
	lsn dirty_lsn; /* the first byte behind XLOG_SWITCH in this segment that is not zero */
	uint64_t commits, aborts;
	lsn last_commit_start, last_commit_end; /* of the last COMMIT */
	int64_t last_commit_us;
	uint32_t last_commit_xid;
	int64_t first_xact_us, min_xact_us,
	        max_xact_us; /* times of COMMIT and ABORT; 0 without any */
	bool ended;          /* tail: the end of the WAL was found; more bytes are ignored */
	lsn end_lsn; /* up to here everything is proven: where the next record would start */
	char end_reason[WALWALK_REASON_BYTES];
};

/* Private but for `seen`; about 4 KB, may be copied while no segment is being fed. */
struct walwalk {
	struct walwalk_seen seen; /* to read at any time */
	struct walwalk_options options;
	int state;
	bool in_segment, carried; /* carried: the segment before was walked to its end */
	bool overwrite_expected;  /* the next record must say what was abandoned */
	uint32_t name_tli;        /* of the file being fed */
	uint32_t tli_floor;       /* begun by a record on a page of the parent timeline */
	uint64_t segno;
	lsn at, segment_start, segment_end;
	lsn run_start;    /* where the walk began without a segment before */
	lsn prev_start;   /* of the last complete record of the run, 0: none yet */
	lsn overwritten;  /* start of the abandoned record, 0: before the run */
	uint8_t page[40]; /* the page header being collected */
	uint32_t page_have;
	lsn record_start; /* of the record being collected */
	uint32_t record_tli;
	uint8_t header[24];
	uint32_t header_have;
	uint32_t left_bytes; /* of body, or of what is skipped */
	uint32_t pad_bytes;
	uint32_t crc; /* of the body so far */
	bool wanted;
	uint32_t head_have;
	uint8_t head[WALWALK_HEAD_BYTES]; /* of the body of a record that is wanted */
	struct walrecord_finder {         /* the prepared transaction behind lists of any length */
		int step;
		unsigned major;
		uint32_t xinfo, xid;
		uint64_t at, seen; /* where the next piece begins; bytes of body gone by */
		uint8_t piece[4];
		uint32_t have, want;
	} finder;
};

void walwalk_init(struct walwalk *walk, const struct walwalk_options *options);
/* The next bytes are those of segment segno in a file named for timeline tli. */
MUST_USE bool walwalk_begin(struct walwalk *walk, uint32_t tli, uint64_t segno, struct err *err);
/* The same, but for the bytes before position, at which a record begins: what is fed begins there.
 * options.major must be set; page_bytes: the size of its pages. Only as the first segment of a
 * walk. */
MUST_USE bool walwalk_begin_at(struct walwalk *walk, uint32_t tli, lsn position,
                               uint32_t page_bytes, struct err *err);
/* After a failure nothing more may be fed. Bytes beyond the segment's end are ERR_DAMAGED. */
MUST_USE bool walwalk_feed(struct walwalk *walk, const void *bytes, size_t length, struct err *err);
/* The segment's file has ended. Strict: a short one is ERR_DAMAGED. */
MUST_USE bool walwalk_end(struct walwalk *walk, struct err *err);
/*
 * What a walk over one whole segment has proven, for another walk that has what is before it: from
 * the start of its first record to the end of its last whole one. The other walk is fed the bytes
 * before, skips this, and is fed the bytes behind; the records in between were told to the first
 * walk alone, and `seen` of the second has them but for what it counts of commits and aborts.
 */
struct walwalk_stretch {
	lsn from, to;
	lsn previous, last_start; /* of the record before it; of its last one */
	uint64_t records;
	uint32_t last_tli, page_tli, tli_floor;
	bool switched;
};
/* After walwalk_end. False: there is none, or it was not one whole segment. */
MUST_USE bool walwalk_stretch_of(const struct walwalk *walk, struct walwalk_stretch *ret);
/* What was fed ends where it begins. ERR_DAMAGED: it does not go on there. */
MUST_USE bool walwalk_skip(struct walwalk *walk, const struct walwalk_stretch *stretch,
                           struct err *err);
/* The three for one whole segment in memory. */
MUST_USE bool walwalk_segment(struct walwalk *walk, uint32_t tli, uint64_t segno, const void *bytes,
                              struct err *err);

#endif
