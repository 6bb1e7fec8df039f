/*
 * presence.h — in which repositories of a cluster its backups lie.
 *
 * A backup goes to every repository, but one may have been away, or have been added later. One that
 * cannot be asked is neither believed to have a backup nor to lack it: that is said.
 */
#ifndef SERVER_PRESENCE_H
#define SERVER_PRESENCE_H

#include "codec/json.h"
#include "job/site.h"
#include "repo/catalog.h"
#include "repo/heads.h"

struct presence_place {
	struct site *site;
	bool known;     /* it answered */
	struct err err; /* why not */
	char generation[NAME_GENERATION_MAX];
	struct catalog catalog; /* ids of its backups */
};

struct presence {
	struct op op;
	/* in; the rest zero-filled */
	struct site *first;
	uint64_t system_identifier; /* 0: each one's newest generation */
	const struct catalog *have; /* ids that were read; NULL: no heads are wanted */
	unsigned heads_max;         /* of each repository, the newest; 0: all */
	/* out; released with presence_release */
	struct presence_place place[SITE_CHAIN_MAX];
	unsigned places;        /* 0: the cluster has one repository, nothing was looked at */
	struct heads elsewhere; /* heads of backups that `have` lacks */
	/* private */
	unsigned at;
	struct site_ready ready;
	struct generation_open open;
	struct catalog_load load;
	struct catalog lacked; /* ids that are read now */
	struct heads_load heads;
};
/* Never fails but when it is cancelled. */
void presence_start(struct op *parent, struct presence *presence);
void presence_release(struct presence *presence);

bool presence_has(const struct presence_place *place, const char *id);
/* The first place that has it; NULL: none that answered. */
const struct presence_place *presence_find(const struct presence *presence, const char *id);

/* "local, b", and "b?" of one that could not be asked. */
enum { PRESENCE_TEXT_BYTES = 512 };
void presence_text(const struct presence *presence, const char *id, char out[PRESENCE_TEXT_BYTES]);
/* Those that answered and do not have it: "b, c"; "" when all have it. */
void presence_lacking(const struct presence *presence, const char *id,
                      char out[PRESENCE_TEXT_BYTES]);
/* "repositories" of one backup: names. Nothing when the cluster has one repository. */
void presence_json(const struct presence *presence, const char *id, struct jval *object);
/* "repositories_unknown": those that could not be asked, with the reason. */
void presence_unknown_json(const struct presence *presence, struct jval *object);

#endif
