/* indexer_segment.h — one segment through the scan of the WAL index. Private to the indexer. */
#ifndef JOB_INDEXER_SEGMENT_H
#define JOB_INDEXER_SEGMENT_H

#include "job/rest.h"
#include "job/site.h"
#include "loop/work.h"
#include "repo/harm.h"
#include "repo/object.h"
#include "repo/walscan.h"

struct indexer_segment {
	struct op op;
	/* in */
	struct site *site;
	const char *generation;
	uint32_t segment_bytes, tli;
	uint64_t segno;
	struct walscan *scan;
	bool archive_only; /* not from pg_wal */
	/* out */
	bool pushed;  /* its push left what the index needs */
	bool local;   /* it came from pg_wal */
	bool full;    /* the piece must be taken */
	bool unclean; /* the failure left the scan within the segment */
	uint64_t cpu_us;
	/* private */
	char name[NAME_BYTES], text[SEGMENT_NAME_BYTES];
	char *path;
	struct rest rest;
	struct walpart *part;
	struct work work;
	struct object_stream stream;
	struct harm_write mark;
	struct err damage;
};
/* ERR_NOTFOUND: it is not there. */
void indexer_segment_start(struct op *parent, struct indexer_segment *segment);

#endif
