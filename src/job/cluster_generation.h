/* cluster_generation.h — the generation that a cluster is archived to at one of its repositories.
 * Private to this layer.
 *
 * One number means one archive in all repositories of a cluster. A repository that has none yet, or
 * an older one, takes the number of the others, and what is noted there of who may write; so its
 * archive is begun only when the others have said whether they have one. */
#ifndef JOB_CLUSTER_GENERATION_H
#define JOB_CLUSTER_GENERATION_H

#include "job/site.h"
#include "repo/catalog.h"
#include "repo/owner.h"

struct cluster_generation {
	struct op op;
	struct site *site;             /* in: at this one; its repository is open */
	struct generation_facts facts; /* in: of the cluster; out: as noted there */
	struct site *only; /* in: that one alone is asked, what it has is brought; NULL: all are */
	/* out */
	char generation[NAME_GENERATION_MAX];
	uint32_t n;
	bool begun; /* it was made just now */
	bool waits; /* failed, because of another repository: this one answers */
	/* private */
	struct generation_open open;
	struct site *asked, *source; /* source: has the highest */
	struct site_ready ready;
	char source_generation[NAME_GENERATION_MAX];
	uint32_t source_n;
	bool known_here; /* the cluster is archived there, though not this system identifier */
	struct catalog notes;
	struct catalog_load load;
	size_t note;
	struct owner_write write;
};
void cluster_generation_start(struct op *parent, struct cluster_generation *generation);

#endif
