/*
 * runtime.h — what a process needs to work, made from its configuration: the loop, the memory, the
 * repositories, and one site for each cluster. The server and every command have one.
 */
#ifndef SERVER_RUNTIME_H
#define SERVER_RUNTIME_H

#include "config/config.h"
#include "job/rest.h"
#include "job/site.h"
#include "repo/repo.h"

enum { RUNTIME_TRANSFERS = 16 }; /* store operations in flight */

struct runtime {
	const struct config *config; /* the caller's; must stay */
	struct loop *loop;
	struct blocks *blocks;
	struct gate *transfers; /* as config->repository */
	struct repo **repo;     /* as config->repository; NULL: its place is not open */
	struct site *site;      /* as config->cluster, each with a chain of those at its other
	                           repositories; repo is NULL until it is open */
	struct haste haste;     /* whether a recovery catches up, of any cluster */
	char *program;          /* absolute path of this program */
	bool take_over;         /* we are the one writer from now on, where there may be only one */
	bool pretend;           /* repositories that are opened from now on are not changed */
	bool person;            /* somebody waits: warnings tell why it takes long */
	bool impatient;         /* and it gives up sooner when there is no answer at all */
};

/* Makes loop, memory and sites; opens no repository. */
MUST_USE bool runtime_init(struct runtime *runtime, const struct config *config, struct err *err);
/* All operations must have ended. Safe on a zero-filled one. */
void runtime_release(struct runtime *runtime);

/* The configuration was read again in place (config_reload): what a reload may change, is. */
void runtime_reload(struct runtime *runtime);

/* Opens the place of a site's repository (store_open); does nothing when it is open. create:
 * makes the place (only init does). Quick, but it touches the disk. What lies there is then to be
 * read with repo_open_start, or written with repo_init_start. */
MUST_USE bool runtime_open_place(struct runtime *runtime, struct site *site, bool create,
                                 struct err *err);
/* Where its settings say that the key comes from. */
struct key_source runtime_key_source(const struct config_repository *repository);
/* For commands: the same, and reads seawall.json, on the loop, until it is done. */
MUST_USE bool runtime_open_site(struct runtime *runtime, struct site *site, struct err *err);
/* The nearest repository of the cluster that answers: it becomes the first of the chain, and a
 * warning says which ones did not. */
MUST_USE bool runtime_open(struct runtime *runtime, size_t cluster, struct err *err);
/* That one of the cluster's repositories comes first, and no other takes its place. */
MUST_USE bool runtime_prefer(struct runtime *runtime, size_t cluster, const char *repository,
                             struct err *err);
/* Takes a repository that is lost out of the chains; it must be one of the cluster's, and not the
 * only one. */
MUST_USE bool runtime_without(struct runtime *runtime, size_t cluster, const char *repository,
                              struct err *err);

#endif
