/*
 * naming.h — names for numbers are taken from a cluster's server, and kept when they have changed
 * (repo/relnames.h).
 */
#ifndef JOB_NAMING_H
#define JOB_NAMING_H

#include "job/site.h"
#include "pg/session.h"
#include "repo/relnames.h"

/* What was taken last, for the next time: zero-filled at first. */
struct naming_known {
	bool known;
	uint64_t system_identifier;
	struct relnames names;
};

/* ERR_NETWORK and ERR_POSTGRES as sessions have them. A database that does not let us in is told by
 * its name alone. */
struct naming {
	struct op op;
	/* in; the rest zero-filled */
	struct site *site;          /* the first of the chain; all that can be reached get it */
	struct naming_known *known; /* in and out, or NULL */
	/* out */
	struct relnames names;
	bool written; /* false: nothing has changed */
	/* private */
	struct session session;
	struct session_open connect;
	struct query query;
	char *where;
	size_t at;
	uint32_t after;
	char after_text[16];
	uint64_t system_identifier;
	struct site_ready ready;
	struct site *target;
	struct generation_open open;
	struct relnames_list list;
	struct relnames_read read;
	struct relnames_write write;
};
void naming_start(struct op *parent, struct naming *naming);
void naming_start_root(struct loop *loop, struct naming *naming, void (*on_done)(struct op *op));
/* After the end. */
void naming_release(struct naming *naming);
void naming_known_release(struct naming_known *known);

#endif
