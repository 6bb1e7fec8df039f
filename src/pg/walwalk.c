/*
 * walwalk.c — the record walker.
 *
 *	feed -> pieces that end at a page's or its header's end
 *	     page header -> page_check: does it continue what is open?
 *	     page data   -> data_take: one of the states below, until the piece is used up
 *
 *	HEADER --24 bytes, header_check--> BODY --left 0, record_finish--> PAD --> HEADER
 *	   SKIP (the tail of a record from before) --left 0--> PAD       \--> ZERO after XLOG_SWITCH
 *
 * Nearly all records lie whole in one piece: record_whole handles these without collecting anything
 * but the header. A page header can interrupt HEADER (after 8 or 16 bytes), BODY and SKIP, never
 * PAD.
 *
 * No length is trusted before it is checked, and a wrong one can only make the walk end: the walker
 * never reads outside the piece that it was given, and copies only into header, page and head.
 */
#include "pg/walwalk.h"

#include "base/bytes.h"
#include "pg/crc32c.h"
#include "pg/segment.h"
#include "pg/version.h"
#include "walrecord.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum {
	PAGE_HEADER_BYTES = 24,
	PAGE_HEADER_LONG_BYTES = 40,
	PAGE_BYTES_DEFAULT = 8192,
	PAGE_BYTES_MIN = 1024, /* what a server can be built with */
	PAGE_BYTES_MAX = 65536,
	ALIGNMENT = 8,
	AHEAD_BYTES = 1024, /* where the processor has not looked yet */
	/* 16 and later refuse to write more: 1020 MiB. */
	RECORD_MAX_16 = 1020 << 20,
};

/* Resource managers with records that the walker itself reads none of, in any version. */
enum { MANAGER_PLAIN_FIRST = 2, MANAGER_PLAIN_NOT = 5 /* Tablespace */, MANAGER_PLAIN_LAST = 21 };

/* Page flags. */
enum {
	PAGE_CONTINUES = 0x0001,
	PAGE_LONG = 0x0002,
	PAGE_REMOVABLE = 0x0004,
	PAGE_OVERWRITES = 0x0008,
	PAGE_FLAGS = 0x000F,
};

static bool stop(struct walwalk *walk, lsn position, struct err *err, const char *format, ...)
        PRINTF(4, 5);

/* Something is not valid: strict fails, tail has found the end of the WAL. */
static bool stop(struct walwalk *walk, lsn position, struct err *err, const char *format, ...)
{
	char reason[WALWALK_REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	memcpy(walk->seen.end_reason, reason, sizeof(reason));
	walk->carried = false;
	if (walk->options.tail) {
		walk->seen.ended = true;
		return true;
	}
	walk->state = WALK_FAILED;
	return err_set(err, ERR_DAMAGED, "WAL at " LSN_FORMAT ": %s", LSN_ARGS(position), reason);
}

static bool refuse(struct walwalk *walk, struct err *err)
{
	walk->state = WALK_FAILED;
	walk->carried = false;
	return err_wrap(err, "WAL at " LSN_FORMAT " cannot be used", LSN_ARGS(walk->at));
}

static bool record_is_open(const struct walwalk *walk)
{
	return (walk->state == WALK_HEADER && walk->header_have) || walk->state == WALK_BODY ||
	       walk->state == WALK_SKIP;
}

/* Of the open record: what is still to come. The first 4 header bytes are never split. */
static uint32_t record_left(const struct walwalk *walk)
{
	if (walk->state != WALK_HEADER)
		return walk->left_bytes;
	return get_u32(walk->header) - walk->header_have;
}

static void pad_begin(struct walwalk *walk, lsn at)
{
	walk->pad_bytes = (uint32_t)(-at & (ALIGNMENT - 1));
	walk->state = walk->pad_bytes ? WALK_PAD : WALK_HEADER;
	walk->header_have = 0;
}

/* ---- page headers ---- */

/* The version is told by the first page's magic; all that follow must have the same. */
static bool magic_check(struct walwalk *walk, struct err *err)
{
	uint16_t magic = get_u16(walk->page);
	const struct pg_version *version = pg_version_of_magic(magic);
	bool here = get_u64(walk->page + 8) == walk->at; /* not a page of a recycled file */

	if (!version && here && (magic & 0xFE00) == 0xD000) {
		err_set(err, ERR_REFUSED,
		        "page magic 0x%04X is of another PostgreSQL than %d to %d", magic,
		        PG_MAJOR_MIN, PG_MAJOR_MAX);
		return refuse(walk, err);
	}
	if (!version)
		return stop(walk, walk->at, err, "page magic is 0x%04X", magic);
	if (here && walk->options.major && version->major != walk->options.major) {
		err_set(err, ERR_REFUSED, "it was written by PostgreSQL %u, not %u", version->major,
		        walk->options.major);
		return refuse(walk, err);
	}
	if (walk->seen.major && version->major != walk->seen.major)
		return stop(walk, walk->at, err, "page magic changes from PostgreSQL %u to %u",
		            walk->seen.major, version->major);
	walk->seen.major = version->major;
	return true;
}

static bool page_bytes_valid(uint32_t bytes)
{
	return bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

/* The rest of the long header, on the first page of a segment. */
static bool long_header_check(struct walwalk *walk, struct err *err)
{
	uint64_t identifier = get_u64(walk->page + 24);
	uint32_t segment_bytes = get_u32(walk->page + 32), page_bytes = get_u32(walk->page + 36);
	uint64_t expected = walk->options.system_identifier ? walk->options.system_identifier
	                                                    : walk->seen.system_identifier;

	if (expected && identifier != expected) {
		err_set(err, ERR_REFUSED,
		        "its system identifier is %llu, that of this cluster is %llu",
		        (unsigned long long)identifier, (unsigned long long)expected);
		return refuse(walk, err);
	}
	if (segment_bytes != walk->options.segment_bytes)
		return stop(walk, walk->at, err, "page header states segments of %u bytes, not %u",
		            segment_bytes, walk->options.segment_bytes);
	if (!page_bytes_valid(page_bytes) ||
	    (walk->seen.page_bytes && page_bytes != walk->seen.page_bytes))
		return stop(walk, walk->at, err, "page header states pages of %u bytes",
		            page_bytes);
	walk->seen.system_identifier = identifier;
	walk->seen.page_bytes = page_bytes;
	return true;
}

/* The page's own fields; whether it fits what came before is page_continues. */
static bool page_fields_check(struct walwalk *walk, struct err *err)
{
	bool first = walk->at == walk->segment_start;
	uint16_t flags = get_u16(walk->page + 2);
	uint32_t tli = get_u32(walk->page + 4);
	lsn address = get_u64(walk->page + 8);

	if (!magic_check(walk, err))
		return false;
	if (walk->seen.ended)
		return true;
	if (address != walk->at)
		return stop(walk, walk->at, err, "page address is " LSN_FORMAT, LSN_ARGS(address));
	if (flags & ~PAGE_FLAGS || !!(flags & PAGE_LONG) != first ||
	    (flags & PAGE_CONTINUES && flags & PAGE_OVERWRITES))
		return stop(walk, walk->at, err, "page flags are 0x%04X", flags);
	if (tli == 0 || tli > walk->name_tli)
		return stop(walk, walk->at, err, "page is of timeline %u, its file of %u", tli,
		            walk->name_tli);
	if (tli < walk->seen.tli)
		return stop(walk, walk->at, err, "page is of timeline %u after one of %u", tli,
		            walk->seen.tli);
	if (first && !long_header_check(walk, err))
		return false;
	if (!walk->seen.ended)
		walk->seen.tli = tli;
	return true;
}

/* The server found an unfinished record after a crash and gave it up here. */
static bool overwrite_begin(struct walwalk *walk, uint32_t rem_bytes, struct err *err)
{
	bool run_begins = walk->at == walk->run_start;

	if (rem_bytes || (!run_begins && !record_is_open(walk)))
		return stop(walk, walk->at, err, "page gives up a record, but none is open");
	walk->overwritten = run_begins || walk->state == WALK_SKIP ? 0 : walk->record_start;
	walk->overwrite_expected = true;
	walk->header_have = 0;
	walk->state = WALK_HEADER;
	return true;
}

static bool page_continues(struct walwalk *walk, struct err *err)
{
	uint16_t flags = get_u16(walk->page + 2);
	uint32_t rem_bytes = get_u32(walk->page + 16);

	if (flags & PAGE_OVERWRITES)
		return overwrite_begin(walk, rem_bytes, err);
	if (!(flags & PAGE_CONTINUES)) {
		if (record_is_open(walk))
			return stop(walk, walk->at, err,
			            "page does not continue the record at " LSN_FORMAT,
			            LSN_ARGS(walk->record_start));
		if (rem_bytes)
			return stop(walk, walk->at, err, "page continues nothing, by %u bytes",
			            rem_bytes);
		return true;
	}
	if (walk->at == walk->run_start) { /* of a record from before the walk */
		if (rem_bytes == 0 || rem_bytes > WALWALK_RECORD_MAX)
			return stop(walk, walk->at, err, "page continues a record by %u bytes",
			            rem_bytes);
		walk->state = WALK_SKIP;
		walk->left_bytes = rem_bytes;
		return true;
	}
	if (!record_is_open(walk))
		return stop(walk, walk->at, err, "page continues a record, but none is open");
	if (walk->state == WALK_HEADER && get_u32(walk->header) < RECORD_HEADER_BYTES)
		return stop(walk, walk->record_start, err, "record length is %u",
		            get_u32(walk->header));
	if (rem_bytes != record_left(walk))
		return stop(walk, walk->at, err,
		            "page continues a record by %u bytes, %u are missing", rem_bytes,
		            record_left(walk));
	return true;
}

/* ---- records ---- */

static bool previous_check(struct walwalk *walk, struct err *err)
{
	lsn previous = get_u64(walk->header + 8);

	if (walk->prev_start ? previous == walk->prev_start : previous < walk->run_start)
		return true;
	return stop(walk, walk->record_start, err, "the record before is said to be at " LSN_FORMAT,
	            LSN_ARGS(previous));
}

/* All 24 bytes are in walk->header. Everything that can be said before the CRC is. */
static bool header_check(struct walwalk *walk, struct err *err)
{
	uint32_t total = get_u32(walk->header);
	uint32_t max = walk->seen.major >= 16 ? RECORD_MAX_16 : WALWALK_RECORD_MAX;

	if (total < RECORD_HEADER_BYTES || total > max)
		return stop(walk, walk->record_start, err, "record length is %u", total);
	if (!walrecord_manager_known(walk->header, walk->seen.major))
		return stop(walk, walk->record_start, err, "record is of resource manager %u",
		            walk->header[17]);
	if (!previous_check(walk, err) || walk->seen.ended)
		return walk->seen.ended;
	if (walrecord_is_switch(walk->header) && total != RECORD_HEADER_BYTES)
		return stop(walk, walk->record_start, err, "XLOG_SWITCH has %u bytes", total);
	if (walrecord_is_overwrite(walk->header) != walk->overwrite_expected)
		return stop(walk, walk->record_start, err,
		            walk->overwrite_expected
		                    ? "the record after a given up one does not say so"
		                    : "record says that one was given up, but its page does not");
	if (!walk->seen.first_start) {
		walk->seen.first_start = walk->record_start;
		walk->seen.first_previous = get_u64(walk->header + 8);
	}
	return true;
}

static void body_begin(struct walwalk *walk)
{
	walk->left_bytes = get_u32(walk->header) - RECORD_HEADER_BYTES;
	walk->crc = CRC32C_EMPTY;
	walk->wanted = walrecord_is_wanted(walk->header);
	if (walk->wanted) {
		walk->head_have = 0;
		walrecord_finder_init(&walk->finder, walk->header, walk->seen.major);
	}
	walk->state = WALK_BODY;
}

static void body_keep(struct walwalk *walk, const uint8_t *bytes, size_t length)
{
	size_t n = MIN(length, WALWALK_HEAD_BYTES - walk->head_have);

	memcpy(walk->head + walk->head_have, bytes, n);
	walk->head_have += (uint32_t)n;
	walrecord_finder_feed(&walk->finder, bytes, length);
}

static void xact_note(struct walwalk_seen *seen, const struct walrecord *record)
{
	bool first = seen->commits + seen->aborts == 0;

	if (first)
		seen->first_xact_us = record->time_us;
	seen->min_xact_us = first ? record->time_us : MIN(seen->min_xact_us, record->time_us);
	seen->max_xact_us = first ? record->time_us : MAX(seen->max_xact_us, record->time_us);
	if (record->kind == WALRECORD_ABORT) {
		seen->aborts++;
		return;
	}
	seen->commits++;
	seen->last_commit_start = record->start;
	seen->last_commit_end = record->end;
	seen->last_commit_us = record->time_us;
	seen->last_commit_xid = record->xid;
}

/* A timeline begins in the middle of a page that still carries its parent's number. */
static void timeline_note(struct walwalk *walk, struct walrecord *record)
{
	bool begins = (record->kind == WALRECORD_END_OF_RECOVERY || record->shutdown) &&
	              record->new_tli != record->previous_tli;

	if (begins && record->new_tli <= walk->name_tli)
		walk->tli_floor = MAX(walk->tli_floor, record->new_tli);
	record->tli = MAX(walk->record_tli, walk->tli_floor);
}

static bool overwrite_finish(struct walwalk *walk, struct err *err)
{
	lsn given_up;

	walk->overwrite_expected = false;
	if (!walrecord_overwritten(walk, &given_up) ||
	    (walk->overwritten ? given_up != walk->overwritten : given_up >= walk->run_start))
		return stop(walk, walk->record_start, err,
		            "record gives up another record than the one that was open");
	return true;
}

/* The body is complete and its CRC right: what does the record say? */
static bool wanted_finish(struct walwalk *walk, lsn end, struct err *err)
{
	struct pg_parameters parameters;
	struct walrecord record;

	if (walrecord_is_overwrite(walk->header))
		return overwrite_finish(walk, err);
	if (!walrecord_decode(walk, &record, &parameters))
		return stop(walk, walk->record_start, err,
		            "record of resource manager %u, info 0x%02X has an unknown layout",
		            walk->header[17], walk->header[16]);
	record.start = walk->record_start;
	record.end = end;
	record.previous = get_u64(walk->header + 8);
	timeline_note(walk, &record);
	if (record.kind == WALRECORD_COMMIT || record.kind == WALRECORD_ABORT)
		xact_note(&walk->seen, &record);
	if (walk->options.each)
		walk->options.each(walk->options.context, &record);
	return true;
}

static bool sink_finish(struct walwalk *walk, const uint8_t *whole, lsn end, struct err *err)
{
	struct walwalk_sink *sink = walk->options.sink;
	const char *reason;

	return !sink || sink->record(sink, walk, whole, end, &reason) ||
	       stop(walk, walk->record_start, err, "record of resource manager %u, info 0x%02X: %s",
	            walk->header[17], walk->header[16], reason);
}

/* at: the first byte after the record; whole: all of it, or NULL when it came in pieces. */
static bool record_finish(struct walwalk *walk, lsn at, const uint8_t *whole, struct err *err)
{
	lsn end = (at + ALIGNMENT - 1) & ~(lsn)(ALIGNMENT - 1);
	uint32_t crc = crc32c(walk->crc, walk->header, RECORD_CRC_OFFSET);
	bool switches = walrecord_is_switch(walk->header);

	if (crc != get_u32(walk->header + RECORD_CRC_OFFSET))
		return stop(walk, walk->record_start, err,
		            "record of %u bytes has a wrong checksum", get_u32(walk->header));
	if (switches)
		end = walk->segment_end;
	if (walk->wanted && !wanted_finish(walk, end, err))
		return false;
	if (walk->seen.ended)
		return true;
	if (!sink_finish(walk, whole, end, err))
		return false;
	if (walk->seen.ended)
		return true;
	walk->seen.records++;
	walk->seen.last_start = walk->prev_start = walk->record_start;
	walk->seen.last_end = walk->seen.end_lsn = end;
	walk->seen.last_tli = MAX(walk->record_tli, walk->tli_floor);
	pad_begin(walk, at);
	if (switches) {
		walk->seen.switched = true;
		walk->state = WALK_ZERO;
	}
	return true;
}

/* ---- the states: each takes at least one byte of a page's data, or stops the walk ---- */

static void header_begin(struct walwalk *walk)
{
	walk->record_start = walk->at;
	walk->record_tli = walk->seen.tli;
}

/* The fast way: at a record's start, with all of it in the piece. False with used 0: not so. */
static bool record_whole(struct walwalk *walk, const uint8_t *bytes, size_t length,
                         size_t *ret_used, struct err *err)
{
	uint32_t total;

	*ret_used = 0;
	if (length < RECORD_HEADER_BYTES)
		return true;
	total = get_u32(bytes);
	if (total > length || total < RECORD_HEADER_BYTES)
		return true;
	header_begin(walk);
	memcpy(walk->header, bytes, RECORD_HEADER_BYTES);
	*ret_used = total;
	if (!header_check(walk, err))
		return false;
	if (walk->seen.ended)
		return true;
	body_begin(walk);
	bytes += RECORD_HEADER_BYTES;
	walk->crc = crc32c(CRC32C_EMPTY, bytes, total - RECORD_HEADER_BYTES);
	if (walk->wanted)
		body_keep(walk, bytes, total - RECORD_HEADER_BYTES);
	return record_finish(walk, walk->at + total, bytes - RECORD_HEADER_BYTES, err);
}

/* Of a record that must only be proven, and shown to the sink: nearly all are. */
static bool record_is_plain(const uint8_t *record, lsn previous)
{
	uint8_t manager = record[17];

	return manager >= MANAGER_PLAIN_FIRST && manager <= MANAGER_PLAIN_LAST &&
	       manager != MANAGER_PLAIN_NOT && get_u64(record + 8) == previous;
}

/*
 * The fastest way: plain records that lie whole in the piece, one after the other, without a state
 * to go through. Returns how many bytes are done with; what it does not understand, and whatever is
 * not valid, is left to the others to be told about.
 */
static size_t records_plain(struct walwalk *walk, const uint8_t *bytes, size_t length)
{
	struct walwalk_sink *sink = walk->options.sink;
	lsn base = walk->at, previous = walk->prev_start, end = 0;
	uint64_t records = 0;
	const char *reason;
	size_t at = 0;

	if (!previous || walk->overwrite_expected)
		return 0;
	walk->record_tli = walk->seen.tli;
	while (at + RECORD_HEADER_BYTES <= length) {
		const uint8_t *record = bytes + at;
		uint32_t total = get_u32(record);

		__builtin_prefetch(record + AHEAD_BYTES);
		__builtin_prefetch(record + AHEAD_BYTES + 64);
		if (total < RECORD_HEADER_BYTES || total > length - at ||
		    !record_is_plain(record, previous) ||
		    crc32c_record(record, total) != get_u32(record + RECORD_CRC_OFFSET))
			break;
		end = (base + at + total + ALIGNMENT - 1) & ~(lsn)(ALIGNMENT - 1);
		walk->record_start = base + at;
		if (sink && !sink->record(sink, walk, record, end, &reason))
			break;
		previous = base + at;
		at = (size_t)(end - base);
		records++;
	}
	if (records == 0)
		return 0;
	walk->seen.records += records;
	walk->seen.last_start = walk->prev_start = previous;
	walk->seen.last_end = walk->seen.end_lsn = base + at;
	walk->seen.last_tli = MAX(walk->record_tli, walk->tli_floor);
	if (at <= length)
		return at;
	walk->pad_bytes = (uint32_t)(at - length);
	walk->state = WALK_PAD;
	return length;
}

static bool header_take(struct walwalk *walk, const uint8_t *bytes, size_t length, size_t *ret_used,
                        struct err *err)
{
	size_t n = MIN(length, (size_t)(RECORD_HEADER_BYTES - walk->header_have));

	if (walk->header_have == 0) {
		*ret_used = records_plain(walk, bytes, length);
		if (*ret_used)
			return true;
		if (!record_whole(walk, bytes, length, ret_used, err))
			return false;
		if (*ret_used)
			return true;
		header_begin(walk);
	}
	memcpy(walk->header + walk->header_have, bytes, n);
	walk->header_have += (uint32_t)n;
	*ret_used = n;
	if (walk->header_have < RECORD_HEADER_BYTES)
		return true;
	if (!header_check(walk, err))
		return false;
	if (walk->seen.ended)
		return true;
	body_begin(walk);
	return walk->left_bytes ? true : record_finish(walk, walk->at + n, NULL, err);
}

static bool body_take(struct walwalk *walk, const uint8_t *bytes, size_t length, size_t *ret_used,
                      struct err *err)
{
	size_t n = MIN(length, (size_t)walk->left_bytes);

	walk->crc = crc32c(walk->crc, bytes, n);
	if (walk->wanted)
		body_keep(walk, bytes, n);
	if (walk->options.sink)
		walk->options.sink->piece(
		        walk->options.sink, walk,
		        get_u32(walk->header) - RECORD_HEADER_BYTES - walk->left_bytes, bytes, n);
	walk->left_bytes -= (uint32_t)n;
	*ret_used = n;
	return walk->left_bytes ? true : record_finish(walk, walk->at + n, NULL, err);
}

static void skip_take(struct walwalk *walk, size_t length, size_t *ret_used)
{
	size_t n = MIN(length, (size_t)walk->left_bytes);

	walk->left_bytes -= (uint32_t)n;
	walk->seen.skipped_bytes += n;
	*ret_used = n;
	if (walk->left_bytes)
		return;
	pad_begin(walk, walk->at + n);
	walk->seen.end_lsn = walk->at + n + walk->pad_bytes;
}

static void pad_take(struct walwalk *walk, size_t length, size_t *ret_used)
{
	size_t n = MIN(length, (size_t)walk->pad_bytes);

	walk->pad_bytes -= (uint32_t)n;
	if (!walk->pad_bytes)
		walk->state = WALK_HEADER;
	*ret_used = n;
}

static bool data_take(struct walwalk *walk, const uint8_t *bytes, size_t length, struct err *err)
{
	size_t used;

	for (; length; length -= used, bytes += used, walk->at += used) {
		bool good = true;

		used = length;
		switch ((enum walk_state)walk->state) {
		case WALK_HEADER:
			good = header_take(walk, bytes, length, &used, err);
			break;
		case WALK_BODY:
			good = body_take(walk, bytes, length, &used, err);
			break;
		case WALK_SKIP:
			skip_take(walk, length, &used);
			break;
		case WALK_PAD:
			pad_take(walk, length, &used);
			break;
		case WALK_ZERO: /* the rest of the page belongs to zero_take */
			return true;
		case WALK_FAILED:
			return false;
		}
		if (!good || walk->seen.ended)
			return good;
	}
	return true;
}

/*
 * After XLOG_SWITCH the server writes zeros, where page headers would be too. It is killed in the
 * middle of that now and then: a recycled file keeps some old bytes, recovery passes over them, and
 * the next checkpoint has the segment archived as it is. So they are no damage, only worth a word.
 */
static void zero_take(struct walwalk *walk, const uint8_t *bytes, size_t length)
{
	size_t i = 0;

	if (!walk->seen.dirty_lsn &&
	    !(bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0)) {
		while (bytes[i] == 0)
			i++;
		walk->seen.dirty_lsn = walk->at + i;
	}
	walk->at += length;
}

/* ---- feeding ---- */

/* Collects a page header; once complete, checks it. */
static bool page_take(struct walwalk *walk, const uint8_t *bytes, size_t length, struct err *err)
{
	uint32_t offset = walk->page_have;

	memcpy(walk->page + offset, bytes, length);
	walk->page_have += (uint32_t)length;
	walk->at += length;
	if (walk->page_have < (walk->at - walk->page_have == walk->segment_start
	                               ? PAGE_HEADER_LONG_BYTES
	                               : PAGE_HEADER_BYTES))
		return true;
	walk->at -= walk->page_have; /* the checks speak of the page's address */
	if (!page_fields_check(walk, err))
		return false;
	if (!walk->seen.ended && !page_continues(walk, err))
		return false;
	walk->at += walk->page_have;
	walk->page_have = 0;
	return true;
}

/* One step: up to the end of the page's header, or of the page. */
static bool piece_take(struct walwalk *walk, const uint8_t *bytes, size_t length, size_t *ret_used,
                       struct err *err)
{
	uint32_t page_bytes = walk->seen.page_bytes ? walk->seen.page_bytes : PAGE_BYTES_DEFAULT;
	uint32_t offset = (uint32_t)(walk->at & (page_bytes - 1));
	uint32_t header = walk->at - offset == walk->segment_start ? PAGE_HEADER_LONG_BYTES
	                                                           : PAGE_HEADER_BYTES;
	lsn before = walk->at;
	bool good;

	if (walk->state == WALK_ZERO) {
		*ret_used = length;
		zero_take(walk, bytes, length);
		return true;
	}
	if (offset < header) {
		*ret_used = MIN(length, header - offset);
		return page_take(walk, bytes, *ret_used, err);
	}
	good = data_take(walk, bytes, MIN(length, page_bytes - offset), err);
	*ret_used = (size_t)(walk->at - before);
	return good;
}

void walwalk_init(struct walwalk *walk, const struct walwalk_options *options)
{
	assert(segment_bytes_valid(options->segment_bytes));
	memset(walk, 0, sizeof(*walk));
	walk->options = *options;
}

bool walwalk_begin(struct walwalk *walk, uint32_t tli, uint64_t segno, struct err *err)
{
	if (walk->in_segment)
		return err_set(err, ERR_INTERNAL, "a WAL segment is begun inside another");
	if (walk->state == WALK_FAILED)
		return err_set(err, ERR_INTERNAL, "a WAL walk goes on after it failed");
	if (walk->seen.ended)
		return err_set(err, ERR_DAMAGED, "the WAL ended before, at " LSN_FORMAT ": %s",
		               LSN_ARGS(walk->seen.end_lsn), walk->seen.end_reason);
	if (segno > LSN_MAX / walk->options.segment_bytes - 1)
		return err_set(err, ERR_DAMAGED, "there is no WAL segment %llu",
		               (unsigned long long)segno);
	walk->carried = walk->carried && segno == walk->segno + 1 && tli >= walk->name_tli;
	walk->in_segment = true;
	walk->name_tli = tli;
	walk->segno = segno;
	walk->at = walk->segment_start = lsn_of_segno(segno, walk->options.segment_bytes);
	walk->segment_end = walk->segment_start + walk->options.segment_bytes;
	walk->page_have = 0;
	walk->seen.open = walk->seen.switched = false;
	walk->seen.dirty_lsn = 0;
	walk->seen.open_start = 0;
	walk->seen.open_left_bytes = 0;
	if (walk->state == WALK_ZERO || !walk->carried) {
		walk->state = WALK_HEADER;
		walk->header_have = 0;
	}
	if (walk->carried)
		return true;
	walk->seen.tli = walk->tli_floor = 0;
	walk->prev_start = walk->record_start = 0;
	walk->overwrite_expected = false;
	walk->run_start = walk->seen.end_lsn = walk->segment_start;
	return true;
}

bool walwalk_begin_at(struct walwalk *walk, uint32_t tli, lsn position, uint32_t page_bytes,
                      struct err *err)
{
	uint64_t segno = lsn_segno(position, walk->options.segment_bytes);
	bool first = position - lsn_of_segno(segno, walk->options.segment_bytes) < page_bytes;
	lsn header = first ? PAGE_HEADER_LONG_BYTES : PAGE_HEADER_BYTES;

	if (!page_bytes_valid(page_bytes) || walk->carried || !walk->options.major ||
	    (position & (page_bytes - 1)) < header || position & (ALIGNMENT - 1))
		return err_set(err, ERR_DAMAGED, "no record can begin at " LSN_FORMAT,
		               LSN_ARGS(position));
	if (!walwalk_begin(walk, tli, segno, err))
		return false;
	walk->seen.page_bytes = page_bytes;
	walk->seen.major = walk->options.major;
	walk->at = walk->run_start = walk->seen.end_lsn = position;
	return true;
}

bool walwalk_feed(struct walwalk *walk, const void *bytes, size_t length, struct err *err)
{
	const uint8_t *p = bytes;
	size_t used;

	if (!walk->in_segment || walk->state == WALK_FAILED)
		return err_set(err, ERR_INTERNAL, "WAL is fed to a walk that is not in a segment");
	for (; length && !walk->seen.ended; length -= used, p += used) {
		if (walk->at == walk->segment_end)
			return stop(walk, walk->at, err, "the file goes on after its end");
		if (!piece_take(walk, p, MIN(length, (size_t)(walk->segment_end - walk->at)), &used,
		                err))
			return false;
	}
	return true;
}

/* What of a record is left open at the segment's end. */
static void open_note(struct walwalk *walk)
{
	struct walwalk_seen *seen = &walk->seen;

	seen->open = record_is_open(walk);
	if (!seen->open)
		return;
	seen->open_left_bytes = record_left(walk);
	if (walk->state != WALK_SKIP)
		seen->open_start = walk->record_start;
	if (!seen->first_start)
		seen->first_start = seen->open_start;
}

bool walwalk_end(struct walwalk *walk, struct err *err)
{
	if (!walk->in_segment || walk->state == WALK_FAILED)
		return err_set(err, ERR_INTERNAL, "a WAL segment is ended that was not begun");
	walk->in_segment = false;
	if (!walk->seen.ended && walk->at != walk->segment_end &&
	    !stop(walk, walk->at, err, "the file ends after %llu of %u bytes",
	          (unsigned long long)(walk->at - walk->segment_start),
	          walk->options.segment_bytes))
		return false;
	if (walk->seen.ended)
		return true;
	if (walk->state == WALK_HEADER && walk->header_have &&
	    get_u32(walk->header) < RECORD_HEADER_BYTES)
		return stop(walk, walk->record_start, err, "record length is %u",
		            get_u32(walk->header));
	walk->carried = true;
	open_note(walk);
	return true;
}

bool walwalk_segment(struct walwalk *walk, uint32_t tli, uint64_t segno, const void *bytes,
                     struct err *err)
{
	return walwalk_begin(walk, tli, segno, err) &&
	       walwalk_feed(walk, bytes, walk->options.segment_bytes, err) &&
	       walwalk_end(walk, err);
}
