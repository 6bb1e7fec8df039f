/*
 * past.c — the owner notes of earlier generations.
 *
 * `adopt --new-generation` says that what was written so far on a timeline may be another's. A
 * server that wrote the timeline before, and was not the one that was adopted, would go on in the
 * new generation as if nothing had happened, since the system identifier is the same. Its own owner
 * note in an earlier generation tells it from a standby that was promoted later: that one writes a
 * timeline that nobody has noted yet.
 */
#include "past.h"

#include <string.h>

#include "base/poison.h"

enum { PAST_START, PAST_LOADING };

static void past_step(struct op *op)
{
	struct past_load *load = container_of(op, struct past_load, op);
	const char *folder = strchr(load->generation, '/');
	AUTO_FREE char *cluster = NULL;
	uint64_t system_identifier;
	uint32_t major, n;

	if (op->state == PAST_LOADING && op_failed(&load->load.op)) {
		op->err = load->load.op.err;
		return op_fail_own(op);
	}
	if (!folder || !name_generation_parse(folder + 1, &system_identifier, &major, &n))
		return op_done(op);
	if (op->state == PAST_START)
		load->n = n;
	if (load->n <= 1)
		return op_done(op);
	load->n--;
	cluster = xasprintf("%.*s", (int)(folder - load->generation), load->generation);
	name_generation(load->name, cluster, system_identifier, major, load->n);
	load->load = (struct catalog_load){.repo = load->repo,
	                                   .generation = load->name,
	                                   .segment_bytes = load->segment_bytes,
	                                   .what = CATALOG_HISTORIES,
	                                   .tolerant = true,
	                                   .class = GATE_WAL,
	                                   .ret = load->ret};
	catalog_load_start(op, &load->load);
	op_wait(op, PAST_LOADING);
}

static const struct op_type past_type = {.name = "past", .step = past_step};

void past_load_start(struct op *parent, struct past_load *load)
{
	op_start(parent, &load->op, &past_type);
}

bool past_bars(const struct catalog *past, const struct catalog *owners, uint32_t tli,
               const char *folder)
{
	struct owner_note here = {.tli = tli};

	owner_note_here(&here, folder);
	return owner_said(past, tli, &here) && !owner_said(owners, tli, &here);
}

void past_tell(const struct catalog *owners, const char *generation, uint32_t tli, struct err *err)
{
	const struct owner_note *owner = owner_any(owners);
	AUTO_BUF struct buf who = {0};

	buf_init(&who, ERR_TEXT_MAX);
	if (owner)
		owner_note_who(owner, &who);
	err_set(err, ERR_REFUSED,
	        "the archive was begun anew, as \"%s\", by another server%s%s; this one wrote "
	        "timeline %u before that",
	        generation, owner ? ": " : "", buf_text(&who), tli);
	err_hint(err, "PostgreSQL keeps its WAL. If this server was left behind, stop it. If it is "
	              "the one that is right: `seawall adopt --new-generation` here.");
}
