/*
 * cluster_generation.c — the generation that a cluster is archived to at one of its repositories,
 * found or begun.
 *
 *   START -> BEGINNING -> done                                              it has no other
 *     '----> LOOKING -> done                                                it is there
 *               '-> (each other repository) READYING -> ASKING
 *                      -> LOADING -> CARRYING... -> BEGINNING -> done       it is not, or is older
 *
 * CARRYING brings the owner notes of the repository that has the highest number: who is at home in
 * the archive there is so here, and what is fenced there is fenced here. They are there before the
 * generation is (its "system", repo/generation.c): if this is broken off, whoever comes next brings
 * them again, the same under the same names.
 *
 * Who cannot be asked may have an archive that was begun anew. What was archived here meanwhile
 * under a lower number would be found by nobody, so it waits. But a repository that has known the
 * cluster under another system identifier was there when the others were, and `adopt
 * --new-generation` wants them all: a new system identifier begins without an answer, also during
 * an outage.
 */
#include "cluster_generation.h"

#include "base/poison.h"

/* clang-format off */
#define PLACE_STATES(X) \
	X(PLACE_START) X(PLACE_LOOKING) X(PLACE_READYING) X(PLACE_ASKING) X(PLACE_LOADING) \
	X(PLACE_CARRYING) X(PLACE_BEGINNING)
/* clang-format on */

OP_STATES(place_state, PLACE_STATES)

static void place_end(struct cluster_generation *generation, const struct err *cause)
{
	catalog_release(&generation->notes);
	if (cause) {
		generation->op.err = *cause;
		return op_fail_own(&generation->op);
	}
	memcpy(generation->generation, generation->open.generation, sizeof(generation->generation));
	generation->facts = generation->open.facts;
	generation->n = generation->open.n;
	generation->begun = generation->open.begun;
	site_saw(generation->site, generation->facts.system_identifier, generation->n);
	op_done(&generation->op);
}

static void place_open(struct cluster_generation *generation, struct site *site, bool make,
                       int state)
{
	generation->open = (struct generation_open){
	        .repo = site->repo,
	        .cluster = site->cluster,
	        .make = make,
	        .compare = true,
	        .at_least = make ? generation->source_n : 0,
	        .system_identifier = generation->facts.system_identifier,
	        .facts = generation->facts,
	};
	generation_open_start(&generation->op, &generation->open);
	op_wait(&generation->op, state);
}

/* ---- what the others have ---- */

static void place_carry(struct cluster_generation *generation)
{
	const struct site *site = generation->site;

	if (generation->note == generation->notes.notes)
		return place_open(generation, generation->site, true, PLACE_BEGINNING);
	name_generation(generation->generation, site->cluster, generation->facts.system_identifier,
	                generation->facts.major, generation->source_n);
	generation->write = (struct owner_write){.repo = site->repo,
	                                         .generation = generation->generation,
	                                         .compression = site->wal_compression,
	                                         .note = generation->notes.note[generation->note]};
	owner_write_start(&generation->op, &generation->write);
	op_wait(&generation->op, PLACE_CARRYING);
}

static void place_load(struct cluster_generation *generation)
{
	if (!generation->source)
		return place_open(generation, generation->site, true, PLACE_BEGINNING);
	generation->load = (struct catalog_load){.repo = generation->source->repo,
	                                         .generation = generation->source_generation,
	                                         .segment_bytes = generation->facts.segment_bytes,
	                                         .what = CATALOG_HISTORIES,
	                                         .tolerant = true,
	                                         .class = GATE_WAL,
	                                         .ret = &generation->notes};
	catalog_load_start(&generation->op, &generation->load);
	op_wait(&generation->op, PLACE_LOADING);
}

static void place_ask(struct cluster_generation *generation);

static void place_next(struct cluster_generation *generation)
{
	generation->asked = generation->only ? NULL : generation->asked->next;
	place_ask(generation);
}

/* It did not say. */
static void place_unsaid(struct cluster_generation *generation, const struct err *why)
{
	const struct site *site = generation->site;

	if (generation->op.cancelled || why->code == ERR_CANCELLED)
		return place_end(generation, why);
	if (generation->known_here)
		return place_next(generation);
	catalog_release(&generation->notes);
	generation->waits = true;
	generation->op.err = *why;
	err_wrap(&generation->op.err,
	         "the archive of cluster \"%s\" is not begun in repository \"%s\" before "
	         "repository \"%s\" has said whether it has one",
	         site->cluster, site->repository, generation->asked->repository);
	if (why->code == ERR_STORE || err_code_retry(why->code))
		err_hint(&generation->op.err,
		         "Bring it back; if it is lost for good, take it out of the "
		         "configuration.");
	op_fail_own(&generation->op);
}

static void place_ask(struct cluster_generation *generation)
{
	if (generation->asked == generation->site)
		generation->asked = generation->asked->next;
	if (!generation->asked)
		return place_load(generation);
	if (site_is_away(generation->asked))
		return place_unsaid(generation, &generation->asked->away);
	site_ready_start(&generation->op, &generation->ready, generation->asked);
	op_wait(&generation->op, PLACE_READYING);
}

static void place_asked(struct cluster_generation *generation)
{
	const struct generation_open *open = &generation->open;

	if (op_failed(&open->op)) {
		if (open->op.err.code == ERR_NOTFOUND)
			return place_next(generation);
		site_note(generation->asked, &open->op.err);
		return place_unsaid(generation, &open->op.err);
	}
	site_saw(generation->asked, open->facts.system_identifier, open->n);
	if (open->n > generation->source_n) {
		generation->source_n = open->n;
		generation->source = generation->asked;
		memcpy(generation->source_generation, open->generation, sizeof(open->generation));
	}
	place_next(generation);
}

/* ---- the story ---- */

static void place_looked(struct cluster_generation *generation)
{
	const struct generation_open *open = &generation->open;

	if (op_failed(&open->op) && open->op.err.code != ERR_NOTFOUND)
		return place_end(generation, &open->op.err);
	if (!op_failed(&open->op) &&
	    open->n >= site_newest(generation->site, open->facts.system_identifier))
		return place_end(generation, NULL);
	generation->known_here = open->others && op_failed(&open->op);
	generation->asked = generation->only ? generation->only : site_first(generation->site);
	place_ask(generation);
}

static void place_step(struct op *op)
{
	struct cluster_generation *generation = container_of(op, struct cluster_generation, op);

	switch ((enum place_state)op->state) {
	case PLACE_START:
		if (!generation->only && !site_first(generation->site)->next)
			return place_open(generation, generation->site, true, PLACE_BEGINNING);
		return place_open(generation, generation->site, false, PLACE_LOOKING);
	case PLACE_LOOKING:
		return place_looked(generation);
	case PLACE_READYING:
		if (op_failed(&generation->ready.op))
			return place_unsaid(generation, &generation->ready.op.err);
		return place_open(generation, generation->asked, false, PLACE_ASKING);
	case PLACE_ASKING:
		return place_asked(generation);
	case PLACE_LOADING:
		if (op_failed(&generation->load.op))
			return place_end(generation, &generation->load.op.err);
		return place_carry(generation);
	case PLACE_CARRYING:
		if (op_failed(&generation->write.op))
			return place_end(generation, &generation->write.op.err);
		generation->note++;
		return place_carry(generation);
	case PLACE_BEGINNING:
		return place_end(generation,
		                 op_failed(&generation->open.op) ? &generation->open.op.err : NULL);
	}
}

static const struct op_type place_type = {
        .name = "cluster generation", .step = place_step, .state_name = place_state_name};

void cluster_generation_start(struct op *parent, struct cluster_generation *generation)
{
	op_start(parent, &generation->op, &place_type);
}
