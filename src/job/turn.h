/*
 * turn.h — whose turn it is: the order in which one object is asked for in a cluster's
 * repositories. Private to this layer.
 *
 * The preferred one, then the nearest; one that did not answer a moment ago is asked last. While
 * there are others, each has only a short time of silence (site_stall_ms); whoever was silent for
 * so long is asked once more, as patiently as a single repository, when nobody else has the object.
 */
#ifndef JOB_TURN_H
#define JOB_TURN_H

#include "job/site.h"

struct turn {
	struct site *at; /* whose turn it is */
	/* private */
	struct site *first;
	unsigned asked, silent; /* bits of places along the chain */
	bool patient;
	struct err why; /* of those that were asked: what says most */
};
/* prefer: NULL, or one of the chain that begins with first. One of them must be open. */
void turn_begin(struct turn *turn, struct site *first, struct site *prefer);
/* For the read from `at`: struct store_get. */
int64_t turn_stall_ms(const struct turn *turn);
/* `at` failed with `why`: the next one. False: nobody is left, turn->why says why. */
bool turn_next(struct turn *turn, const struct err *why);
/* `at` gave it. */
void turn_end(struct turn *turn);

#endif
