/*
 * indexer_segment.c — one segment read and told to the index.
 *
 *   START -> PART (worker) -> done
 *        \-> RESTING (a recovery goes first) -> LOCAL (worker; not there: nothing was fed)
 *            -> ARCHIVE -> ENDING (worker) -> done
 *                       '-> MARKING (it is damaged there, repo/harm.h) -> failed
 *
 * When its push has left a part (job/walparts.h) that is all that is needed. What pg_wal has is
 * read there: it was just written, and most likely is in memory. That it is what was archived is
 * proven by the walk, which goes on from the segment before; one that was recycled meanwhile fails,
 * and is read from the repository by the next pass.
 */
#include "indexer_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "job/walparts.h"

#include "base/poison.h"

enum { PIECE_BYTES = 256 * 1024 };
enum segment_state {
	SEGMENT_START,
	SEGMENT_PART,
	SEGMENT_RESTING,
	SEGMENT_LOCAL,
	SEGMENT_ARCHIVE,
	SEGMENT_ENDING,
	SEGMENT_MARKING
};

static uint64_t thread_cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

/* ---- on a worker ---- */

static bool local_feed(struct indexer_segment *segment, int fd, struct err *err)
{
	AUTO_FREE uint8_t *room = xmalloc(PIECE_BYTES);
	uint64_t offset = 0;

	segment->unclean = true;
	if (!walscan_begin(segment->scan, segment->tli, segment->segno, err))
		return false;
	while (offset < segment->segment_bytes) {
		ssize_t got = file_pread_full(fd, room, PIECE_BYTES, offset);

		if (got <= 0)
			return err_sys(err, "could not read file \"%s\"", segment->path);
		if (!walscan_feed(segment->scan, room, (size_t)got, err))
			return false;
		offset += (uint64_t)got;
	}
	return walscan_end(segment->scan, &segment->full, err);
}

static void part_run(struct work *work)
{
	struct indexer_segment *segment = container_of(work, struct indexer_segment, work);
	uint64_t begun_us = thread_cpu_us();

	segment->pushed = segment->unclean = true;
	if (walscan_part(segment->scan, segment->part, &segment->full, &work->op.err))
		segment->unclean = false;
	segment->cpu_us += thread_cpu_us() - begun_us;
}

static void local_run(struct work *work)
{
	struct indexer_segment *segment = container_of(work, struct indexer_segment, work);
	AUTO_FD int fd = open(segment->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	uint64_t begun_us = thread_cpu_us();
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
	    (uint64_t)status.st_size != segment->segment_bytes)
		return; /* recycled, removed: the repository has it */
	segment->local = true;
	if (local_feed(segment, fd, &work->op.err))
		segment->unclean = false;
	segment->cpu_us += thread_cpu_us() - begun_us;
}

static bool stream_feed(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                        size_t length, struct err *err)
{
	struct indexer_segment *segment = stream->context;
	uint64_t begun_us = thread_cpu_us();
	bool good = true;

	if (offset == 0) {
		segment->unclean = true;
		good = walscan_begin(segment->scan, segment->tli, segment->segno, err);
	}
	good = good && walscan_feed(segment->scan, bytes, length, err);
	segment->cpu_us += thread_cpu_us() - begun_us;
	return good;
}

static void end_run(struct work *work)
{
	struct indexer_segment *segment = container_of(work, struct indexer_segment, work);

	if (walscan_end(segment->scan, &segment->full, &work->op.err))
		segment->unclean = false;
}

/* ---- the story ---- */

static void segment_archive(struct indexer_segment *segment)
{
	struct walname name;

	if (!walname_parse(segment->text, &name))
		return op_fail_as(&segment->op, ERR_INTERNAL, "\"%s\" is no segment",
		                  segment->text);
	name_wal(segment->name, segment->generation, &name, NULL);
	segment->stream = (struct object_stream){.repo = segment->site->repo,
	                                         .name = segment->name,
	                                         .kind = SEALED_WAL,
	                                         .class = GATE_VERIFY,
	                                         .consume = stream_feed,
	                                         .context = segment};
	object_stream_start(&segment->op, &segment->stream);
	op_wait(&segment->op, SEGMENT_ARCHIVE);
}

static void segment_end(struct indexer_segment *segment, const struct err *cause)
{
	free(segment->path);
	segment->path = NULL;
	walpart_free(segment->part);
	segment->part = NULL;
	if (cause)
		return op_fail(&segment->op, cause, "could not index \"%s\" of cluster \"%s\"",
		               segment->text, segment->site->cluster);
	op_done(&segment->op);
}

/* Of the archive's copy: whether it is damaged is known now. */
static void segment_read(struct indexer_segment *segment, const struct err *err)
{
	if (err->code != ERR_DAMAGED || segment->op.cancelled)
		return segment_end(segment, err_is(err) ? err : NULL);
	segment->damage = *err;
	segment->mark = (struct harm_write){.repo = segment->site->repo,
	                                    .generation = segment->generation,
	                                    .segment_bytes = segment->segment_bytes,
	                                    .tli = segment->tli,
	                                    .segno = segment->segno,
	                                    .word = HARM_DAMAGED,
	                                    .why = segment->damage.text};
	harm_write_start(&segment->op, &segment->mark);
	op_wait(&segment->op, SEGMENT_MARKING);
}

static void segment_step(struct op *op)
{
	struct indexer_segment *segment = container_of(op, struct indexer_segment, op);

	switch ((enum segment_state)op->state) {
	case SEGMENT_START:
		segment_name(segment->tli, segment->segno, segment->segment_bytes, segment->text);
		if (!segment->archive_only)
			segment->part = walparts_take(segment->site->parts, segment->generation,
			                              segment->tli, segment->segno);
		if (segment->part) {
			work_start_look(op, &segment->work, WORK_WAL, part_run);
			return op_wait(op, SEGMENT_PART);
		}
		segment->rest = (struct rest){.haste = segment->site->haste};
		rest_start(op, &segment->rest);
		return op_wait(op, SEGMENT_RESTING);
	case SEGMENT_RESTING:
		if (op_failed(&segment->rest.op))
			return segment_end(segment, &segment->rest.op.err);
		if (segment->archive_only || !segment->site->pgdata)
			return segment_archive(segment);
		segment->path = xasprintf("%s/pg_wal/%s", segment->site->pgdata, segment->text);
		work_start_class(op, &segment->work, WORK_VERIFY, local_run);
		return op_wait(op, SEGMENT_LOCAL);
	case SEGMENT_PART:
		return segment_end(segment,
		                   op_failed(&segment->work.op) ? &segment->work.op.err : NULL);
	case SEGMENT_LOCAL:
		if (op_failed(&segment->work.op))
			return segment_end(segment, &segment->work.op.err);
		if (segment->local)
			return segment_end(segment, NULL);
		return segment_archive(segment);
	case SEGMENT_ARCHIVE:
		if (op_failed(&segment->stream.op))
			return segment_read(segment, &segment->stream.op.err);
		work_start_class(op, &segment->work, WORK_VERIFY, end_run);
		return op_wait(op, SEGMENT_ENDING);
	case SEGMENT_ENDING:
		return segment_read(segment, &segment->work.op.err);
	case SEGMENT_MARKING:
		return segment_end(segment, &segment->damage);
	}
}

static const struct op_type segment_type = {.name = "index-segment", .step = segment_step};

void indexer_segment_start(struct op *parent, struct indexer_segment *segment)
{
	op_start(parent, &segment->op, &segment_type);
}
