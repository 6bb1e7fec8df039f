/*
 * restore_load.c — everything that the repository says about a cluster, as far as a plan needs it.
 *
 *   START -> OPENING (the generation) -> LISTING -> [OTHERS] -> HEADS -> done
 *
 * Backups are those of the site's own repository, the nearest that answered. WAL is what all of
 * them have together (OTHERS), and all must say so: what one of them alone has may be the end. It
 * is what the WAL index says, and listed only where that does not reach: what a plan then needs is
 * listed before it is believed (restore_check.c).
 */
#include "restore_load.h"
#include <string.h>
#include "base/poison.h"

enum load_state { LOAD_START, LOAD_OPENING, LOAD_LISTING, LOAD_OTHERS, LOAD_HEADS };

static void load_heads(struct restore_load *load)
{
	load->reading = (struct heads_load){.repo = load->site->repo,
	                                    .generation = load->generation,
	                                    .catalog = &load->catalog,
	                                    .ret = &load->heads};
	heads_load_start(&load->op, &load->reading);
	op_wait(&load->op, LOAD_HEADS);
}

/* Nobody knows how far the archive goes. */
static void load_without(struct restore_load *load)
{
	const struct nearest *nearest = &load->others.nearest;

	load->op.err = nearest->op.err;
	err_wrap(&load->op.err, "could not find out what all repositories have");
	load->op.err.hint[0] = '\0'; /* of the place alone; this one says the way out as well */
	err_hint(&load->op.err, "Bring it back (is a disk not mounted?); only if it is lost for "
	                        "good: restore --without REPOSITORY.");
	op_fail_own(&load->op);
}

/* Backups of which none can be read are not "there is no backup". */
static void load_end(struct restore_load *load)
{
	const struct heads *heads = &load->heads;

	if (heads->count > 0 || heads->unreadables == 0)
		return op_done(&load->op);
	op_fail(&load->op, &heads->unreadable[heads->unreadables - 1].err,
	        "none of the backups (there are %zu) can be used", heads->unreadables);
}

static void load_step(struct op *op)
{
	struct restore_load *load = container_of(op, struct restore_load, op);

	switch ((enum load_state)op->state) {
	case LOAD_START:
		load->open = (struct generation_open){.repo = load->site->repo,
		                                      .cluster = load->site->cluster};
		generation_open_start(op, &load->open);
		return op_wait(op, LOAD_OPENING);

	case LOAD_OPENING:
		if (op_failed(&load->open.op))
			return op_fail(op, &load->open.op.err,
			               "could not find cluster \"%s\" in the repository",
			               load->site->cluster);
		load->facts = load->open.facts;
		memcpy(load->generation, load->open.generation, sizeof(load->generation));
		load->listing = (struct holdings_load){.repo = load->site->repo,
		                                       .generation = load->generation,
		                                       .segment_bytes = load->facts.segment_bytes,
		                                       .class = GATE_RESTORE,
		                                       .catalog = &load->catalog,
		                                       .pieces = &load->pieces};
		holdings_load_start(op, &load->listing);
		return op_wait(op, LOAD_LISTING);

	case LOAD_LISTING:
		walpieces_release(&load->pieces);
		if (op_failed(&load->listing.op))
			return op_fail(op, &load->listing.op.err, "could not list the archive");
		if (!load->site->next)
			return load_heads(load);
		load->others = (struct nearest_catalog){
		        .nearest.first = load->site->next,
		        .by_index = true,
		        .load = {.generation = load->generation,
		                 .segment_bytes = load->facts.segment_bytes,
		                 .class = GATE_RESTORE,
		                 .ret = &load->catalog}};
		nearest_catalog_start(op, &load->others);
		return op_wait(op, LOAD_OTHERS);

	case LOAD_OTHERS:
		if (op_failed(&load->others.nearest.op))
			return load_without(load);
		return load_heads(load);

	case LOAD_HEADS:
		if (op_failed(&load->reading.op))
			return op_fail(op, &load->reading.op.err, "could not read the backups");
		return load_end(load);
	}
}

void restore_load_start(struct op *parent, struct restore_load *load)
{
	static const struct op_type type = {.name = "restore_load", .step = load_step};

	op_start(parent, &load->op, &type);
}

void restore_load_warning(const struct restore_load *load, size_t which, char *out,
                          size_t out_bytes)
{
	const struct heads_unreadable *bad = &load->heads.unreadable[which];
	char why[ERR_TEXT_MAX];

	err_line(&bad->err, why, sizeof(why));
	snprintf(out, out_bytes, "WARNING: not counted among the backups: %s", why);
}

void restore_load_release(struct restore_load *load)
{
	heads_release(&load->heads);
	catalog_release(&load->catalog);
}
