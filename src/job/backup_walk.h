/*
 * backup_walk.h — what a backup copies, in the order of the manifest, cut into packs. Private to
 * this layer.
 *
 * A walk goes through the data directory and keeps one folder's names for each level, no more. A
 * plan is what one pack gets: entries without content, whole small files, pieces of big ones. Plans
 * come one after the other, each from a worker; they may be filled in any order.
 */
#ifndef JOB_BACKUP_WALK_H
#define JOB_BACKUP_WALK_H

#include "base/str.h"
#include "pg/datadir.h"
#include "repo/manifest.h"

enum {
	PLAN_BYTES_MAX = SEALED_FRAMES_BYTES_MAX,
	PLAN_ITEMS_MAX = 2048,
	COUNT_SLICE = 2048,             /* entries */
	PLAN_SLACK_BYTES = 1024 * 1024, /* kept for small files that are replaced by bigger ones */
	PLAN_PIECE_BYTES_MIN = 256 * 1024, /* no smaller piece is cut off a big file */
};

/* An entry of the manifest, or one piece of it. */
struct plan_item {
	enum manifest_kind kind;
	char *path;      /* owned; relative, or absolute when MANIFEST_OUTSIDE */
	char *target;    /* owned; of a link */
	char *content;   /* owned; the bytes themselves, instead of those of the file at path */
	uint64_t offset; /* of the piece in the file */
	uint32_t length; /* of the piece, as planned */
	bool first, last;
	bool through_link; /* path is a symbolic link to a file, copied as a file */
	bool pages;        /* its pages have checksums */
	struct relation_file relation;
	uint32_t mode;
	int64_t modified_us;
	/* out: what became of it (backup_fill.h) */
	bool missing; /* the file is not there any more */
	uint32_t got, pack_offset, crc32c;
};

struct plan {
	struct plan_item *item;
	size_t count, size;
	uint64_t bytes; /* planned */
	uint64_t slack; /* bytes that must stay free beside them */
};
struct plan_item *plan_add(struct plan *plan);
void plan_release(struct plan *plan);

struct walk;
/* version_folder: pg_version_folder(). checksums: the cluster has them. Strings must stay. */
struct walk *walk_new(const char *pgdata, const char *version_folder, bool checksums);
void walk_free(struct walk *walk);
/* All of these block: for workers, one at a time. */

/* Once, before the others and after the backup has started: which tablespaces there are. Those that
 * come later are made by the replay. */
MUST_USE bool walk_begin(struct walk *walk, struct err *err);
/* The next pack's worth. An empty plan: the walk has ended. */
MUST_USE bool walk_plan(struct walk *walk, struct plan *plan, struct err *err);
/* How much there is, by a walk of its own, slice by slice: adds to both, until !*ret_more. What
 * vanishes meanwhile is no error. */
MUST_USE bool walk_count(struct walk *walk, uint64_t *bytes, uint64_t *files, bool *ret_more,
                         struct err *err);

/* The links in pg_tblspc, as walk_begin found them. */
struct walk_tablespace {
	uint32_t oid;
	char *target; /* NULL: a plain folder ("in place") */
	uint64_t device, inode;
};
size_t walk_tablespaces(const struct walk *walk, const struct walk_tablespace **ret);

#endif
