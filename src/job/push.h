/* push.h — one file of pg_wal made safe: what archiver.c starts, and the identity of a file.
 * Private to this layer. */
#ifndef JOB_PUSH_H
#define JOB_PUSH_H

#include <sys/stat.h>

#include "job/site.h"
#include "loop/work.h"
#include "pg/control.h"
#include "pg/walwalk.h"
#include "cluster_generation.h"
#include "past.h"
#include "push_before.h"
#include "repo/catalog.h"
#include "repo/harm.h"
#include "repo/object.h"
#include "repo/walscan.h"

/* The very same file: a snapshot may have been rolled back under us, so a name is not enough. */
struct file_identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};
void file_identity_of(const struct stat *status, struct file_identity *ret);
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);

/*
 * To which generation of the repository a data directory's WAL goes; shared by all pushes of an
 * archiver, looked up by the first of them and again when the system identifier in pg_control has
 * become another.
 */
struct push_destination {
	struct gate gate; /* one place: one look-up at a time */
	bool known;
	unsigned doubts;  /* a look-up that began before the last one says nothing */
	unsigned changes; /* how often it was found to be another generation than before */
	struct generation_facts facts;
	char generation[NAME_GENERATION_MAX];
	uint32_t n;            /* of its name */
	struct catalog owners; /* histories and owner notes, as last looked up (owner_watch.c) */
	struct catalog past;   /* owner notes of earlier generations */
};
void push_destination_init(struct push_destination *destination);
void push_destination_release(struct push_destination *destination);
/* It may have gone: it is looked up again, also by those that look it up just now. */
void push_destination_doubt(struct push_destination *destination);
/* It was known once, and what it is now is to be looked up. */
bool push_destination_doubted(const struct push_destination *destination);

struct push {
	struct op op;
	/* in; must stay */
	struct site *site;
	struct push_destination *destination;
	const char *folder; /* the data directory */
	const char *path;   /* of the file, absolute */
	struct walname name;
	enum gate_class class; /* of memory and workers; 0 (restore) is none: GATE_WAL */
	struct control known;  /* of the file's cluster when its segment_bytes is set: folder is no
	                          data directory, the file lies somewhere else */
	bool own; /* with known: it is this data directory's all the same, which may be left behind
	           */
	bool accept_damaged; /* a segment that does not prove is stored all the same */
	/* out */
	struct file_identity identity; /* of the file that was read */
	unsigned changes;              /* of the destination, when it was chosen */
	bool repeated;                 /* it was there already, the same */
	struct err damage; /* with accept_damaged, or stored so before: what is wrong with it */
	bool fenced;       /* failed, because of a fence, and is safe under conflict/ */
	struct push_before
	        before; /* rescued: pg_wal has a damaged segment that is archived whole */
	uint64_t bytes, stored_bytes;
	/* private */
	char text[WALNAME_BYTES];
	char object[NAME_BYTES];
	int fd;
	uint64_t offset;
	struct control control;
	struct buf content;   /* of the small kinds */
	struct digest digest; /* of a .partial, known before it is written */
	struct walwalk *walk;
	struct walpart *part; /* what the walk leaves for the index; NULL: not wanted, or nothing */
	bool unproven;        /* its walk has failed, and goes no further */
	struct object_stat there;
	struct store_head settle;
	struct work look;
	struct ticket ticket;
	struct cluster_generation generation;
	unsigned doubts; /* of the destination, when the look-up began */
	struct catalog owners;
	struct catalog_load load;
	struct past_load past;
	struct catalog_head head;
	struct object_write write;
	struct err conflict;
	struct harm_write mark; /* that it is damaged, and was accepted */
};
/* Ends without error when the file is durable in the repository. The caller has zero-filled it and
 * set the inputs. */
void push_start(struct op *parent, struct push *push);
/* The same without a parent; on_done as in op_start_root. */
void push_start_root(struct loop *loop, struct push *push, void (*on_done)(struct op *op));

#endif
