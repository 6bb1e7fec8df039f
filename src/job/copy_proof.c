/*
 * copy_proof.c — what is wrong with WAL in one repository does not get into another as good.
 *
 *   START -> WALKING (one segment after the other) -> done
 *      |        ^
 *      +-> PEEKING -> BEFORE (each)       a segment whose one before was not walked
 *   what is damaged is marked at the source -> MARKING -> failed
 *
 * A sealed object says that it is what was once stored, not that it was good: somebody may have
 * accepted it as damaged, or a seam could not be proven when it came, since what was before it came
 * later. So the record walker goes through it again, from one segment into the next. Where the list
 * begins, and behind a hole, PEEKING finds out where the record before the first one starts, and
 * BEFORE walks from there: through the target's segments, with which it will be one chain, else
 * through the source's. If neither has them archiving began there, and nothing can be said.
 */
#include "copy_proof.h"

#include <string.h>

#include "base/bytes.h"

#include "base/poison.h"

/* clang-format off */
#define PROOF_STATES(X) \
	X(PROOF_START) X(PROOF_PEEKING) X(PROOF_BEFORE) X(PROOF_WALKING) X(PROOF_MARKING)
/* clang-format on */
OP_STATES(proof_state, PROOF_STATES)

enum { PAGE_TLI_AT = 4 };

static void proof_next(struct copy_proof *proof);

static void proof_fail(struct copy_proof *proof, const struct err *cause)
{
	struct err err = *cause;

	if (err.code == ERR_DAMAGED)
		err_hint(&err,
		         "It was not copied, nor what comes after it. Take a backup, and copy "
		         "that one by its name: it needs no older WAL.");
	op_wake(proof->op.parent);
	op_fail(&proof->op, &err, "could not prove WAL \"%s\" of repository \"%s\"", proof->object,
	        proof->from->repository);
}

static void walk_new(struct copy_proof *proof, bool tail)
{
	const struct walwalk_options options = {.system_identifier =
	                                                proof->facts->system_identifier,
	                                        .segment_bytes = proof->facts->segment_bytes,
	                                        .major = proof->facts->major,
	                                        .tail = tail};

	if (!proof->walk)
		proof->walk = xmalloc(sizeof(*proof->walk));
	walwalk_init(proof->walk, &options);
}

/* ---- on a worker ---- */

static bool proof_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                          size_t length, struct err *err)
{
	struct copy_proof *proof = stream->context;

	if (stream->from + offset < sizeof(proof->page) && proof->op.state == PROOF_PEEKING)
		memcpy(proof->page + offset, bytes, MIN(length, sizeof(proof->page) - offset));
	return walwalk_feed(proof->walk, bytes, length, err);
}

/* ---- requests ---- */

/* From an offset on to its end. */
static void proof_stream(struct copy_proof *proof, const struct site *site,
                         const struct walname *name, uint64_t from, int state)
{
	name_wal(proof->object, site == proof->from ? proof->from_generation : proof->to_generation,
	         name, NULL);
	proof->stream = (struct object_stream){
	        .repo = site->repo,
	        .name = proof->object,
	        .kind = SEALED_WAL,
	        .class = GATE_BACKUP,
	        .from = from,
	        .length = from ? proof->facts->segment_bytes - from : 0,
	        .consume = proof_consume,
	        .context = proof,
	};
	object_stream_start(&proof->op, &proof->stream);
	op_wait(&proof->op, state);
}

static void proof_walk(struct copy_proof *proof)
{
	struct err err = {0};

	if (!walwalk_begin(proof->walk, proof->name.tli, proof->segno, &err))
		return proof_fail(proof, &err);
	proof_stream(proof, proof->from, &proof->name, 0, PROOF_WALKING);
}

/* Nothing is said of what was before. */
static void proof_walk_alone(struct copy_proof *proof)
{
	walk_new(proof, false);
	proof_walk(proof);
}

static void proof_peek(struct copy_proof *proof)
{
	struct err err = {0};

	walk_new(proof, true);
	proof->at_source = false;
	if (!walwalk_begin(proof->walk, proof->name.tli, proof->segno, &err))
		return proof_fail(proof, &err);
	proof_stream(proof, proof->from, &proof->name, 0, PROOF_PEEKING);
}

static void proof_read_before(struct copy_proof *proof)
{
	const struct site *site = proof->at_source ? proof->from : proof->to;
	uint64_t first = lsn_segno(proof->position, proof->facts->segment_bytes);
	uint64_t from =
	        proof->before_segno == first ? proof->position % proof->facts->segment_bytes : 0;

	proof_stream(proof, site, &proof->before, from, PROOF_BEFORE);
}

/* ---- the story ---- */

/* The next segment before `name`, or `name` itself. */
static void proof_before(struct copy_proof *proof)
{
	char text[SEGMENT_NAME_BYTES];
	struct err err = {0};

	if (proof->before_segno == proof->segno)
		return proof_walk(proof);
	segment_name(proof->before.tli, proof->before_segno, proof->facts->segment_bytes, text);
	if (!walname_parse(text, &proof->before))
		return proof_walk_alone(proof);
	if (proof->before_segno == lsn_segno(proof->position, proof->facts->segment_bytes)) {
		walk_new(proof, false);
		if (!walwalk_begin_at(proof->walk, proof->before.tli, proof->position,
		                      proof->facts->wal_block_bytes, &err))
			return proof_fail(proof, &err);
	} else if (!walwalk_begin(proof->walk, proof->before.tli, proof->before_segno, &err)) {
		return proof_fail(proof, &err);
	}
	proof_read_before(proof);
}

static void proof_peeked(struct copy_proof *proof)
{
	uint32_t segment_bytes = proof->facts->segment_bytes;
	lsn here = lsn_of_segno(proof->segno, segment_bytes);

	if (op_failed(&proof->stream.op))
		return proof_fail(proof, &proof->stream.op.err);
	proof->before = proof->name;
	proof->before.tli = get_u32(proof->page + PAGE_TLI_AT);
	proof->position = proof->walk->seen.first_previous;
	/* None (the first record ever, or after pg_resetwal), or too far away to reach from there
	 * to here: as push_before_look(). */
	if (proof->position == 0 || proof->before.tli == 0 || proof->before.tli > proof->name.tli ||
	    proof->position >= here || here - proof->position > UINT64_C(2) * WALWALK_RECORD_MAX)
		return proof_walk_alone(proof);
	proof->before_segno = lsn_segno(proof->position, segment_bytes);
	proof_before(proof);
}

static void proof_have_before(struct copy_proof *proof)
{
	struct err err = proof->stream.op.err;

	if (err.code == ERR_NOTFOUND && !proof->at_source) {
		proof->at_source = true; /* its walk has seen nothing yet */
		return proof_read_before(proof);
	}
	if (err.code == ERR_NOTFOUND)
		return proof_walk_alone(proof);
	if (err_is(&err) || !walwalk_end(proof->walk, &err))
		return proof_fail(proof, &err);
	if (proof->walk->seen.switched)
		proof->before_segno = proof->segno; /* the rest means nothing */
	else
		proof->before_segno++;
	proof_before(proof);
}

/* The source may be one that is only read. */
static void proof_mark(struct copy_proof *proof, const struct err *err)
{
	proof->damage = *err;
	proof->mark = (struct harm_write){.repo = proof->from->repo,
	                                  .generation = proof->from_generation,
	                                  .segment_bytes = proof->facts->segment_bytes,
	                                  .tli = proof->name.tli,
	                                  .segno = proof->segno,
	                                  .word = HARM_DAMAGED,
	                                  .why = proof->damage.text};
	harm_write_start(&proof->op, &proof->mark);
	op_wait(&proof->op, PROOF_MARKING);
}

static void proof_walked(struct copy_proof *proof)
{
	struct err err = proof->stream.op.err;

	if (!err_is(&err))
		(void)!walwalk_end(proof->walk, &err);
	if (err.code == ERR_DAMAGED && !proof->op.cancelled)
		return proof_mark(proof, &err);
	if (err_is(&err))
		return proof_fail(proof, &err);
	proof->proven++;
	op_wake(proof->op.parent);
	proof_next(proof);
}

static void proof_next(struct copy_proof *proof)
{
	struct walname last = proof->name;
	uint64_t last_segno = proof->segno;
	bool carried = proof->walk != NULL;

	if (proof->op.cancelled)
		return op_fail_as(&proof->op, ERR_CANCELLED, "cancelled");
	for (; proof->proven < proof->items; proof->proven++)
		if (name_wal_parse(proof->item[proof->proven].name, &proof->name) &&
		    proof->name.kind == WALNAME_SEGMENT)
			break;
	op_wake(proof->op.parent);
	if (proof->proven == proof->items)
		return op_done(&proof->op);
	proof->segno = walname_segno(&proof->name, proof->facts->segment_bytes);
	if (carried && last.tli == proof->name.tli && last_segno + 1 == proof->segno)
		return proof_walk(proof);
	proof_peek(proof);
}

static void proof_step(struct op *op)
{
	struct copy_proof *proof = container_of(op, struct copy_proof, op);

	switch ((enum proof_state)op->state) {
	case PROOF_START:
		return proof_next(proof);
	case PROOF_PEEKING:
		return proof_peeked(proof);
	case PROOF_BEFORE:
		return proof_have_before(proof);
	case PROOF_WALKING:
		return proof_walked(proof);
	case PROOF_MARKING:
		return proof_fail(proof, &proof->damage);
	}
}

static const struct op_type proof_type = {
        .name = "copy-proof", .step = proof_step, .state_name = proof_state_name};

void copy_proof_start(struct op *parent, struct copy_proof *proof)
{
	op_start(parent, &proof->op, &proof_type);
}

void copy_proof_release(struct copy_proof *proof)
{
	free(proof->walk);
	proof->walk = NULL;
}
