/*
 * backup_fill.h — one plan copied into one sealed object: reads, checks pages, keeps checksums.
 * Private to this layer.
 */
#ifndef JOB_BACKUP_FILL_H
#define JOB_BACKUP_FILL_H

#include "backup_walk.h"
#include "codec/sealed.h"
#include "pg/lsn.h"

struct page_finding {
	size_t item;    /* of the plan */
	uint32_t block; /* in the relation */
	bool warning;
	lsn position; /* 0, or: it is damaged only if the backup ends before this LSN of the page */
};

struct fill {
	/* in */
	const char *pgdata;
	lsn start_lsn; /* pages from here on are replayed anyway */
	struct plan *plan;
	struct sealer *sealer;
	/* out */
	struct page_finding *finding; /* owned: at most MANIFEST_FINDINGS_MAX are kept */
	size_t findings, findings_size;
	uint64_t findings_total;
	uint64_t bytes; /* copied */
	/* private */
	size_t next; /* the item at hand */
	bool open;   /* it is being copied, from fd */
	int fd;
	uint64_t length; /* of it that is to be copied */
	uint64_t ahead;  /* planned bytes of the items behind it */
	uint64_t spent;  /* of the slice at hand */
};
/* As much work as may keep a worker from WAL that comes meanwhile; blocks: for workers. Fills in
 * what became of each item. Called again and again until *ret_ended. */
MUST_USE bool fill_slice(struct fill *fill, bool *ret_ended, struct err *err);
void fill_release(struct fill *fill);

#endif
