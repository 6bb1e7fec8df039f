/* checking.h — one run of `check`: what its steps share. */
#ifndef CLI_CHECKING_H
#define CLI_CHECKING_H

#include "client.h"
#include "pg/session.h"
#include "story.h"

enum outcome { CHECK_OK, CHECK_WARNING, CHECK_FAILED, CHECK_SKIPPED };

enum { CHECK_NOTE_MAX = 2048 };

struct checking {
	struct cli *cli;
	const struct config *config;
	const struct config_cluster *config_cluster;
	size_t cluster;
	struct runtime runtime;
	struct site *site;
	struct client client;
	struct session session;
	struct facts facts;
	/* what is known to be good: later steps stand on it */
	bool connected, known, archives, may_switch;
	unsigned usable; /* repositories */
	/* the repository that is looked at */
	const struct config_repository *config_repository; /* NULL: none now */
	struct site *place;
	bool repository;       /* it can be used */
	struct features found; /* in its store, just now */
	/* of the step that runs */
	char note[CHECK_NOTE_MAX], hint[CHECK_NOTE_MAX];
};

struct step {
	const char *name; /* in JSON, and in the list */
	enum outcome (*run)(struct checking *checking);
};

/* In this order; ends with a row without a name. */
extern const struct step check_here[];     /* check_here.c: settings to server */
extern const struct step check_store[];    /* check_store.c: of each repository */
extern const struct step check_postgres[]; /* check_postgres.c: connection to one segment */

enum outcome check_credentials(struct checking *checking); /* check_credentials.c */
enum outcome check_branch(struct checking *checking);      /* check_branch.c */

/* Fill note and hint, and return the outcome. */
enum outcome check_say(struct checking *checking, enum outcome outcome, const char *format, ...)
        PRINTF(3, 4);
void check_hint(struct checking *checking, const char *format, ...) PRINTF(2, 3);
/* FAILED, with the error's words and hint. */
enum outcome check_fail(struct checking *checking, const struct err *err);

#endif
