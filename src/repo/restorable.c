/*
 * restorable.c — see restorable.h.
 *
 *   START -> HOLDINGS -> [PROVING, one suspect segment after the other] -> HEADS -> TIMES
 *         -> for each hole: ASIDE (what was refused) -> BEFORE, BEHIND (the index around it) ->
 * done
 *
 * The indexer goes along a timeline and leaves out only what it cannot read. So a segment that is
 * listed but in no piece, with pieces behind it, is suspect, and read here.
 */
#include "repo/restorable.h"

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"

#include <string.h>

#include "base/poison.h"

enum restorable_state {
	RESTORABLE_START,
	RESTORABLE_HOLDINGS,
	RESTORABLE_PROVING,
	RESTORABLE_HEADS,
	RESTORABLE_TIMES,
	RESTORABLE_ASIDE,
	RESTORABLE_BEFORE,
	RESTORABLE_BEHIND,
};

/* ---- pure ---- */

/* The first that is damaged at or behind segno; NULL: none. */
static const struct catalog_harm *harm_from(const struct catalog *catalog, uint32_t tli,
                                            uint64_t segno)
{
	for (size_t i = 0; i < catalog->harms; i++)
		if (catalog->harm[i].tli == tli && catalog->harm[i].segno >= segno)
			return &catalog->harm[i];
	return NULL;
}

/* Segments that are damaged stand apart from missing ones, and from those accepted so. */
static void hole_add(const struct catalog *catalog, struct hole **holes, size_t *count,
                     const struct hole *hole)
{
	uint64_t segno = hole->first, last;

	for (; segno <= hole->last; segno = last + 1) {
		const struct catalog_harm *harm = harm_from(catalog, hole->tli, segno), *next;

		last = hole->last;
		if (harm && harm->segno > segno)
			last = MIN(last, harm->segno - 1);
		else if (harm)
			for (last = segno; last < hole->last; last++) {
				next = catalog_harm_at(catalog, hole->tli, last + 1);
				if (!next || next->accepted != harm->accepted)
					break;
			}
		*holes = xrealloc(*holes, (*count + 1) * sizeof(**holes));
		(*holes)[(*count)++] =
		        (struct hole){.tli = hole->tli, .first = segno, .last = last};
	}
}

/* The last segment that is damaged: 0 when none is. */
static uint64_t last_harm(const struct catalog *catalog, uint32_t tli)
{
	uint64_t last = 0;

	for (size_t i = 0; i < catalog->harms; i++)
		if (catalog->harm[i].tli == tli)
			last = MAX(last, catalog->harm[i].segno);
	return last;
}

/* The segment in which a timeline begins; false: it is not known. */
static bool fork_segno(const struct catalog *catalog, const struct catalog_timeline *timeline,
                       uint64_t *ret)
{
	const struct history *history = &timeline->history;

	if (!timeline->history_archived || history->count == 0)
		return false;
	*ret = lsn_segno(history->entry[history->count - 1].switch_lsn, catalog->segment_bytes);
	return true;
}

static void holes_of(const struct catalog *catalog, const struct catalog_timeline *timeline,
                     struct hole **ret, size_t *ret_count)
{
	const struct catalog_harm *harm = harm_from(catalog, timeline->tli, 0);
	uint64_t from = harm ? harm->segno : UINT64_MAX, fork;
	struct hole hole = {.tli = timeline->tli};

	if (timeline->runs > 0)
		from = MIN(from, timeline->run[0].first);
	if (from != UINT64_MAX && fork_segno(catalog, timeline, &fork))
		from = MIN(from, fork);
	hole.first = from;
	for (size_t r = 0; r < timeline->runs; r++) {
		if (hole.first < timeline->run[r].first) {
			hole.last = timeline->run[r].first - 1;
			hole_add(catalog, ret, ret_count, &hole);
		}
		hole.first = timeline->run[r].last + 1;
	}
	hole.last = last_harm(catalog, timeline->tli);
	if (hole.first <= hole.last)
		hole_add(catalog, ret, ret_count, &hole);
}

void holes_find(const struct catalog *catalog, struct hole **ret, size_t *ret_count)
{
	*ret = NULL;
	*ret_count = 0;
	for (size_t t = 0; t < catalog->timelines; t++)
		holes_of(catalog, &catalog->timeline[t], ret, ret_count);
}

enum hole_cause hole_cause_of(const struct hole *hole, const struct catalog *catalog,
                              const struct walpieces *pieces)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, hole->tli);
	const struct catalog_harm *harm = catalog_harm_at(catalog, hole->tli, hole->first);
	uint64_t fork;

	if (harm)
		return harm->accepted ? HOLE_ACCEPTED : HOLE_DAMAGED;
	if (walpieces_at(pieces, hole->tli, hole->first) ||
	    walpieces_at(pieces, hole->tli, hole->last))
		return HOLE_DELETED;
	if (timeline && fork_segno(catalog, timeline, &fork) && fork == hole->first)
		return HOLE_FORK;
	if (hole->first > 0 && walpieces_at(pieces, hole->tli, hole->first - 1) &&
	    walpieces_at(pieces, hole->tli, hole->last + 1))
		return HOLE_NEVER;
	return HOLE_UNKNOWN;
}

const char *hole_cause_name(enum hole_cause cause)
{
	static const char *const names[] = {"unknown",         "never_archived", "deleted",
	                                    "set_aside",       "damaged",        "lost_at_fork",
	                                    "accepted_damaged"};

	return names[cause];
}

const char *hole_cause_text(enum hole_cause cause)
{
	static const char *const texts[] = {
	        "never archived, or deleted",
	        "never archived: it was missing when the WAL behind it was indexed",
	        "deleted: it was archived and indexed",
	        "refused: other content came under its name and was set aside, see conflict/",
	        "damaged: it is there, and cannot be read",
	        "never archived since the timeline began",
	        "damaged: it was so before it was archived, with --accept-damaged"};

	return texts[cause];
}

/* ---- what is damaged ---- */

static void find_suspects(struct restorable *restorable)
{
	const struct walpieces *pieces = &restorable->pieces;

	for (size_t t = 0; t < pieces->timelines; t++) {
		const struct walpieces_timeline *timeline = &pieces->timeline[t];

		for (size_t i = 1; i < timeline->count; i++)
			for (uint64_t n = timeline->piece[i - 1].last + 1;
			     n < timeline->piece[i].first; n++) {
				if (restorable->suspects == HOLES_PROVED_MAX)
					return;
				if (catalog_has(&restorable->catalog, timeline->tli, n))
					restorable->suspect[restorable->suspects++] =
					        (struct catalog_gap){.tli = timeline->tli,
					                             .segno = n};
			}
	}
}

static void heads_begin(struct restorable *restorable)
{
	for (size_t i = 0; i < restorable->harm.count; i++)
		if (restorable->harm.mark[i].name.word != HARM_GOOD)
			catalog_remove_segments(&restorable->catalog,
			                        restorable->harm.mark[i].name.tli,
			                        restorable->harm.mark[i].name.segno,
			                        restorable->harm.mark[i].name.segno);
	harm_into_catalog(&restorable->harm, &restorable->catalog);
	restorable->heads_load = (struct heads_load){.repo = restorable->repo,
	                                             .generation = restorable->generation,
	                                             .catalog = &restorable->catalog,
	                                             .ret = &restorable->heads};
	heads_load_start(&restorable->op, &restorable->heads_load);
	op_wait(&restorable->op, RESTORABLE_HEADS);
}

static void prove_next(struct restorable *restorable)
{
	const struct catalog_gap *suspect = &restorable->suspect[restorable->at];

	if (restorable->at == restorable->suspects)
		return heads_begin(restorable);
	restorable->proof = (struct harm_proof){.repo = restorable->repo,
	                                        .generation = restorable->generation,
	                                        .segment_bytes = restorable->segment_bytes,
	                                        .tli = suspect->tli,
	                                        .segno = suspect->segno,
	                                        .class = GATE_VERIFY};
	harm_proof_start(&restorable->op, &restorable->proof);
	op_wait(&restorable->op, RESTORABLE_PROVING);
}

/* What could not be asked is not damaged. */
static void proved(struct restorable *restorable)
{
	const struct catalog_gap *suspect = &restorable->suspect[restorable->at++];

	if (restorable->proof.op.err.code == ERR_DAMAGED)
		harm_found(&restorable->harm, restorable->repo, suspect->tli, suspect->segno);
	prove_next(restorable);
}

/* ---- each hole ---- */

static void hole_name(const struct restorable *restorable, uint64_t segno, char *out)
{
	segment_name(restorable->hole[restorable->at].tli, segno, restorable->segment_bytes, out);
}

/* What was set aside under the names of the hole: "conflict/<segment>/<digest>". */
static void aside_begin(struct restorable *restorable)
{
	const struct hole *hole = &restorable->hole[restorable->at];
	char first[SEGMENT_NAME_BYTES];

	hole_name(restorable, hole->first, first);
	name_conflict_folder(restorable->prefix, restorable->generation);
	snprintf(restorable->after, sizeof(restorable->after), "%.*s%s", NAME_BYTES - 64,
	         restorable->prefix, first);
	restorable->list = (struct store_list){.store = restorable->repo->store,
	                                       .prefix = restorable->prefix,
	                                       .after = restorable->after};
	store_list_start(&restorable->op, &restorable->list);
	op_wait(&restorable->op, RESTORABLE_ASIDE);
}

static void aside_take(struct restorable *restorable)
{
	struct hole *hole = &restorable->hole[restorable->at];
	char last[SEGMENT_NAME_BYTES];

	hole_name(restorable, hole->last, last);
	for (unsigned i = 0; i < restorable->list.count; i++) {
		const char *name = restorable->list.entry[i].name + strlen(restorable->prefix);

		if (strncmp(name, last, SEGMENT_NAME_BYTES - 1) > 0)
			break;
		hole->aside++;
	}
	store_list_release(&restorable->list);
	if (hole->aside)
		hole->cause = HOLE_SET_ASIDE;
}

static bool read_piece(struct restorable *restorable, uint64_t segno, int state)
{
	uint32_t tli = restorable->hole[restorable->at].tli;

	if (!walpieces_at(&restorable->pieces, tli, segno))
		return false;
	restorable->piece = (struct walpieces_read){.repo = restorable->repo,
	                                            .generation = restorable->generation,
	                                            .pieces = &restorable->pieces,
	                                            .tli = tli,
	                                            .segno = segno};
	walpieces_read_start(&restorable->op, &restorable->piece);
	op_wait(&restorable->op, state);
	return true;
}

static void take_before(struct restorable *restorable)
{
	const struct walindex_piece *piece = &restorable->piece.piece;
	struct hole *hole = &restorable->hole[restorable->at];

	for (uint64_t n = MIN(hole->first, piece->last + 1); n-- > piece->first;) {
		const struct walindex_segment *segment = walindex_segment(piece, n);

		if (segment->commits + segment->aborts == 0)
			continue;
		hole->from_us = segment->last_us;
		return;
	}
}

static void take_behind(struct restorable *restorable)
{
	const struct walindex_piece *piece = &restorable->piece.piece;
	struct hole *hole = &restorable->hole[restorable->at];

	for (uint64_t n = MAX(hole->last + 1, piece->first); n <= piece->last; n++) {
		const struct walindex_segment *segment = walindex_segment(piece, n);

		if (segment->commits + segment->aborts == 0)
			continue;
		hole->until_us = segment->first_us;
		return;
	}
}

static void hole_next(struct restorable *restorable)
{
	if (restorable->at == MIN(restorable->holes, (size_t)HOLES_TOLD_MAX))
		return op_done(&restorable->op);
	aside_begin(restorable);
}

static void behind_begin(struct restorable *restorable)
{
	if (read_piece(restorable, restorable->hole[restorable->at].last + 1, RESTORABLE_BEHIND))
		return;
	restorable->at++;
	hole_next(restorable);
}

/* By all pieces that are there: one that cannot be read tells by its name what was archived. */
static void holes_name(struct restorable *restorable)
{
	holes_find(&restorable->catalog, &restorable->hole, &restorable->holes);
	for (size_t i = 0; i < restorable->holes; i++) {
		struct hole *hole = &restorable->hole[i];

		hole->cause = hole_cause_of(hole, &restorable->catalog, &restorable->pieces);
	}
}

/* ---- the story ---- */

static void holdings_begin(struct restorable *restorable)
{
	restorable->load = (struct holdings_load){.repo = restorable->repo,
	                                          .generation = restorable->generation,
	                                          .segment_bytes = restorable->segment_bytes,
	                                          .class = GATE_VERIFY,
	                                          .catalog = &restorable->catalog,
	                                          .pieces = &restorable->pieces,
	                                          .harm = &restorable->harm,
	                                          .proofs_max = HOLES_PROVED_MAX};
	holdings_load_start(&restorable->op, &restorable->load);
	op_wait(&restorable->op, RESTORABLE_HOLDINGS);
}

static void times_begin(struct restorable *restorable)
{
	holes_name(restorable);
	intervals_find(&restorable->catalog, restorable->heads.head, restorable->heads.count,
	               &restorable->intervals);
	restorable->times = (struct intervals_times){.repo = restorable->repo,
	                                             .generation = restorable->generation,
	                                             .pieces = &restorable->pieces,
	                                             .catalog = &restorable->catalog,
	                                             .intervals = &restorable->intervals};
	intervals_times_start(&restorable->op, &restorable->times);
	op_wait(&restorable->op, RESTORABLE_TIMES);
}

/* The child that must not fail; NULL: a failure of the one at hand only leaves something unknown.
 */
static const struct op *vital(const struct restorable *restorable)
{
	switch ((enum restorable_state)restorable->op.state) {
	case RESTORABLE_HOLDINGS:
		return &restorable->load.op;
	case RESTORABLE_HEADS:
		return &restorable->heads_load.op;
	case RESTORABLE_TIMES:
		return &restorable->times.op;
	case RESTORABLE_ASIDE:
		return &restorable->list.op;
	default:
		return NULL;
	}
}

static bool restorable_failed(struct restorable *restorable)
{
	const struct op *child = vital(restorable);

	if (child && op_failed(child))
		restorable->op.err = child->err;
	else if (restorable->op.cancelled)
		err_set(&restorable->op.err, ERR_CANCELLED, "cancelled");
	else
		return false;
	if (restorable->op.state == RESTORABLE_ASIDE)
		store_list_release(&restorable->list);
	if (restorable->op.state >= RESTORABLE_BEFORE)
		walindex_release(&restorable->piece.piece);
	op_fail_own(&restorable->op);
	return true;
}

static void restorable_step(struct op *op)
{
	struct restorable *restorable = container_of(op, struct restorable, op);

	if (op->state != RESTORABLE_START && restorable_failed(restorable))
		return;
	switch ((enum restorable_state)op->state) {
	case RESTORABLE_START:
		return holdings_begin(restorable);
	case RESTORABLE_HOLDINGS:
		find_suspects(restorable);
		return prove_next(restorable);
	case RESTORABLE_PROVING:
		return proved(restorable);
	case RESTORABLE_HEADS:
		return times_begin(restorable);
	case RESTORABLE_TIMES:
		restorable->at = 0;
		return hole_next(restorable);
	case RESTORABLE_ASIDE:
		aside_take(restorable);
		if (restorable->hole[restorable->at].first > 0 &&
		    read_piece(restorable, restorable->hole[restorable->at].first - 1,
		               RESTORABLE_BEFORE))
			return;
		return behind_begin(restorable);
	case RESTORABLE_BEFORE:
		if (!op_failed(&restorable->piece.op))
			take_before(restorable);
		walindex_release(&restorable->piece.piece);
		return behind_begin(restorable);
	case RESTORABLE_BEHIND:
		if (!op_failed(&restorable->piece.op))
			take_behind(restorable);
		walindex_release(&restorable->piece.piece);
		restorable->at++;
		return hole_next(restorable);
	}
}

void restorable_start(struct op *parent, struct restorable *restorable)
{
	static const struct op_type type = {.name = "restorable", .step = restorable_step};

	op_start(parent, &restorable->op, &type);
}

void restorable_release(struct restorable *restorable)
{
	intervals_release(&restorable->intervals);
	heads_release(&restorable->heads);
	catalog_release(&restorable->catalog);
	walpieces_release(&restorable->pieces);
	harm_release(&restorable->harm);
	free(STEAL(restorable->hole));
	restorable->holes = 0;
}

int64_t restorable_safe_us(const struct restorable *restorable)
{
	int64_t newest = 0;

	for (size_t i = 0; i < restorable->intervals.count; i++)
		newest = MAX(newest, restorable->intervals.item[i].last_us);
	return newest;
}
