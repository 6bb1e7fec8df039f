/*
 * harm.c — see harm.h. The name of a mark says all; its content is for people.
 *
 *   proof: START -> ALONE -> BEFORE (the segment before it) -> BEHIND (itself, behind that) -> done
 *   write: START -> LISTING (its marks) -> WRITING (the next) -> done
 *   look:  for each mark: PROVING -> [HEALING] -> done
 */
#include "repo/harm.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "codec/json.h"
#include "pg/walwalk.h"

#include "base/poison.h"

/* ---- pure ---- */

void harm_release(struct harm *harm)
{
	free(harm->mark);
	*harm = (struct harm){0};
}

static struct harm_mark *mark_of(const struct harm *harm, const struct repo *repo, uint32_t tli,
                                 uint64_t segno)
{
	for (size_t i = 0; i < harm->count; i++) {
		struct harm_mark *mark = &harm->mark[i];

		if (mark->repo == repo && mark->name.tli == tli && mark->name.segno == segno)
			return mark;
	}
	return NULL;
}

void harm_take(struct harm *harm, const struct repo *repo, const struct name_harm *name)
{
	struct harm_mark *mark = mark_of(harm, repo, name->tli, name->segno);

	if (!mark) {
		if (harm->count == harm->size) {
			harm->size = harm->size ? 2 * harm->size : 8;
			harm->mark = xrealloc(harm->mark, harm->size * sizeof(*harm->mark));
		}
		harm->mark[harm->count++] = (struct harm_mark){.repo = repo, .name = *name};
	} else if (name->n > mark->name.n ||
	           (name->n == mark->name.n && name->word > mark->name.word)) {
		mark->name = *name;
	}
}

const struct harm_mark *harm_at(const struct harm *harm, const struct repo *repo, uint32_t tli,
                                uint64_t segno)
{
	const struct harm_mark *mark = harm ? mark_of(harm, repo, tli, segno) : NULL;

	return mark && mark->name.word != HARM_GOOD ? mark : NULL;
}

void harm_found(struct harm *harm, const struct repo *repo, uint32_t tli, uint64_t segno)
{
	const struct name_harm name = {
	        .tli = tli, .segno = segno, .n = UINT32_MAX, .word = HARM_DAMAGED};

	if (!harm_at(harm, repo, tli, segno))
		harm_take(harm, repo, &name);
}

void harm_into_catalog(const struct harm *harm, struct catalog *catalog)
{
	free(STEAL(catalog->harm));
	catalog->harms = 0;
	for (size_t i = 0; i < harm->count; i++) {
		const struct name_harm *name = &harm->mark[i].name;

		if (name->word != HARM_GOOD)
			catalog_add_harm(catalog, &(struct catalog_harm){
			                                  .tli = name->tli,
			                                  .segno = name->segno,
			                                  .accepted = name->word == HARM_ACCEPTED});
	}
}

bool harm_next(const struct name_harm *known, enum harm_word word, struct name_harm *ret)
{
	enum harm_word now = known ? known->word : HARM_GOOD;

	if (now == word || (now == HARM_ACCEPTED && word == HARM_DAMAGED) ||
	    (known && known->n == UINT32_MAX))
		return false;
	ret->n = known ? known->n + 1 : 1;
	ret->word = word;
	return true;
}

/* ---- proof ---- */

enum { PAGE_TLI_AT = 4 };
enum proof_state { PROOF_START, PROOF_ALONE, PROOF_BEFORE, PROOF_BEHIND };

/* On a worker. */
static bool proof_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                          size_t length, struct err *err)
{
	struct harm_proof *proof = stream->context;

	if (offset == 0 && proof->op.state == PROOF_ALONE && length >= PAGE_TLI_AT + 4)
		proof->before_tli = get_u32(bytes + PAGE_TLI_AT);
	return walwalk_feed(proof->walk, bytes, length, err);
}

static void proof_end(struct harm_proof *proof, const struct err *cause)
{
	free(STEAL(proof->walk));
	if (!cause || !err_is(cause))
		return op_done(&proof->op);
	proof->op.err = *cause;
	op_fail_own(&proof->op);
}

static void proof_read(struct harm_proof *proof, uint64_t segno, bool goes_on, int state)
{
	uint32_t tli = state == PROOF_BEFORE ? proof->before_tli : proof->tli;
	const struct walwalk_options options = {.segment_bytes = proof->segment_bytes};
	struct err err = {0};

	if (!goes_on)
		walwalk_init(proof->walk, &options);
	if (!walwalk_begin(proof->walk, tli, segno, &err))
		return proof_end(proof, &err);
	name_wal_segment(proof->name, proof->generation, tli, segno, proof->segment_bytes);
	proof->stream = (struct object_stream){.repo = proof->repo,
	                                       .name = proof->name,
	                                       .kind = SEALED_WAL,
	                                       .class = proof->class,
	                                       .consume = proof_consume,
	                                       .context = proof};
	object_stream_start(&proof->op, &proof->stream);
	op_wait(&proof->op, state);
}

static void proof_step(struct op *op)
{
	struct harm_proof *proof = container_of(op, struct harm_proof, op);
	struct err err = {0};

	proof->alone = op->state != PROOF_BEHIND;
	if (op->state == PROOF_START) {
		proof->walk = xmalloc(sizeof(*proof->walk));
		return proof_read(proof, proof->segno, false, PROOF_ALONE);
	}
	err = proof->stream.op.err;
	if (!err_is(&err))
		(void)!walwalk_end(proof->walk, &err);
	switch ((enum proof_state)op->state) {
	case PROOF_START:
		return;
	case PROOF_ALONE:
		if (err_is(&err) || proof->segno == 0 || proof->before_tli == 0 ||
		    proof->before_tli > proof->tli)
			return proof_end(proof, &err);
		return proof_read(proof, proof->segno - 1, false, PROOF_BEFORE);
	case PROOF_BEFORE:
		if (op->cancelled || (err_is(&err) && err.code != ERR_NOTFOUND &&
		                      err.code != ERR_DAMAGED && err.code != ERR_REFUSED))
			return proof_end(proof, &err);
		if (err_is(&err)) /* nothing can be said of the seam */
			return proof_end(proof, NULL);
		return proof_read(proof, proof->segno, true, PROOF_BEHIND);
	case PROOF_BEHIND:
		return proof_end(proof, &err);
	}
}

void harm_proof_start(struct op *parent, struct harm_proof *proof)
{
	static const struct op_type type = {.name = "harm proof", .step = proof_step};

	op_start(parent, &proof->op, &type);
}

/* ---- write ---- */

enum write_state { WRITE_START, WRITE_LISTING, WRITE_WRITING };

static void each_mark(struct store_walk *walk, const struct store_entry *entry)
{
	struct harm_write *write = container_of(walk, struct harm_write, walk);
	struct name_harm name;

	if (name_harm_parse(entry->name, write->generation, write->segment_bytes, &name))
		harm_take(&write->known, write->repo, &name);
}

static void write_text(struct harm_write *write)
{
	struct jval *root = jobject_new();
	struct buf out;

	jset_int(root, "version", 1);
	jset_str(root, "kind", harm_word_text(write->word));
	if (write->why)
		jset_str(root, "why", write->why);
	buf_init(&out, sizeof(write->text) - 1);
	json_print(root, false, &out);
	snprintf(write->text, sizeof(write->text), "%s", out.overflow ? "{}" : buf_text(&out));
	buf_release(&out);
	jval_free(root);
}

static void write_put(struct harm_write *write)
{
	const struct harm_mark *known =
	        mark_of(&write->known, write->repo, write->tli, write->segno);
	struct name_harm next = {.tli = write->tli, .segno = write->segno};
	bool needed = harm_next(known ? &known->name : NULL, write->word, &next);

	harm_release(&write->known);
	if (!needed)
		return op_done(&write->op);
	name_harm(write->name, write->generation, &next, write->segment_bytes);
	write_text(write);
	write->write = (struct object_write){.repo = write->repo,
	                                     .name = write->name,
	                                     .kind = SEALED_NOTE,
	                                     .class = GATE_VERIFY,
	                                     .bytes = write->text,
	                                     .length = strlen(write->text)};
	object_write_start(&write->op, &write->write);
	op_wait(&write->op, WRITE_WRITING);
}

static void write_step(struct op *op)
{
	struct harm_write *write = container_of(op, struct harm_write, op);

	switch ((enum write_state)op->state) {
	case WRITE_START:
		name_harm_segment(write->name, write->generation, write->tli, write->segno,
		                  write->segment_bytes);
		write->walk = (struct store_walk){
		        .store = write->repo->store, .prefix = write->name, .each = each_mark};
		store_walk_start(op, &write->walk);
		return op_wait(op, WRITE_LISTING);
	case WRITE_LISTING:
		if (!op_failed(&write->walk.op))
			return write_put(write);
		harm_release(&write->known);
		return op_fail(op, &write->walk.op.err, "could not look for marks");
	case WRITE_WRITING:
		/* somebody marked it at the same time, in other words */
		if (!op_failed(&write->write.op) || write->write.op.err.code == ERR_EXISTS)
			return op_done(op);
		return op_fail(op, &write->write.op.err, "could not mark it");
	}
}

void harm_write_start(struct op *parent, struct harm_write *write)
{
	static const struct op_type type = {.name = "harm write", .step = write_step};

	write->known = (struct harm){0};
	op_start(parent, &write->op, &type);
}

/* ---- look ---- */

enum look_state { LOOK_START, LOOK_PROVING, LOOK_HEALING };

static void look_next(struct harm_look *look)
{
	struct harm *harm = look->harm;

	for (; look->at < harm->count; look->at++)
		if (harm->mark[look->at].repo == look->repo &&
		    harm->mark[look->at].name.word != HARM_GOOD)
			break;
	if (look->at == harm->count || (look->max && look->read == look->max))
		return op_done(&look->op);
	look->read++;
	look->proof = (struct harm_proof){.repo = look->repo,
	                                  .generation = look->generation,
	                                  .segment_bytes = look->segment_bytes,
	                                  .tli = harm->mark[look->at].name.tli,
	                                  .segno = harm->mark[look->at].name.segno,
	                                  .class = look->class};
	harm_proof_start(&look->op, &look->proof);
	op_wait(&look->op, LOOK_PROVING);
}

/* What cannot be asked just now is as it was. */
static void look_proved(struct harm_look *look)
{
	struct harm_mark *mark = &look->harm->mark[look->at++];
	bool good = !op_failed(&look->proof.op);

	if ((!good && look->proof.op.err.code != ERR_NOTFOUND) ||
	    (good && look->proof.alone && mark->name.word == HARM_ACCEPTED))
		return look_next(look);
	mark->name.word = HARM_GOOD;
	if (!good || !look->heal)
		return look_next(look);
	look->write = (struct harm_write){.repo = look->repo,
	                                  .generation = look->generation,
	                                  .segment_bytes = look->segment_bytes,
	                                  .tli = mark->name.tli,
	                                  .segno = mark->name.segno,
	                                  .word = HARM_GOOD};
	harm_write_start(&look->op, &look->write);
	op_wait(&look->op, LOOK_HEALING);
}

static void look_step(struct op *op)
{
	struct harm_look *look = container_of(op, struct harm_look, op);

	if (op->cancelled) {
		err_set(&op->err, ERR_CANCELLED, "cancelled");
		return op_fail_own(op);
	}
	if (op->state == LOOK_PROVING)
		return look_proved(look);
	look_next(look);
}

void harm_look_start(struct op *parent, struct harm_look *look)
{
	static const struct op_type type = {.name = "harm look", .step = look_step};

	look->at = look->read = 0;
	op_start(parent, &look->op, &type);
}
