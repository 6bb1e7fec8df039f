/*
 * store.h — a place for objects, for those who use one. Drivers: store/driver.h.
 *
 * Names are relative paths of components [A-Za-z0-9._-] that do not begin with a '.', at most
 * STORE_NAME_MAX long, sorted as bytes; no name is the folder of another one ("a" and "a/b").
 * Objects are immutable: put creates, nothing overwrites. Every operation here is the one above the
 * driver: it retries what may be retried within its deadline (back-off with jitter), looks after an
 * answer that was lost, counts, and ends in an error that names the store, the operation and the
 * object. A driver makes one attempt.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <sys/uio.h>

#include "loop/blocks.h"
#include "loop/nap.h"
#include "loop/work.h"

enum {
	STORE_NAME_MAX = 480,
	STORE_LIST_MAX = 1000,         /* names on a page */
	STORE_REMOVE_MAX = 1000,       /* names in a batch */
	STORE_DEADLINE_MS = 60 * 1000, /* one operation with its repetitions */
	STORE_PATIENCE_MS = 12 * 1000, /* the same before a person, until the store has answered */
	/* Where a store can pin a version, a get beyond the first of these is read as that much
	 * and, meanwhile, ranges of about the second each (ranges.c). */
	STORE_RANGE_FIRST_BYTES = 8 * 1024 * 1024,
	STORE_RANGE_BYTES = 4 * 1024 * 1024,
	STORE_VERSION_BYTES = 128,
};

struct store;

/* What an object is, to a store that may keep one kind elsewhere than another. */
enum store_kind { STORE_OTHER, STORE_WAL, STORE_PACK, STORE_KINDS };

/* Of an object store: "s3://BUCKET/PREFIX". Texts are copied; NULL: not given. */
struct store_s3 {
	const char *region;   /* NULL: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1 */
	const char *endpoint; /* "https://HOST:PORT"; NULL: AWS's own of the region */
	const char *ca_file;  /* NULL: the system's */
	bool virtual_host;    /* the bucket's name in the host's; always so without endpoint */
	bool path_style;      /* never in the host's, also without endpoint */
	/* Who signs (net/credentials.h): all NULL is whatever S3's tools would find. */
	const char *access_key, *secret_key_file, *credentials_file, *profile;
	/* What a put asks for. */
	const char *storage_class[STORE_KINDS];
	const char *sse, *sse_key; /* "AES256", "aws:kms" with a key or the bucket's */
	const char *lock_mode;     /* "GOVERNANCE", "COMPLIANCE" */
	unsigned lock_days;
};

/* url: "file:///path", "s3://BUCKET/PREFIX" or "mem:NAME"; a folder that does not exist is
 * ERR_STORE ("only init creates a repository"). A bucket is looked for by the first operation, and
 * never made. */
struct store_options {
	const char *url;
	const char *label; /* the repository's name in the configuration, for messages */
	bool create;       /* make the place if it is not there (init) */
	struct store_s3 s3;
	bool pretend; /* change nothing: a put only looks whether the name is taken (--dry-run) */
};
MUST_USE bool store_open(struct loop *loop, const struct store_options *options, struct store **ret,
                         struct err *err);
void store_close(struct store *store);
const char *store_label(const struct store *store);
const char *store_url(const struct store *store);

/* Where an object store's keys come from, for those who tell of it; NULL for another kind. */
struct credentials_source;
struct credentials_source *store_credentials(struct store *store);

/* Bytes per second of all that is written and read, where that goes over a network; 0: no limit. At
 * any time. Waiting for one's turn is not the store's fault: no deadline runs meanwhile. */
void store_limit(struct store *store, uint64_t upload_bytes, uint64_t download_bytes);

/* Somebody waits. say, which may be NULL, hears after a few seconds, and then again and again, what
 * is tried, for the how manieth time, and why; on the loop. */
struct store_patience {
	int64_t first_ms; /* until the store has answered anything, instead of STORE_DEADLINE_MS; 0:
	                     the same */
	void (*say)(void *context, const char *sentence);
	void *context;
};
void store_set_patience(struct store *store, const struct store_patience *patience);

/* Free and total bytes where the store keeps objects; false when that has no meaning (an object
 * store). Blocking and quick. */
bool store_space(struct store *store, uint64_t *ret_free, uint64_t *ret_total);

/*
 * Ties the store to the content of one small object that never changes (seawall.json). From then on
 * every operation that does not find that object in the place ends in ERR_STORE: an empty or
 * another disk under the same path is no place where something is "not found", or stored. Once for
 * all; quick.
 */
void store_anchor(struct store *store, const char *name, const void *bytes, size_t length);
/* Whether an object that was there is there now, where that can be seen without a request (else
 * true). Blocking, for a worker. */
bool store_still(struct store *store, const char *name);

/*
 * What keeps writers of one name from each other. What a store offers is measured, and what that
 * means is decided, in repo (features.h); here it is only done.
 */
enum store_safety {
	STORE_CREATE_ONLY, /* the store itself refuses a name that is taken */
	STORE_CLAIM,       /* it overwrites: writers agree by claims first (claim.c) */
	STORE_ONE_WRITER, /* nothing does: whoever is not the one writer is refused before each put,
	                     which only a race between two that begin at once can get past */
};
/* A store begins with STORE_CREATE_ONLY. */
void store_set_safety(struct store *store, enum store_safety safety);
enum store_safety store_safety(const struct store *store);
/* Who puts into it, in a line for people that stays the same as long as it is the same one. With
 * STORE_ONE_WRITER the first that puts leaves it there (STORE_WRITER), and every other one's puts
 * are ERR_REFUSED from then on. take_over: the next put makes it this one. NULL: nobody is
 * refused. */
#define STORE_WRITER "claim/writer"
enum { STORE_WRITER_BYTES = 1024 };
void store_set_writer(struct store *store, const char *writer, bool take_over);
/* Whether the next put is to make it the one. */
bool store_takes_over(const struct store *store);

/* Private: one verb of the driver with its repetitions, which every operation below waits for. */
struct store_attempt;
struct store_call {
	struct op op;
	struct store_attempt *attempt; /* the driver's part */
	struct nap nap;
	struct timer timer, saying;
	unsigned tries;
	int64_t deadline_ms, begun_ms, waited_ms;
	int64_t stall_ms, stirred_ms, stirred_waited_ms; /* when a byte came, or our limit held */
	bool timed_out, stalled, answer_lost;
	struct err last;
};

/* Create-only. ERR_EXISTS: there is an object of that name already, with the same or other content:
 * the caller compares. An answer that was lost and whose object turns out to be exactly these bytes
 * is success. name and pieces must stay until the end.
 *
 * Where the store has STORE_CLAIM, writers of one name may come with bytes that differ and mean the
 * same: content says what they mean (must stay; NULL: the bytes themselves). Of different contents
 * one is agreed on, for good; a put of another one is ERR_EXISTS, or ERR_REFUSED while the object
 * is not there yet. */
struct digest;
struct store_put {
	struct op op;
	struct store *store;
	const char *name;
	const struct iovec *piece;
	unsigned pieces;
	enum store_kind kind;
	const struct digest *content;
	bool raw;              /* without claims, whatever the store has: to try the store out */
	bool versioned;        /* out: the store says that it keeps old versions */
	int64_t deadline_ms;   /* of the whole, from now; 0: STORE_DEADLINE_MS */
	enum work_class class; /* where a driver that works on the pool stands in its queue */
	struct store_call call;
	struct store_readback *readback;
	struct store_pretence *pretence;
	struct store_claiming *claiming;
};
void store_put_start(struct op *parent, struct store_put *put);

/* A range into blocks: from offset, at most length bytes or what the blocks hold. Past the end:
 * fewer bytes, no error; no such object: ERR_NOTFOUND, and that is proven. Read by several requests
 * at once when it is large; all of its bytes are of one version of the object. */
struct store_ranges;
struct store_get {
	struct op op;
	struct store *store;
	const char *name;
	uint64_t offset, length;
	uint64_t expect_bytes; /* how much there probably is from there, if one knows; 0: not. Only
	                          speed depends on it */
	uint8_t *const *block; /* BLOCK_BYTES each */
	unsigned blocks;
	uint64_t got;          /* out */
	uint64_t object_bytes; /* out: the whole object's size */
	int64_t deadline_ms;
	int64_t stall_ms; /* ends in ERR_NETWORK when no byte of it came for so long, however often
	                     it was tried; where a driver can see that. 0: only deadline_ms counts
	                   */
	enum work_class class;
	struct store_call call;
	/* Of one request among several, private to store: */
	bool single;                          /* is never cut into ranges */
	const char *pin;                      /* only that version; another: replaced, ERR_STORE */
	void (*sized)(struct store_get *get); /* the size and the version are known; only wakes */
	void *context;                        /* of sized */
	char version[STORE_VERSION_BYTES];    /* out: which bytes these are; "": it does not say */
	bool replaced;                        /* out */
	struct store_ranges *ranges;
};
void store_get_start(struct op *parent, struct store_get *get);

struct store_entry {
	char *name; /* full name; owned by the list */
	uint64_t bytes;
	int64_t modified_us;
};
/* One page: names that begin with prefix (any string) and are greater than `after` (or NULL), in
 * order, at most limit. All of them, over all folders below: flat, as in an object store. */
struct store_list {
	struct op op;
	struct store *store;
	const char *prefix, *after;
	unsigned limit; /* 0: STORE_LIST_MAX */
	bool folders;   /* only the next component: "a/b/" once instead of all below it; such names
	                   end in "/" */
	struct store_entry *entry; /* out: owned, store_list_release */
	unsigned count;
	bool more;
	int64_t deadline_ms;
	struct store_call call;
};
void store_list_start(struct op *parent, struct store_list *list);
void store_list_release(struct store_list *list);

/* All pages of a prefix, each entry handed over as it comes (name valid during the call only). */
struct store_walk {
	struct op op;
	struct store *store;
	const char *prefix; /* must stay */
	bool folders;
	void (*each)(struct store_walk *walk, const struct store_entry *entry);
	uint64_t count; /* out */
	char after[STORE_NAME_MAX + 1];
	struct store_list list;
};
void store_walk_start(struct op *parent, struct store_walk *walk);

struct store_head {
	struct op op;
	struct store *store;
	const char *name;
	bool durable;        /* in: success says also that the object is on disk, whoever made it */
	uint64_t bytes;      /* out */
	int64_t modified_us; /* out */
	int64_t deadline_ms;
	struct store_call call;
};
void store_head_start(struct op *parent, struct store_head *head);

/* Removes a batch; a name that is not there is success. */
struct store_remove {
	struct op op;
	struct store *store;
	const char *const *name;
	unsigned names;
	int64_t deadline_ms;
	struct store_call call;
};
void store_remove_start(struct op *parent, struct store_remove *remove);

/* Counters since the store was opened. */
struct store_counts {
	uint64_t puts, reads, lists, heads, removes, retries, failures, bytes_put, bytes_got;
};
const struct store_counts *store_counts(const struct store *store);

bool store_name_valid(const char *name);

#endif
