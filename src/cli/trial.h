/* trial.h — one small object through all that a repository must be able to do. */
#ifndef CLI_TRIAL_H
#define CLI_TRIAL_H

#include "server/runtime.h"

struct trial {
	struct store *store;  /* in */
	int64_t clock_off_us; /* out: the store's clock, less ours */
};
/* Writes it, reads it back, sees that it cannot be overwritten, asks for its time, deletes it. The
 * error says which of them failed. */
MUST_USE bool trial_run(struct runtime *runtime, struct trial *trial, struct err *err);

#endif
