/*
 * backups.h — what a cluster's archive holds, as the server and the commands show it: an open
 * repository, the newest generation, the ids of its backups and their heads.
 */
#ifndef SERVER_BACKUPS_H
#define SERVER_BACKUPS_H

#include "codec/json.h"
#include "repo/catalog.h"
#include "repo/heads.h"
#include "server/presence.h"
#include "server/runtime.h"

enum { BACKUPS_SHOWN_MAX = 1000 };

/* The repository of a cluster, opened unless it is open; it may not be reachable now and be later.
 */
struct site_open {
	struct op op;
	struct runtime *runtime;
	size_t cluster;
	struct repo_open open;
};
void site_open_start(struct op *parent, struct site_open *open, struct runtime *runtime,
                     size_t cluster);

struct backups {
	struct op op;
	/* in; the rest zero-filled */
	struct runtime *runtime;
	size_t cluster;
	unsigned heads_max; /* the newest ones, by their names, whose heads are read; 0:
	                       BACKUPS_SHOWN_MAX, and also those that only another repository has */
	unsigned what;      /* CATALOG_* beside CATALOG_BACKUPS */
	/* out */
	struct generation_open generation;
	struct catalog catalog;
	struct manifest_head *head; /* oldest first */
	size_t heads;
	struct heads_unreadable *unreadable; /* what could not be read, and why */
	size_t unreadables;
	struct presence presence; /* where they lie, when the cluster has several repositories */
	/* private */
	struct site *site; /* the one that is read: the nearest that answers */
	struct site_ready ready;
	struct catalog_load load;
	struct head_read read;
	size_t next;
};
/* A cluster that never archived anything has no backups: success. */
void backups_start(struct op *parent, struct backups *backups);
void backups_release(struct backups *backups);

/* One backup as JSON: all of its head that fits a list. */
void backup_json(const struct manifest_head *head, struct jval *object);

#endif
