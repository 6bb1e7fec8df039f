/*
 * fetch_serve.h — fetch for one recovery, on a socket of its own: what `seawall restore --start`
 * does until the replay has ended.
 *
 * The same answers as the server's route /v1/wal/fetch, for one plan and its directory only.
 */
#ifndef SERVER_FETCH_SERVE_H
#define SERVER_FETCH_SERVE_H

#include "job/fetcher.h"
#include "repo/plan.h"
#include "server/listener.h"

struct fetch_serve;
/* site and plan must stay. Listens at path from now on. */
MUST_USE struct fetch_serve *fetch_serve_new(struct site *site, const struct restore_plan *plan,
                                             const char *path, struct err *err);
/* No new questions; the socket file is removed. */
void fetch_serve_quiesce(struct fetch_serve *serve);
/* Ends when all is answered and the fetcher has ended; frees it. */
struct fetch_serve_close {
	struct op op;
	struct fetch_serve *serve;
	struct fetcher_close close;
};
void fetch_serve_close_start(struct op *parent, struct fetch_serve_close *close);

#endif
