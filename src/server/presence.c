/*
 * presence.c — in which repositories of a cluster its backups lie: their ids are listed in one
 * repository after the other.
 *
 *   START -> for each: READYING -> OPENING -> LISTING -> [READING] -> done
 */
#include "server/presence.h"

#include <stdlib.h>

#include "base/str.h"

#include "base/poison.h"

/* clang-format off */
#define PRESENCE_STATES(X) \
	X(PRESENCE_START) X(PRESENCE_READYING) X(PRESENCE_OPENING) X(PRESENCE_LISTING) \
	X(PRESENCE_READING)
/* clang-format on */
OP_STATES(presence_state, PRESENCE_STATES)

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool has_id(const struct catalog *catalog, const char *id)
{
	/* as they were listed: in order */
	return catalog->backups &&
	       bsearch(id, catalog->backup, catalog->backups, sizeof(*catalog->backup), by_name);
}

bool presence_has(const struct presence_place *place, const char *id)
{
	return has_id(&place->catalog, id);
}

const struct presence_place *presence_find(const struct presence *presence, const char *id)
{
	for (unsigned i = 0; i < presence->places; i++)
		if (presence_has(&presence->place[i], id))
			return &presence->place[i];
	return NULL;
}

/* ---- the story ---- */

static void presence_ready(struct presence *presence)
{
	struct presence_place *place;

	for (; presence->at < presence->places; presence->at++) {
		place = &presence->place[presence->at];
		if (!site_is_away(place->site)) {
			site_ready_start(&presence->op, &presence->ready, place->site);
			return op_wait(&presence->op, PRESENCE_READYING);
		}
		place->err = place->site->away;
	}
	op_done(&presence->op);
}

static void presence_next(struct presence *presence, const struct err *err)
{
	struct presence_place *place = &presence->place[presence->at];

	if (presence->op.cancelled)
		return op_fail_as(&presence->op, ERR_CANCELLED, "cancelled");
	place->known = err == NULL;
	if (err)
		place->err = *err;
	presence->at++;
	presence_ready(presence);
}

static void presence_begin(struct presence *presence)
{
	struct site *site = presence->first->next ? presence->first : NULL;

	for (; site && presence->places < SITE_CHAIN_MAX; site = site->next)
		presence->place[presence->places++].site = site;
	presence_ready(presence);
}

static void presence_open(struct presence *presence)
{
	const struct site *site = presence->place[presence->at].site;

	if (op_failed(&presence->ready.op))
		return presence_next(presence, &presence->ready.op.err);
	presence->open = (struct generation_open){.repo = site->repo,
	                                          .cluster = site->cluster,
	                                          .system_identifier = presence->system_identifier};
	generation_open_start(&presence->op, &presence->open);
	op_wait(&presence->op, PRESENCE_OPENING);
}

static void presence_list(struct presence *presence)
{
	struct presence_place *place = &presence->place[presence->at];

	if (op_failed(&presence->open.op))
		return presence_next(presence, presence->open.op.err.code == ERR_NOTFOUND
		                                       ? NULL /* nothing of the cluster is there */
		                                       : &presence->open.op.err);
	memcpy(place->generation, presence->open.generation, sizeof(place->generation));
	presence->load = (struct catalog_load){.repo = place->site->repo,
	                                       .generation = place->generation,
	                                       .segment_bytes = presence->open.facts.segment_bytes,
	                                       .what = CATALOG_BACKUPS,
	                                       .class = GATE_VERIFY,
	                                       .ret = &place->catalog};
	catalog_load_start(&presence->op, &presence->load);
	op_wait(&presence->op, PRESENCE_LISTING);
}

/* Of its backups those that were not read yet. */
static void presence_lacked(struct presence *presence)
{
	const struct catalog *catalog = &presence->place[presence->at].catalog;
	struct catalog *lacked = &presence->lacked;
	size_t first = 0;

	catalog_release(lacked);
	lacked->backup = xcalloc(catalog->backups + 1, sizeof(*lacked->backup));
	if (presence->heads_max && catalog->backups > presence->heads_max)
		first = catalog->backups - presence->heads_max;
	for (size_t i = first; i < catalog->backups; i++)
		if (!has_id(presence->have, catalog->backup[i]) &&
		    presence_find(presence, catalog->backup[i]) == &presence->place[presence->at])
			memcpy(lacked->backup[lacked->backups++], catalog->backup[i],
			       sizeof(*lacked->backup));
}

static void presence_read(struct presence *presence)
{
	const struct presence_place *place = &presence->place[presence->at];

	if (op_failed(&presence->load.op))
		return presence_next(presence, &presence->load.op.err);
	if (!presence->have)
		return presence_next(presence, NULL);
	presence_lacked(presence);
	presence->heads = (struct heads_load){.repo = place->site->repo,
	                                      .generation = place->generation,
	                                      .catalog = &presence->lacked,
	                                      .ret = &presence->elsewhere};
	heads_load_start(&presence->op, &presence->heads);
	op_wait(&presence->op, PRESENCE_READING);
}

static void presence_step(struct op *op)
{
	struct presence *presence = container_of(op, struct presence, op);

	switch ((enum presence_state)op->state) {
	case PRESENCE_START:
		return presence_begin(presence);
	case PRESENCE_READYING:
		return presence_open(presence);
	case PRESENCE_OPENING:
		return presence_list(presence);
	case PRESENCE_LISTING:
		return presence_read(presence);
	case PRESENCE_READING:
		return presence_next(
		        presence, op_failed(&presence->heads.op) ? &presence->heads.op.err : NULL);
	}
}

static const struct op_type presence_type = {
        .name = "presence", .step = presence_step, .state_name = presence_state_name};

void presence_start(struct op *parent, struct presence *presence)
{
	op_start(parent, &presence->op, &presence_type);
}

void presence_release(struct presence *presence)
{
	for (unsigned i = 0; i < presence->places; i++)
		catalog_release(&presence->place[i].catalog);
	presence->places = 0;
	heads_release(&presence->elsewhere);
	catalog_release(&presence->lacked);
}

/* ---- shown ---- */

void presence_text(const struct presence *presence, const char *id, char out[PRESENCE_TEXT_BYTES])
{
	size_t length = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < presence->places; i++) {
		const struct presence_place *place = &presence->place[i];

		if (length >= PRESENCE_TEXT_BYTES || (place->known && !presence_has(place, id)))
			continue;
		length += (size_t)snprintf(out + length, PRESENCE_TEXT_BYTES - length, "%s%s%s",
		                           length ? ", " : "", place->site->repository,
		                           presence_has(place, id) ? "" : "?");
	}
}

void presence_lacking(const struct presence *presence, const char *id,
                      char out[PRESENCE_TEXT_BYTES])
{
	size_t length = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < presence->places; i++) {
		const struct presence_place *place = &presence->place[i];

		if (length < PRESENCE_TEXT_BYTES && place->known && !presence_has(place, id))
			length +=
			        (size_t)snprintf(out + length, PRESENCE_TEXT_BYTES - length, "%s%s",
			                         length ? ", " : "", place->site->repository);
	}
}

void presence_json(const struct presence *presence, const char *id, struct jval *object)
{
	struct jval *list = presence->places ? jset_array(object, "repositories") : NULL;

	for (unsigned i = 0; i < presence->places; i++)
		if (presence_has(&presence->place[i], id))
			jadd_str(list, presence->place[i].site->repository);
}

void presence_unknown_json(const struct presence *presence, struct jval *object)
{
	struct jval *list = presence->places ? jset_array(object, "repositories_unknown") : NULL;

	for (unsigned i = 0; i < presence->places; i++) {
		const struct presence_place *place = &presence->place[i];
		struct jval *item;
		char line[ERR_TEXT_MAX];

		if (place->known)
			continue;
		item = jadd_object(list);
		err_line(&place->err, line, sizeof(line));
		jset_str(item, "repository", place->site->repository);
		jset_str(item, "error", line);
	}
}
