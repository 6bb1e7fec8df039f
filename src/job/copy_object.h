/* copy_object.h — one sealed object from one repository to another. Private to this layer. */
#ifndef JOB_COPY_OBJECT_H
#define JOB_COPY_OBJECT_H

#include "job/site.h"
#include "loop/work.h"
#include "repo/keys.h"
#include "repo/object.h"

/* Wakes its parent at the end. */
struct copy_object {
	struct op op;
	/* in; must stay */
	struct site *from, *to;
	char name[NAME_BYTES], target[NAME_BYTES]; /* in the two of them */
	/* out */
	uint64_t stored_bytes;
	bool there; /* the same content was stored by somebody else meanwhile */
	/* private */
	struct blocks_hold hold;
	struct ticket ticket;
	struct store_get get;
	struct work work;
	struct sealer *sealer;
	struct sealed sealed;
	struct store_put put;
	struct digest claim; /* what it is known by to other writers */
	struct iovec piece[1 + BLOCKS_SEAL];
	struct object_stat stat;
	struct keys_look look;
	struct keys_guard guard;
	bool looked;
	bool plain; /* it is stored unencrypted */
};
void copy_object_start(struct op *parent, struct copy_object *object);

#endif
