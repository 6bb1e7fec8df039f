/*
 * loop.h — the event loop of a process: what is ready runs, then it sleeps until something happens.
 *
 * libev is behind it and is not seen. Low-level watches (descriptor, timer, signal) call a function
 * that records and wakes, and nothing else. One loop in a process; everything but loop_wake_async
 * and the inside of workers happens on its thread.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "loop/op.h"

struct loop_options {
	unsigned workers;         /* 0: the cores, at most WORKERS_MAX */
	void (*worker_end)(void); /* called in each worker thread as it ends; may be NULL */
};
enum { WORKERS_MAX = 8 };

struct loop *loop_new(const struct loop_options *options);
/* All operations must have ended. Ends the workers. NULL is fine. */
void loop_free(struct loop *loop);
/* Runs until loop_stop, or until no operation is left. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Milliseconds of the monotonic clock, fresh at each turn of the loop. */
int64_t loop_now_ms(const struct loop *loop);
unsigned loop_workers(const struct loop *loop);
/* Roots that have not ended, and turns of the loop so far: for tests ("while idle, it sleeps"). */
unsigned loop_operations(const struct loop *loop);
uint64_t loop_turns(const struct loop *loop);

/* A root operation, run to its end on this loop; its error, if any, is left in root->err. For
 * commands. */
void loop_run_op(struct loop *loop, struct op *root, const struct op_type *type);

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

/* A descriptor: ready() is called while the wanted events are there. Embed it; init once. */
struct fd_watch {
	struct loop *loop;
	void (*ready)(struct fd_watch *watch, int events);
	void *impl;
};
void fd_watch_init(struct fd_watch *watch, struct loop *loop,
                   void (*ready)(struct fd_watch *watch, int events));
/* events 0 stops it. May be called again with another descriptor or other events. */
void fd_watch_set(struct fd_watch *watch, int fd, int events);
void fd_watch_release(struct fd_watch *watch);

/* A timer: fired() is called once, ms from now. */
struct timer {
	struct loop *loop;
	void (*fired)(struct timer *timer);
	void *impl;
};
void timer_init(struct timer *timer, struct loop *loop, void (*fired)(struct timer *timer));
void timer_set(struct timer *timer, int64_t ms); /* starts, or starts again */
void timer_stop(struct timer *timer);
void timer_release(struct timer *timer);

/* A signal; one handler for each number, until loop_free. */
void loop_on_signal(struct loop *loop, int signal_number, void (*handler)(void *context),
                    void *context);

#endif
