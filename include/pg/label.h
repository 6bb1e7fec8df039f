/*
 * label.h — backup_label, backup history files (<segment>.<offset>.backup) and tablespace_map.
 */
#ifndef PG_LABEL_H
#define PG_LABEL_H

#include "base/buf.h"
#include "base/err.h"
#include "pg/lsn.h"
#include "pg/segment.h"

enum {
	LABEL_BYTES_MAX = 16 << 10, /* of a file that is parsed */
	LABEL_TEXT_MAX = 1025,      /* of the label itself, with NUL (the server allows 1024) */
	TABLESPACE_MAP_BYTES_MAX = 4 << 20,
	TABLESPACE_PATH_MAX = 4096,
};

/* Both files; the stop fields are only in a backup history file (0 and "" else). */
struct label {
	lsn start_lsn, checkpoint_lsn, stop_lsn;
	char start_file[SEGMENT_NAME_BYTES], stop_file[SEGMENT_NAME_BYTES];
	uint32_t start_tli, stop_tli;       /* start_tli: of START TIMELINE, else of start_file */
	char method[32], from[32];          /* "streamed"; "primary", "master" (13) or "standby" */
	char start_time[64], stop_time[64]; /* as written, in the server's log_timezone */
	char text[LABEL_TEXT_MAX];
	lsn incremental_from_lsn; /* 17+, 0 else */
};

/* ERR_DAMAGED without the three lines that the server insists on, or with CR line ends. */
MUST_USE bool label_parse(const void *bytes, size_t length, struct label *ret, struct err *err);
/* The bytes of a backup_label (no stop fields), for tests and tools: a backup keeps the server's
 * own bytes. */
void label_write(const struct label *label, struct buf *out);

struct tablespace {
	uint32_t oid;
	char *path; /* absolute, unescaped */
};
struct tablespace_map {
	struct tablespace *item;
	size_t count, size;
};

/* An empty text is an empty map. ERR_DAMAGED: a line that is none, the same oid twice, a relative
 * path. */
MUST_USE bool tablespace_map_parse(const void *bytes, size_t length, struct tablespace_map *ret,
                                   struct err *err);
/* Backslash before backslash, LF and CR, as the server reads it. */
void tablespace_map_write(const struct tablespace_map *map, struct buf *out);
void tablespace_map_add(struct tablespace_map *map, uint32_t oid, const char *path);
const char *tablespace_map_path(const struct tablespace_map *map, uint32_t oid); /* or NULL */
void tablespace_map_release(struct tablespace_map *map);

#endif
