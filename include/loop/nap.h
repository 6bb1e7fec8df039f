/* nap.h — waiting for time to pass, as an operation. */
#ifndef LOOP_NAP_H
#define LOOP_NAP_H

#include "loop/loop.h"

struct nap {
	struct op op;
	struct timer timer;
	int64_t ms;
};

/* Ends after ms; cancelled: at once, ERR_CANCELLED. */
void nap_start(struct op *parent, struct nap *nap, int64_t ms);

#endif
