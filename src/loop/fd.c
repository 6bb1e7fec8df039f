/* fd.c — descriptor watches and timers: thin covers over libev, so that no other layer sees it. */
#include "internal.h"

#include <assert.h>

#include "loop/nap.h"
#include "loop/watch.h"

#include "base/poison.h"

static void on_fd(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct fd_watch *watch = io->data;

	(void)ev;
	watch->ready(watch,
	             (events & EV_READ ? WATCH_READ : 0) | (events & EV_WRITE ? WATCH_WRITE : 0));
}

void fd_watch_init(struct fd_watch *watch, struct loop *loop,
                   void (*ready)(struct fd_watch *watch, int events))
{
	struct ev_io *io = xcalloc(1, sizeof(*io));

	*watch = (struct fd_watch){.loop = loop, .ready = ready, .impl = io};
	ev_io_init(io, on_fd, -1, 0);
	io->data = watch;
}

void fd_watch_set(struct fd_watch *watch, int fd, int events)
{
	struct ev_io *io = watch->impl;

	ev_io_stop(watch->loop->ev, io);
	if (!events)
		return;
	ev_io_set(io, fd,
	          (events & WATCH_READ ? EV_READ : 0) | (events & WATCH_WRITE ? EV_WRITE : 0));
	ev_io_start(watch->loop->ev, io);
}

void fd_watch_release(struct fd_watch *watch)
{
	if (!watch->impl)
		return;
	fd_watch_set(watch, -1, 0);
	free(watch->impl);
	watch->impl = NULL;
}

static void on_timer(struct ev_loop *ev, struct ev_timer *ev_timer, int events)
{
	struct timer *timer = ev_timer->data;

	(void)ev;
	(void)events;
	timer->fired(timer);
}

void timer_init(struct timer *timer, struct loop *loop, void (*fired)(struct timer *timer))
{
	struct ev_timer *ev_timer = xcalloc(1, sizeof(*ev_timer));

	*timer = (struct timer){.loop = loop, .fired = fired, .impl = ev_timer};
	ev_init(ev_timer, on_timer);
	ev_timer->data = timer;
}

void timer_set(struct timer *timer, int64_t ms)
{
	struct ev_timer *ev_timer = timer->impl;

	ev_timer_stop(timer->loop->ev, ev_timer);
	ev_now_update(timer->loop->ev); /* the loop's own idea of now may be a long step old */
	ev_timer_set(ev_timer, (double)MAX(ms, 0) / 1000.0, 0.);
	ev_timer_start(timer->loop->ev, ev_timer);
}

void timer_stop(struct timer *timer)
{
	if (timer->impl)
		ev_timer_stop(timer->loop->ev, timer->impl);
}

void timer_release(struct timer *timer)
{
	timer_stop(timer);
	free(timer->impl);
	timer->impl = NULL;
}

/* nap: START -> SLEEPING -> done, by the timer or by a cancel */

enum nap_state { NAP_START, NAP_SLEEPING, NAP_OVER };

static void nap_fired(struct timer *timer)
{
	struct nap *nap = container_of(timer, struct nap, timer);

	nap->op.state = NAP_OVER;
	op_wake(&nap->op);
}

static void nap_step(struct op *op)
{
	struct nap *nap = container_of(op, struct nap, op);

	if (op->state == NAP_START && !op->cancelled) {
		timer_init(&nap->timer, op->loop, nap_fired);
		timer_set(&nap->timer, nap->ms);
		return op_wait(op, NAP_SLEEPING);
	}
	timer_release(&nap->timer);
	if (op->state == NAP_OVER)
		return op_done(op);
	op_fail_as(op, ERR_CANCELLED, "cancelled");
}

static void nap_cancel(struct op *op)
{
	op_wake(op);
}

static const struct op_type nap_type = {.name = "nap", .step = nap_step, .cancel = nap_cancel};

void nap_start(struct op *parent, struct nap *nap, int64_t ms)
{
	*nap = (struct nap){.ms = ms};
	op_start(parent, &nap->op, &nap_type);
}

/* watch: as nap, with a descriptor as the first reason to end */

enum watch_state { WATCHING_START, WATCHING, WATCHING_READY, WATCHING_TIMEOUT };

static void watch_ready(struct fd_watch *fd_watch, int events)
{
	struct watch *watch = container_of(fd_watch, struct watch, fd_watch);

	fd_watch_set(fd_watch, -1, 0);
	watch->events = events;
	watch->op.state = WATCHING_READY;
	op_wake(&watch->op);
}

static void watch_fired(struct timer *timer)
{
	struct watch *watch = container_of(timer, struct watch, timer);

	if (watch->op.state == WATCHING)
		watch->op.state = WATCHING_TIMEOUT;
	op_wake(&watch->op);
}

static void watch_step(struct op *op)
{
	struct watch *watch = container_of(op, struct watch, op);

	if (op->state == WATCHING_START && !op->cancelled) {
		fd_watch_init(&watch->fd_watch, op->loop, watch_ready);
		fd_watch_set(&watch->fd_watch, watch->fd, watch->wanted);
		timer_init(&watch->timer, op->loop, watch_fired);
		if (watch->timeout_ms > 0)
			timer_set(&watch->timer, watch->timeout_ms);
		return op_wait(op, WATCHING);
	}
	fd_watch_release(&watch->fd_watch);
	timer_release(&watch->timer);
	if (op->state == WATCHING_READY)
		return op_done(op);
	if (op->state == WATCHING_TIMEOUT)
		return op_fail_as(op, ERR_TIMEOUT, "no answer within %lld ms",
		                  (long long)watch->timeout_ms);
	op_fail_as(op, ERR_CANCELLED, "cancelled");
}

static const struct op_type watch_type = {
        .name = "watch", .step = watch_step, .cancel = nap_cancel};

void watch_start(struct op *parent, struct watch *watch, int fd, int events, int64_t timeout_ms)
{
	assert(fd >= 0 && events);
	*watch = (struct watch){.fd = fd, .wanted = events, .timeout_ms = timeout_ms};
	op_start(parent, &watch->op, &watch_type);
}
