/*
 * site.h — one cluster and its repository, as the stories need it: values only, no configuration.
 *
 * Made by the server or a command from its settings (server/site_make.c); lives as long as the
 * process. A story borrows it.
 */
#ifndef JOB_SITE_H
#define JOB_SITE_H

#include "codec/sealed.h"
#include "loop/blocks.h"
#include "loop/gate.h"

struct repo;

struct site {
	struct loop *loop;
	struct blocks *blocks;
	struct gate *transfers; /* store operations in flight, over all stories */
	struct repo *repo;      /* opened (repo/repo.h) */
	const char *cluster;    /* its name in configuration and repository */
	const char *pgdata;     /* absolute; NULL when the configuration has none */
	const char *connect;    /* libpq connection string, or NULL for the default */
	const char *pg_bin;     /* folder of PostgreSQL's programs, or NULL: find it */
	const char *state; /* folder of our local state (a cache that may be deleted at any time) */
	const char *config_path; /* for restore_command; NULL when the embedded default is in use */
	const char *program;     /* absolute path of the running seawall */
	struct compression wal_compression, pack_compression;
	unsigned workers;
};

#endif
