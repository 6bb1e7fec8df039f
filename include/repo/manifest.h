/*
 * manifest.h — what a backup is: a small head (JSON) and a body, one record for each file, with its
 * extents.
 *
 * Object "backup/<id>": its own frames are the head's JSON, its parts are the body (always parts,
 * so that a list of backups reads one small object for each). The object with the head is written
 * last: then the backup exists.
 *
 * Body records are binary and little-endian, in the order of the walk: path components compared one
 * after the other as bytes, so a folder stands before what is in it. Behind them come those that
 * are known only after the walk (manifest_path_is_late), in the same order among themselves. They
 * stream: nobody needs all of them in memory, neither to write nor to read them. doc/format.md has
 * every byte.
 */
#ifndef REPO_MANIFEST_H
#define REPO_MANIFEST_H

#include "base/buf.h"
#include "base/err.h"
#include "pg/lsn.h"
#include "repo/names.h"

enum {
	MANIFEST_PATH_MAX = 4096,
	MANIFEST_EXTENTS_MAX = 1 << 18, /* of one record; 1 GiB as single blocks has half of them */
	MANIFEST_HEAD_BYTES_MAX = 4 << 20,
	MANIFEST_FINDINGS_MAX = 1000, /* kept by name; the count goes on */
	MANIFEST_TABLESPACES_MAX = 10000,
};

enum manifest_kind { /* numbers are in the format */
	             MANIFEST_FILE = 1,
	             MANIFEST_FOLDER = 2,
	             MANIFEST_LINK = 3,    /* symbolic link: pg_tblspc/<oid>, or pg_wal */
	             MANIFEST_OUTSIDE = 4, /* a configuration file outside of the data directory;
	                                      path is absolute */
};

/* length bytes of the file at offset are those of a pack's logical content; or zeros. */
struct extent {
	uint64_t offset, length;
	uint32_t source; /* index into manifest_head.source: whose pack it is. 0: this backup's */
	uint32_t pack;   /* number, from 1; MANIFEST_ZEROS: no pack, the bytes are zero */
	uint32_t pack_offset;
};
#define MANIFEST_ZEROS UINT32_MAX

struct manifest_entry {
	enum manifest_kind kind;
	const char *path;   /* relative to the data directory; MANIFEST_OUTSIDE: absolute */
	const char *target; /* MANIFEST_LINK: where it points */
	uint64_t size_bytes;
	uint32_t mode; /* permission bits */
	int64_t modified_us;
	uint32_t crc32c; /* of the whole content; files (pg/crc32c.h) */
	const struct extent *extent;
	uint32_t extents; /* in order, without holes or overlaps, together size_bytes */
};

void manifest_entry_encode(const struct manifest_entry *entry, struct buf *out);
/* Whether the record stands behind those of the walk: global/pg_control, backup_label,
 * tablespace_map, and every MANIFEST_OUTSIDE. */
bool manifest_path_is_late(enum manifest_kind kind, const char *path);

/* A reader of records from a stream in pieces of any size. */
struct manifest_reader;
typedef bool manifest_each(void *context, const struct manifest_entry *entry, struct err *err);
struct manifest_reader *manifest_reader_new(manifest_each *each, void *context);
/* ERR_DAMAGED: a record that cannot be (a path that leaves the directory, a file without its
 * folder, unsorted or twice, a link other than pg_wal and pg_tblspc/<oid>, extents that do not add
 * up …). The entry and what it points to are valid during the call of each. */
MUST_USE bool manifest_reader_feed(struct manifest_reader *reader, const void *bytes, size_t length,
                                   struct err *err);
/* The stream has ended: at the end of a record? */
MUST_USE bool manifest_reader_end(struct manifest_reader *reader, struct err *err);
uint64_t manifest_reader_count(const struct manifest_reader *reader);
void manifest_reader_free(struct manifest_reader *reader);
/* The order of the walk: below, equal to or above 0. */
int manifest_path_compare(const char *a, const char *b);

struct manifest_tablespace {
	uint32_t oid;
	char *name, *path; /* owned */
};
struct manifest_finding { /* a page whose checksum is wrong */
	char *path;       /* owned */
	uint32_t block;   /* in the relation */
	bool warning;     /* of a free space or visibility map: may be torn, heals itself */
};

/* Strings are owned; "" rather than NULL where there is nothing. */
struct manifest_head {
	char id[NAME_BACKUP_ID_BYTES];
	char *tool_version, *label_text; /* label_text: the user's --label */
	int64_t begun_us, ended_us;      /* of the copy, our clock */
	uint64_t system_identifier;
	uint32_t major, server_version_num, catalog_version;
	uint32_t segment_bytes;
	bool checksums;
	bool group_known, group_access; /* the data directory's group may read it (0750) */
	uint32_t start_tli, stop_tli;
	lsn start_lsn, stop_lsn; /* from backup_label, and what pg_backup_stop returned */
	int64_t stop_time_us; /* server's clock at the stop: commits before it are in the backup */
	char *from;           /* "primary" */
	char *pgdata, *pg_bin, *time_zone; /* of the server */
	char *config_file, *hba_file,
	        *ident_file; /* absolute; "" when they lie in the data directory */
	uint64_t files, folders, logical_bytes, stored_bytes, packs;
	uint64_t body_bytes; /* logical bytes of the body */
	char **source;       /* backup ids whose packs are used; [0] is this one's */
	size_t sources;
	struct manifest_tablespace *tablespace;
	size_t tablespaces;
	struct manifest_finding *finding;
	size_t findings;
	uint64_t findings_total;
};
void manifest_head_write(const struct manifest_head *head, struct buf *out);
MUST_USE bool manifest_head_parse(const void *text, size_t length, struct manifest_head *ret,
                                  struct err *err);
void manifest_head_release(struct manifest_head *head);
/* For qsort: the earlier one first, by timeline and position of the stop. Not by the id: two
 * backups may have begun in the same second, and clocks jump. */
int manifest_head_order(const void *a, const void *b);

#endif
