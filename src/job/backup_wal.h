/* backup_wal.h — waiting until a backup's WAL is in the repository. Private to this layer. */
#ifndef JOB_BACKUP_WAL_H
#define JOB_BACKUP_WAL_H

#include "loop/nap.h"
#include "loop/work.h"
#include "pg/lsn.h"
#include "pg/segment.h"
#include "repo/catalog.h"
#include "repo/object.h"

/* Ends when every segment from that of start_lsn to that of the byte before stop_lsn is there, of
 * the right kind and size, and the timeline's history; ERR_TIMEOUT names the first that is not,
 * when nothing at all of the timeline was archived for wait_ms: what waits before it in the queue
 * takes its time. The last segment must be the one in pg_wal, if that still has it: another server
 * may have archived under these names, and its WAL does not belong to this backup. */
struct wal_wait {
	struct op op;
	/* in; must stay */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes, tli;
	lsn start_lsn, stop_lsn;
	const char
	        *pgdata; /* of the server that was backed up; NULL: nothing is compared with it */
	int64_t wait_ms;
	char *waiting_for; /* room of WALNAME_BYTES: the file at hand, or "" */
	/* private */
	uint64_t segno, last;
	bool history; /* it is the history file's turn */
	struct work look;
	int64_t since_ms, nap_ms;
	char name[NAME_BYTES];
	struct object_stat stat;
	struct nap nap;
	struct catalog_tail tail;
	bool counted;
	uint64_t highest; /* segment of the timeline, when it was looked up last */
};
void wal_wait_start(struct op *parent, struct wal_wait *wait);

#endif
