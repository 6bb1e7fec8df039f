/*
 * control.h — global/pg_control: what the cluster is, and how far it got.
 *
 * Little-endian 64-bit servers, 13 to 18. The file of a running server can be read torn:
 * control_read reads again when the checksum is wrong.
 */
#ifndef PG_CONTROL_H
#define PG_CONTROL_H

#include "base/err.h"
#include "pg/lsn.h"

enum {
	CONTROL_BYTES = 8192,     /* of the file */
	CONTROL_USED_BYTES = 296, /* what must be there to decode it */
};

enum control_state {
	CONTROL_STARTUP,
	CONTROL_SHUTDOWNED,
	CONTROL_SHUTDOWNED_IN_RECOVERY,
	CONTROL_SHUTDOWNING,
	CONTROL_IN_CRASH_RECOVERY,
	CONTROL_IN_ARCHIVE_RECOVERY,
	CONTROL_IN_PRODUCTION,
};

/* What a hot standby must have at least as much of (also in WAL, PARAMETER_CHANGE). */
struct pg_parameters {
	int32_t max_connections, max_worker_processes, max_wal_senders;
	int32_t max_prepared_transactions, max_locks_per_transaction;
	int32_t wal_level; /* 0 minimal, 1 replica, 2 logical */
	bool wal_log_hints, track_commit_timestamp;
};

struct checkpoint {
	lsn redo;
	uint32_t tli, previous_tli; /* different: the first record of tli */
	bool full_page_writes;
	uint64_t next_xid;
	int64_t time_us; /* since 1970, whole seconds */
};

struct control {
	unsigned major;
	uint64_t system_identifier;
	uint32_t control_version, catalog_version;
	enum control_state state;
	int64_t updated_us; /* since 1970, whole seconds */
	lsn checkpoint_lsn;
	struct checkpoint checkpoint;
	lsn min_recovery_lsn;
	uint32_t min_recovery_tli;
	lsn backup_start_lsn, backup_end_lsn;
	bool backup_end_required;
	struct pg_parameters parameters;
	uint32_t block_bytes, blocks_per_file; /* of relations: 8192 and 131072 */
	uint32_t wal_block_bytes, segment_bytes;
	uint32_t checksum_version; /* 0: pages have no checksums */
};

/* Decodes and checks CRC, version, byte order and sizes. ERR_DAMAGED: short or wrong checksum;
 * ERR_REFUSED: a version (or build) that is not supported, with the version in the sentence. */
MUST_USE bool control_decode(const void *bytes, size_t length, struct control *ret,
                             struct err *err);
/* Reads <data directory>/global/pg_control, up to 10 times 10 ms apart while the checksum is wrong,
 * until the same wrong one is seen twice. Blocks: for workers. */
MUST_USE bool control_read(const char *data_directory, struct control *ret, struct err *err);
/* As control_read; the file's bytes too, that were decoded (a backup stores exactly these). */
MUST_USE bool control_read_bytes(const char *data_directory, uint8_t bytes[CONTROL_BYTES],
                                 struct control *ret, struct err *err);
/* "shut down", "in production", …: the words of pg_controldata. */
const char *control_state_name(enum control_state state);
/* 88 bytes, as in pg_control and in CHECKPOINT records. */
enum { CHECKPOINT_BYTES = 88 };
void checkpoint_decode(const uint8_t bytes[CHECKPOINT_BYTES], struct checkpoint *ret);

#endif
