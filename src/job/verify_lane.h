/* verify_lane.h — a few objects that are verified one after the other. Private to verify.c. */
#ifndef JOB_VERIFY_LANE_H
#define JOB_VERIFY_LANE_H

#include "job/verify.h"
#include "pg/walwalk.h"
#include "repo/manifest.h"

enum { LANE_OBJECTS_MAX = 32 };

struct verify_lane {
	struct op op; /* fails when the repository fails; damage is a finding */
	struct verify *verify;
	char *name[LANE_OBJECTS_MAX]; /* owned */
	unsigned names;
	bool warm; /* the first is read only for the seam to the second */
	/* private */
	unsigned at;
	struct object_stream stream;
	struct walwalk *walk; /* NULL: it begins anew */
	uint32_t walk_tli;
	uint64_t walk_segno; /* the next that goes on with it */
	bool segment;
	uint32_t tli;
	uint64_t segno;
	const struct manifest_head *head; /* of the manifest at hand; NULL: it is none */
	struct manifest_reader *reader;
	uint32_t **pack_end; /* of each source: how far its packs are read; index: number - 1 */
	uint32_t *packs;
	uint32_t source, pack;
	char pack_name[NAME_BYTES];
	struct object_stat stat;
	struct nap nap;
};
void verify_lane_start(struct op *parent, struct verify_lane *lane);
void verify_lane_free(struct verify_lane *lane);
/* verify.c: something is wrong with an object. */
void verify_found(struct verify *verify, const char *object, const struct err *err);

#endif
