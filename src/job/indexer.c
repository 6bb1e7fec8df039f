/*
 * indexer.c — the story of a pass.
 *
 *   START -> READYING -> OPENING -> PIECES -> WAL -> LOST -> CHECKING -> next       all of it
 *                    '-> TAIL (what was archived of late) [-> ROLLING (a page of what is older)]
 *                        [-> LOST] -> next
 *
 *   next:  the segment behind the last one, if it is archived -> SEGMENT; else what was begun is
 *          written, and for the first segment that no piece covers: READING_BEFORE (the piece that
 *          ends there, for what it left open) -> WARMING (segments before it, until a record
 *          begins) -> SEGMENT; else pieces that fill one of the next level -> MERGING -> WRITING
 *   SEGMENT -> the piece is full -> WRITING -> (the cluster's other repositories) SHARING -> next
 *
 * A piece that is not whole begins again at its first segment, so that all pieces begin where they
 * always would. CHECKING reads every piece that tells of something: one that is damaged is made
 * again under the next number, from what lies below it or from WAL. A segment that cannot be read
 * ends the piece before it and begins one behind it; the pass goes on and fails at its end. It is
 * read again when it is good again (indexer_lost.c).
 */
#include "job/indexer.h"

#include "base/log.h"
#include "indexer_check.h"
#include "indexer_gap.h"
#include "indexer_look.h"
#include "indexer_lost.h"
#include "indexer_segment.h"
#include "job/walparts.h"

#include "base/poison.h"

/* clang-format off */
#define PASS_STATES(X) \
	X(PASS_START) X(PASS_READYING) X(PASS_OPENING) X(PASS_PIECES) X(PASS_WAL) X(PASS_LOST) \
	X(PASS_CHECKING) X(PASS_TAIL) X(PASS_ROLLING) X(PASS_READING_BEFORE) X(PASS_WARMING) \
	X(PASS_SEGMENT) X(PASS_MERGING) X(PASS_WRITING) X(PASS_SHARING)
/* clang-format on */

OP_STATES(pass_state, PASS_STATES)

enum { WARM_MAX = 64, SKIP_MAX = 1000 };

struct indexer {
	struct site *site;
	bool rebuild;
	struct indexer_figures figures;
	struct site_ready ready;
	struct generation_open open;
	bool known;                     /* pieces and catalog are loaded */
	struct walpieces pieces, there; /* there: what a rebuild finds, and does not go by */
	struct catalog catalog;
	struct walpieces_load pieces_load;
	struct catalog_load catalog_load;
	struct indexer_lost lost;
	struct indexer_look look;
	struct look_place tail, rolling; /* where what is newest, and the next look at what is
	                                    older, begins */
	struct indexer_gap gap;
	char parts_generation[NAME_GENERATION_MAX]; /* that pushes went to when all was looked at */
	/* where it is */
	struct walscan *scan;
	struct walindex_builder *builder; /* NULL: nowhere */
	uint32_t tli;
	uint64_t first, next; /* of the piece at hand; the segment that comes next */
	bool archive_only;    /* pg_wal was not what it seemed */
	uint64_t warm, warm_from;
	struct walindex_piece before;
	bool has_before;
	struct walpiece_read read;
	struct walpieces_read cover; /* of MERGING */
	struct indexer_check check;
	struct indexer_segment segment;
	/* a piece on its way */
	struct walindex_piece piece;
	struct walpiece_write write;
	struct site *share;
	size_t merge_from, merge_count, merge_at;
	uint64_t merge_last; /* segment of the group */
	uint32_t merge_level;
	uint64_t unmergeable[WALINDEX_LEVELS]; /* the last that was tried */
	struct catalog skip;                   /* segments that cannot be read */
	struct err err;                        /* the first failure of a segment */
	bool flushed;                          /* what is begun was written as it is */
	struct indexer_pass *pass;
	uint64_t parts_mark; /* what was archived before the pass */
};

struct indexer *indexer_new(struct site *site, bool rebuild)
{
	struct indexer *indexer = xcalloc(1, sizeof(*indexer));

	indexer->site = site;
	indexer->rebuild = rebuild;
	return indexer;
}

static void indexer_leave(struct indexer *indexer)
{
	walscan_free(indexer->scan);
	walindex_builder_free(indexer->builder);
	walindex_release(&indexer->before);
	indexer->scan = NULL;
	indexer->builder = NULL;
	indexer->has_before = false;
}

void indexer_free(struct indexer *indexer)
{
	if (!indexer)
		return;
	indexer_leave(indexer);
	walindex_release(&indexer->piece);
	walpieces_release(&indexer->pieces);
	walpieces_release(&indexer->there);
	catalog_release(&indexer->catalog);
	catalog_release(&indexer->skip);
	free(indexer);
}

const struct indexer_figures *indexer_figures(const struct indexer *indexer)
{
	return &indexer->figures;
}

const struct walpieces *indexer_pieces(const struct indexer *indexer)
{
	return indexer->known ? &indexer->pieces : NULL;
}

const struct catalog *indexer_catalog(const struct indexer *indexer)
{
	return indexer->known ? &indexer->catalog : NULL;
}

bool indexer_newest(const struct indexer *indexer, struct walindex_piece *ret)
{
	if (!indexer->builder || walindex_builder_segments(indexer->builder) == 0)
		return false;
	walindex_builder_take(indexer->builder, true, ret);
	return true;
}

int64_t indexer_look_at_ms(const struct indexer *indexer)
{
	return indexer && indexer->gap.waits ? indexer->gap.look_at_ms : INT64_MAX;
}

/* ---- what is to be done ---- */

static bool is_covered(const struct indexer *indexer, uint32_t tli, uint64_t segno,
                       uint64_t *ret_to)
{
	const struct name_index *piece = walpieces_at(&indexer->pieces, tli, segno);

	if (piece)
		*ret_to = piece->last;
	else if (catalog_has(&indexer->skip, tli, segno))
		*ret_to = segno;
	else if (indexer->builder && tli == indexer->tli && segno >= indexer->first &&
	         segno < indexer->next)
		*ret_to = indexer->next - 1;
	else
		return false;
	return true;
}

/* The first segment that is archived and in no piece, as far as it is its turn. */
static bool find_missing(const struct indexer *indexer, uint32_t *ret_tli, uint64_t *ret_segno)
{
	const struct catalog *catalog = &indexer->catalog;

	for (size_t i = 0; i < catalog->timelines; i++) {
		const struct catalog_timeline *timeline = &catalog->timeline[i];

		for (size_t r = 0; r < timeline->runs; r++) {
			uint64_t segno = timeline->run[r].first, to;

			while (segno <= timeline->run[r].last &&
			       is_covered(indexer, timeline->tli, segno, &to))
				segno = to + 1;
			if (segno > timeline->run[r].last ||
			    (indexer->gap.waits && timeline->tli == indexer->gap.tli &&
			     segno > indexer->gap.segno))
				continue;
			*ret_tli = timeline->tli;
			*ret_segno = segno;
			return true;
		}
	}
	return false;
}

/* What follows the archiver keeps up with it, however much waits to be archived: what pushes leave
 * for it is small work, and has no room to wait for long. */
static enum gate_class pass_class(const struct indexer *indexer)
{
	return indexer->site->parts && !indexer->pass->whole ? GATE_WAL : GATE_VERIFY;
}

/* ---- writing ---- */

static void pass_next(struct indexer *indexer);

static void pass_wait(struct indexer *indexer, enum pass_state state)
{
	op_wait(&indexer->pass->op, (int)state);
}

static void pass_end(struct indexer *indexer, const struct err *cause)
{
	struct op *op = &indexer->pass->op;

	walindex_release(&indexer->piece);
	lost_release(&indexer->look.gone);
	if (cause)
		indexer->gap = (struct indexer_gap){0};
	if (!indexer->gap.waits) /* else they are still wanted */
		walparts_drop(indexer->site->parts, indexer->parts_mark);
	if (cause) {
		indexer_leave(indexer);
		indexer->known = false;
		return op_fail(op, cause, "could not index the WAL of cluster \"%s\" in \"%s\"",
		               indexer->site->cluster, indexer->site->repository);
	}
	if (err_is(&indexer->err))
		return op_fail(op, &indexer->err, "the WAL index of cluster \"%s\" has a hole",
		               indexer->site->cluster);
	op_done(op);
}

static void piece_write(struct indexer *indexer, struct site *site, enum pass_state state)
{
	indexer->write =
	        (struct walpiece_write){.repo = site->repo,
	                                .generation = indexer->open.generation,
	                                .piece = &indexer->piece,
	                                .class = pass_class(indexer),
	                                .check = indexer->rebuild || indexer->pieces.bads > 0};
	walpiece_write_start(&indexer->pass->op, &indexer->write);
	pass_wait(indexer, state);
}

/* The piece goes to the other repositories of the cluster that can be reached; what does not get
 * there is made from their own WAL later. */
static void piece_share(struct indexer *indexer)
{
	while (indexer->share && (!indexer->share->repo || !indexer->share->repo->opened ||
	                          site_is_away(indexer->share)))
		indexer->share = indexer->share->next;
	if (indexer->share)
		return piece_write(indexer, indexer->share, PASS_SHARING);
	walindex_release(&indexer->piece);
	pass_next(indexer);
}

static void piece_written(struct indexer *indexer)
{
	if (op_failed(&indexer->write.op))
		return pass_end(indexer, &indexer->write.op.err);
	indexer->figures.written += !indexer->write.repeated;
	indexer->figures.repeated += indexer->write.repeated;
	indexer->figures.stored_bytes += indexer->write.stored_bytes;
	walpieces_drop(&indexer->pieces, &indexer->write.which);
	walpieces_add(&indexer->pieces, indexer->write.which.tli, &indexer->write.which, 1);
	indexer->share = indexer->site->next;
	piece_share(indexer);
}

static void piece_shared(struct indexer *indexer)
{
	site_note(indexer->share, op_failed(&indexer->write.op) ? &indexer->write.op.err : NULL);
	indexer->share = indexer->share->next;
	piece_share(indexer);
}

/* What was begun is written as it is. keep: and goes on. */
static bool flush(struct indexer *indexer, bool keep)
{
	if (!indexer->builder || walindex_builder_segments(indexer->builder) == 0 ||
	    indexer->flushed)
		return false;
	walindex_builder_take(indexer->builder, keep, &indexer->piece);
	indexer->flushed = true;
	piece_write(indexer, indexer->site, PASS_WRITING);
	return true;
}

/* ---- merging ---- */

static bool find_merge(struct indexer *indexer)
{
	for (uint32_t level = 1; level < WALINDEX_LEVELS; level++)
		for (size_t i = 0; i < indexer->pieces.timelines; i++) {
			const struct walpieces_timeline *timeline = &indexer->pieces.timeline[i];

			for (size_t from = 0; from < timeline->count; from++) {
				indexer->merge_count = walpieces_group(&indexer->pieces, i, from,
				                                       level, &indexer->catalog);
				if (indexer->merge_count == 0)
					continue;
				indexer->merge_last =
				        timeline->piece[from + indexer->merge_count - 1].last;
				if (indexer->merge_last <= indexer->unmergeable[level])
					continue;
				indexer->merge_from = from;
				indexer->merge_level = level;
				indexer->tli = indexer->builder ? indexer->tli : timeline->tli;
				indexer->merge_at = 0;
				indexer->cover.tli = timeline->tli;
				return true;
			}
		}
	return false;
}

static void merge_read(struct indexer *indexer)
{
	const struct walpieces_timeline *timeline =
	        walpieces_timeline(&indexer->pieces, indexer->cover.tli);

	indexer->cover = (struct walpieces_read){
	        .repo = indexer->site->repo,
	        .generation = indexer->open.generation,
	        .pieces = &indexer->pieces,
	        .tli = timeline->tli,
	        .segno = timeline->piece[indexer->merge_from + indexer->merge_at].first};
	walpieces_read_start(&indexer->pass->op, &indexer->cover);
	pass_wait(indexer, PASS_MERGING);
}

/* One that cannot be merged stays as it is: the levels below say the same. */
static void merge_give_up(struct indexer *indexer)
{
	indexer->unmergeable[indexer->merge_level] = indexer->merge_last;
	walindex_release(&indexer->piece);
	pass_next(indexer);
}

static void merge_take(struct indexer *indexer)
{
	struct walindex_piece *piece = &indexer->piece;
	struct err err = {0};
	bool good;

	if (err_is(&indexer->cover.first)) { /* it does not count any more, and is made first */
		log_err(LOG_WARNING, &indexer->cover.first, ", it is made again");
		walindex_release(&indexer->cover.piece);
		walindex_release(piece);
		if (op_failed(&indexer->cover.op) && !walpiece_is_bad(&indexer->cover.op.err))
			return pass_end(indexer, &indexer->cover.op.err);
		return pass_next(indexer);
	}
	if (op_failed(&indexer->cover.op))
		return pass_end(indexer, &indexer->cover.op.err);
	if (indexer->merge_at++ == 0) {
		*piece = indexer->cover.piece;
		indexer->cover.piece = (struct walindex_piece){0};
		good = true;
	} else {
		good = walindex_append(piece, &indexer->cover.piece, &err);
		walindex_release(&indexer->cover.piece);
	}
	if (!good || piece->crowded || piece->events > WALINDEX_EVENTS_FULL)
		return merge_give_up(indexer);
	if (indexer->merge_at < indexer->merge_count)
		return merge_read(indexer);
	piece->level = indexer->merge_level;
	piece_write(indexer, indexer->site, PASS_WRITING);
}

/* ---- segments ---- */

static void segment_start(struct indexer *indexer, uint32_t tli, uint64_t segno,
                          enum pass_state state)
{
	indexer->segment = (struct indexer_segment){.site = indexer->site,
	                                            .generation = indexer->open.generation,
	                                            .segment_bytes = indexer->pieces.segment_bytes,
	                                            .tli = tli,
	                                            .segno = segno,
	                                            .scan = indexer->scan,
	                                            .archive_only = indexer->archive_only ||
	                                                            indexer->rebuild ||
	                                                            indexer->site->left_behind};
	indexer_segment_start(&indexer->pass->op, &indexer->segment);
	pass_wait(indexer, state);
}

/* The timeline whose file holds segno on the way to the one at hand; 0: not archived. */
static uint32_t warm_tli(const struct indexer *indexer, uint64_t segno)
{
	const struct catalog_timeline *timeline = catalog_timeline(&indexer->catalog, indexer->tli);
	uint32_t tli;

	if (catalog_has(&indexer->catalog, indexer->tli, segno))
		return indexer->tli;
	if (!timeline || !timeline->history_archived)
		return 0;
	tli = history_tli_of_segment(&timeline->history, segno, indexer->pieces.segment_bytes);
	return catalog_has(&indexer->catalog, tli, segno) ? tli : 0;
}

static void begin_piece(struct indexer *indexer)
{
	indexer->builder =
	        walindex_builder_new(indexer->tli, indexer->first, indexer->pieces.segment_bytes,
	                             indexer->has_before ? &indexer->before : NULL);
	walindex_release(&indexer->before);
	indexer->has_before = false;
	indexer->next = indexer->first;
	walscan_into(indexer->scan, indexer->builder);
	indexer->flushed = false;
	pass_next(indexer);
}

/* indexer->warm: the segment to begin with, before the first of the piece. */
static void warm_next(struct indexer *indexer)
{
	uint32_t tli;

	if (indexer->warm >= indexer->first)
		return begin_piece(indexer);
	tli = warm_tli(indexer, indexer->warm);
	if (tli == 0 || catalog_has(&indexer->skip, tli, indexer->warm)) {
		/* what begins there is lost, and the piece says so */
		indexer->warm++;
		return warm_next(indexer);
	}
	segment_start(indexer, tli, indexer->warm, PASS_WARMING);
}

static void warm_begin(struct indexer *indexer, uint64_t from)
{
	walscan_free(indexer->scan);
	indexer->scan =
	        walscan_new(indexer->open.facts.system_identifier, indexer->pieces.segment_bytes);
	indexer->warm = indexer->warm_from = from;
	warm_next(indexer);
}

static void warmed(struct indexer *indexer)
{
	bool good = !op_failed(&indexer->segment.op);
	uint64_t begun = indexer->segment.segno;

	indexer->figures.cpu_us += indexer->segment.cpu_us;
	if (!good && (indexer->segment.local || indexer->segment.pushed)) {
		indexer->archive_only = true;
		return warm_begin(indexer, begun);
	}
	if (!good && indexer->segment.op.err.code != ERR_DAMAGED &&
	    indexer->segment.op.err.code != ERR_REFUSED &&
	    indexer->segment.op.err.code != ERR_NOTFOUND)
		return pass_end(indexer, &indexer->segment.op.err);
	if (!good)
		return warm_begin(indexer, begun + 1);
	/* all of it is one record that began before */
	if (!walscan_has_start(indexer->scan) && indexer->warm + 1 == indexer->first &&
	    indexer->warm_from > 0 && indexer->first - indexer->warm_from < WARM_MAX &&
	    warm_tli(indexer, indexer->warm_from - 1) != 0)
		return warm_begin(indexer, indexer->warm_from - 1);
	indexer->warm++;
	warm_next(indexer);
}

/* The piece that begins at first begins with what the one before left open. */
static void before_read(struct indexer *indexer, const struct name_index *which)
{
	indexer->read = (struct walpiece_read){.repo = indexer->site->repo,
	                                       .generation = indexer->open.generation,
	                                       .segment_bytes = indexer->pieces.segment_bytes,
	                                       .which = *which};
	walpiece_read_start(&indexer->pass->op, &indexer->read);
	pass_wait(indexer, PASS_READING_BEFORE);
}

/* To begin a piece at indexer->first. */
static void begin_at(struct indexer *indexer, uint64_t first)
{
	const struct name_index *before =
	        first > 0 ? walpieces_at(&indexer->pieces, indexer->tli, first - 1) : NULL;

	indexer->first = first;
	if (before)
		return before_read(indexer, before);
	warm_begin(indexer, first > 0 ? first - 1 : first);
}

static void before_taken(struct indexer *indexer)
{
	struct walpiece_read *read = &indexer->read;
	uint64_t span = walindex_span(0, indexer->pieces.segment_bytes);
	struct name_index which = read->which;
	bool whole;

	if (op_failed(&read->op)) {
		if (!walpiece_is_bad(&read->op.err))
			return pass_end(indexer, &read->op.err);
		log_err(LOG_WARNING, &read->op.err, ", it is made again");
		walpieces_spoil(&indexer->pieces, &which, read->op.err.code);
		return begin_at(indexer, which.first);
	}
	whole = read->piece.full || (which.last + 1) % span == 0;
	if (!whole) {
		walindex_release(&read->piece);
		walpieces_drop(&indexer->pieces, &which);
		return begin_at(indexer, which.first);
	}
	indexer->before = read->piece;
	indexer->has_before = true;
	read->piece = (struct walindex_piece){0};
	warm_begin(indexer, indexer->first - 1);
}

static void segment_failed(struct indexer *indexer)
{
	const struct err *err = &indexer->segment.op.err;
	enum err_code code = err->code;

	if ((indexer->segment.local || indexer->segment.pushed) && code != ERR_CANCELLED) {
		/* recycled while it was read, or another cluster's, or not what follows: from the
		 * repository, then */
		indexer->archive_only = true;
		indexer_leave(indexer);
		return begin_at(indexer, indexer->first);
	}
	if (code != ERR_DAMAGED && code != ERR_REFUSED && code != ERR_NOTFOUND)
		return pass_end(indexer, err);
	if (!err_is(&indexer->err))
		indexer->err = *err;
	log_err(LOG_ERROR, err, ", the index leaves it out");
	if (indexer->skip.segments == SKIP_MAX)
		return pass_end(indexer, err);
	catalog_add_segment(&indexer->skip, indexer->tli, indexer->next);
	/* what was fed of it is in the builder: the piece is made again, and ends before it */
	indexer_leave(indexer);
	if (indexer->first < indexer->next)
		return begin_at(indexer, indexer->first);
	pass_next(indexer);
}

static void segment_taken(struct indexer *indexer)
{
	indexer->figures.cpu_us += indexer->segment.cpu_us;
	if (op_failed(&indexer->segment.op))
		return segment_failed(indexer);
	indexer->figures.segments++;
	indexer->figures.from_pg_wal += indexer->segment.local;
	indexer->figures.from_push += indexer->segment.pushed;
	indexer->figures.bytes += indexer->pieces.segment_bytes;
	indexer->next++;
	indexer->flushed = false;
	if (!indexer->segment.full)
		return pass_next(indexer);
	walindex_builder_take(indexer->builder, false, &indexer->piece);
	indexer->first = indexer->next;
	indexer->archive_only = false;
	piece_write(indexer, indexer->site, PASS_WRITING);
}

/* ---- the story ---- */

static void pass_next(struct indexer *indexer)
{
	uint64_t segno, highest;
	uint32_t tli;

	if (indexer->pass->op.cancelled) {
		err_set(&indexer->err, ERR_CANCELLED, "cancelled");
		return pass_end(indexer, &indexer->err);
	}
	if (indexer->builder && catalog_has(&indexer->catalog, indexer->tli, indexer->next) &&
	    !catalog_has(&indexer->skip, indexer->tli, indexer->next) &&
	    !walpieces_at(&indexer->pieces, indexer->tli, indexer->next))
		return segment_start(indexer, indexer->tli, indexer->next, PASS_SEGMENT);
	if (find_missing(indexer, &tli, &segno)) {
		if (flush(indexer, true))
			return;
		indexer_leave(indexer);
		indexer->tli = tli;
		return begin_at(indexer, segno);
	}
	/* at a hole, or where a newer timeline goes on, nothing more is to come */
	if (indexer->builder && (indexer->pass->flush || !indexer->gap.waits) &&
	    (indexer->pass->flush || indexer->tli != catalog_highest_tli(&indexer->catalog) ||
	     (catalog_highest(&indexer->catalog, indexer->tli, &highest) &&
	      highest >= indexer->next)) &&
	    flush(indexer, true))
		return;
	if (find_merge(indexer))
		return merge_read(indexer);
	pass_end(indexer, NULL);
}

static void load_pieces(struct indexer *indexer)
{
	walpieces_release(&indexer->pieces);
	catalog_release(&indexer->catalog);
	indexer_leave(indexer);
	indexer->pieces.segment_bytes = indexer->open.facts.segment_bytes;
	walpieces_release(&indexer->there);
	indexer->pieces_load = (struct walpieces_load){
	        .repo = indexer->site->repo,
	        .generation = indexer->open.generation,
	        .segment_bytes = indexer->open.facts.segment_bytes,
	        .ret = indexer->rebuild ? &indexer->there : &indexer->pieces};
	walpieces_load_start(&indexer->pass->op, &indexer->pieces_load);
	pass_wait(indexer, PASS_PIECES);
}

static void load_wal(struct indexer *indexer)
{
	indexer->catalog_load =
	        (struct catalog_load){.repo = indexer->site->repo,
	                              .generation = indexer->open.generation,
	                              .segment_bytes = indexer->open.facts.segment_bytes,
	                              .what = CATALOG_HISTORIES | CATALOG_WAL,
	                              .class = pass_class(indexer),
	                              .ret = &indexer->catalog};
	catalog_load_start(&indexer->pass->op, &indexer->catalog_load);
	pass_wait(indexer, PASS_WAL);
}

/* ---- what is archived is looked at again ---- */

/* Pushes go to another generation than when all was looked at. */
static bool is_begun_anew(const struct indexer *indexer)
{
	const char *generation = walparts_generation(indexer->site->parts);

	return *generation && strcmp(generation, indexer->open.generation) != 0 &&
	       strcmp(generation, indexer->parts_generation) != 0;
}

/* What is archived is known. */
static void pass_go_on(struct indexer *indexer)
{
	if (indexer->pass->only)
		return pass_end(indexer, NULL);
	if (indexer->site->parts)
		gap_update(&indexer->gap, &indexer->catalog, loop_now_ms(indexer->site->loop));
	pass_next(indexer);
}

static void look_start(struct indexer *indexer, const struct look_place *from,
                       enum pass_state state)
{
	indexer->look = (struct indexer_look){.repo = indexer->site->repo,
	                                      .generation = indexer->open.generation,
	                                      .catalog = &indexer->catalog,
	                                      .from = *from,
	                                      .all = state == PASS_TAIL,
	                                      .gone = indexer->look.gone};
	indexer_look_start(&indexer->pass->op, &indexer->look);
	pass_wait(indexer, state);
}

static void tail_begin(struct indexer *indexer)
{
	look_place_newest(&indexer->catalog,
	                  indexer->pass->look ? look_page(&indexer->catalog) : GAP_SEGMENTS,
	                  &indexer->tail);
	look_start(indexer, &indexer->tail, PASS_TAIL);
}

static void lost_begin(struct indexer *indexer)
{
	indexer->lost = (struct indexer_lost){.site = indexer->site,
	                                      .generation = indexer->open.generation,
	                                      .pieces = indexer->pieces_load.ret,
	                                      .catalog = &indexer->catalog,
	                                      .gone = indexer->look.gone,
	                                      .skip = &indexer->skip};
	indexer->look.gone = (struct lost){0};
	indexer_lost_start(&indexer->pass->op, &indexer->lost);
	pass_wait(indexer, PASS_LOST);
}

static void looked(struct indexer *indexer, bool rolled)
{
	struct look_place *rolling = &indexer->rolling;

	if (op_failed(&indexer->look.op))
		return pass_end(indexer, &indexer->look.op.err);
	if (indexer->look.strange) { /* its history is needed */
		indexer->known = false;
		return load_pieces(indexer);
	}
	if (rolled) {
		*rolling = indexer->look.from;
		if (indexer->look.ended || look_place_is_behind(rolling, &indexer->tail))
			*rolling = (struct look_place){0};
	} else if (indexer->pass->look && !look_place_is_first(&indexer->tail, &indexer->catalog)) {
		return look_start(indexer, rolling, PASS_ROLLING);
	}
	if (indexer->look.gone.count > 0)
		return lost_begin(indexer);
	pass_go_on(indexer);
}

static void pass_opened(struct indexer *indexer)
{
	if (op_failed(&indexer->open.op)) {
		if (indexer->open.op.err.code == ERR_NOTFOUND)
			return op_done(&indexer->pass->op); /* nothing is archived yet */
		return pass_end(indexer, &indexer->open.op.err);
	}
	load_pieces(indexer);
}

static void pass_open(struct indexer *indexer)
{
	indexer->open = (struct generation_open){.repo = indexer->site->repo,
	                                         .cluster = indexer->site->cluster};
	generation_open_start(&indexer->pass->op, &indexer->open);
	pass_wait(indexer, PASS_OPENING);
}

static void pass_check(struct indexer *indexer)
{
	indexer->check = (struct indexer_check){.repo = indexer->site->repo,
	                                        .generation = indexer->open.generation,
	                                        .pieces = &indexer->pieces};
	indexer_check_start(&indexer->pass->op, &indexer->check);
	pass_wait(indexer, PASS_CHECKING);
}

static void pass_step(struct op *op)
{
	struct indexer_pass *pass = container_of(op, struct indexer_pass, op);
	struct indexer *indexer = pass->indexer;

	switch ((enum pass_state)op->state) {
	case PASS_START:
		indexer->pass = pass;
		err_clear(&indexer->err);
		indexer->parts_mark = walparts_mark(indexer->site->parts);
		site_ready_start(op, &indexer->ready, indexer->site);
		return op_wait(op, PASS_READYING);
	case PASS_READYING:
		if (op_failed(&indexer->ready.op))
			return pass_end(indexer, &indexer->ready.op.err);
		if (indexer->known && !pass->whole && !is_begun_anew(indexer))
			return tail_begin(indexer);
		indexer->known = false;
		snprintf(indexer->parts_generation, sizeof(indexer->parts_generation), "%s",
		         walparts_generation(indexer->site->parts));
		return pass_open(indexer);
	case PASS_OPENING:
		return pass_opened(indexer);
	case PASS_PIECES:
		if (op_failed(&indexer->pieces_load.op))
			return pass_end(indexer, &indexer->pieces_load.op.err);
		return load_wal(indexer);
	case PASS_WAL:
		if (op_failed(&indexer->catalog_load.op))
			return pass_end(indexer, &indexer->catalog_load.op.err);
		return lost_begin(indexer);
	case PASS_LOST:
		if (op_failed(&indexer->lost.op))
			return pass_end(indexer, &indexer->lost.op.err);
		return indexer->known ? pass_go_on(indexer) : pass_check(indexer);
	case PASS_CHECKING:
		if (op_failed(&indexer->check.op))
			return pass_end(indexer, &indexer->check.op.err);
		indexer->known = true;
		return pass_go_on(indexer);
	case PASS_TAIL:
	case PASS_ROLLING:
		return looked(indexer, op->state == PASS_ROLLING);
	case PASS_READING_BEFORE:
		return before_taken(indexer);
	case PASS_WARMING:
		return warmed(indexer);
	case PASS_SEGMENT:
		return segment_taken(indexer);
	case PASS_MERGING:
		return merge_take(indexer);
	case PASS_WRITING:
		return piece_written(indexer);
	case PASS_SHARING:
		return piece_shared(indexer);
	}
}

static const struct op_type pass_type = {
        .name = "index", .step = pass_step, .state_name = pass_state_name};

void indexer_pass_start(struct op *parent, struct indexer_pass *pass)
{
	op_start(parent, &pass->op, &pass_type);
}

void indexer_pass_start_root(struct loop *loop, struct indexer_pass *pass,
                             void (*on_done)(struct op *op))
{
	op_start_root(loop, &pass->op, &pass_type, on_done);
}
