/*
 * longarchive.c — makes an archive long: segments that are names alone, and the index that tells of
 * them.
 *
 *	longarchive REPOSITORY GENERATION FIRST LAST EVENTS
 *
 * Into the file repository at REPOSITORY, timeline 1 of GENERATION ("main/<id>-15-1"), segments
 * FIRST to LAST of 16 MB. Each has COMMITS transactions, of which EVENTS drop a table with its
 *index and TOAST table. Pieces that a loader would read are real; those below them are names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "repo/names.h"
#include "repo/repo.h"
#include "repo/walpieces.h"
#include "store/store.h"

#include "base/poison.h"

enum { SEGMENT = 16 << 20, COMMITS = 20, RELATIONS = 3, ARGUMENTS = 6, EXIT_USAGE = 2 };
#define BEGIN_US (INT64_C(1790000000) * 1000000) /* of the first segment; then one in 26 s */
#define STEP_US  (INT64_C(26) * 1000000)

struct making {
	struct op op;
	struct repo *repo;
	struct repo_open open;
	const char *folder, *generation;
	uint64_t first, last, next;
	unsigned events;
	struct walindex_piece piece;
	struct walpiece_write write;
};

/* An empty file of that name, and its folders. */
static bool touch(const struct making *making, const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s", making->folder, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	for (char *at = path; fd < 0 && errno == ENOENT && (at = strchr(at + 1, '/'));) {
		*at = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return false;
		*at = '/';
		errno = ENOENT;
	}
	if (fd < 0)
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	return fd >= 0 && close(fd) == 0;
}

static bool segments_make(const struct making *making)
{
	for (uint64_t segno = making->first; segno <= making->last; segno++) {
		struct walname name = {0};
		char text[SEGMENT_NAME_BYTES], object[NAME_BYTES];

		segment_name(1, segno, SEGMENT, text);
		if (!walname_parse(text, &name))
			return false;
		name_wal(object, making->generation, &name, NULL);
		if (!touch(making, object))
			return false;
	}
	return true;
}

/* Transaction number `which` of a segment: most do nothing that is worth finding. */
static void add_transaction(struct walindex_builder *builder, uint64_t segno, unsigned which,
                            bool drops)
{
	lsn start = segno * SEGMENT + (which + 1) * (SEGMENT / (COMMITS + 2));
	uint32_t xid = (uint32_t)(segno * COMMITS + which + 1000);
	struct walindex_rel class = {1663, 16384, 1259}, dropped[RELATIONS];
	struct walindex_record record = {.start = start, .end = start + 64, .tli = 1, .xid = xid};
	struct walindex_end end = {.commit = true,
	                           .xid = xid,
	                           .time_us = BEGIN_US + (int64_t)segno * STEP_US + which,
	                           .dropped = dropped,
	                           .droppeds = drops ? RELATIONS : 0};

	for (uint32_t i = 0; i < RELATIONS; i++)
		dropped[i] = (struct walindex_rel){1663, 16384, (xid * RELATIONS + i) % 100000};
	if (drops)
		walindex_add_rows(builder, xid, &class,
		                  &(struct walindex_rows){.deleted = RELATIONS});
	walindex_add_end(builder, &record, &end);
}

static void lowest_make(const struct making *making, uint64_t first, uint64_t last,
                        struct walindex_piece *ret)
{
	struct walindex_builder *builder = walindex_builder_new(1, first, SEGMENT, NULL);

	for (uint64_t segno = first; segno <= last; segno++) {
		struct walindex_tail tail = {.records = 100000,
		                             .last_start = (segno + 1) * SEGMENT - 64,
		                             .last_end = (segno + 1) * SEGMENT,
		                             .last_tli = 1};

		for (unsigned i = 0; i < COMMITS; i++)
			add_transaction(builder, segno, i, i < making->events);
		(void)walindex_next_segment(builder, &tail);
	}
	walindex_builder_take(builder, false, ret);
	walindex_builder_free(builder);
}

/* The piece of that level which begins at or before segno, if the indexer would have made it. */
static bool piece_make(const struct making *making, uint32_t level, uint64_t segno,
                       struct walindex_piece *ret)
{
	uint64_t span = walindex_span(level, SEGMENT), low = walindex_span(0, SEGMENT);
	uint64_t first = segno - segno % span, last = first + span - 1;
	struct err err = {0};

	if (last > making->last || segno != MAX(first, making->first) ||
	    (last - segno) * making->events > WALINDEX_EVENTS_FULL)
		return false;
	lowest_make(making, segno, segno - segno % low + low - 1, ret);
	while (ret->last < last) {
		struct walindex_piece next;

		lowest_make(making, ret->last + 1, ret->last + low, &next);
		if (!walindex_append(ret, &next, &err))
			return false;
		walindex_release(&next);
	}
	ret->level = level;
	return true;
}

/* Those that it was merged from, which nobody reads. */
static bool lower_make(const struct making *making, const struct walindex_piece *piece)
{
	for (uint32_t level = 0; level < piece->level; level++) {
		uint64_t span = walindex_span(level, SEGMENT);

		for (uint64_t at = piece->first; at <= piece->last; at = at - at % span + span) {
			struct name_index which = {.tli = 1,
			                           .level = level,
			                           .n = 1,
			                           .first = at,
			                           .last = at - at % span + span - 1};
			char name[NAME_BYTES];

			name_index(name, making->generation, &which, SEGMENT);
			if (!touch(making, name))
				return false;
		}
	}
	return true;
}

static void make_next(struct making *making)
{
	uint32_t level = WALINDEX_LEVELS;

	while (level-- > 0 && !piece_make(making, level, making->next, &making->piece))
		walindex_release(&making->piece);
	if (making->next > making->last || level == UINT32_MAX)
		return op_done(&making->op);
	if (!lower_make(making, &making->piece))
		return op_fail_as(&making->op, ERR_STORE, "could not make a name");
	making->write = (struct walpiece_write){.repo = making->repo,
	                                        .generation = making->generation,
	                                        .piece = &making->piece,
	                                        .class = GATE_VERIFY};
	walpiece_write_start(&making->op, &making->write);
	op_wait(&making->op, 2);
}

static void making_step(struct op *op)
{
	struct making *making = container_of(op, struct making, op);

	if (op->state == 0) {
		making->open.repo = making->repo;
		repo_open_start(op, &making->open);
		return op_wait(op, 1);
	}
	if (op->state == 1 && op_failed(&making->open.op))
		return op_fail(op, &making->open.op.err, "could not open the repository");
	if (op->state == 2 && op_failed(&making->write.op))
		return op_fail(op, &making->write.op.err, "could not write a piece");
	if (op->state == 2)
		making->next = making->piece.last + 1;
	walindex_release(&making->piece);
	make_next(making);
}

static const struct op_type making_type = {.name = "making", .step = making_step};

static bool make(struct making *making, struct err *err)
{
	struct loop *loop = loop_new(&(struct loop_options){.worker_end = codec_thread_end});
	struct blocks *blocks = blocks_new(loop, 2 * BLOCKS_SEAL * (uint64_t)BLOCK_BYTES);
	AUTO_FREE char *url = xasprintf("file://%s", making->folder);
	struct store_options options = {.label = "long", .url = url};
	struct store *store;
	bool good = store_open(loop, &options, &store, err);

	if (good) {
		making->repo = repo_new(store, blocks);
		loop_run_op(loop, &making->op, &making_type);
		good = !op_failed(&making->op);
		if (!good)
			*err = making->op.err;
		repo_free(making->repo);
	}
	blocks_free(blocks);
	loop_free(loop);
	return good;
}

int main(int count, char **argument)
{
	struct making *making = xcalloc(1, sizeof(*making));
	struct err err = {0};
	bool good;

	if (count != ARGUMENTS) {
		fprintf(stderr, "longarchive REPOSITORY GENERATION FIRST LAST EVENTS\n");
		return EXIT_USAGE;
	}
	making->folder = argument[1];
	making->generation = argument[2];
	making->first = making->next = strtoull(argument[3], NULL, 10);
	making->last = strtoull(argument[4], NULL, 10);
	making->events = (unsigned)strtoul(argument[5], NULL, 10);
	good = segments_make(making) && make(making, &err);
	if (!good)
		fprintf(stderr, "error: %s\n", err_is(&err) ? err.text : "could not make a file");
	free(making);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
