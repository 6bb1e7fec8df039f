/*
 * walindex_log.h — what the records of one segment mean for the index, in few bytes: written while
 * the segment is walked, read into a builder when its turn comes. Private to repo.
 *
 * A log depends on the records alone. What is told again and again is told once: a block that the
 * log has remembered, rows that a transaction changes one after the other in one relation. In the
 * memory of the process only, so nothing in it is checked.
 */
#ifndef REPO_WALINDEX_LOG_H
#define REPO_WALINDEX_LOG_H

#include "repo/walindex.h"

struct walindex_log {
	struct buf bytes;
	struct walindex_rel *rel; /* that are named, by number */
	uint32_t *chain, *head;   /* of hash buckets: number + 1; as many as rels_size */
	size_t rels, rels_size;
	uint32_t last_rel; /* number + 1 */
	struct recent *recent;
	/* what the next item is told from */
	lsn start;
	uint32_t xid;
	int64_t time_us;
	struct walindex_rows rows; /* pending, while rows_rel is not 0 */
	uint32_t rows_rel, rows_xid;
};

/* What would go beyond bytes_max is left out, and bytes.overflow is set. */
void walindex_log_init(struct walindex_log *log, size_t bytes_max);
void walindex_log_release(struct walindex_log *log);
/* Nothing is in it, nothing is remembered: for the next segment. */
void walindex_log_clear(struct walindex_log *log);
/* Nothing more comes; it takes no more room than it must. */
void walindex_log_finish(struct walindex_log *log);
size_t walindex_log_bytes(const struct walindex_log *log);

/* As their namesakes of walindex.h. */
void walindex_log_block(struct walindex_log *log, const struct walindex_rel *rel, uint32_t block);
void walindex_log_limit(struct walindex_log *log, const struct walindex_rel *rel, uint32_t limit);
void walindex_log_poison(struct walindex_log *log, const struct walindex_record *record,
                         const char *why);
void walindex_log_event(struct walindex_log *log, const struct walindex_record *record,
                        const struct walindex_event *event);
void walindex_log_rows(struct walindex_log *log, uint32_t xid, const struct walindex_rel *rel,
                       const struct walindex_rows *rows);
void walindex_log_end(struct walindex_log *log, const struct walindex_record *record,
                      const struct walindex_end *end);
void walindex_log_forget(struct walindex_log *log, uint32_t oldest_xid);

/* All of it into the builder. The log may go on after it: what was in it is gone, what it remembers
 * is not. */
void walindex_log_apply(struct walindex_log *log, struct walindex_builder *builder);

#endif
