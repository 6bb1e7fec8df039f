/*
 * relnames.h — names for numbers: which database, schema and table a file number in the WAL was, at
 * some moment. Taken from the running server now and then, since nobody can tell later; kept in the
 * repository beside the index.
 */
#ifndef REPO_RELNAMES_H
#define REPO_RELNAMES_H

#include "base/buf.h"
#include "repo/catalog.h"
#include "repo/names.h"
#include "repo/object.h"

enum {
	RELNAMES_VERSION = 1,
	RELNAMES_NAME_MAX = 256, /* bytes of a name, without NUL: NAMEDATALEN of any build */
	RELNAMES_BYTES_MAX = 64 << 20,
	RELNAMES_MAX = 2 << 20, /* relations in one */
};

struct relname {
	uint32_t number, oid;
	char kind; /* pg_class.relkind */
	uint32_t schema;
	char *name; /* owned */
};
struct relnames_database {
	uint32_t oid;
	char *name;    /* owned */
	char **schema; /* owned */
	size_t schemas;
	struct relname *relation; /* by number, once each */
	size_t relations;
};
struct relnames {
	lsn position;                       /* where the WAL was when it was taken */
	int64_t time_us;                    /* the server's clock */
	struct relnames_database *database; /* by OID */
	size_t databases;
};
void relnames_release(struct relnames *names);

/* For who takes them, in any order; relnames_settle at the end. */
struct relnames_database *relnames_add_database(struct relnames *names, uint32_t oid,
                                                const char *name);
struct relname_row {
	uint32_t number, oid;
	char kind;
	const char *schema, *name;
};
/* False: there are too many. */
bool relnames_add(struct relnames_database *database, const struct relname_row *row);
void relnames_settle(struct relnames *names);

/* What a file number of a database was called. schema and name belong to names. */
struct relname_found {
	const char *database, *schema, *name;
	uint32_t oid;
	char kind;
};
/* False: it does not know the relation; ret->database is set if it knows that. */
bool relnames_find(const struct relnames *names, uint32_t database, uint32_t number,
                   struct relname_found *ret);

/* The same names give the same bytes behind the front, whenever they were taken. */
MUST_USE bool relnames_encode(const struct relnames *names, struct buf *out);
MUST_USE bool relnames_decode(const void *bytes, size_t length, struct relnames *ret,
                              struct err *err);
/* Whether the two have the same names. */
bool relnames_same(const struct relnames *a, const struct relnames *b);

/* The positions at which names were taken, ascending. */
struct relnames_list {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	/* out; the caller frees it */
	lsn *position;
	size_t positions;
	/* private */
	char prefix[NAME_BYTES];
	struct store_walk walk;
};
void relnames_list_start(struct op *parent, struct relnames_list *list);
/* Those that were taken at a position of the list. */
struct relnames_read {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	lsn position;
	/* out; the caller releases it */
	struct relnames names;
	/* private */
	char name[NAME_BYTES];
	struct object_read read;
};
void relnames_read_start(struct op *parent, struct relnames_read *read);
/* Writes them; the same again, and others at the very same position, is success. */
struct relnames_write {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	const struct relnames *names;
	/* private */
	char name[NAME_BYTES];
	struct buf bytes;
	struct object_write write;
};
void relnames_write_start(struct op *parent, struct relnames_write *write);

#endif
