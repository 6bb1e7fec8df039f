/* watch.h — waiting until a descriptor can be read or written, as an operation. */
#ifndef LOOP_WATCH_H
#define LOOP_WATCH_H

#include "loop/loop.h"

struct watch {
	struct op op;
	struct fd_watch fd_watch;
	struct timer timer;
	int fd, wanted, events; /* events: out, what is ready */
	int64_t timeout_ms;
};

/* Ends when one of the events (WATCH_READ | WATCH_WRITE) is there; ERR_TIMEOUT after timeout_ms (0:
 * never). */
void watch_start(struct op *parent, struct watch *watch, int fd, int events, int64_t timeout_ms);

#endif
