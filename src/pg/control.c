/*
 * control.c — pg_control: one row of offsets for all majors, since only the place of the CRC moved.
 *
 * The order of checks is the order of certainty: the checksum first (at the place that the version
 * field asks for), then what the file says.
 */
#include "pg/control.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "pg/crc32c.h"
#include "pg/segment.h"
#include "pg/version.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/poison.h"

enum {
	READ_TRIES = 10,
	READ_PAUSE_MS = 10,
	CRC_OFFSET = 288,    /* up to 17 */
	CRC_OFFSET_18 = 292, /* default char signedness came before it */
	MAX_ALIGN = 8,
};

/* The double 1234567.0: other byte orders and float formats look different. */
static const uint8_t float_sign[8] = {0, 0, 0, 0, 0x87, 0xD6, 0x32, 0x41};

static unsigned crc_offset(uint32_t control_version)
{
	return control_version >= 1800 ? CRC_OFFSET_18 : CRC_OFFSET;
}

/* Multiplying what stands in a file must not overflow. */
static int64_t seconds_us(uint64_t seconds)
{
	return (int64_t)(seconds * (uint64_t)US_PER_S);
}

void checkpoint_decode(const uint8_t bytes[CHECKPOINT_BYTES], struct checkpoint *ret)
{
	*ret = (struct checkpoint){
	        .redo = get_u64(bytes),
	        .tli = get_u32(bytes + 8),
	        .previous_tli = get_u32(bytes + 12),
	        .full_page_writes = bytes[16] != 0,
	        .next_xid = get_u64(bytes + 24),
	        .time_us = seconds_us(get_u64(bytes + 64)),
	};
}

static void parameters_decode(const uint8_t *bytes, struct pg_parameters *ret)
{
	*ret = (struct pg_parameters){
	        .wal_level = (int32_t)get_u32(bytes + 172),
	        .wal_log_hints = bytes[176] != 0,
	        .max_connections = (int32_t)get_u32(bytes + 180),
	        .max_worker_processes = (int32_t)get_u32(bytes + 184),
	        .max_wal_senders = (int32_t)get_u32(bytes + 188),
	        .max_prepared_transactions = (int32_t)get_u32(bytes + 192),
	        .max_locks_per_transaction = (int32_t)get_u32(bytes + 196),
	        .track_commit_timestamp = bytes[200] != 0,
	};
}

static bool crc_good(const uint8_t *bytes, uint32_t *ret_stored)
{
	unsigned at = crc_offset(get_u32(bytes + 8));

	*ret_stored = get_u32(bytes + at);
	return *ret_stored == crc32c(CRC32C_EMPTY, bytes, at);
}

static bool control_check(const uint8_t *bytes, const struct control *control, struct err *err)
{
	if (memcmp(bytes + 208, float_sign, sizeof(float_sign)) != 0 ||
	    get_u32(bytes + 204) != MAX_ALIGN)
		return err_set(err, ERR_REFUSED,
		               "it was written by another kind of machine (alignment or floats)");
	if (!segment_bytes_valid(control->segment_bytes))
		return err_set(err, ERR_DAMAGED, "its WAL segment size is %u bytes",
		               control->segment_bytes);
	if (control->block_bytes != 8192 || control->blocks_per_file != 131072)
		return err_set(err, ERR_REFUSED,
		               "its server was built with blocks of %u bytes, %u in a file",
		               control->block_bytes, control->blocks_per_file);
	return true;
}

/* Fields at offsets from src/include/catalog/pg_control.h, 64-bit servers. */
static void fields_decode(const uint8_t *bytes, struct control *control)
{
	control->system_identifier = get_u64(bytes);
	control->control_version = get_u32(bytes + 8);
	control->catalog_version = get_u32(bytes + 12);
	control->state = (enum control_state)get_u32(bytes + 16);
	control->updated_us = seconds_us(get_u64(bytes + 24));
	control->checkpoint_lsn = get_u64(bytes + 32);
	checkpoint_decode(bytes + 40, &control->checkpoint);
	control->min_recovery_lsn = get_u64(bytes + 136);
	control->min_recovery_tli = get_u32(bytes + 144);
	control->backup_start_lsn = get_u64(bytes + 152);
	control->backup_end_lsn = get_u64(bytes + 160);
	control->backup_end_required = bytes[168] != 0;
	parameters_decode(bytes, &control->parameters);
	control->block_bytes = get_u32(bytes + 216);
	control->blocks_per_file = get_u32(bytes + 220);
	control->wal_block_bytes = get_u32(bytes + 224);
	control->segment_bytes = get_u32(bytes + 228);
	control->checksum_version = get_u32(bytes + 252);
}

bool control_decode(const void *bytes, size_t length, struct control *ret, struct err *err)
{
	const struct pg_version *version;
	struct control control = {0};
	uint32_t stored;

	if (length < CONTROL_USED_BYTES)
		return err_set(err, ERR_DAMAGED, "pg_control has only %zu bytes", length);
	fields_decode(bytes, &control);
	version = pg_version_of_control(control.control_version, control.catalog_version);
	if (!crc_good(bytes, &stored)) {
		err_set(err, ERR_DAMAGED, "pg_control has a wrong checksum");
		if (!version) /* then nobody knows where in it the checksum is */
			err_hint(err,
			         "Its control version, %u, is none that Seawall knows: it is "
			         "damaged, or of a PostgreSQL that is not one of %d to %d.",
			         control.control_version, PG_MAJOR_MIN, PG_MAJOR_MAX);
		return false;
	}
	if (!version) {
		err_hint(err, "Seawall knows PostgreSQL %d to %d.", PG_MAJOR_MIN, PG_MAJOR_MAX);
		return err_set(
		        err, ERR_REFUSED,
		        "pg_control is of a PostgreSQL that is not supported (control version "
		        "%u, catalog version %u)",
		        control.control_version, control.catalog_version);
	}
	control.major = version->major;
	if (!control_check(bytes, &control, err))
		return err_wrap(err, "pg_control cannot be used");
	*ret = control;
	return true;
}

static bool bytes_read(const char *path, uint8_t bytes[CONTROL_BYTES], struct err *err)
{
	AUTO_FD
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return err_sys(err, "could not open file \"%s\"", path);
	memset(bytes, 0, CONTROL_BYTES);
	got = file_read_full(fd, bytes, CONTROL_BYTES);
	if (got < 0)
		return err_sys(err, "could not read file \"%s\"", path);
	if (got < CONTROL_USED_BYTES)
		return err_set(err, ERR_DAMAGED, "file \"%s\" has only %zd bytes", path, got);
	return true;
}

/* A server writes the file in place, so a reader can meet a half-written one. */
static bool bytes_read_settled(const char *path, uint8_t bytes[CONTROL_BYTES], struct err *err)
{
	const struct timespec pause = {.tv_nsec = READ_PAUSE_MS * 1000000L};
	uint32_t stored, previous = 0;

	for (int try = 0; try < READ_TRIES; try++) {
		if (!bytes_read(path, bytes, err))
			return false;
		if (crc_good(bytes, &stored) || (try > 0 && stored == previous))
			break;
		previous = stored;
		nanosleep(&pause, NULL);
	}
	return true;
}

bool control_read_bytes(const char *data_directory, uint8_t bytes[CONTROL_BYTES],
                        struct control *ret, struct err *err)
{
	AUTO_FREE
	char *path = path_join(data_directory, "global/pg_control");

	if (!bytes_read_settled(path, bytes, err))
		return false;
	if (!control_decode(bytes, CONTROL_BYTES, ret, err))
		return err_wrap(err, "could not use file \"%s\"", path);
	return true;
}

bool control_read(const char *data_directory, struct control *ret, struct err *err)
{
	uint8_t bytes[CONTROL_BYTES];

	return control_read_bytes(data_directory, bytes, ret, err);
}

const char *control_state_name(enum control_state state)
{
	static const char *const name[] = {
	        [CONTROL_STARTUP] = "starting up",
	        [CONTROL_SHUTDOWNED] = "shut down",
	        [CONTROL_SHUTDOWNED_IN_RECOVERY] = "shut down in recovery",
	        [CONTROL_SHUTDOWNING] = "shutting down",
	        [CONTROL_IN_CRASH_RECOVERY] = "in crash recovery",
	        [CONTROL_IN_ARCHIVE_RECOVERY] = "in archive recovery",
	        [CONTROL_IN_PRODUCTION] = "in production",
	};

	return (size_t)state < ARRAY_LENGTH(name) ? name[state] : "unrecognized status code";
}
