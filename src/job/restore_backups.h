/*
 * restore_backups.h — the backups of a cluster in all of its repositories, each as the nearest has
 * it whose head can be read. Private to this layer.
 */
#ifndef JOB_RESTORE_BACKUPS_H
#define JOB_RESTORE_BACKUPS_H

#include "job/site.h"
#include "repo/heads.h"

struct restore_backups {
	struct op op;
	/* in */
	struct site *first;     /* those of the chain that are open; all must answer */
	const char *generation; /* prefix of names, the same in all */
	uint32_t segment_bytes;
	/* out; restore_backups_release */
	struct heads heads; /* unreadable: in every repository that has it */
	struct restore_backup_at {
		char id[NAME_BACKUP_ID_BYTES];
		struct site *site;
	} * at;
	size_t ats;
	/* private */
	struct site *site; /* being asked */
	struct catalog listed, lacked;
	struct catalog_load listing;
	struct heads_load reading;
};
void restore_backups_start(struct op *parent, struct restore_backups *backups);
/* Where a backup is taken from; NULL: it is not among them. */
struct site *restore_backups_site(const struct restore_backups *backups, const char *id);
void restore_backups_release(struct restore_backups *backups);

#endif
