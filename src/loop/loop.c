/*
 * loop.c — the event loop: libev with a hook before each sleep that steps what is ready.
 *
 * A batch is taken off the ready list and stepped; what becomes ready meanwhile is the next batch.
 * While there is one, an idle watcher keeps libev from sleeping, so timers and descriptors get
 * their turn between batches.
 */
#include "internal.h"

#include <assert.h>
#include <signal.h>

#include "base/clock.h"
#include "base/poison.h"

static void ready_run(struct loop *loop)
{
	struct op *batch = loop->ready_head;

	loop->ready_head = NULL;
	loop->ready_tail = &loop->ready_head;
	while (batch) {
		struct op *op = batch;

		batch = op->ready_next;
		op->ready = false;
		op->type->step(op);
	}
	if (loop->ready_head)
		ev_idle_start(loop->ev, &loop->idle);
	else
		ev_idle_stop(loop->ev, &loop->idle);
	if (loop->stopping || (loop->roots == 0 && !loop->ready_head))
		ev_break(loop->ev, EVBREAK_ALL);
}

static void on_prepare(struct ev_loop *ev, struct ev_prepare *prepare, int events)
{
	struct loop *loop = prepare->data;

	(void)ev;
	(void)events;
	loop->turns++;
	ready_run(loop);
}

static void on_idle(struct ev_loop *ev, struct ev_idle *idle, int events)
{
	(void)ev;
	(void)idle;
	(void)events;
}

struct loop *loop_new(const struct loop_options *options)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned workers = options && options->workers ? options->workers : (unsigned)MAX(cores, 1);

	loop->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!loop->ev)
		abort(); /* no epoll, no poll, no select: there is no such system */
	loop->ready_tail = &loop->ready_head;
	ev_prepare_init(&loop->prepare, on_prepare);
	loop->prepare.data = loop;
	ev_prepare_start(loop->ev, &loop->prepare);
	ev_idle_init(&loop->idle, on_idle);
	loop->pool = pool_new(loop, MIN(workers, (unsigned)WORKERS_MAX),
	                      options ? options->worker_end : NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error like a full disk */
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(loop->roots == 0);
	pool_free(loop->pool);
	for (unsigned i = 0; i < loop->signal_count; i++)
		ev_signal_stop(loop->ev, &loop->signals[i].ev);
	ev_signal_stop(loop->ev, &loop->child_signal);
	ev_prepare_stop(loop->ev, &loop->prepare);
	ev_idle_stop(loop->ev, &loop->idle);
	ev_loop_destroy(loop->ev);
	free(loop);
}

void loop_run(struct loop *loop)
{
	loop->stopping = false;
	ev_run(loop->ev, 0);
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	ev_break(loop->ev, EVBREAK_ALL);
}

int64_t loop_now_ms(const struct loop *loop)
{
	(void)loop;
	return clock_mono_us() / 1000;
}

unsigned loop_workers(const struct loop *loop)
{
	return pool_workers(loop->pool);
}

unsigned loop_operations(const struct loop *loop)
{
	return loop->roots;
}

uint64_t loop_turns(const struct loop *loop)
{
	return loop->turns;
}

static void run_op_done(struct op *op)
{
	loop_stop(op->loop);
}

void loop_run_op(struct loop *loop, struct op *root, const struct op_type *type)
{
	op_start_root(loop, root, type, run_op_done);
	while (!root->done)
		loop_run(loop);
}

static void on_signal(struct ev_loop *ev, struct ev_signal *watcher, int events)
{
	struct signal_watch *watch = watcher->data;

	(void)ev;
	(void)events;
	watch->handler(watch->context);
}

void loop_on_signal(struct loop *loop, int signal_number, void (*handler)(void *context),
                    void *context)
{
	struct signal_watch *watch = NULL;

	for (unsigned i = 0; i < loop->signal_count; i++)
		if (loop->signals[i].ev.signum == signal_number)
			watch = &loop->signals[i];
	if (!watch) {
		assert(loop->signal_count < SIGNALS_MAX);
		watch = &loop->signals[loop->signal_count++];
		ev_signal_init(&watch->ev, on_signal, signal_number);
		watch->ev.data = watch;
		ev_signal_start(loop->ev, &watch->ev);
	}
	watch->handler = handler;
	watch->context = context;
}
