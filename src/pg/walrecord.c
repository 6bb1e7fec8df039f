/*
 * walrecord.c — the payload of the records that the walker tells about.
 *
 * All of them are small, but for commits and aborts of prepared transactions: their own xid comes
 * after lists of any length (subtransactions, dropped files, statistics, invalidations). The finder
 * goes over the body as it streams by and jumps from one count to the next, so nothing of it needs
 * to be kept.
 */
#include "walrecord.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <string.h>

#include "base/poison.h"

enum { MANAGER_XLOG = 0, MANAGER_XACT = 1, MANAGER_TABLESPACE = 5, MANAGER_LAST = 21 };
enum { MANAGER_EXTENSION_FIRST = 128, EXTENSION_MAJOR = 15 };

/* Operations of XLOG: info & 0xF0. */
enum {
	XLOG_CHECKPOINT_SHUTDOWN = 0x00,
	XLOG_CHECKPOINT_ONLINE = 0x10,
	XLOG_SWITCH = 0x40,
	XLOG_BACKUP_END = 0x50,
	XLOG_PARAMETER_CHANGE = 0x60,
	XLOG_RESTORE_POINT = 0x70,
	XLOG_END_OF_RECOVERY = 0x90,
	XLOG_OVERWRITE_CONTRECORD = 0xD0,
};

/* Of Transaction: info & 0x70, and a flag. */
enum {
	XACT_COMMIT = 0x00,
	XACT_ABORT = 0x20,
	XACT_COMMIT_PREPARED = 0x30,
	XACT_ABORT_PREPARED = 0x40,
	XACT_HAS_INFO = 0x80,
};

/* What a commit's or abort's xinfo announces, in the order of the payload. */
enum {
	XINFO_DATABASE = 0x001,
	XINFO_SUBTRANSACTIONS = 0x002,
	XINFO_FILES = 0x004,
	XINFO_STATISTICS = 0x100,
	XINFO_INVALIDATIONS = 0x008,
	XINFO_PREPARED = 0x010,
};

enum { ITEM_TOP_XID = 252, ITEM_ORIGIN = 253, ITEM_MAIN_LONG = 254, ITEM_MAIN_SHORT = 255 };
enum { TABLESPACE_CREATE = 0x00 };

static unsigned manager_of(const uint8_t *header)
{
	return header[17];
}

static unsigned xlog_operation(const uint8_t *header)
{
	return header[16] & 0xF0;
}

static unsigned xact_operation(const uint8_t *header)
{
	return header[16] & 0x70;
}

static bool xact_is_prepared(const uint8_t *header)
{
	unsigned operation = xact_operation(header);

	return operation == XACT_COMMIT_PREPARED || operation == XACT_ABORT_PREPARED;
}

bool walrecord_manager_known(const uint8_t header[RECORD_HEADER_BYTES], unsigned major)
{
	unsigned manager = manager_of(header);

	return manager <= MANAGER_LAST ||
	       (manager >= MANAGER_EXTENSION_FIRST && major >= EXTENSION_MAJOR);
}

static bool xlog_is_wanted(unsigned operation)
{
	switch (operation) {
	case XLOG_CHECKPOINT_SHUTDOWN:
	case XLOG_CHECKPOINT_ONLINE:
	case XLOG_SWITCH:
	case XLOG_BACKUP_END:
	case XLOG_PARAMETER_CHANGE:
	case XLOG_RESTORE_POINT:
	case XLOG_END_OF_RECOVERY:
	case XLOG_OVERWRITE_CONTRECORD:
		return true;
	default:
		return false;
	}
}

bool walrecord_is_wanted(const uint8_t header[RECORD_HEADER_BYTES])
{
	switch (manager_of(header)) {
	case MANAGER_XLOG:
		return xlog_is_wanted(xlog_operation(header));
	case MANAGER_XACT:
		return xact_operation(header) == XACT_COMMIT ||
		       xact_operation(header) == XACT_ABORT || xact_is_prepared(header);
	case MANAGER_TABLESPACE:
		return xlog_operation(header) == TABLESPACE_CREATE;
	default:
		return false;
	}
}

bool walrecord_is_switch(const uint8_t header[RECORD_HEADER_BYTES])
{
	return manager_of(header) == MANAGER_XLOG && xlog_operation(header) == XLOG_SWITCH;
}

bool walrecord_is_overwrite(const uint8_t header[RECORD_HEADER_BYTES])
{
	return manager_of(header) == MANAGER_XLOG &&
	       xlog_operation(header) == XLOG_OVERWRITE_CONTRECORD;
}

/* ---- the finder ---- */

/* Steps are named by the piece that is awaited; the lists are in the order of the payload. */
enum finder_step {
	FIND_NOTHING,
	FIND_ITEM,
	FIND_INFO,
	FIND_SUBTRANSACTIONS,
	FIND_FILES,
	FIND_STATISTICS,
	FIND_INVALIDATIONS,
	FIND_XID,
	FIND_DONE,
};

static uint32_t list_item_bytes(const struct walrecord_finder *finder, int step)
{
	switch (step) {
	case FIND_SUBTRANSACTIONS:
		return 4;
	case FIND_STATISTICS:
		return finder->major >= 18 ? 16 : 12;
	case FIND_INVALIDATIONS:
		return 16;
	default:
		return 12; /* files */
	}
}

static uint32_t list_flag(int step)
{
	static const uint32_t flag[] = {
	        [FIND_SUBTRANSACTIONS] = XINFO_SUBTRANSACTIONS,
	        [FIND_FILES] = XINFO_FILES,
	        [FIND_STATISTICS] = XINFO_STATISTICS,
	        [FIND_INVALIDATIONS] = XINFO_INVALIDATIONS,
	        [FIND_XID] = XINFO_PREPARED,
	};

	return flag[step];
}

static void finder_await(struct walrecord_finder *finder, int step, uint32_t want)
{
	finder->step = step;
	finder->want = want;
	finder->have = 0;
}

/* The next list, or the xid, that xinfo announces. */
static void finder_await_list(struct walrecord_finder *finder, int step)
{
	while (step <= FIND_XID && !(finder->xinfo & list_flag(step)))
		step++;
	finder_await(finder, step <= FIND_XID ? step : FIND_NOTHING, 4);
}

static void finder_item(struct walrecord_finder *finder)
{
	/* After the main data's length comes the time, 8 bytes, then xinfo. */
	switch (finder->piece[0]) {
	case ITEM_TOP_XID:
		finder->at += 4;
		return finder_await(finder, FIND_ITEM, 1);
	case ITEM_ORIGIN:
		finder->at += 2;
		return finder_await(finder, FIND_ITEM, 1);
	case ITEM_MAIN_LONG:
		finder->at += 4 + 8;
		return finder_await(finder, FIND_INFO, 4);
	case ITEM_MAIN_SHORT:
		finder->at += 1 + 8;
		return finder_await(finder, FIND_INFO, 4);
	default:
		return finder_await(finder, FIND_NOTHING, 0);
	}
}

static void finder_piece(struct walrecord_finder *finder)
{
	uint32_t value = get_u32(finder->piece);

	switch (finder->step) {
	case FIND_ITEM:
		return finder_item(finder);
	case FIND_INFO:
		finder->xinfo = value;
		finder->at += value & XINFO_DATABASE ? 8 : 0;
		return finder_await_list(finder, FIND_SUBTRANSACTIONS);
	case FIND_XID:
		finder->xid = value;
		return finder_await(finder, FIND_DONE, 0);
	default:
		/* A nonsense count leads beyond the record's end: the xid is then not found. */
		finder->at += (uint64_t)value * list_item_bytes(finder, finder->step);
		return finder_await_list(finder, finder->step + 1);
	}
}

void walrecord_finder_init(struct walrecord_finder *finder, const uint8_t header[24],
                           unsigned major)
{
	*finder = (struct walrecord_finder){.major = major};
	if (manager_of(header) == MANAGER_XACT && xact_is_prepared(header) &&
	    header[16] & XACT_HAS_INFO)
		finder_await(finder, FIND_ITEM, 1);
}

void walrecord_finder_feed(struct walrecord_finder *finder, const uint8_t *bytes, size_t length)
{
	uint64_t end = finder->seen + length;

	while (finder->step != FIND_NOTHING && finder->step != FIND_DONE && finder->at < end) {
		uint64_t offset = finder->at - finder->seen;
		size_t n = MIN((size_t)(end - finder->at), finder->want - finder->have);

		memcpy(finder->piece + finder->have, bytes + offset, n);
		finder->have += (uint32_t)n;
		finder->at += n;
		if (finder->have == finder->want)
			finder_piece(finder);
	}
	finder->seen = end;
}

/* ---- decoding ---- */

/* Goes to the main data, which in these records is all that follows the item headers. */
static bool main_data(const struct walwalk *walk, struct cursor *ret)
{
	uint64_t body_bytes = get_u32(walk->header) - RECORD_HEADER_BYTES, announced;
	struct cursor body = cursor_of(walk->head, walk->head_have);

	for (;;) {
		unsigned id = cursor_u8(&body);

		if (body.bad)
			return false;
		if (id == ITEM_TOP_XID)
			cursor_take(&body, 4);
		else if (id == ITEM_ORIGIN)
			cursor_take(&body, 2);
		else if (id == ITEM_MAIN_LONG || id == ITEM_MAIN_SHORT) {
			announced = id == ITEM_MAIN_LONG ? cursor_u32(&body) : cursor_u8(&body);
			*ret = body;
			return !body.bad &&
			       announced == body_bytes - (size_t)(body.at - walk->head);
		} else
			return false;
	}
}

/* TimestampTz to microseconds since 1970; unsigned, since a crafted time must not overflow. */
static int64_t time_take(struct cursor *main)
{
	return (int64_t)(cursor_u64(main) + (uint64_t)(PG_EPOCH_OFFSET_S * US_PER_S));
}

static bool text_take(struct cursor *main, size_t bytes_max, const char **ret)
{
	size_t room = MIN(main->left, bytes_max);

	*ret = (const char *)main->at;
	return !main->bad && room && memchr(main->at, '\0', room);
}

static bool xact_decode(const struct walwalk *walk, struct cursor *main, struct walrecord *ret)
{
	unsigned operation = xact_operation(walk->header);

	ret->kind = operation == XACT_COMMIT || operation == XACT_COMMIT_PREPARED ? WALRECORD_COMMIT
	                                                                          : WALRECORD_ABORT;
	ret->prepared = xact_is_prepared(walk->header);
	ret->time_us = time_take(main);
	ret->xid = ret->prepared ? walk->finder.xid : get_u32(walk->header + 4);
	return !main->bad && (!ret->prepared || walk->finder.step == FIND_DONE);
}

static bool checkpoint_take(struct cursor *main, struct walrecord *ret)
{
	const uint8_t *bytes = cursor_take(main, CHECKPOINT_BYTES);
	struct checkpoint checkpoint;

	if (!bytes)
		return false;
	checkpoint_decode(bytes, &checkpoint);
	ret->kind = WALRECORD_CHECKPOINT;
	ret->other = checkpoint.redo;
	ret->time_us = checkpoint.time_us;
	ret->new_tli = checkpoint.tli;
	ret->previous_tli = checkpoint.previous_tli;
	return true;
}

static bool parameters_take(struct cursor *main, struct walrecord *ret,
                            struct pg_parameters *parameters)
{
	parameters->max_connections = (int32_t)cursor_u32(main);
	parameters->max_worker_processes = (int32_t)cursor_u32(main);
	parameters->max_wal_senders = (int32_t)cursor_u32(main);
	parameters->max_prepared_transactions = (int32_t)cursor_u32(main);
	parameters->max_locks_per_transaction = (int32_t)cursor_u32(main);
	parameters->wal_level = (int32_t)cursor_u32(main);
	parameters->wal_log_hints = cursor_u8(main) != 0;
	parameters->track_commit_timestamp = cursor_u8(main) != 0;
	ret->kind = WALRECORD_PARAMETER_CHANGE;
	ret->parameters = parameters;
	return !main->bad;
}

static bool xlog_decode(const struct walwalk *walk, struct cursor *main, struct walrecord *ret,
                        struct pg_parameters *parameters)
{
	switch (xlog_operation(walk->header)) {
	case XLOG_CHECKPOINT_SHUTDOWN:
		ret->shutdown = true;
		return checkpoint_take(main, ret);
	case XLOG_CHECKPOINT_ONLINE:
		return checkpoint_take(main, ret);
	case XLOG_BACKUP_END:
		ret->kind = WALRECORD_BACKUP_END;
		ret->other = cursor_u64(main);
		return !main->bad;
	case XLOG_PARAMETER_CHANGE:
		return parameters_take(main, ret, parameters);
	case XLOG_RESTORE_POINT:
		ret->kind = WALRECORD_RESTORE_POINT;
		ret->time_us = time_take(main);
		return text_take(main, WALWALK_NAME_BYTES, &ret->text);
	case XLOG_END_OF_RECOVERY:
		ret->kind = WALRECORD_END_OF_RECOVERY;
		ret->time_us = time_take(main);
		ret->new_tli = cursor_u32(main);
		ret->previous_tli = cursor_u32(main);
		return !main->bad;
	default:
		return false;
	}
}

bool walrecord_decode(const struct walwalk *walk, struct walrecord *ret,
                      struct pg_parameters *parameters)
{
	struct cursor main;

	*ret = (struct walrecord){.text = ""};
	if (walrecord_is_switch(walk->header)) {
		ret->kind = WALRECORD_SWITCH;
		return true;
	}
	if (!main_data(walk, &main))
		return false;
	switch (manager_of(walk->header)) {
	case MANAGER_XLOG:
		return xlog_decode(walk, &main, ret, parameters);
	case MANAGER_XACT:
		return xact_decode(walk, &main, ret);
	default:
		ret->kind = WALRECORD_CREATE_TABLESPACE;
		ret->tablespace = cursor_u32(&main);
		return text_take(&main, WALWALK_PATH_BYTES, &ret->text);
	}
}

bool walrecord_overwritten(const struct walwalk *walk, lsn *ret)
{
	struct cursor main;

	if (!main_data(walk, &main))
		return false;
	*ret = cursor_u64(&main);
	return !main.bad;
}
