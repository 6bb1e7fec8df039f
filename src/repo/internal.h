/* internal.h — what the files of repo share. */
#ifndef REPO_INTERNAL_H
#define REPO_INTERNAL_H

#include "loop/work.h"
#include "repo/repo.h"

/* Work of a story stands in the pool's queue as its memory does at the gate. */
static inline enum work_class repo_work_class(enum gate_class class)
{
	static const enum work_class classes[GATE_CLASSES] = {
	        [GATE_RESTORE] = WORK_RESTORE,
	        [GATE_WAL] = WORK_WAL,
	        [GATE_BACKUP] = WORK_BACKUP,
	        [GATE_VERIFY] = WORK_VERIFY,
	};

	return classes[class];
}

/* Random bytes; there is no system without them. */
void repo_random(void *bytes, size_t length);
/* A random number that is not 0. */
uint64_t repo_random_id(void);

#endif
