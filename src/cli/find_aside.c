/*
 * find_aside.c — START -> WALKING (conflict/) -> SCANNING (one segment after the other) -> done
 *
 * Segments that follow each other are one walk, so that a record or a transaction that goes on in
 * the next one is whole; where that does not prove (they need not be of one server) the walk begins
 * again.
 */
#include "find_aside.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

enum aside_state { ASIDE_START, ASIDE_WALKING, ASIDE_SCANNING };
enum { DIGEST_DIGITS = 32 };

/* "<segment>/<digest>"; what is not is no segment: parts, .history, .partial. */
static void each_object(struct store_walk *walk, const struct store_entry *entry)
{
	struct find_aside *aside = container_of(walk, struct find_aside, walk);
	const char *name = entry->name + strlen(aside->prefix);
	struct aside_segment segment = {0};
	char text[SEGMENT_NAME_BYTES];
	struct walname wal;

	if (strlen(name) != SEGMENT_NAME_BYTES + DIGEST_DIGITS ||
	    name[SEGMENT_NAME_BYTES - 1] != '/')
		return;
	memcpy(text, name, SEGMENT_NAME_BYTES - 1);
	text[SEGMENT_NAME_BYTES - 1] = '\0';
	if (!walname_parse(text, &wal) || wal.kind != WALNAME_SEGMENT ||
	    !walname_fits(&wal, aside->segment_bytes) ||
	    !str_copy(segment.name, sizeof(segment.name), entry->name))
		return;
	segment.tli = wal.tli;
	segment.segno = walname_segno(&wal, aside->segment_bytes);
	if (aside->segments == aside->size) {
		aside->size = aside->size ? 2 * aside->size : 16;
		aside->segment = xrealloc(aside->segment, aside->size * sizeof(*aside->segment));
	}
	aside->segment[aside->segments++] = segment;
}

/* ---- scanning ---- */

static void scan_leave(struct find_aside *aside)
{
	walscan_free(STEAL(aside->scan));
	walindex_builder_free(STEAL(aside->builder));
}

/* What is complete, into the answer. last: the number of its last segment, from 1. */
static void scan_take(struct find_aside *aside, size_t last)
{
	struct walindex_piece piece = {0};

	if (aside->builder && walindex_builder_segments(aside->builder) > 0) {
		walindex_builder_take(aside->builder, false, &piece);
		aside->find->aside = last - (size_t)(piece.last - piece.first);
		walfind_add(aside->find, &piece);
		aside->find->aside = 0;
		walindex_release(&piece);
	}
	scan_leave(aside);
}

/* On a worker. */
static bool scan_feed(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                      size_t length, struct err *err)
{
	struct find_aside *aside = stream->context;
	const struct aside_segment *segment = &aside->segment[aside->at];

	if (offset == 0 && !walscan_begin(aside->scan, segment->tli, segment->segno, err))
		return false;
	return walscan_feed(aside->scan, bytes, length, err);
}

static void scan_next(struct find_aside *aside)
{
	const struct aside_segment *segment, *before;

	if (aside->at == MIN(aside->segments, (size_t)FIND_ASIDE_MAX)) {
		scan_take(aside, aside->at);
		return op_done(&aside->op);
	}
	segment = &aside->segment[aside->at];
	before = aside->at ? segment - 1 : segment;
	aside->chained = aside->scan && before->read && before->tli == segment->tli &&
	                 before->segno + 1 == segment->segno;
	if (!aside->chained) {
		scan_take(aside, aside->at);
		aside->scan = walscan_new(aside->system_identifier, aside->segment_bytes);
		aside->builder = walindex_builder_new(segment->tli, segment->segno,
		                                      aside->segment_bytes, NULL);
		walscan_into(aside->scan, aside->builder);
	}
	aside->stream = (struct object_stream){.repo = aside->repo,
	                                       .name = segment->name,
	                                       .kind = SEALED_WAL,
	                                       .class = GATE_VERIFY,
	                                       .consume = scan_feed,
	                                       .context = aside};
	object_stream_start(&aside->op, &aside->stream);
	op_wait(&aside->op, ASIDE_SCANNING);
}

static void scanned(struct find_aside *aside)
{
	struct err err = aside->stream.op.err;
	bool full = false, read = !err_is(&err) && walscan_end(aside->scan, &full, &err);

	if (aside->op.cancelled || err.code == ERR_CANCELLED)
		return op_fail_as(&aside->op, ERR_CANCELLED, "cancelled");
	aside->segment[aside->at].read = read;
	if (!read && aside->chained) { /* again, alone */
		scan_take(aside, aside->at);
		return scan_next(aside);
	}
	if (!read)
		scan_leave(aside);
	aside->at++;
	if (full)
		scan_take(aside, aside->at);
	scan_next(aside);
}

static void aside_step(struct op *op)
{
	struct find_aside *aside = container_of(op, struct find_aside, op);

	switch ((enum aside_state)op->state) {
	case ASIDE_START:
		name_conflict_folder(aside->prefix, aside->generation);
		aside->walk = (struct store_walk){
		        .store = aside->repo->store, .prefix = aside->prefix, .each = each_object};
		store_walk_start(op, &aside->walk);
		return op_wait(op, ASIDE_WALKING);
	case ASIDE_WALKING:
		if (!op_failed(&aside->walk.op))
			return scan_next(aside);
		op->err = aside->walk.op.err;
		return op_fail_own(op);
	case ASIDE_SCANNING:
		return scanned(aside);
	}
}

void find_aside_start(struct op *parent, struct find_aside *aside)
{
	static const struct op_type type = {.name = "find aside", .step = aside_step};

	op_start(parent, &aside->op, &type);
}

void find_aside_release(struct find_aside *aside)
{
	scan_leave(aside);
	free(STEAL(aside->segment));
	aside->segments = aside->size = 0;
}

size_t find_aside_unread(const struct find_aside *aside)
{
	size_t unread = 0;

	for (size_t i = 0; i < aside->segments; i++)
		unread += !aside->segment[i].read;
	return unread;
}
