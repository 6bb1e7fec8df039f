/*
 * datadir.h — what of a data directory belongs into a backup, and the names of relation files.
 *
 * Pure rules over paths relative to the data directory ("base/5/1259",
 * "pg_tblspc/16400/PG_15_…/5/16401", no "./", no "/" at the end). The caller walks, follows
 * symbolic links in pg_tblspc (and pg_wal) only, copies global/pg_control last, and takes
 * backup_label and tablespace_map from the server.
 */
#ifndef PG_DATADIR_H
#define PG_DATADIR_H

#include "base/mem.h"

enum datadir_verdict {
	DATADIR_COPY,  /* a file: its content; a folder: the entry, and look inside */
	DATADIR_EMPTY, /* a folder: the entry, nothing inside */
	DATADIR_SKIP,  /* neither the entry nor what is inside */
};

enum relation_fork { FORK_MAIN, FORK_FSM, FORK_VM, FORK_INIT };
#define RELATION_FILE_BLOCKS 131072u /* in each file of a relation, 1 GiB */

struct relation_file {
	uint32_t number; /* relfilenode */
	enum relation_fork fork;
	uint32_t segment; /* block of its first page: segment * RELATION_FILE_BLOCKS */
};

/* version_folder: the cluster's folder inside tablespaces (pg_version_folder); others there are
 * skipped. Main forks of unlogged relations need the set below as well. */
enum datadir_verdict datadir_judge(const char *path, bool is_folder, const char *version_folder);
/* Whether files in this folder are relations: "global", "base/<oid>",
 * "pg_tblspc/<oid>/<version>/<oid>". */
bool datadir_holds_relations(const char *folder);
/* "<number>[_fsm|_vm|_init][.<segment>]" without folder; false for everything else. */
bool relation_file_parse(const char *name, struct relation_file *ret);
/* "t<backend>_<number>[_fork][.<segment>]": a temporary table's. */
bool relation_file_is_temporary(const char *name);
/* Whether the page checksums of the file at path (relative) mean something: a relation's file. */
bool datadir_has_pages(const char *path, struct relation_file *ret);

/* The unlogged relations of one folder: those with an _init file. Add every name, then sort, then
 * ask. */
struct unlogged_set {
	uint32_t *number;
	size_t count, size;
};
void unlogged_set_add(struct unlogged_set *set, const char *name);
void unlogged_set_sort(struct unlogged_set *set);
/* A fork, other than _init, of an unlogged relation: not copied. */
bool unlogged_set_excludes(const struct unlogged_set *set, const char *name);
void unlogged_set_release(struct unlogged_set *set);

#endif
