/*
 * backup_check.h — whether a backup can be made, and what the server is asked. Private to this
 * layer.
 */
#ifndef JOB_BACKUP_CHECK_H
#define JOB_BACKUP_CHECK_H

#include "job/site.h"
#include "pg/control.h"
#include "pg/label.h"
#include "pg/session.h"
#include "repo/manifest.h"
#include "repo/repo.h"

/* Only one backup of a cluster at a time: a lock on a file in the state folder, held by the open
 * descriptor. */
MUST_USE bool backup_lock(const struct site *site, int *ret_fd, struct err *err);
/* The label that goes to the server. */
MUST_USE bool backup_label_check(const char *label, struct err *err);
/* What the server says of itself. */
MUST_USE bool backup_check_facts(const struct facts *facts, struct err *err);
/* Whether the folder is that server's data directory, by pg_control and by device and inode. */
MUST_USE bool backup_check_folder(const char *pgdata, const struct facts *facts,
                                  struct control *ret_control, struct err *err);
MUST_USE bool backup_check_generation(const struct generation_facts *generation,
                                      const struct control *control, struct err *err);
/* The folder of the running postmaster's program, or "" when it cannot be known; the caller frees
 * it. */
char *backup_find_pg_bin(const char *pgdata);
/* Whether an absolute path lies in the data directory. */
bool backup_is_inside(const char *path, const char *pgdata, const char *data_directory);

/* Locks out other hosts, by an advisory lock of the session. One row: NULL, or the other's pid. */
extern const char backup_sql_lock[];
/* oid, name of each tablespace. */
extern const char backup_sql_tablespaces[];
/* $1 label, $2 fast; one value: the start LSN. */
const char *backup_sql_start(unsigned major);
/* lsn, backup_label, tablespace_map, microseconds of the server's clock since 1970. */
const char *backup_sql_stop(unsigned major);
extern const char backup_sql_archiver[];

struct backup_stop {
	lsn stop_lsn;
	int64_t time_us;
	struct label label;
	char *label_file, *map_file; /* owned; map_file "" without tablespaces */
};
MUST_USE bool backup_stop_parse(const struct query *query, struct backup_stop *ret,
                                struct err *err);
void backup_stop_release(struct backup_stop *stop);

#endif
