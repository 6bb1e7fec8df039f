/*
 * walevent.c — what the main data of a record says.
 *
 * Layouts: access/xact.h, heapam_xlog.h, catalog/pg_control.h, storage_xlog.h,
 * commands/dbcommands_xlog.h, storage/standbydefs.h, utils/relmapper.h of PostgreSQL 13 to 18;
 * where majors differ it is said.
 */
#include "pg/waldecode.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "pg/control.h"

#include <string.h>

#include "base/poison.h"

enum { INFO_OPERATION = 0xF0, INFO_SPECIAL_CHANGE = 0x01 };
enum { RELATION_BYTES = 12, LOCK_BYTES = 12 };

/* A list of count items of item_bytes each; what is not all here is bad. */
static struct wal_list list_take(struct cursor *main, uint32_t count, uint32_t item_bytes)
{
	struct wal_list list = {.at = main->at, .count = count};

	if (count > main->left / item_bytes)
		main->bad = true;
	else
		cursor_take(main, (size_t)count * item_bytes);
	return main->bad ? (struct wal_list){0} : list;
}

static struct wal_relation relation_take(struct cursor *main)
{
	struct wal_relation relation = {.tablespace = cursor_u32(main)};

	relation.database = cursor_u32(main);
	relation.file = cursor_u32(main);
	return relation;
}

/* TimestampTz to microseconds since 1970; unsigned, since a crafted time must not overflow. */
static int64_t time_take(struct cursor *main)
{
	return (int64_t)(cursor_u64(main) + (uint64_t)(PG_EPOCH_OFFSET_S * US_PER_S));
}

static const char *text_take(struct cursor *main, size_t bytes_max)
{
	size_t room = MIN(main->left, bytes_max);
	const char *text = (const char *)main->at;

	if (main->bad || !room || !memchr(text, '\0', room)) {
		main->bad = true;
		return "";
	}
	return text;
}

/* ---- Transaction ---- */

enum {
	XACT_OPERATION = 0x70,
	XACT_COMMIT = 0x00,
	XACT_PREPARE = 0x10,
	XACT_ABORT = 0x20,
	XACT_COMMIT_PREPARED = 0x30,
	XACT_ABORT_PREPARED = 0x40,
	XACT_ASSIGNMENT = 0x50,
	XACT_HAS_INFO = 0x80,
};

enum {
	XINFO_DATABASE = 0x001,
	XINFO_SUBTRANSACTIONS = 0x002,
	XINFO_FILES = 0x004,
	XINFO_INVALIDATIONS = 0x008,
	XINFO_PREPARED = 0x010,
	XINFO_ORIGIN = 0x020,
	XINFO_GID = 0x080,
	XINFO_STATISTICS = 0x100,
};

enum { STATISTICS_BYTES = 12, STATISTICS_BYTES_18 = 16, INVALIDATION_BYTES = 16 };
/* The fixed part of PREPARE: two counters more from 15 on. */
enum { STATISTICS_MAJOR = 15, PREPARE_BYTES_14 = 64, PREPARE_BYTES = 72, PREPARE_ALIGNMENT = 8 };

static void gid_take(struct cursor *main)
{
	const uint8_t *end = main->bad || !main->left ? NULL : memchr(main->at, '\0', main->left);

	if (end)
		cursor_take(main, (size_t)(end - main->at) + 1);
	else
		main->bad = true;
}

static void xact_lists_take(struct cursor *main, const struct wal_decoded *record,
                            struct walevent *ret)
{
	uint32_t xinfo = record->info & XACT_HAS_INFO ? cursor_u32(main) : 0;

	if (xinfo & XINFO_DATABASE) {
		ret->database = cursor_u32(main);
		cursor_u32(main); /* its default tablespace */
	}
	if (xinfo & XINFO_SUBTRANSACTIONS)
		ret->subxids = list_take(main, cursor_u32(main), 4);
	if (xinfo & XINFO_FILES)
		ret->files = list_take(main, cursor_u32(main), RELATION_BYTES);
	if (xinfo & XINFO_STATISTICS)
		ret->dropped_statistics =
		        list_take(main, cursor_u32(main),
		                  record->major >= 18 ? STATISTICS_BYTES_18 : STATISTICS_BYTES)
		                .count;
	if (xinfo & XINFO_INVALIDATIONS)
		ret->invalidations = list_take(main, cursor_u32(main), INVALIDATION_BYTES).count;
	if (xinfo & XINFO_PREPARED) {
		ret->xid = cursor_u32(main);
		if (xinfo & XINFO_GID)
			gid_take(main);
	}
	main->bad |= ret->prepared && !(xinfo & XINFO_PREPARED);
	if (xinfo & XINFO_ORIGIN) {
		ret->origin_lsn = cursor_u64(main);
		ret->origin_us = time_take(main);
	}
	main->bad |= main->left > 0 && !record->cut;
}

static struct wal_list aligned_take(struct cursor *main, uint32_t count, uint32_t item_bytes)
{
	struct wal_list list = list_take(main, count, item_bytes);

	cursor_take(main, -((size_t)count * item_bytes) & (PREPARE_ALIGNMENT - 1));
	return list;
}

/* Name, subtransactions, files at commit, files at abort; what follows matters to nobody here. */
static void prepare_take(struct cursor *main, const struct wal_decoded *record,
                         struct walevent *ret)
{
	bool newer = record->major >= STATISTICS_MAJOR;
	const uint8_t *fixed = cursor_take(main, newer ? PREPARE_BYTES : PREPARE_BYTES_14);
	struct cursor head = cursor_of(fixed, PREPARE_BYTES_14);

	ret->kind = WALEVENT_PREPARE;
	if (!fixed)
		return;
	cursor_u64(&head); /* magic, length */
	ret->xid = cursor_u32(&head);
	ret->database = cursor_u32(&head);
	ret->time_us = time_take(&head);
	aligned_take(main, get_u16(fixed + (newer ? 54 : 46)), 1);
	ret->subxids = aligned_take(main, get_u32(fixed + 28), 4);
	ret->files = aligned_take(main, get_u32(fixed + 32), RELATION_BYTES);
	ret->abort_files = aligned_take(main, get_u32(fixed + 36), RELATION_BYTES);
}

static void xact_take(struct cursor *main, const struct wal_decoded *record, struct walevent *ret)
{
	unsigned operation = record->info & XACT_OPERATION;

	switch (operation) {
	case XACT_COMMIT:
	case XACT_COMMIT_PREPARED:
		ret->kind = WALEVENT_COMMIT;
		break;
	case XACT_ABORT:
	case XACT_ABORT_PREPARED:
		ret->kind = WALEVENT_ABORT;
		break;
	case XACT_PREPARE:
		prepare_take(main, record, ret);
		return;
	case XACT_ASSIGNMENT:
		ret->kind = WALEVENT_ASSIGNMENT;
		ret->xid = cursor_u32(main);
		ret->subxids = list_take(main, cursor_u32(main), 4);
		return;
	default: /* invalidations */
		return;
	}
	ret->prepared = operation == XACT_COMMIT_PREPARED || operation == XACT_ABORT_PREPARED;
	ret->xid = record->xid;
	ret->time_us = time_take(main);
	xact_lists_take(main, record, ret);
}

/* ---- XLOG ---- */

enum {
	XLOG_CHECKPOINT_SHUTDOWN = 0x00,
	XLOG_CHECKPOINT_ONLINE = 0x10,
	XLOG_NEXTOID = 0x30,
	XLOG_SWITCH = 0x40,
	XLOG_BACKUP_END = 0x50,
	XLOG_PARAMETER_CHANGE = 0x60,
	XLOG_RESTORE_POINT = 0x70,
	XLOG_FPW_CHANGE = 0x80,
	XLOG_END_OF_RECOVERY = 0x90,
	XLOG_OVERWRITE_CONTRECORD = 0xD0,
	XLOG_CHECKPOINT_REDO = 0xE0,
};

enum {
	WAL_LEVEL_TOLD_MAJOR = 17, /* in checkpoints and at the end of recovery */
	CHECKPOINT_WAL_LEVEL_AT = 20,
	RESTORE_POINT_NAME_BYTES = 64, /* MAXFNAMELEN, access/xlog_internal.h */
	TABLESPACE_PATH_BYTES = 1025,
};

static void checkpoint_take(struct cursor *main, const struct wal_decoded *record,
                            struct walevent *ret)
{
	const uint8_t *bytes = cursor_take(main, CHECKPOINT_BYTES);
	struct checkpoint checkpoint;

	ret->kind = WALEVENT_CHECKPOINT;
	ret->shutdown = (record->info & INFO_OPERATION) == XLOG_CHECKPOINT_SHUTDOWN;
	if (!bytes)
		return;
	checkpoint_decode(bytes, &checkpoint);
	ret->other = checkpoint.redo;
	ret->time_us = checkpoint.time_us;
	ret->new_tli = checkpoint.tli;
	ret->previous_tli = checkpoint.previous_tli;
	ret->full_page_writes = bytes[16] != 0;
	ret->next_xid = checkpoint.next_xid;
	ret->number = get_u32(bytes + 32);
	ret->oldest_xid = get_u32(bytes + 44);
	ret->oldest_active_xid = get_u32(bytes + 80);
	/* An online checkpoint carries what CHECKPOINT_REDO said before. */
	if (ret->shutdown && record->major >= WAL_LEVEL_TOLD_MAJOR)
		ret->wal_level = (int32_t)get_u32(bytes + CHECKPOINT_WAL_LEVEL_AT);
}

static void end_of_recovery_take(struct cursor *main, const struct wal_decoded *record,
                                 struct walevent *ret)
{
	ret->kind = WALEVENT_END_OF_RECOVERY;
	ret->time_us = time_take(main);
	ret->new_tli = cursor_u32(main);
	ret->previous_tli = cursor_u32(main);
	if (record->major >= WAL_LEVEL_TOLD_MAJOR)
		ret->wal_level = (int32_t)cursor_u32(main);
}

static void parameters_take(struct cursor *main, struct pg_parameters *ret)
{
	ret->max_connections = (int32_t)cursor_u32(main);
	ret->max_worker_processes = (int32_t)cursor_u32(main);
	ret->max_wal_senders = (int32_t)cursor_u32(main);
	ret->max_prepared_transactions = (int32_t)cursor_u32(main);
	ret->max_locks_per_transaction = (int32_t)cursor_u32(main);
	ret->wal_level = (int32_t)cursor_u32(main);
	ret->wal_log_hints = cursor_u8(main) != 0;
	ret->track_commit_timestamp = cursor_u8(main) != 0;
}

static void xlog_small_take(struct cursor *main, unsigned operation, struct walevent *ret)
{
	switch (operation) {
	case XLOG_BACKUP_END:
		ret->kind = WALEVENT_BACKUP_END;
		ret->other = cursor_u64(main);
		return;
	case XLOG_PARAMETER_CHANGE:
		ret->kind = WALEVENT_PARAMETERS;
		parameters_take(main, &ret->parameters);
		ret->wal_level = ret->parameters.wal_level;
		return;
	case XLOG_NEXTOID:
		ret->kind = WALEVENT_NEXT_OID;
		ret->number = cursor_u32(main);
		return;
	case XLOG_RESTORE_POINT:
		ret->kind = WALEVENT_RESTORE_POINT;
		ret->time_us = time_take(main);
		ret->text = text_take(main, RESTORE_POINT_NAME_BYTES);
		return;
	case XLOG_FPW_CHANGE:
		ret->kind = WALEVENT_FULL_PAGE_WRITES;
		ret->full_page_writes = cursor_u8(main) != 0;
		return;
	case XLOG_OVERWRITE_CONTRECORD:
		ret->kind = WALEVENT_GAVE_UP;
		ret->other = cursor_u64(main);
		ret->time_us = time_take(main);
		return;
	case XLOG_CHECKPOINT_REDO:
		ret->kind = WALEVENT_CHECKPOINT_REDO;
		ret->wal_level = (int32_t)cursor_u32(main);
		return;
	default:
		return;
	}
}

static void xlog_take(struct cursor *main, const struct wal_decoded *record, struct walevent *ret)
{
	switch (record->info & INFO_OPERATION) {
	case XLOG_CHECKPOINT_SHUTDOWN:
	case XLOG_CHECKPOINT_ONLINE:
		checkpoint_take(main, record, ret);
		return;
	case XLOG_SWITCH:
		ret->kind = WALEVENT_SWITCH;
		return;
	case XLOG_END_OF_RECOVERY:
		end_of_recovery_take(main, record, ret);
		return;
	default:
		xlog_small_take(main, record->info & INFO_OPERATION, ret);
	}
}

/* ---- files, databases, tablespaces, locks ---- */

enum { STORAGE_CREATE = 0x10, STORAGE_TRUNCATE = 0x20 };
enum { TRUNCATES_MAIN = 1, TRUNCATES_VM = 2, TRUNCATES_FSM = 4 };
enum { DATABASE_WAL_LOG_MAJOR = 15 };
enum { TABLESPACE_CREATE = 0x00, TABLESPACE_DROP = 0x10 };

static void storage_take(struct cursor *main, const struct wal_decoded *record,
                         struct walevent *ret)
{
	uint32_t flags;

	switch (record->info & INFO_OPERATION) {
	case STORAGE_CREATE:
		ret->kind = WALEVENT_FILE_CREATE;
		ret->relation = relation_take(main);
		flags = cursor_u32(main);
		ret->fork = (uint8_t)flags;
		main->bad |= flags > WAL_FORK_INIT;
		return;
	case STORAGE_TRUNCATE:
		ret->kind = WALEVENT_FILE_TRUNCATE;
		ret->length_blocks = cursor_u32(main);
		ret->relation = relation_take(main);
		flags = cursor_u32(main);
		ret->truncates_main = flags & TRUNCATES_MAIN;
		ret->truncates_vm = flags & TRUNCATES_VM;
		ret->truncates_fsm = flags & TRUNCATES_FSM;
		return;
	default:
		return;
	}
}

/* 13, 14: 0x00 create by copying files, 0x10 drop. From 15 on 0x10 creates through WAL. */
static void database_take(struct cursor *main, const struct wal_decoded *record,
                          struct walevent *ret)
{
	unsigned operation = record->info & INFO_OPERATION;
	bool newer = record->major >= DATABASE_WAL_LOG_MAJOR;

	if (operation == 0x00 || (newer && operation == 0x10)) {
		ret->kind = WALEVENT_DATABASE_CREATE;
		ret->database = cursor_u32(main);
		ret->tablespace = cursor_u32(main);
		ret->file_copy = operation == 0x00;
		if (ret->file_copy) {
			ret->source_database = cursor_u32(main);
			ret->source_tablespace = cursor_u32(main);
		}
	} else if (operation == (newer ? 0x20 : 0x10)) {
		ret->kind = WALEVENT_DATABASE_DROP;
		ret->database = cursor_u32(main);
		ret->tablespaces = list_take(main, cursor_u32(main), 4);
	}
}

static void tablespace_take(struct cursor *main, const struct wal_decoded *record,
                            struct walevent *ret)
{
	unsigned operation = record->info & INFO_OPERATION;

	if (operation != TABLESPACE_CREATE && operation != TABLESPACE_DROP)
		return;
	ret->kind = operation == TABLESPACE_CREATE ? WALEVENT_TABLESPACE_CREATE
	                                           : WALEVENT_TABLESPACE_DROP;
	ret->tablespace = cursor_u32(main);
	if (operation == TABLESPACE_CREATE)
		ret->text = text_take(main, TABLESPACE_PATH_BYTES);
}

static void relmap_take(struct cursor *main, const struct wal_decoded *record, struct walevent *ret)
{
	if ((record->info & INFO_OPERATION) != 0x00)
		return;
	ret->kind = WALEVENT_RELMAP;
	ret->database = cursor_u32(main);
	ret->tablespace = cursor_u32(main);
}

static void standby_take(struct cursor *main, const struct wal_decoded *record,
                         struct walevent *ret)
{
	if ((record->info & INFO_OPERATION) != 0x00)
		return;
	ret->kind = WALEVENT_LOCKS;
	ret->locks = list_take(main, cursor_u32(main), LOCK_BYTES);
}

/* ---- rows ---- */

enum {
	HEAP_OPERATION = 0x70,
	HEAP_INSERT = 0x00,
	HEAP_DELETE = 0x10,
	HEAP_UPDATE = 0x20,
	HEAP_TRUNCATE = 0x30,
	HEAP_HOT_UPDATE = 0x40,
	HEAP_CONFIRM = 0x50,
	HEAP_INPLACE = 0x70,
	HEAP2_MULTI_INSERT = 0x50,
};

enum {
	INSERT_FLAGS_AT = 2,
	INSERT_SPECULATIVE = 0x04, /* counts when it is confirmed */
	DELETE_FLAGS_AT = 7,
	DELETE_SPECULATIVE = 0x08, /* was never counted */
	DELETE_MOVED = 0x10,       /* half of an update that moved the row to another partition */
};

static uint8_t flags_take(struct cursor *main, size_t at)
{
	cursor_take(main, at);
	return cursor_u8(main);
}

static void truncate_take(struct cursor *main, struct walevent *ret)
{
	uint32_t count;

	ret->kind = WALEVENT_TRUNCATE;
	ret->database = cursor_u32(main);
	count = cursor_u32(main);
	cursor_take(main, 4); /* flags, and three bytes of nothing */
	ret->relations = list_take(main, count, 4);
}

static void heap_take(struct cursor *main, const struct wal_decoded *record, struct walevent *ret)
{
	uint8_t flags;

	switch (record->info & HEAP_OPERATION) {
	case HEAP_INSERT:
		flags = flags_take(main, INSERT_FLAGS_AT);
		ret->inserted = !(flags & INSERT_SPECULATIVE);
		break;
	case HEAP_CONFIRM:
		ret->inserted = 1;
		break;
	case HEAP_DELETE:
		flags = flags_take(main, DELETE_FLAGS_AT);
		ret->deleted = !(flags & (DELETE_SPECULATIVE | DELETE_MOVED));
		ret->updated = !!(flags & DELETE_MOVED);
		break;
	case HEAP_UPDATE:
	case HEAP_HOT_UPDATE:
		ret->updated = 1;
		break;
	case HEAP_TRUNCATE:
		truncate_take(main, ret);
		return;
	case HEAP_INPLACE:
		ret->kind = WALEVENT_INPLACE;
		return;
	default:
		return;
	}
	ret->kind = WALEVENT_ROWS;
}

static void heap2_take(struct cursor *main, const struct wal_decoded *record, struct walevent *ret)
{
	if ((record->info & HEAP_OPERATION) != HEAP2_MULTI_INSERT)
		return;
	ret->kind = WALEVENT_ROWS;
	cursor_take(main, 2);
	ret->inserted = cursor_u16(main);
}

/* ---- all ---- */

static void manager_take(struct cursor *main, const struct wal_decoded *record,
                         struct walevent *ret)
{
	switch (record->manager) {
	case WAL_XLOG:
		return xlog_take(main, record, ret);
	case WAL_XACT:
		return xact_take(main, record, ret);
	case WAL_STORAGE:
		return storage_take(main, record, ret);
	case WAL_DATABASE:
		return database_take(main, record, ret);
	case WAL_TABLESPACE:
		return tablespace_take(main, record, ret);
	case WAL_RELMAP:
		return relmap_take(main, record, ret);
	case WAL_STANDBY:
		return standby_take(main, record, ret);
	case WAL_HEAP:
		return heap_take(main, record, ret);
	case WAL_HEAP2:
		return heap2_take(main, record, ret);
	default:
		return;
	}
}

/* Nearly all records are of heaps and indexes: only what can be set, or is read of any event. */
static void rows_clear(struct walevent *ret)
{
	static const struct wal_list empty;

	ret->kind = WALEVENT_NONE;
	ret->subxids = ret->files = ret->abort_files = empty;
	ret->tablespaces = ret->relations = ret->locks = empty;
	ret->inserted = ret->updated = ret->deleted = 0;
	ret->wal_level = WAL_LEVEL_UNTOLD;
	ret->text = "";
}

bool walevent_of(const struct wal_decoded *record, struct walevent *ret)
{
	struct cursor main = cursor_of(record->main, record->cut ? (uint32_t)WALDECODE_MAIN_MAX
	                                                         : record->main_bytes);

	if (record->manager <= WAL_STANDBY)
		*ret = (struct walevent){.text = "", .wal_level = WAL_LEVEL_UNTOLD};
	else
		rows_clear(ret);
	manager_take(&main, record, ret);
	if (ret->kind == WALEVENT_ROWS || ret->kind == WALEVENT_INPLACE) {
		if (!record->blocks)
			return false;
		ret->relation = record->block[0].relation;
	}
	if (ret->kind == WALEVENT_NONE && record->info & INFO_SPECIAL_CHANGE)
		ret->kind = WALEVENT_UNKNOWN_CHANGE;
	return !main.bad;
}

uint32_t walevent_u32(const struct wal_list *list, uint32_t index)
{
	return get_u32(list->at + 4 * (size_t)index);
}

struct wal_relation walevent_relation(const struct wal_list *files, uint32_t index)
{
	struct cursor at = cursor_of(files->at + RELATION_BYTES * (size_t)index, RELATION_BYTES);

	return relation_take(&at);
}

struct wal_lock walevent_lock(const struct wal_list *locks, uint32_t index)
{
	const uint8_t *at = locks->at + LOCK_BYTES * (size_t)index;

	return (struct wal_lock){
	        .xid = get_u32(at), .database = get_u32(at + 4), .relation = get_u32(at + 8)};
}

const char *walevent_name(enum walevent_kind kind)
{
	static const char *const name[] = {
	        [WALEVENT_NONE] = "none",
	        [WALEVENT_COMMIT] = "commit",
	        [WALEVENT_ABORT] = "abort",
	        [WALEVENT_PREPARE] = "prepare",
	        [WALEVENT_FILE_CREATE] = "file create",
	        [WALEVENT_FILE_TRUNCATE] = "file truncate",
	        [WALEVENT_DATABASE_CREATE] = "database create",
	        [WALEVENT_DATABASE_DROP] = "database drop",
	        [WALEVENT_TABLESPACE_CREATE] = "tablespace create",
	        [WALEVENT_TABLESPACE_DROP] = "tablespace drop",
	        [WALEVENT_RELMAP] = "relation map",
	        [WALEVENT_ROWS] = "rows",
	        [WALEVENT_TRUNCATE] = "truncate",
	        [WALEVENT_LOCKS] = "locks",
	        [WALEVENT_CHECKPOINT] = "checkpoint",
	        [WALEVENT_CHECKPOINT_REDO] = "checkpoint redo",
	        [WALEVENT_END_OF_RECOVERY] = "end of recovery",
	        [WALEVENT_PARAMETERS] = "parameters",
	        [WALEVENT_RESTORE_POINT] = "restore point",
	        [WALEVENT_BACKUP_END] = "backup end",
	        [WALEVENT_FULL_PAGE_WRITES] = "full page writes",
	        [WALEVENT_SWITCH] = "switch",
	        [WALEVENT_GAVE_UP] = "gave up",
	        [WALEVENT_NEXT_OID] = "next oid",
	        [WALEVENT_ASSIGNMENT] = "assignment",
	        [WALEVENT_INPLACE] = "in place",
	        [WALEVENT_UNKNOWN_CHANGE] = "unknown change",
	};

	return name[kind];
}
