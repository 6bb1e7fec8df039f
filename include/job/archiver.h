/*
 * archiver.h — archiving the WAL of one cluster: the story behind archive_command (architecture.md
 * 7, "Push").
 *
 * An archiver knows what it has made safe and what is under way. archive_ask is one question of the
 * hook: it takes the wanted file first, works ahead on what else is ready in archive_status, and
 * ends as soon as the file's fate is known or after wait_ms with ANSWER_WORKING, while the work
 * goes on. Any number of questions at once, also for the same file.
 */
#ifndef JOB_ARCHIVER_H
#define JOB_ARCHIVER_H

#include "base/buf.h"
#include "job/site.h"
#include "loop/work.h"

/* What the hook hears, in the header Seawall-Result. */
enum answer {
	ANSWER_UNKNOWN,
	ANSWER_STORED,
	ANSWER_DELIVERED,
	ANSWER_ABSENT,
	ANSWER_FAILED,
	ANSWER_WORKING
};

struct archiver;
/* site must stay; ahead: how many files to work on beside the wanted one (0 in `seawall wal push`).
 */
struct archiver *archiver_new(struct site *site, unsigned ahead);
/* No question may be open; work under way is cancelled and awaited: ends as an operation because of
 * that. */
struct archiver_close {
	struct op op;
	struct archiver *archiver;
};
void archiver_close_start(struct op *parent, struct archiver_close *close);

struct archive_ask {
	struct op op; /* op.err: why, when the answer is ANSWER_FAILED (then op_failed) */
	struct archiver *archiver;
	const char *folder; /* the caller's data directory (absolute) */
	const char *path;   /* as PostgreSQL gave it: relative to folder, or absolute */
	int64_t wait_ms;
	bool accept_damaged; /* a segment that does not prove is stored all the same */
	enum answer answer;  /* out */
	/* private */
	struct work look;
	struct archive_wanted *wanted;
	struct archive_item *item;
	struct archive_ask *next;
	struct timer timer;
};
void archive_ask_start(struct op *parent, struct archive_ask *ask);

/* For status and metrics. */
struct archiver_figures {
	uint64_t stored, repeated, failed, ignored; /* files since the start */
	uint64_t bytes_read, bytes_stored;
	unsigned ready, under_way; /* .ready files seen last, items now */
	int64_t last_stored_us;    /* wall clock; 0: none yet */
	char last_stored[64];
	int64_t failing_since_us; /* 0: the last attempt was fine */
	char failing[64];
	struct err last_error;
	/* A segment that is archived and whole there, and was damaged in pg_wal since, while it is
	 * there; "": none is known. */
	char suspect[64];
};
void archiver_figures(const struct archiver *archiver, struct archiver_figures *ret);

/* Of one repository of the cluster, by its place in the chain; false: there is none. */
struct archiver_place_figures {
	const char *repository;
	bool away, behind;     /* it cannot be reached; it is to be filled up, or is just now */
	int64_t away_since_us; /* wall clock */
	struct err error;      /* why it cannot be reached */
	uint64_t lag_segments; /* that it lacks, as far as is known */
	uint64_t lag_bytes;
	int64_t lag_us;  /* since it began to lack them; 0: it does not */
	uint64_t filled; /* files, since the start */
};
bool archiver_place(const struct archiver *archiver, unsigned number,
                    struct archiver_place_figures *ret);

/* The quarrels about who goes on that nobody has settled, in the repository at that place of the
 * chain, as it was last looked at: appends the text. False: there are no more. */
bool archiver_contest(const struct archiver *archiver, unsigned place, size_t number,
                      struct buf *out);

#endif
