/*
 * manifest.c — backup_manifest, byte for byte laid out as src/backend/backup/backup_manifest.c
 * does.
 *
 * Version 1: every server and pg_verifybackup from 13 to 18 accepts it. The checksum on the last
 * line covers everything before that line.
 */
#include "pg/manifest.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#include <string.h>

#include "base/poison.h"

enum { ENTRY_BYTES_MAX = 64 << 10 };

static bool text_append(struct backup_manifest *manifest, const char *text, struct err *err)
{
	sha256_update(&manifest->sha256, text, strlen(text));
	return manifest->append(manifest->context, text, strlen(text), err);
}

bool backup_manifest_begin(struct backup_manifest *manifest, backup_manifest_append *append,
                           void *context, struct err *err)
{
	*manifest = (struct backup_manifest){.append = append, .context = context};
	sha256_init(&manifest->sha256);
	return text_append(manifest, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [",
	                   err);
}

/* A JSON string for a path of text, hex for any other bytes. */
static void path_add(struct buf *out, const char *path)
{
	if (!str_is_text(path, strlen(path))) {
		buf_addstr(out, "\"Encoded-Path\": \"");
		for (const char *p = path; *p; p++)
			buf_addf(out, "%02x", (unsigned)(unsigned char)*p);
		buf_addc(out, '"');
		return;
	}
	buf_addstr(out, "\"Path\": \"");
	for (const char *p = path; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
	buf_addc(out, '"');
}

/* "YYYY-MM-DD HH:MM:SS GMT" */
static void time_add(struct buf *out, int64_t unix_us)
{
	int64_t s = unix_us / US_PER_S - (unix_us % US_PER_S < 0);
	int64_t days = s / 86400 - (s % 86400 < 0), rest = s - days * 86400;
	int year, month, day;

	clock_civil(days, &year, &month, &day);
	buf_addf(out, "%04d-%02d-%02d %02d:%02d:%02d GMT", year, month, day, (int)(rest / 3600),
	         (int)(rest / 60 % 60), (int)(rest % 60));
}

static void checksum_add(struct buf *out, const struct backup_manifest_file *file)
{
	char hex[2 * SHA256_BYTES + 1];
	/* The four bytes as a little-endian server has them in memory. */
	uint8_t crc[4] = {(uint8_t)file->crc32c, (uint8_t)(file->crc32c >> 8),
	                  (uint8_t)(file->crc32c >> 16), (uint8_t)(file->crc32c >> 24)};

	switch (file->checksum) {
	case BACKUP_CHECKSUM_NONE:
		return;
	case BACKUP_CHECKSUM_CRC32C:
		str_hex_of(crc, sizeof(crc), hex);
		buf_addf(out, ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"%s\"", hex);
		return;
	case BACKUP_CHECKSUM_SHA256:
		str_hex_of(file->sha256, SHA256_BYTES, hex);
		buf_addf(out, ", \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"%s\"", hex);
		return;
	}
}

static bool entry_append(struct backup_manifest *manifest, struct buf *entry, const char *what,
                         struct err *err)
{
	if (entry->overflow)
		return err_set(err, ERR_INTERNAL,
		               "a backup manifest's entry is too long: \"%.100s\"", what);
	return text_append(manifest, buf_text(entry), err);
}

bool backup_manifest_file(struct backup_manifest *manifest, const struct backup_manifest_file *file,
                          struct err *err)
{
	AUTO_BUF struct buf entry;

	buf_init(&entry, ENTRY_BYTES_MAX);
	buf_addstr(&entry, manifest->files++ ? ",\n{ " : "\n{ ");
	path_add(&entry, file->path);
	buf_addf(&entry, ", \"Size\": %llu, \"Last-Modified\": \"",
	         (unsigned long long)file->size_bytes);
	time_add(&entry, file->modified_us);
	buf_addc(&entry, '"');
	checksum_add(&entry, file);
	buf_addstr(&entry, " }");
	return entry_append(manifest, &entry, file->path, err);
}

bool backup_manifest_range(struct backup_manifest *manifest, uint32_t tli, lsn start, lsn end,
                           struct err *err)
{
	AUTO_BUF struct buf entry;

	buf_init(&entry, ENTRY_BYTES_MAX);
	buf_addstr(&entry, manifest->ranges++ ? ",\n" : "\n],\n\"WAL-Ranges\": [\n");
	buf_addf(&entry,
	         "{ \"Timeline\": %u, \"Start-LSN\": \"" LSN_FORMAT "\", \"End-LSN\": \"" LSN_FORMAT
	         "\" }",
	         tli, LSN_ARGS(start), LSN_ARGS(end));
	return entry_append(manifest, &entry, "WAL range", err);
}

bool backup_manifest_end(struct backup_manifest *manifest, struct err *err)
{
	static const char before[] = "\"Manifest-Checksum\": \"", after[] = "\"}\n";
	char hex[2 * SHA256_BYTES + 1];
	uint8_t digest[SHA256_BYTES];

	if (!text_append(manifest, manifest->ranges ? "\n],\n" : "\n],\n\"WAL-Ranges\": [\n],\n",
	                 err))
		return false;
	sha256_final(&manifest->sha256, digest);
	str_hex_of(digest, sizeof(digest), hex);
	return manifest->append(manifest->context, before, sizeof(before) - 1, err) &&
	       manifest->append(manifest->context, hex, sizeof(hex) - 1, err) &&
	       manifest->append(manifest->context, after, sizeof(after) - 1, err);
}

void backup_manifest_release(struct backup_manifest *manifest)
{
	sha256_release(&manifest->sha256);
}
