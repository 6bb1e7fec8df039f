/* copy_proof.h — WAL is proven before it is copied, as before it is archived: each segment, and its
 * seam to the one before. Private to this layer. */
#ifndef JOB_COPY_PROOF_H
#define JOB_COPY_PROOF_H

#include "copy_list.h"
#include "job/site.h"
#include "pg/walwalk.h"
#include "repo/harm.h"
#include "repo/object.h"

/* Wakes its parent whenever `proven` has moved. */
struct copy_proof {
	struct op op;
	/* in; must stay */
	struct site *from, *to;
	const char *from_generation, *to_generation;
	const struct generation_facts *facts;
	const struct copy_item *item; /* of stage COPY_WAL, in the order of their names */
	size_t items;
	/* out */
	size_t proven; /* so many, from the first on, may be copied */
	/* private */
	struct walwalk *walk;
	struct walname name, before; /* the segment at hand; one before it */
	bool at_source;              /* `before` is looked for there, the target has none */
	uint64_t segno, before_segno;
	uint8_t page[8]; /* the first bytes of `name` */
	lsn position;
	struct object_stream stream;
	struct harm_write mark;
	struct err damage;
	char object[NAME_BYTES];
};
void copy_proof_start(struct op *parent, struct copy_proof *proof);
void copy_proof_release(struct copy_proof *proof);

#endif
