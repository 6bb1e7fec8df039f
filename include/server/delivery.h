/*
 * delivery.h — serves fetch for one restore, on a Unix socket of its own: the `serve` and `unserve`
 * of job/restore.h, for the command that restores.
 */
#ifndef SERVER_DELIVERY_H
#define SERVER_DELIVERY_H

#include "job/fetcher.h"

struct delivery;

struct delivery_options {
	struct site *site;               /* with an open repository */
	const struct restore_plan *plan; /* must stay until the delivery is over */
	const char *folder;              /* the directory that is being restored, absolute */
	const char *socket;              /* where to listen, absolute, at most 107 bytes */
	unsigned ahead_max;
};
/* NULL with err. */
MUST_USE struct delivery *delivery_start(const struct delivery_options *options, struct err *err);
/* No more questions; open ones are cancelled, the fetcher is closed, the delivery frees itself. All
 * that takes turns of the loop: before loop_free, loop_run() until no operation is left. NULL is
 * fine. */
void delivery_stop(struct delivery *delivery);
void delivery_figures(const struct delivery *delivery, struct fetcher_figures *ret);

#endif
