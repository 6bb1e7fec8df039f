/*
 * heads.h — the heads of a generation's backups, read one after the other: for list, show, status
 * and the choice of a restore.
 *
 * One that is damaged does not hide the others: it is named among
 * the unreadable. A repository that does not answer fails the operation.
 */
#ifndef REPO_HEADS_H
#define REPO_HEADS_H

#include "repo/catalog.h"
#include "repo/manifest.h"
#include "repo/object.h"

/* One head by its id. Released with manifest_head_release by the caller after success. */
struct head_read {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation, *id;
	/* out */
	struct manifest_head head;
	uint64_t stored_bytes; /* of the object that holds the head */
	/* private */
	char name[NAME_BYTES];
	struct object_read read;
};
void head_read_start(struct op *parent, struct head_read *read);

struct heads_unreadable {
	char id[NAME_BACKUP_ID_BYTES];
	struct err err;
};

struct heads {
	struct manifest_head *head; /* by stop_lsn within a timeline, timelines ascending */
	size_t count;
	struct heads_unreadable *unreadable;
	size_t unreadables;
};

struct heads_load {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	const struct catalog *catalog; /* its ids (CATALOG_BACKUPS); must stay until the end */
	struct heads *ret;             /* zero-filled by the caller */
	/* private */
	size_t next;
	struct head_read read;
};
/* ret is released with heads_release also after a failure. */
void heads_load_start(struct op *parent, struct heads_load *load);
void heads_release(struct heads *heads);
/* NULL: not among them. */
const struct manifest_head *heads_find(const struct heads *heads, const char *id);

#endif
