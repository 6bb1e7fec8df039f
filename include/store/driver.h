/*
 * driver.h — the inside of the store layer: for those who write a driver.
 *
 * A driver makes one attempt and says what happened. It does not retry, log, hash, count, read the
 * configuration, or know what a WAL segment is; store.c does the rest once for all. What an attempt
 * must do is in the conformance suite (tests/store/), which is the definition of the interface:
 *
 *   put     whole or not at all, visible and durable only on success; a taken name is ERR_EXISTS;
 *           fills versioned
 *   get     fills got and object_bytes; past the end: fewer bytes; not there is ERR_NOTFOUND,
 *           proven. One that pins fills version, calls sized as soon as it can (or never), and with
 *           a pin gives bytes of that version only
 *   list    fills entry (names owned), count and more; names that are not valid are left out
 *   head    as get, without bytes
 *   remove  all names of the batch; one that is not there is success
 *
 * ERR_NETWORK and ERR_TIMEOUT are tried again (err_code_retry), everything else is final. A cancel
 * should end an attempt soon; a put may or may not have taken effect then.
 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "store/store.h"

enum store_verb { STORE_PUT, STORE_GET, STORE_LIST, STORE_HEAD, STORE_REMOVE, STORE_VERBS };

/* A driver's own store begins with one of these; store.c fills and releases it. */
struct store {
	const struct store_driver *driver;
	struct loop *loop;
	char *url, *label;
	bool pretend;
	enum store_safety safety;
	char *writer;   /* who writes here: as store_set_writer */
	bool take_over; /* and is to be the one from now on */
	struct store_counts counts;
	struct store_patience patience;
	int64_t said_ms; /* when somebody was told last */
	bool answered;   /* it did, at least once */
	/* A driver's word, at opening: it can hold a get to one version, and large ones are faster
	 * in ranges. */
	bool pins;
	bool unversioned; /* it did not say which version of an object it gave */
};

/* One attempt; a driver's own begins with one of these. The request that it is for stays the
 * caller's: inputs are constant, outputs may be written (also by a worker) until the end. */
struct store_attempt {
	struct op op;
	struct store *store;
	enum store_verb verb;
	union {
		struct store_put *put;
		struct store_get *get;
		struct store_list *list;
		struct store_head *head;
		struct store_remove *remove;
	};
	int64_t rest_ms; /* out: the store asked for that rest before the next attempt; 0: it did
	                    not */
};

struct store_driver {
	const char *scheme; /* what a URL begins with: "file://" */
	/* The driver's store (zero-filled but for its own), or NULL. Blocking and quick. */
	struct store *(*open)(struct loop *loop, const struct store_options *options,
	                      struct err *err);
	void (*close)(struct store *store); /* frees it */
	/* May be NULL. */
	bool (*space)(struct store *store, uint64_t *ret_free, uint64_t *ret_total);
	/* May be NULL: as store_anchor and store_still. */
	void (*anchor)(struct store *store, const char *name, const void *bytes, size_t length);
	bool (*still)(struct store *store, const char *name);
	/* May be NULL: as store_credentials. */
	struct credentials_source *(*credentials)(struct store *store);
	/* May be NULL: as store_limit. */
	void (*limit)(struct store *store, uint64_t upload_bytes, uint64_t download_bytes);
	/* May be NULL: how long the attempts of one operation have waited for store_limit. */
	int64_t (*waited_ms)(const struct store_attempt *attempt);
	/* May be NULL: when the last byte of a get came (loop clock), in whichever attempt; 0: none
	 * yet. */
	int64_t (*moved_ms)(const struct store_attempt *attempt);
	size_t attempt_bytes;
	/* Starts attempt->op below parent. What follows the struct store_attempt is zero-filled
	 * before the first attempt, and as it was left before the others. */
	void (*start)(struct op *parent, struct store_attempt *attempt);
	/* Releases what the attempts of one operation kept; may be NULL. */
	void (*release)(struct store_attempt *attempt);
};

extern const struct store_driver store_mem_driver, store_file_driver, store_s3_driver;

/* Adds an entry to a page that has room for it (limit). For drivers. */
void store_list_add(struct store_list *list, const char *name, uint64_t bytes, int64_t modified_us);
/* How long a call has waited for store_limit: its deadline is that much later. */
int64_t store_call_waited_ms(const struct store_call *call);
/* How many names the page may have. */
unsigned store_list_limit(const struct store_list *list);

#endif
