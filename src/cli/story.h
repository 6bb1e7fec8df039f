/*
 * story.h — a command that runs one operation on its own loop, until it is done or Ctrl-C cancels
 * it.
 */
#ifndef CLI_STORY_H
#define CLI_STORY_H

#include "command.h"
#include "server/runtime.h"

/* start begins the child below parent; child is its operation. */
typedef void story_start(struct op *parent, void *context);

/* Runs it. False: it failed, err is its error. SIGINT, SIGTERM and SIGHUP cancel it
 * (ERR_CANCELLED); a second one ends the process at once. */
MUST_USE bool story_run(struct runtime *runtime, story_start *start, struct op *child,
                        void *context, struct err *err);
/* The same as a struct; tick(context), if there is one, is called every 200 ms meanwhile: progress.
 */
struct story {
	story_start *start;
	struct op *child;
	void (*tick)(void *context);
	void *context;
};
MUST_USE bool story_tell(struct runtime *runtime, const struct story *story, struct err *err);

/* A runtime for a person who waits: told when a repository does not answer, and why, and not for as
 * long as the server would. */
MUST_USE bool story_runtime(const struct cli *cli, struct runtime *ret, struct err *err);

/* The cluster that the command line names (its first argument), else the only one; with --pgdata
 * given to the only one without. Its number in the configuration. */
MUST_USE bool story_cluster(const struct cli *cli, const char *name, size_t *ret, struct err *err);

/* The newest generation of a cluster, its repository opened; ERR_NOTFOUND with a hint when nothing
 * is there yet. */
MUST_USE bool story_generation(struct runtime *runtime, size_t cluster, struct generation_open *ret,
                               struct err *err);

/* The same of one of its repositories, and of no other one. */
MUST_USE bool story_generation_at(struct runtime *runtime, struct site *site,
                                  struct generation_open *ret, struct err *err);

/* Configuration to generation, as most commands need it; archive_close in any case. */
struct archive {
	struct runtime runtime;
	size_t cluster;
	struct site *site;
	struct repo *repo;
	struct generation_open generation;
};
MUST_USE bool archive_open(const struct cli *cli, const char *cluster, struct archive *ret,
                           struct err *err);
void archive_close(struct archive *archive);

#endif
