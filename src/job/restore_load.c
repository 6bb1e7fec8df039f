/*
 * restore_load.c — everything that the repositories say about a cluster, as far as a plan needs it.
 *
 *   START -> OPENING (the generation) -> LISTING -> BACKUPS -> done
 *
 * What they have together, WAL and backups, and all must say so: what one of them alone has may be
 * the end, or the backup that leads there. WAL is what the WAL index says, and listed only where
 * that does not reach: what a plan then needs is listed before it is believed (restore_check.c).
 */
#include "restore_load.h"
#include <string.h>
#include "base/poison.h"

enum load_state { LOAD_START, LOAD_OPENING, LOAD_LISTING, LOAD_BACKUPS };

/* With several, nobody knows what the one has that does not answer. */
static void load_fail(struct restore_load *load, const struct err *cause, const char *what)
{
	load->op.err = *cause;
	err_wrap(&load->op.err, "%s", what);
	if (load->site->next && cause->code != ERR_CANCELLED && cause->code != ERR_REFUSED) {
		load->op.err.hint[0] =
		        '\0'; /* of the place alone; this one says the way out as well */
		err_hint(&load->op.err,
		         "Bring it back (is a disk not mounted?); only if it is lost for "
		         "good: restore --without REPOSITORY.");
	}
	op_fail_own(&load->op);
}

/* Backups of which none can be read are not "there is no backup". */
static void load_end(struct restore_load *load)
{
	const struct heads *heads = &load->backups.heads;

	if (heads->count > 0 || heads->unreadables == 0)
		return op_done(&load->op);
	op_fail(&load->op, &heads->unreadable[heads->unreadables - 1].err,
	        "none of the backups (there are %zu) can be used", heads->unreadables);
}

static void load_list(struct restore_load *load)
{
	const struct nearest_generation *open = &load->open;

	load->facts = open->facts;
	memcpy(load->generation, open->generation, sizeof(load->generation));
	load->listing =
	        (struct nearest_catalog){.nearest.first = load->site,
	                                 .by_index = true,
	                                 .harm = &load->harm,
	                                 .load = {.generation = load->generation,
	                                          .segment_bytes = load->facts.segment_bytes,
	                                          .class = GATE_RESTORE,
	                                          .ret = &load->catalog}};
	nearest_catalog_start(&load->op, &load->listing);
	op_wait(&load->op, LOAD_LISTING);
}

static void load_backups(struct restore_load *load)
{
	harm_into_catalog(&load->harm, &load->catalog);
	load->backups = (struct restore_backups){.first = load->site,
	                                         .generation = load->generation,
	                                         .segment_bytes = load->facts.segment_bytes};
	restore_backups_start(&load->op, &load->backups);
	op_wait(&load->op, LOAD_BACKUPS);
}

static void load_step(struct op *op)
{
	struct restore_load *load = container_of(op, struct restore_load, op);
	const struct err *why;

	switch ((enum load_state)op->state) {
	case LOAD_START:
		load->open = (struct nearest_generation){
		        .nearest = {.first = load->site, .all = true}, .every = true};
		nearest_generation_start(op, &load->open);
		return op_wait(op, LOAD_OPENING);

	case LOAD_OPENING:
		why = &load->open.nearest.op.err;
		if (err_is(why) && why->code == ERR_NOTFOUND)
			return op_fail(op, why, "could not find cluster \"%s\" in the repository",
			               load->site->cluster);
		if (err_is(why))
			return load_fail(load, why,
			                 load->site->next
			                         ? "could not find out what all repositories have"
			                         : "could not find the cluster in its repository");
		return load_list(load);

	case LOAD_LISTING:
		why = &load->listing.nearest.op.err;
		if (err_is(why))
			return load_fail(load, why,
			                 load->site->next
			                         ? "could not find out what all repositories have"
			                         : "could not list the archive");
		return load_backups(load);

	case LOAD_BACKUPS:
		why = &load->backups.op.err;
		if (err_is(why))
			return load_fail(load, why,
			                 load->site->next
			                         ? "could not find out what all repositories have"
			                         : "could not read the backups");
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
	const struct heads_unreadable *bad = &load->backups.heads.unreadable[which];
	char why[ERR_TEXT_MAX];

	err_line(&bad->err, why, sizeof(why));
	snprintf(out, out_bytes, "WARNING: not counted among the backups: %s", why);
}

void restore_load_release(struct restore_load *load)
{
	restore_backups_release(&load->backups);
	harm_release(&load->harm);
	catalog_release(&load->catalog);
}
