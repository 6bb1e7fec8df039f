/*
 * manifest.h — writes PostgreSQL's backup_manifest, version 1 (accepted by pg_verifybackup 13 to
 * 18).
 *
 * A stream: begin, each file, each WAL range, end. Text goes to the append function in small
 * pieces; the SHA-256 of the whole is kept beside it, so any number of files passes through
 * constant memory.
 */
#ifndef PG_MANIFEST_H
#define PG_MANIFEST_H

#include "base/err.h"
#include "codec/sha256.h"
#include "pg/lsn.h"

typedef bool backup_manifest_append(void *context, const void *bytes, size_t length,
                                    struct err *err);

struct backup_manifest {
	backup_manifest_append *append;
	void *context;
	struct sha256 sha256;
	uint64_t files, ranges;
};

enum backup_checksum { BACKUP_CHECKSUM_NONE, BACKUP_CHECKSUM_CRC32C, BACKUP_CHECKSUM_SHA256 };

struct backup_manifest_file {
	const char *path; /* relative to the data directory; bytes that are not UTF-8 are written as
	                     hex */
	uint64_t size_bytes;
	int64_t modified_us; /* since 1970 */
	enum backup_checksum checksum;
	uint32_t crc32c;
	const uint8_t *sha256; /* 32 bytes */
};

MUST_USE bool backup_manifest_begin(struct backup_manifest *manifest,
                                    backup_manifest_append *append, void *context, struct err *err);
MUST_USE bool backup_manifest_file(struct backup_manifest *manifest,
                                   const struct backup_manifest_file *file, struct err *err);
/* After all files: one for each timeline of the backup. */
MUST_USE bool backup_manifest_range(struct backup_manifest *manifest, uint32_t tli, lsn start,
                                    lsn end, struct err *err);
MUST_USE bool backup_manifest_end(struct backup_manifest *manifest, struct err *err);
/* Releases what a manifest that is not ended still holds; safe after the end. */
void backup_manifest_release(struct backup_manifest *manifest);

#endif
