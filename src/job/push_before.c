/*
 * push_before.c — the seam between a segment and the one before it.
 *
 * A record that goes on into the next segment is in neither of them whole, so neither of the two
 * walks proves it. Here it is proven when its end arrives, and with it that the two segments are of
 * one chain: the first record that starts in the segment says where the one before it started; that
 * one is walked from there to here. It is nearly always a few pages of the segment before, which
 * lies in the same folder. If it does not (recycled meanwhile, with the server restarted or not),
 * the repository's copy is read. If neither has it, archiving begins here or there is a hole, and
 * nothing can be said.
 *
 * A file in pg_wal can also be damaged after it was archived. So when the folder's copy does not
 * prove, the walk is made again with what the repository has, and only that counts for the archive:
 * its WAL must go on from what is stored, not from what lies here.
 *
 *   START -> STREAMING -> JOINING -> [STREAMING …] -> done
 *                 |
 *                 +-> MARKING (the object does not open) -> done
 *
 * An object that does not open is marked as damaged (repo/harm.h), as by all who read one. Where
 * the walk does not prove, nobody can tell which side of the seam is wrong, and nothing is marked.
 *
 * Nothing is remembered from one segment to the next, so it is the same whatever the order in which
 * segments are pushed, how many at a time, by which process, and after whatever crash.
 *
 * After a crash inside a record the server gives up its beginning and says so at the next page: the
 * walker knows. A timeline that was forked in the middle of a segment has its first segment begin
 * with its parent's pages, so what is before it is the parent's too: the first page tells.
 */
#include "push_before.h"

#include <errno.h>
#include <fcntl.h>

#include "base/bytes.h"
#include "base/file.h"

#include "base/poison.h"

enum { PIECE_BYTES = 64 << 10, PAGE_TLI_AT = 4 };

/* Feeds of fd what stands there from offset on, until the walk has heard enough. */
static bool feed(struct push_before *before, int fd, uint64_t offset,
                 bool (*enough)(const struct walwalk *walk), struct err *err)
{
	AUTO_FREE uint8_t *piece = xmalloc(PIECE_BYTES);
	ssize_t got;

	while (!enough(before->walk)) {
		got = file_pread_full(fd, piece, PIECE_BYTES, offset);
		if (got < 0)
			return err_sys(err, "could not read a WAL segment");
		if (got == 0)
			return true;
		if (!walwalk_feed(before->walk, piece, (size_t)got, err))
			return false;
		offset += (uint64_t)got;
	}
	return true;
}

/* ---- what the segment says of the one before ---- */

static bool first_is_known(const struct walwalk *walk)
{
	return walk->seen.first_start || walk->seen.ended;
}

static void walk_new(struct push_before *before, bool tail)
{
	struct walwalk_options options = {
	        .system_identifier = before->control->system_identifier,
	        .segment_bytes = before->control->segment_bytes,
	        .major = before->control->major,
	        .tail = tail,
	};

	push_before_release(before);
	before->walk = xmalloc(sizeof(*before->walk));
	walwalk_init(before->walk, &options);
}

/* Where the record before its first one starts; 0: that cannot be told here. What is wrong with the
 * segment itself is for its own walk to say. */
static bool peek(struct push_before *before, uint64_t segno, struct err *err)
{
	uint8_t tli[4];

	before->position = 0;
	walk_new(before, true);
	if (!walwalk_begin(before->walk, before->name->tli, segno, err) ||
	    !feed(before, before->fd, 0, first_is_known, err)) {
		if (err->code != ERR_REFUSED)
			return false;
		err_clear(err);
		return true;
	}
	if (file_pread_full(before->fd, tli, sizeof(tli), PAGE_TLI_AT) != sizeof(tli))
		return err_sys(err, "could not read file \"%s\"", before->path);
	before->segment = *before->name;
	before->segment.tli = get_u32(tli);
	before->position = before->walk->seen.first_previous;
	return true;
}

/* ---- the walk from there to here ---- */

static bool is_over(const struct walwalk *walk)
{
	return walk->seen.switched; /* the rest of that segment means nothing */
}

static bool seam_is_proven(const struct walwalk *walk)
{
	return walk->seen.records > 1 || walk->seen.switched;
}

static void next_segment(struct push_before *before, uint64_t segno)
{
	char text[SEGMENT_NAME_BYTES];

	segment_name(before->segment.tli, segno, before->control->segment_bytes, text);
	if (!walname_parse(text, &before->segment))
		before->segment.tli = 0; /* never */
}

static bool segment_begin(struct push_before *before, lsn position, struct err *err)
{
	uint32_t segment_bytes = before->control->segment_bytes;

	if (before->walk->seen.page_bytes)
		return walwalk_begin(before->walk, before->segment.tli,
		                     lsn_segno(position, segment_bytes), err);
	return walwalk_begin_at(before->walk, before->segment.tli, position,
	                        before->control->wal_block_bytes, err);
}

/* One segment before, from position on. */
static bool segment_walk(struct push_before *before, struct err *err)
{
	uint32_t segment_bytes = before->control->segment_bytes;
	char text[WALNAME_BYTES];
	AUTO_FREE char *folder = path_folder(before->path);
	AUTO_FREE char *path = NULL;
	AUTO_FD int fd = -1;

	next_segment(before, lsn_segno(before->position, segment_bytes));
	walname_format(&before->segment, text);
	path = path_join(folder, text);
	if (!before->anew)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	before->missing = before->anew || (fd < 0 && errno == ENOENT);
	if (fd < 0 && !before->missing)
		return err_sys(err, "could not open file \"%s\"", path);
	before->looked_here |= fd >= 0;
	if (!segment_begin(before, before->position, err))
		return false;
	return before->missing ||
	       (feed(before, fd, before->position % segment_bytes, is_over, err) &&
	        (is_over(before->walk) || walwalk_end(before->walk, err)));
}

static bool here_walk(struct push_before *before, struct err *err)
{
	uint64_t segno = walname_segno(before->name, before->control->segment_bytes);

	return walwalk_begin(before->walk, before->name->tli, segno, err) &&
	       feed(before, before->fd, 0, seam_is_proven, err);
}

/* position is in the segment that comes next. */
static bool all_walk(struct push_before *before, struct err *err)
{
	uint32_t segment_bytes = before->control->segment_bytes;
	uint64_t here = walname_segno(before->name, segment_bytes);

	while (lsn_segno(before->position, segment_bytes) < here) {
		if (!segment_walk(before, err))
			return false;
		if (before->missing || is_over(before->walk))
			return true;
		before->position =
		        lsn_of_segno(lsn_segno(before->position, segment_bytes) + 1, segment_bytes);
	}
	return here_walk(before, err);
}

/* What does not prove, whatever the reason, is damage. */
static bool told(struct push_before *before, bool good, struct err *err)
{
	const char *where = "";

	if (good)
		return true;
	if (err->code != ERR_DAMAGED && err->code != ERR_REFUSED)
		return false;
	if (before->anew)
		where = ", neither in pg_wal nor in the repository";
	else if (before->generation)
		where = " in the repository";
	return err_wrap_as(err, ERR_DAMAGED,
	                   "it does not go on as the WAL before it%s, from " LSN_FORMAT " on",
	                   where, LSN_ARGS(before->start));
}

/* What the folder has before it cannot be used. */
static void suspect(struct push_before *before, const struct err *err)
{
	before->here = *err;
	before->missing = false;
	walname_format(&before->segment, before->suspect);
}

bool push_before_look(struct push_before *before, struct err *err)
{
	uint32_t segment_bytes = before->control->segment_bytes;
	uint64_t segno = walname_segno(before->name, segment_bytes);

	before->missing = false;
	if (!peek(before, segno, err))
		return false;
	/* None (the first record ever, or after pg_resetwal), or so far away that no record could
	 * reach from there to here. */
	if (before->position == 0 || before->segment.tli == 0 ||
	    before->segment.tli > before->name->tli ||
	    before->position >= lsn_of_segno(segno, segment_bytes) ||
	    lsn_of_segno(segno, segment_bytes) - before->position >
	            UINT64_C(2) * WALWALK_RECORD_MAX)
		return true;
	before->start = before->position;
	walk_new(before, false);
	if (!told(before, all_walk(before, err), err)) {
		suspect(before, err);
		err_clear(err);
	}
	return true;
}

void push_before_release(struct push_before *before)
{
	free(before->walk);
	before->walk = NULL;
}

/* ---- from the repository ---- */

/* clang-format off */
#define BEFORE_STATES(X) X(BEFORE_START) X(BEFORE_STREAMING) X(BEFORE_JOINING) X(BEFORE_MARKING)
/* clang-format on */

OP_STATES(before_state, BEFORE_STATES)

static bool consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                    size_t length, struct err *err)
{
	struct push_before *before = stream->context;

	(void)offset;
	before->unproven = !walwalk_feed(before->walk, bytes, length, err);
	return !before->unproven;
}

static void fetch(struct push_before *before)
{
	before->missing = false;
	name_wal(before->object, before->generation, &before->segment, NULL);
	before->stream = (struct object_stream){
	        .repo = before->repo,
	        .name = before->object,
	        .kind = SEALED_WAL,
	        .class = GATE_WAL,
	        .from = before->position % before->control->segment_bytes,
	        .consume = consume,
	        .context = before,
	};
	before->stream.length = before->control->segment_bytes - before->stream.from;
	object_stream_start(&before->op, &before->stream);
	op_wait(&before->op, BEFORE_STREAMING);
}

/* Everything again; nothing of the folder but the segment itself is looked at any more. */
static void fetch_anew(struct push_before *before)
{
	before->anew = true;
	before->position = before->start;
	walk_new(before, false);
	if (!all_walk(before, &before->op.err))
		return op_fail_own(&before->op);
	fetch(before);
}

/* On a worker: the one that was read has ended. */
static void join(struct work *work)
{
	struct push_before *before = container_of(work, struct push_before, work);
	uint32_t segment_bytes = before->control->segment_bytes;

	if (is_over(before->walk))
		return;
	if (!walwalk_end(before->walk, &work->op.err)) {
		told(before, false, &work->op.err);
		return;
	}
	before->position =
	        lsn_of_segno(lsn_segno(before->position, segment_bytes) + 1, segment_bytes);
	(void)!told(before, all_walk(before, &work->op.err), &work->op.err);
}

static void mark(struct push_before *before)
{
	uint32_t segment_bytes = before->control->segment_bytes;

	before->damage = before->stream.op.err;
	before->mark = (struct harm_write){.repo = before->repo,
	                                   .generation = before->generation,
	                                   .segment_bytes = segment_bytes,
	                                   .tli = before->segment.tli,
	                                   .segno = walname_segno(&before->segment, segment_bytes),
	                                   .word = HARM_DAMAGED,
	                                   .why = before->damage.text};
	harm_write_start(&before->op, &before->mark);
	op_wait(&before->op, BEFORE_MARKING);
}

/* Whether it could be marked or not, that is what stops this push. */
static void marked(struct push_before *before)
{
	before->op.err = before->damage;
	err_wrap(&before->op.err, "the segment before it is damaged in the repository");
	op_fail_own(&before->op);
}

static void streamed(struct push_before *before)
{
	struct err *err = &before->stream.op.err;

	if (!op_failed(&before->stream.op)) {
		work_start_look(&before->op, &before->work, WORK_WAL, join);
		return op_wait(&before->op, BEFORE_JOINING);
	}
	if (err->code == ERR_NOTFOUND) /* archiving begins here, or after a hole */
		return op_done(&before->op);
	if (err->code == ERR_DAMAGED && !before->unproven && !before->op.cancelled)
		return mark(before);
	before->op.err = *err;
	if (before->unproven)
		told(before, false, &before->op.err);
	op_fail_own(&before->op);
}

static void joined(struct push_before *before)
{
	const struct err *err = &before->work.op.err;

	if (!err_is(err) && before->missing)
		return fetch(before);
	before->rescued = !err_is(err) && before->anew;
	if (!err_is(err))
		return op_done(&before->op);
	if (err->code == ERR_DAMAGED && !before->anew && before->looked_here) {
		suspect(before, err);
		return fetch_anew(before);
	}
	before->op.err = *err;
	op_fail_own(&before->op);
}

static void before_step(struct op *op)
{
	struct push_before *before = container_of(op, struct push_before, op);

	switch ((enum before_state)op->state) {
	case BEFORE_START:
		return err_is(&before->here) ? fetch_anew(before) : fetch(before);
	case BEFORE_STREAMING:
		return streamed(before);
	case BEFORE_JOINING:
		return joined(before);
	case BEFORE_MARKING:
		return marked(before);
	}
}

static const struct op_type before_type = {
        .name = "push-before", .step = before_step, .state_name = before_state_name};

void push_before_ask_start(struct op *parent, struct push_before *before, struct repo *repo,
                           const char *generation)
{
	before->repo = repo;
	before->generation = generation;
	before->anew = before->unproven = before->rescued = false;
	op_start(parent, &before->op, &before_type);
}
