/* verify_lane.h — a few objects that are verified one after the other. Private to verify.c. */
#ifndef JOB_VERIFY_LANE_H
#define JOB_VERIFY_LANE_H

#include "job/verify.h"
#include "pg/walwalk.h"
#include "repo/manifest.h"

enum { LANE_OBJECTS_MAX = 32 };

struct verify_lane {
	struct op op; /* fails when the repository fails; damage is a finding. Done with at < names:
	                 it paused */
	struct verify *verify;
	char *name[LANE_OBJECTS_MAX]; /* owned */
	unsigned names;
	bool warm;              /* the first is read only for the seam to the second */
	bool outside;           /* not of the cluster's own folder: nothing is marked */
	char after[NAME_BYTES]; /* it has all that is to be verified behind this name */
	int64_t listed_us;
	/* out */
	unsigned at; /* so many names are done */
	/* private */
	struct object_stream stream;
	struct walwalk *walk; /* NULL: it begins anew */
	uint32_t walk_tli;
	uint64_t walk_segno; /* the next that goes on with it */
	bool carried;        /* the seam of the segment at hand was proven */
	bool segment;
	uint32_t tli;
	uint64_t segno;
	const struct manifest_head *head; /* of the manifest at hand; NULL: it is none */
	struct manifest_reader *reader;
	uint32_t **pack_end; /* of each source: how far its packs are read; index: number - 1 */
	uint32_t *packs;
	uint32_t source, pack;
	struct harm_write mark;
	char why[ERR_TEXT_MAX];
	char pack_name[NAME_BYTES];
	struct object_stat stat;
	struct nap nap;
};
/* Begins, or goes on. */
void verify_lane_start(struct op *parent, struct verify_lane *lane);
void verify_lane_free(struct verify_lane *lane);
/* It is of the generation, and not of an earlier one or of none. */
bool verify_is_ours(const struct verify *verify, const char *name);
/* verify.c: so long was nothing noted that lanes pause. */
bool verify_note_is_due(const struct verify *verify);
/* verify.c: something is wrong with an object. */
void verify_found(struct verify *verify, const char *object, const struct err *err);

#endif
