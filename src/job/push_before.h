/*
 * push_before.h — the seam between a segment and the one before it, proven before it is stored.
 * Private to this layer.
 */
#ifndef JOB_PUSH_BEFORE_H
#define JOB_PUSH_BEFORE_H

#include "pg/control.h"
#include "pg/segment.h"
#include "pg/walwalk.h"

struct push_before {
	/* in */
	const char *path; /* of the segment, in its folder */
	int fd;           /* it is open */
	const struct walname *name;
	const struct control *control;
	/* out, of both functions */
	bool missing;           /* the folder does not have this one, which is needed next: */
	struct walname segment; /* from position on to its end; the caller feeds it to walk */
	lsn position;
	struct walwalk *walk; /* owned */
};

/* On a worker. Proves what it can, or says what is missing. */
MUST_USE bool push_before_look(struct push_before *before, struct err *err);
/* Goes on when what was missing has been fed. */
MUST_USE bool push_before_go_on(struct push_before *before, struct err *err);
void push_before_release(struct push_before *before);

#endif
