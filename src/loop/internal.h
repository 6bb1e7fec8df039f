/* internal.h — what the files of this layer share: the loop itself. libev and threads are seen here
 * only. */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include <ev.h>
#include <pthread.h>

#include "loop/child.h"
#include "loop/loop.h"
#include "loop/work.h"

enum { SIGNALS_MAX = 8 };

struct signal_watch {
	struct ev_signal ev;
	void (*handler)(void *context);
	void *context;
};

struct pool;

struct loop {
	struct ev_loop *ev;
	struct ev_prepare prepare;
	struct ev_idle idle;
	struct op *ready_head, **ready_tail;
	unsigned roots; /* operations without parent that have not ended */
	uint64_t turns;
	bool stopping;
	struct pool *pool;
	struct signal_watch signals[SIGNALS_MAX];
	unsigned signal_count;
	struct child *children; /* started and not yet reaped */
	struct ev_signal child_signal;
};

struct pool *pool_new(struct loop *loop, unsigned workers, void (*worker_end)(void));
void pool_free(struct pool *pool);
unsigned pool_workers(const struct pool *pool);
void pool_submit(struct pool *pool, struct work *work);
/* Takes a job that no worker has begun out of the queue; false when one has. */
bool pool_withdraw(struct pool *pool, struct work *work);

#endif
