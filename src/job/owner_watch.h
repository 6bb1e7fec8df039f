/*
 * owner_watch.h — one look at who writes which timeline, and what follows from it for the one that
 * is archived here. Private to this layer.
 */
#ifndef JOB_OWNER_WATCH_H
#define JOB_OWNER_WATCH_H

#include "push.h"
#include "repo/keys.h"

/* What was archived last from this data directory, into one repository. */
struct owner_wrote {
	uint32_t tli; /* of a new segment or history; 0: nothing yet */
	bool segment; /* the newest segment that was new there */
	uint32_t segment_tli;
	uint64_t segno;
};

struct owner_watch {
	struct op op;
	/* in; must stay */
	struct site *site;
	struct push_destination *destination; /* known */
	const char *folder;                   /* the data directory */
	struct owner_wrote wrote;
	bool fresh; /* the destination's owners were read just now */
	bool gap;   /* compare pg_wal with the archive */
	/* out */
	uint64_t filled; /* files that streaming had left out */
	/* private */
	struct keys_look keys;
	struct generation_open generation;
	struct catalog owners;
	struct catalog_load load;
	struct owner_write write;
	struct store_head head;
	char name[NAME_BYTES];
	size_t child;
	uint32_t child_tli; /* while it is looked at */
	int64_t stored_us;
	struct work work;
	struct walname *lacking;
	size_t lackings, size, at;
	struct catalog_head look;
	struct push push;
	struct err damage; /* of a file that could not be archived; the last one */
	char *path;
};
/* The caller has zero-filled it and set the inputs. */
void owner_watch_start(struct op *parent, struct owner_watch *watch);
void owner_watch_start_root(struct loop *loop, struct owner_watch *watch,
                            void (*on_done)(struct op *op));

#endif
