/*
 * push_before.h — the seam between a segment and the one before it, proven before it is stored.
 * Private to this layer.
 */
#ifndef JOB_PUSH_BEFORE_H
#define JOB_PUSH_BEFORE_H

#include "pg/control.h"
#include "pg/segment.h"
#include "pg/walwalk.h"
#include "repo/harm.h"
#include "repo/object.h"

struct push_before {
	/* in */
	const char *path; /* of the segment, in its folder */
	int fd;           /* it is open */
	const struct walname *name;
	const struct control *control;
	/* out */
	bool missing;    /* the folder does not have all that is needed */
	struct err here; /* what the folder has before it is damaged, or of another chain … */
	char suspect[WALNAME_BYTES]; /* … up to this segment */
	bool rescued;                /* … and what the repository has is whole, and proves it */
	/* private */
	struct op op;
	struct repo *repo;
	const char *generation;
	struct walname segment; /* is needed next: from position on to its end */
	lsn start, position;
	bool anew;            /* all from the repository */
	bool looked_here;     /* some of it from the folder */
	bool unproven;        /* what the repository has does not prove */
	struct walwalk *walk; /* owned */
	char object[NAME_BYTES];
	struct object_stream stream;
	struct work work;
	struct err damage; /* of the object that was read */
	struct harm_write mark;
};

/* On a worker. Proves what it can from the folder; missing and here say what is open then. False:
 * the segment itself cannot be read. */
MUST_USE bool push_before_look(struct push_before *before, struct err *err);
static inline bool push_before_is_open(const struct push_before *before)
{
	return before->missing || err_is(&before->here);
}
/* What that left open, from the repository. ERR_DAMAGED: it does not prove. Without error: it does,
 * or the repository has nothing that could tell (then `here` stands, not rescued). */
void push_before_ask_start(struct op *parent, struct push_before *before, struct repo *repo,
                           const char *generation);
/* Whether the repository was asked, and what it has does not prove. */
static inline bool push_before_failed(const struct push_before *before)
{
	return before->op.done && op_failed(&before->op);
}
void push_before_release(struct push_before *before);

#endif
