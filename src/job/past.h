/*
 * past.h — who wrote in the generations before this one, and so may not write in it unasked.
 * Private to this layer.
 */
#ifndef JOB_PAST_H
#define JOB_PAST_H

#include "repo/catalog.h"

/* Reads the owner notes of all earlier generations of the same system identifier. */
struct past_load {
	struct op op;
	/* in; must stay */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	struct catalog *ret; /* zero-filled */
	/* private */
	char name[NAME_GENERATION_MAX];
	uint32_t n;
	struct catalog_load load;
};
void past_load_start(struct op *parent, struct past_load *load);

/* Whether that directory wrote the timeline before `adopt --new-generation` on another one, and has
 * not been adopted since. */
bool past_bars(const struct catalog *past, const struct catalog *owners, uint32_t tli,
               const char *folder);

/* What it hears. */
void past_tell(const struct catalog *owners, const char *generation, uint32_t tli, struct err *err);

#endif
