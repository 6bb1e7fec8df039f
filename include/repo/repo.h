/*
 * repo.h — a repository that was opened: its store, its identity, and the folder of one cluster's
 * generation in it.
 *
 * seawall.json (plain JSON: repository id, format version, created) says that a store holds a
 * repository; only repo_init writes it. A generation is "<system identifier>-<major>-<n>" below the
 * cluster's folder.
 */
#ifndef REPO_REPO_H
#define REPO_REPO_H

#include "repo/features.h"
#include "repo/names.h"
#include "loop/gate.h"
#include "store/store.h"

enum { REPO_FORMAT_VERSION = 1 };

/* Where the key comes from that opens the repository's data keys (repo/keys.h). */
enum key_source_kind {
	KEY_SOURCE_NONE, /* it is not encrypted */
	KEY_SOURCE_FILE,
	KEY_SOURCE_PASSPHRASE_FILE,
	KEY_SOURCE_COMMAND, /* its standard output */
};
struct key_source {
	enum key_source_kind kind;
	const char *what; /* path or shell command; in no message when a command */
	int64_t limit_ms; /* for a command; 0: a minute */
};

struct keyring;
struct wrapper;

struct repo {
	struct store *store;
	struct blocks *blocks;
	char id[33]; /* 128 random bits, hex */
	int64_t created_us;
	bool made_encrypted; /* whoever made it encrypts it: it never takes what is not */
	bool opened;
	struct gate opening;          /* one at a time: what it reads is put here */
	struct key_source key_source; /* set by whoever made it, before it is opened */
	struct wrapper *wrapper;      /* what the source gave; NULL until it was asked */
	/* NULL: not encrypted. Whole, with what may be there unencrypted, before it is set; it
	 * stays from then on, and workers read it. */
	struct keyring *_Atomic keys;
	bool no_keys; /* it was looked for keys, and there are none */
	/* What the last look below keys/ found (repo/keys.h, keys_look). */
	int64_t looked_us; /* when it began, clock_boot_us; 0: look before anything is stored */
	int64_t reread_us; /* when the source was asked again */
	uint64_t seen;     /* of the names that were there */
	bool source_new;   /* the source is another one than the wrapper came from */
	bool lags;         /* there is a data key that the key at hand does not open */
	struct err shut; /* it is encrypted, or about to be, and nothing can be sealed here: why */
	char *source_text;        /* of key_source, when it is owned */
	struct features features; /* as the newest note says */
};

/* repo is made from a store that is open; it owns the store from then on. */
struct repo *repo_new(struct store *store, struct blocks *blocks);
void repo_free(struct repo *repo);
/* Another source than before, or the same, whose key may be another one now: it is asked when that
 * helps, and nothing is stored before keys/ was looked at again. The text is copied. */
void repo_set_key_source(struct repo *repo, const struct key_source *source);

/* Reads and checks seawall.json: not there is ERR_STORE ("no repository here; `seawall init`"),
 * another format version says which is needed. Then the keys (keys_load), and what the
 * store can do (probe_load). */
struct keys_load;
struct probe_load;
struct repo_open {
	struct op op;
	struct repo *repo;
	bool unencrypted_is_fine; /* in: though a key is set */
	int64_t stall_ms; /* in: as struct store_get has it, until the repository answers; or 0 */
	bool missing;     /* out: there is no seawall.json, which is proven */
	struct ticket ticket;
	bool was_opened; /* when it began to wait for its turn */
	struct store_get get;
	uint8_t *block;
	struct keys_load *keys;
	struct probe_load *probe;
};
void repo_open_start(struct op *parent, struct repo_open *open);

/* Finds out what the store can do (probe), and notes it unless the newest note says the same;
 * writes seawall.json unless it is there (then it is opened: success). A place that holds something
 * else is ERR_REFUSED. With a key source, a repository that is not encrypted is from then on: what
 * is in it stays as it is (keys_begin). What was found is in the repository's features then. */
struct repo_init;
struct repo_init *repo_init_new(struct repo *repo);
void repo_init_start(struct op *parent, struct repo_init *init);
struct op *repo_init_op(struct repo_init *init);
/* How long a repository that is encrypted later waits for those that store in it (keys_begin); 0
 * unless it was said. */
void repo_init_wait(struct repo_init *init, int64_t ms);
/* Whether the newest note said something else. */
bool repo_init_differs(const struct repo_init *init);
/* Whether it encrypted the repository, and how many objects it found there. */
bool repo_init_encrypted(const struct repo_init *init, uint64_t *ret_plain);
void repo_init_free(struct repo_init *init);

/* What is fixed for a generation; object "system". */
struct generation_facts {
	uint64_t system_identifier;
	uint32_t major, catalog_version;
	uint32_t segment_bytes, block_bytes, wal_block_bytes;
	bool checksums;
	char time_zone[64]; /* of the server, "" when not known yet */
};

/* Those of a cluster by its pg_control; what that does not tell is left empty. */
struct control;
struct generation_facts generation_facts_of(const struct control *control);

/* Finds the cluster's generation of a system identifier, the highest n; makes it (objects "cluster"
 * and "system") when `make` is set and it is not there, or is below at_least. Else ERR_NOTFOUND.
 * facts: in when make or compare (then what cannot change must be the same: ERR_REFUSED), out
 * always. */
struct generation_open {
	struct op op;
	struct repo *repo;
	const char *cluster;
	bool make, compare;
	uint32_t at_least;          /* with make: the n that is begun when there is none so high */
	uint64_t system_identifier; /* 0: the newest generation of the cluster, whatever its
	                               identifier */
	bool tolerant; /* without make: when "system" cannot be read, facts has only what the name
	                  says, and damage says why */
	struct err damage;
	struct generation_facts facts;
	char generation[NAME_GENERATION_MAX]; /* out: "<cluster>/<sysid>-<major>-<n>", the prefix of
	                                         all its objects */
	uint32_t n;                           /* out: of its name */
	int64_t begun_us;                     /* out: when it was begun (clock of who did) */
	bool begun;                           /* out: it was made just now */
	bool others;  /* out: there are generations of other identifiers than the given one */
	void *detail; /* private */
};
void generation_open_start(struct op *parent, struct generation_open *open);

#endif
