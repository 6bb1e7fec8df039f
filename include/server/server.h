/*
 * server.h — `seawall serve`: one process for one configuration, until it is told to stop.
 *
 * Holds the lock of the state folder and the Unix socket; a second server is ERR_REFUSED. Archives
 * and fetches for PostgreSQL's hooks, runs jobs, shows views (doc of the routes:
 * src/server/README). SIGTERM or SIGINT: takes no new work, lets pushes end for SERVER_DRAIN_MS,
 * closes. SIGHUP: reads the configuration again. The state folder may be deleted at any time: it is
 * made again within seconds.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/listener.h"
#include "server/runtime.h"

enum { SERVER_DRAIN_MS = 5000, SERVER_TICK_MS = 2000, SERVER_LOOK_MS = 60 * 1000 };

struct server_options {
	struct runtime *runtime;
	struct config *config;    /* the one that runtime was made from; a reload changes it */
	const char *config_given; /* --config, to read it again; NULL: none was given */
};
/* Returns when it was stopped; false with err when it could not start. */
MUST_USE bool server_run(const struct server_options *options, struct err *err);

/* For --dry-run: whether no other server has the state folder, and it could be written; changes
 * nothing. */
MUST_USE bool server_could_run(const struct config *config, struct err *err);

#endif
