/* fetch_file.h — one file of WAL from the repository to the disk beside where it is wanted. Private
 * to this layer. */
#ifndef JOB_FETCH_FILE_H
#define JOB_FETCH_FILE_H

#include "base/durable.h"
#include "job/site.h"
#include "loop/work.h"
#include "pg/walwalk.h"
#include "repo/object.h"
#include "repo/plan.h"

struct fetch_file {
	struct op op; /* ERR_NOTFOUND: the repository says that it is not there; ERR_DAMAGED,
	                 ERR_REFUSED: never deliver it */
	/* in; must stay */
	struct site *site;
	const char *generation; /* prefix of object names */
	struct walname name;
	uint64_t system_identifier;
	uint32_t segment_bytes;
	const char *target; /* where the file appears, whole and proven, or not at all */
	enum gate_class class;
	const struct restore_plan *plan; /* of the restore that asks, or NULL */
	uint64_t likely_bytes;           /* of the object, when one may guess; 0: not */
	int64_t stall_ms;                /* as struct store_get */
	/* out */
	uint64_t bytes, stored_bytes;
	/* private */
	char object[NAME_BYTES], text[WALNAME_BYTES];
	struct draft draft;
	struct walwalk *walk;
	char *foreign; /* a tablespace of the original that the segment would use; owned */
	lsn foreign_lsn;
	struct object_stream stream;
	struct work work;
};
void fetch_file_start(struct op *parent, struct fetch_file *file);

#endif
