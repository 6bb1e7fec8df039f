/*
 * walscan.c — what records mean for the index.
 *
 * Blocks and limits: only main forks count, the others are copied whole by every backup. A file
 * that is made has the limit 0, one that is truncated its new length, one that is removed at a
 * commit or abort 0; a database that is made or removed is told as "everything below it". WAL of
 * wal_level minimal, a record of an extension that says it changes files in its own way, and one
 * that cannot be read poison the piece: its changed blocks are not all known.
 */
#include "repo/walscan.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "walindex_log.h"

#include "base/poison.h"

enum {
	CHECKPOINT_OLDEST_ACTIVE = 80, /* in the record, of 13 to 18 */
	CHECKPOINT_RECORD_BYTES = 88,
	FIRST_NORMAL_XID = 3,
	XLOG_OVERWRITE = 0xD0,     /* the record that gives up another one */
	LOG_BYTES = 64 << 10,      /* go into the builder together */
	LOG_BYTES_MAX = 128 << 20, /* of one record: its main data is limited (waldecode.h) */
	PART_BYTES_MAX =
	        1 << 20, /* what a segment may leave; a part is worth having while it is small */
	PART_EDGE_BYTES = 256 << 10, /* of its first record's bytes, of its last one's */
};

struct walscan {
	struct walwalk walk;
	struct waldecode decode;
	struct walindex_log log; /* of the segment at hand */
	struct walindex_builder *builder;
	uint64_t records, skipped_bytes; /* at the last segment's end */
};

static struct walindex_rel rel_of(const struct wal_relation *relation)
{
	return (struct walindex_rel){.tablespace = relation->tablespace,
	                             .database = relation->database,
	                             .number = relation->file};
}

static struct walindex_record record_of(const struct wal_decoded *record)
{
	return (struct walindex_record){
	        .start = record->start, .end = record->end, .tli = record->tli, .xid = record->xid};
}

static void add_blocks(struct walindex_log *log, const struct wal_decoded *record)
{
	for (unsigned i = 0; i < record->blocks; i++) {
		struct walindex_rel rel = rel_of(&record->block[i].relation);

		if (record->block[i].fork == WAL_FORK_MAIN)
			walindex_log_block(log, &rel, record->block[i].number);
	}
}

static void add_end(struct walindex_log *log, const struct wal_decoded *record,
                    const struct walevent *event)
{
	struct walindex_record at = record_of(record);
	struct walindex_end end = {.commit = event->kind == WALEVENT_COMMIT,
	                           .xid = event->xid,
	                           .time_us = event->time_us,
	                           .subs = event->subxids.count,
	                           .droppeds = event->files.count};
	AUTO_FREE uint32_t *sub = end.subs ? xmalloc(end.subs * sizeof(*sub)) : NULL;
	AUTO_FREE struct walindex_rel *dropped =
	        end.droppeds ? xmalloc(end.droppeds * sizeof(*dropped)) : NULL;

	for (uint32_t i = 0; i < end.subs; i++)
		sub[i] = walevent_u32(&event->subxids, i);
	for (uint32_t i = 0; i < end.droppeds; i++) {
		struct wal_relation relation = walevent_relation(&event->files, i);

		dropped[i] = rel_of(&relation);
	}
	end.sub = sub;
	end.dropped = dropped;
	walindex_log_end(log, &at, &end);
}

static void add_file(struct walindex_log *log, const struct wal_decoded *record,
                     const struct walevent *event)
{
	struct walindex_rel rel = rel_of(&event->relation);
	struct walindex_rows rows = {.flags = WALINDEX_CREATED};

	if (event->kind == WALEVENT_FILE_CREATE) {
		if (event->fork != WAL_FORK_MAIN)
			return;
		walindex_log_limit(log, &rel, 0);
	} else {
		if (!event->truncates_main)
			return;
		walindex_log_limit(log, &rel, event->length_blocks);
		if (event->length_blocks > 0)
			return;
		rows.flags = WALINDEX_TRUNCATED;
	}
	walindex_log_rows(log, record->xid, &rel, &rows);
}

static int by_rel(const void *a, const void *b)
{
	const struct walindex_touched *left = a, *right = b;

	return walindex_rel_compare(&left->rel, &right->rel);
}

static void add_database(struct walindex_log *log, const struct wal_decoded *record,
                         const struct walevent *event)
{
	struct walindex_record at = record_of(record);
	bool drop = event->kind == WALEVENT_DATABASE_DROP;
	uint32_t count = drop ? event->tablespaces.count : 1;
	AUTO_FREE struct walindex_touched *touched = xcalloc(count + 1, sizeof(*touched));
	struct walindex_event told = {.kind = drop ? WALINDEX_DATABASE_DROPPED
	                                           : WALINDEX_DATABASE_CREATED,
	                              .xid = record->xid,
	                              .touched = touched};

	for (uint32_t i = 0; i < count; i++) {
		struct walindex_rel rel = {.tablespace = drop ? walevent_u32(&event->tablespaces, i)
		                                              : event->tablespace,
		                           .database = event->database};

		touched[i] = (struct walindex_touched){
		        .rel = rel, .flags = drop ? WALINDEX_DROPPED : WALINDEX_CREATED};
		walindex_log_limit(log, &rel, 0);
	}
	qsort(touched, count, sizeof(*touched), by_rel);
	for (uint32_t i = 0; i < count; i++)
		if (i == 0 || by_rel(&touched[i - 1], &touched[i]) != 0)
			touched[told.toucheds++] = touched[i];
	walindex_log_event(log, &at, &told);
}

static void add_timeline(struct walindex_log *log, const struct walindex_record *at,
                         const struct walevent *event)
{
	struct walindex_event told = {.kind = WALINDEX_TIMELINE,
	                              .time_us = event->time_us,
	                              .number = event->new_tli,
	                              .position = event->previous_tli};

	if (event->new_tli != event->previous_tli)
		walindex_log_event(log, at, &told);
}

static void add_checkpoint(struct walindex_log *log, const struct wal_decoded *record,
                           const struct walevent *event)
{
	struct walindex_record at = record_of(record);
	struct walindex_event told = {.kind = WALINDEX_CHECKPOINT,
	                              .time_us = event->time_us,
	                              .number = event->shutdown,
	                              .position = event->other};
	uint32_t oldest;

	walindex_log_event(log, &at, &told);
	add_timeline(log, &at, event);
	if (event->shutdown || record->main_bytes < CHECKPOINT_RECORD_BYTES || record->cut)
		return;
	oldest = get_u32(record->main + CHECKPOINT_OLDEST_ACTIVE);
	if (oldest >= FIRST_NORMAL_XID)
		walindex_log_forget(log, oldest);
}

static void add_parameters(struct walindex_log *log, const struct wal_decoded *record,
                           const struct walevent *event)
{
	static const char *const levels[] = {"minimal", "replica", "logical"};
	struct walindex_record at = record_of(record);
	char text[64] = "";
	struct walindex_event told = {.kind = WALINDEX_PARAMETERS, .text = text};

	if (event->wal_level >= 0 && event->wal_level < (int32_t)ARRAY_LENGTH(levels))
		snprintf(text, sizeof(text), "wal_level=%s", levels[event->wal_level]);
	told.number = (uint64_t)MAX(event->wal_level, 0);
	walindex_log_event(log, &at, &told);
}

static void add_point(struct walindex_log *log, const struct wal_decoded *record,
                      const struct walevent *event)
{
	struct walindex_record at = record_of(record);
	struct walindex_event told = {.kind = event->kind == WALEVENT_RESTORE_POINT
	                                              ? WALINDEX_RESTORE_POINT
	                                              : WALINDEX_BACKUP_END,
	                              .time_us = event->time_us,
	                              .position = event->other,
	                              .text = (char *)(uintptr_t)event->text};

	walindex_log_event(log, &at, &told);
}

static void add_rows(struct walindex_log *log, const struct wal_decoded *record,
                     const struct walevent *event)
{
	struct walindex_rel rel = rel_of(&event->relation);
	struct walindex_rows rows = {
	        .deleted = event->deleted, .updated = event->updated, .inserted = event->inserted};

	if (rows.deleted + rows.updated + rows.inserted > 0)
		walindex_log_rows(log, record->xid, &rel, &rows);
}

static void add_poison(struct walindex_log *log, const struct wal_decoded *record, const char *why)
{
	struct walindex_record at = record_of(record);

	walindex_log_poison(log, &at, why);
}

/* What says which wal_level holds from there on. */
static void judge_level(struct walindex_log *log, const struct wal_decoded *record,
                        const struct walevent *event)
{
	if (event->wal_level == WAL_LEVEL_MINIMAL)
		add_poison(log, record, "wal_level is minimal");
}

static void add_told(struct walindex_log *log, const struct wal_decoded *record,
                     const struct walevent *event)
{
	struct walindex_record at = record_of(record);

	switch (event->kind) {
	case WALEVENT_COMMIT:
	case WALEVENT_ABORT:
		return add_end(log, record, event);
	case WALEVENT_ROWS:
		return add_rows(log, record, event);
	case WALEVENT_FILE_CREATE:
	case WALEVENT_FILE_TRUNCATE:
		return add_file(log, record, event);
	case WALEVENT_DATABASE_CREATE:
	case WALEVENT_DATABASE_DROP:
		return add_database(log, record, event);
	case WALEVENT_CHECKPOINT:
		add_checkpoint(log, record, event);
		return judge_level(log, record, event);
	case WALEVENT_CHECKPOINT_REDO:
		return judge_level(log, record, event);
	case WALEVENT_END_OF_RECOVERY:
		add_timeline(log, &at, event);
		return judge_level(log, record, event);
	case WALEVENT_PARAMETERS:
		add_parameters(log, record, event);
		return judge_level(log, record, event);
	case WALEVENT_RESTORE_POINT:
	case WALEVENT_BACKUP_END:
		return add_point(log, record, event);
	case WALEVENT_UNKNOWN_CHANGE:
		return add_poison(log, record, "an extension changed files in its own way");
	default:
		return;
	}
}

static void log_record(struct walindex_log *log, const struct wal_decoded *record)
{
	struct walevent event = {.wal_level = WAL_LEVEL_UNTOLD};

	add_blocks(log, record);
	if (walevent_of(record, &event))
		add_told(log, record, &event);
	else
		add_poison(log, record, "a record could not be read");
}

static void scan_each(void *context, const struct wal_decoded *record)
{
	struct walscan *scan = context;

	if (!scan->builder)
		return;
	log_record(&scan->log, record);
	if (scan->log.bytes.length >= LOG_BYTES)
		walindex_log_apply(&scan->log, scan->builder);
}

struct walscan *walscan_new(uint64_t system_identifier, uint32_t segment_bytes)
{
	struct walscan *scan = xcalloc(1, sizeof(*scan));
	struct walwalk_options options = {.system_identifier = system_identifier,
	                                  .segment_bytes = segment_bytes,
	                                  .sink = &scan->decode.sink};

	waldecode_init(&scan->decode, scan_each, scan);
	walwalk_init(&scan->walk, &options);
	walindex_log_init(&scan->log, LOG_BYTES_MAX);
	return scan;
}

void walscan_free(struct walscan *scan)
{
	if (!scan)
		return;
	waldecode_release(&scan->decode);
	walindex_log_release(&scan->log);
	free(scan);
}

void walscan_into(struct walscan *scan, struct walindex_builder *builder)
{
	scan->builder = builder;
}

bool walscan_begin(struct walscan *scan, uint32_t tli, uint64_t segno, struct err *err)
{
	walindex_log_clear(&scan->log);
	return walwalk_begin(&scan->walk, tli, segno, err);
}

bool walscan_feed(struct walscan *scan, const void *bytes, size_t length, struct err *err)
{
	return walwalk_feed(&scan->walk, bytes, length, err);
}

bool walscan_end(struct walscan *scan, bool *ret_full, struct err *err)
{
	const struct walwalk_seen *seen = &scan->walk.seen;
	struct walindex_tail tail = {0};

	*ret_full = false;
	if (!walwalk_end(&scan->walk, err))
		return false;
	tail.records = seen->records - scan->records;
	tail.lost_bytes = (uint32_t)(seen->skipped_bytes - scan->skipped_bytes);
	scan->records = seen->records;
	scan->skipped_bytes = seen->skipped_bytes;
	if (tail.records > 0) {
		tail.last_start = seen->last_start;
		tail.last_end = seen->last_end;
		tail.last_tli = seen->last_tli;
	}
	if (!scan->builder)
		return true;
	walindex_log_apply(&scan->log, scan->builder);
	*ret_full = walindex_next_segment(scan->builder, &tail);
	return true;
}

bool walscan_has_start(const struct walscan *scan)
{
	return scan->walk.seen.first_start != 0;
}

/* ---- a segment that was walked alone ---- */

/* Its records are told to the log, but for the one that began before it and the one that goes on
 * behind it: their bytes are kept. */
struct walpart {
	struct waldecode *decode; /* while it is made */
	bool lost;
	uint32_t tli;
	uint64_t segno;
	struct walwalk_stretch stretch;
	struct buf lead, tail;
	struct walindex_log log;
};

static void part_each(void *context, const struct wal_decoded *record)
{
	struct walpart *part = context;

	/* which record was given up is for a walk to say that has it */
	part->lost |= record->manager == WAL_XLOG && (record->info & 0xF0) == XLOG_OVERWRITE;
	if (!part->lost)
		log_record(&part->log, record);
	part->lost |= part->log.bytes.overflow;
}

struct walpart *walpart_new(void)
{
	struct walpart *part = xcalloc(1, sizeof(*part));

	part->decode = xmalloc(sizeof(*part->decode));
	waldecode_init(part->decode, part_each, part);
	walindex_log_init(&part->log, PART_BYTES_MAX);
	buf_init(&part->lead, PART_EDGE_BYTES);
	buf_init(&part->tail, PART_EDGE_BYTES);
	return part;
}

static void decode_free(struct walpart *part)
{
	if (part->decode)
		waldecode_release(part->decode);
	free(part->decode);
	part->decode = NULL;
}

void walpart_free(struct walpart *part)
{
	if (!part)
		return;
	decode_free(part);
	walindex_log_release(&part->log);
	buf_release(&part->lead);
	buf_release(&part->tail);
	free(part);
}

struct walwalk_sink *walpart_sink(struct walpart *part)
{
	return &part->decode->sink;
}

void walpart_fed(struct walpart *part, const struct walwalk *walk, const void *bytes, size_t length)
{
	uint64_t end = walk->at - walk->segment_start, begin = end - length;
	uint64_t lead = walk->seen.first_start ? walk->seen.first_start - walk->segment_start : end;
	uint64_t tail = walk->seen.last_end - walk->segment_start;
	const uint8_t *p = bytes;

	if (lead > begin)
		buf_add(&part->lead, p, (size_t)(MIN(lead, end) - begin));
	if (walk->at != walk->segment_end || !walk->seen.records)
		return;
	part->lost |= tail < begin;
	if (tail >= begin && tail < end)
		buf_add(&part->tail, p + (tail - begin), (size_t)(end - tail));
}

bool walpart_end(struct walpart *part, const struct walwalk *walk)
{
	part->tli = walk->name_tli;
	part->segno = walk->segno;
	part->lost |= !walwalk_stretch_of(walk, &part->stretch) || part->lead.overflow ||
	              part->tail.overflow;
	decode_free(part);
	walindex_log_finish(&part->log);
	return !part->lost && !part->log.bytes.overflow;
}

size_t walpart_bytes(const struct walpart *part)
{
	return sizeof(*part) + part->lead.size + part->tail.size + walindex_log_bytes(&part->log);
}

bool walscan_part(struct walscan *scan, struct walpart *part, bool *ret_full, struct err *err)
{
	if (!walscan_begin(scan, part->tli, part->segno, err) ||
	    !walscan_feed(scan, part->lead.data, part->lead.length, err) ||
	    !walwalk_skip(&scan->walk, &part->stretch, err))
		return false;
	if (scan->builder) {
		walindex_log_apply(&scan->log, scan->builder);
		walindex_log_apply(&part->log, scan->builder);
	}
	return walscan_feed(scan, part->tail.data, part->tail.length, err) &&
	       walscan_end(scan, ret_full, err);
}
