/*
 * timeline.h — timeline history files, and the path that they describe.
 *
 * Each line is an ancestor and the position from which on the bytes are its child's. The path of
 * timeline n holds at every position exactly one timeline: the newest whose begin is not above it.
 * Switch positions may go down from one line to the next (a recovery that aimed at a timeline and
 * was stopped before its fork), so spans may be empty: use the queries, never the entries alone.
 */
#ifndef PG_TIMELINE_H
#define PG_TIMELINE_H

#include "base/buf.h"
#include "base/err.h"
#include "pg/lsn.h"

enum {
	HISTORY_BYTES_MAX = 4 << 20, /* of a file: 40 000 generations and more */
	HISTORY_REASON_MAX = 1024,   /* bytes of a reason that are kept */
};

struct history_entry {
	uint32_t tli;   /* the ancestor */
	lsn switch_lsn; /* bytes from here on belong to its child */
	char *reason;   /* never NULL */
};

/* Zero-filled with tli = 1: a timeline without ancestors. */
struct history {
	uint32_t tli;
	struct history_entry *entry; /* oldest first */
	size_t count;
};

/* The content of <tli>.history. Damaged: no line at all, a line that is none, timelines that do not
 * increase or are not below tli, a NUL byte. On failure ret is empty. */
MUST_USE bool history_parse(uint32_t tli, const void *text, size_t length, struct history *ret,
                            struct err *err);
/* A path without ancestors (timeline 1 has no file). */
void history_init(struct history *history, uint32_t tli);
/* Releases to and makes it the same path as from. */
void history_copy(struct history *to, const struct history *from);
void history_add(struct history *history, uint32_t tli, lsn switch_lsn, const char *reason);
/* As PostgreSQL writes it: "tli\tX/X\treason\n" for each entry, a blank line between two. */
void history_write(const struct history *history, struct buf *out);
void history_release(struct history *history);

/* The timeline to which the byte at position belongs. (Of an end position, ask for the byte
 * before.) */
uint32_t history_tli_at(const struct history *history, lsn position);
/* Which bytes [begin, end) of the path are timeline tli's; end is LSN_MAX for the newest. False:
 * none. */
bool history_span(const struct history *history, uint32_t tli, lsn *ret_begin, lsn *ret_end);
/* Whether the bytes [begin, end) of timeline tli all lie on the path. An empty range: its place. */
bool history_holds(const struct history *history, uint32_t tli, lsn begin, lsn end);
/* Where tli is left for its child on the path. False: tli is no ancestor. */
bool history_switch(const struct history *history, uint32_t tli, lsn *ret_switch_lsn);
/* The timeline whose file holds segment segno on the path: that of the segment's last byte, because
 * a child's first file has a copy of its parent's head. */
uint32_t history_tli_of_segment(const struct history *history, uint64_t segno,
                                uint32_t segment_bytes);

#endif
