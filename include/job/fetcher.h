/*
 * fetcher.h — delivering WAL to a recovery: the story behind restore_command (architecture.md 7,
 * "Fetch").
 *
 * Prefetches in parallel ahead of the replay into a spool beside the WAL, delivers by rename whole
 * verified files only, and knows three outcomes: delivered, proven absent, unknown (never reported
 * as absent).
 */
#ifndef JOB_FETCHER_H
#define JOB_FETCHER_H

#include "job/archiver.h"

struct fetcher;
struct restore_plan; /* repo/plan.h */

struct fetcher_options {
	struct site *site;
	const struct restore_plan *plan; /* the restore's timeline path and end, or NULL: from the
	                                    recovery settings and history files */
	const char *restore_id;          /* names the spool; NULL: none (standby, pg_rewind) */
	unsigned ahead_max;              /* segments to prefetch at most */
};
struct fetcher *fetcher_new(const struct fetcher_options *options);
struct fetcher_close {
	struct op op;
	struct fetcher *fetcher;
};
void fetcher_close_start(struct op *parent, struct fetcher_close *close);

struct fetch_ask {
	struct op
	        op; /* op.err: why, when the answer is ANSWER_FAILED: unknown, damaged or foreign */
	struct fetcher *fetcher;
	const char *folder; /* the asking cluster's data directory (absolute); has standby.signal or
	                       recovery.signal */
	const char *name;   /* %f */
	const char *path;   /* %p, relative to folder or absolute */
	int64_t wait_ms;
	enum answer answer; /* out */
	struct err warning; /* out, with ANSWER_ABSENT: why a standby hears "not there" without a
	                       proof; else none */
	/* private */
	struct work look;
	bool standby, recovery;
	struct fetch_item *item;
	struct fetch_ask *next;
	struct timer timer;
};
void fetch_ask_start(struct op *parent, struct fetch_ask *ask);

struct fetcher_figures {
	uint64_t delivered, absent, failed, prefetched, bytes_got;
	char last[64];
	int64_t last_us;
};
void fetcher_figures(const struct fetcher *fetcher, struct fetcher_figures *ret);

#endif
