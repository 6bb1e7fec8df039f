/* nearest.h — reading what a cluster's repositories hold: the nearest that has it, the next one
 * when it is away or damaged there. Private to this layer.
 *
 * "Not there" (ERR_NOTFOUND) is the word of all of them: one that cannot be asked makes it unknown,
 * and the error is then that one's. */
#ifndef JOB_NEAREST_H
#define JOB_NEAREST_H

#include "fetch_file.h"
#include "repo/holdings.h"

/* The walk along the chain that all below share. */
struct nearest {
	struct op op;
	struct site *first; /* in; must stay */
	/* private */
	struct site *at;
	struct site_ready ready;
	struct err unsure, damaged, missing;
	bool found, all; /* all: must answer */
	/* `hurried`: at has only a short time of silence; `hurries`: also when it is opened.
	 * Whoever was silent for so long is asked again, patiently, when no other has it. */
	bool hurried, hurries, patient;
	bool hasty; /* in: and nobody is asked again */
	struct site *silent;
};

/* The cluster's generation of a system identifier: of the nearest that has one, as all have it
 * under the same number (cluster_generation.h). With `every` the newest of all that can be asked:
 * one that has not taken part for a while has an older one. */
struct nearest_generation {
	struct nearest nearest;
	bool every;                           /* in */
	uint64_t system_identifier;           /* in; 0: whatever was begun last */
	char generation[NAME_GENERATION_MAX]; /* out */
	uint32_t n;                           /* out */
	int64_t begun_us;                     /* out */
	struct generation_facts facts;        /* out */
	struct generation_open open;
};
void nearest_generation_start(struct op *parent, struct nearest_generation *generation);

/* One file of WAL. */
struct nearest_file {
	struct nearest nearest;
	struct fetch_file file; /* in, but its site: nearest.first */
	struct harm_write mark; /* a segment that is damaged there */
};
void nearest_file_start(struct op *parent, struct nearest_file *file);

/* What they hold together. All must answer, unless `any`: then one is enough. */
struct nearest_catalog {
	struct nearest nearest;
	bool any;
	bool by_index; /* WAL that the index tells of is not listed (repo/holdings.h) */
	struct catalog_load
	        load;      /* in, but its repo; by_index: histories and WAL, whatever it says */
	struct harm *harm; /* by_index: in and out, as in struct holdings_load; NULL: nobody asks */
	struct walpieces pieces;
	struct holdings_load holdings;
};
void nearest_catalog_start(struct op *parent, struct nearest_catalog *catalog);

#endif
