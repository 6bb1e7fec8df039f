/*
 * probe.h — finding out what a store does, and keeping it in the repository (features.h).
 */
#ifndef REPO_PROBE_H
#define REPO_PROBE_H

#include "repo/features.h"
#include "repo/repo.h"

/*
 * Tries the store out under "probe/try-…", and removes what it wrote, also when it fails. An error
 * is what makes a store unusable: it cannot be written, read or listed, or a range of an object is
 * not what was written. All else is a feature.
 */
struct probe {
	struct op op;
	/* in; the rest zero-filled */
	struct repo *repo;
	bool quick; /* without several puts at once: what is known of them stays */
	/* out */
	struct features features;
	struct err not_removed; /* why, when the store said so */
	struct probe_detail *detail;
};
void probe_start(struct op *parent, struct probe *probe);

/* Writes the repository's features under the next number. */
struct probe_note {
	struct op op;
	struct repo *repo;
	void *detail;
};
void probe_note_start(struct op *parent, struct probe_note *note);

/* Reads the newest note into the repository's features, and gives the store the safety that follows
 * from them. A note that is missing or damaged leaves them unknown: no error. */
struct probe_load {
	struct op op;
	struct repo *repo;
	void *detail;
};
void probe_load_start(struct op *parent, struct probe_load *load);

#endif
