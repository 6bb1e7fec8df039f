/*
 * owner.h — who writes which timeline: owner notes, contested branches, fences (architecture.md 7,
 * "Who may write").
 *
 * A note is a small object "timeline/<TLI>.owner/<n>" that is never changed. "owner" says who wrote
 * the timeline: evidence, no reason to refuse. "contested" says of a timeline that the one it came
 * from went on after the fork. "fence" refuses what the timeline has from a position on, and the
 * timelines that came from there; "lift" ends the fences of a timeline that are older. Notes are
 * read with a catalogue's histories (catalog_load); the functions here are pure but owner_write.
 */
#ifndef REPO_OWNER_H
#define REPO_OWNER_H

#include "repo/object.h"

struct catalog;
struct history;

enum owner_kind { OWNER_WROTE, OWNER_CONTESTED, OWNER_FENCE, OWNER_LIFT };

enum {
	OWNER_HOST_BYTES = 128, /* with NUL; a longer name is cut */
	OWNER_DIRECTORY_BYTES = 512,
	OWNER_JSON_MAX = 16 * 1024,
	OWNER_NUMBER_MAX = 999999, /* names have six digits */
};

struct owner_note {
	uint32_t tli, n; /* from its name */
	enum owner_kind kind;
	uint64_t system_identifier;
	char host[OWNER_HOST_BYTES], directory[OWNER_DIRECTORY_BYTES]; /* who wrote the note */
	int64_t time_us;
	uint32_t other; /* contested: the parent that went on; fence: whom the fence is for; else
	                   the parent, 0: none or not known */
	lsn position;   /* contested: the fork; fence: from where on; else the fork, 0: none */
	lsn end;        /* contested: so far the parent had gone on */
};

/* This host and the directory as it is named there. */
void owner_note_here(struct owner_note *note, const char *directory);
void owner_note_write(const struct owner_note *note, struct buf *out);
/* False without error in *ret_known: a kind that only a newer version knows. */
MUST_USE bool owner_note_read(const void *text, size_t length, struct owner_note *ret,
                              bool *ret_known, struct err *err);
/* "host "db1", directory "/var/lib/…", at <time>" */
void owner_note_who(const struct owner_note *note, struct buf *out);

/* ---- questions; all need CATALOG_HISTORIES ---- */

/* The fence that lies before position `end` of the timeline: on itself, or on an ancestor before
 * the place where this timeline left it. NULL: none. */
const struct owner_note *owner_fence(const struct catalog *catalog, uint32_t tli, lsn end);
/* The whole of the timeline's own WAL is fenced. */
const struct owner_note *owner_fence_whole(const struct catalog *catalog, uint32_t tli);
/* Who wrote to the timeline first; NULL: nobody said so. */
const struct owner_note *owner_first(const struct catalog *catalog, uint32_t tli);
/* The first of all who wrote, on whatever timeline; NULL: nobody said so. */
const struct owner_note *owner_any(const struct catalog *catalog);
/* Whether that host and directory have said that they write the timeline. */
bool owner_said(const struct catalog *catalog, uint32_t tli, const struct owner_note *who);
/* The i-th quarrel that no fence has settled; NULL: there are no more. */
const struct owner_note *owner_contest(const struct catalog *catalog, size_t i);
/* Whether it is marked, settled or not. */
bool owner_contest_marked(const struct catalog *catalog, uint32_t child, uint32_t parent);
/* The first quarrel that a path takes a side in before position `until`; NULL: none. */
const struct owner_note *owner_contest_on(const struct catalog *catalog, const struct history *path,
                                          lsn until);
/* "timelines 1 and 2 are contested: 1 went on after 2 had forked from it at 0/3000000", who. */
void owner_contest_text(const struct catalog *catalog, const struct owner_note *note,
                        struct buf *out);

/* ---- writing ---- */

/* Writes it under the next number that is free. */
struct owner_write {
	struct op op;
	/* in; must stay */
	struct repo *repo;
	const char *generation;
	struct compression compression;
	struct owner_note note; /* n: the first number to try; out: the one that it has */
	/* private */
	char name[NAME_BYTES];
	struct buf text;
	struct object_write write;
};
void owner_write_start(struct op *parent, struct owner_write *write);
/* The first number behind those that the catalogue knows. */
uint32_t owner_next(const struct catalog *catalog, uint32_t tli);

#endif
