/*
 * index.c — the server keeps the WAL index of each cluster complete (job/indexer.h).
 *
 * A pass over the first repository follows what was archived, and gives its pieces to the others
 * of the cluster; those are looked at by themselves at the start and then every INDEX_WHOLE_MS, as
 * is all of the first one, for what was filled in or lost. Once in INDEX_ROLL_MS about two pages of
 * the listing of each are compared with what was there: the newest, and the next of what is older.
 * Pieces that are not full are written
 * once in INDEX_FLUSH_MS, so that commands and other servers see what is new. While a recovery
 * catches up, segments and names wait (job/rest.h).
 */
#include "internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "job/indexer.h"
#include "job/naming.h"
#include "job/rest.h"
#include "job/walparts.h"

#include "base/poison.h"

enum {
	INDEX_LOOK_MS = 1000,
	INDEX_FLUSH_MS = 10 * 1000,
	INDEX_WHOLE_MS = 60 * 60 * 1000,
	INDEX_ROLL_MS = 60 * 1000, /* at most 2 requests each time: 120 in an hour */
	INDEX_RETRY_MS = 60 * 1000,
	NAMES_FIRST_MS = 5 * 1000,
	NAMES_MS = 5 * 60 * 1000,
};

struct indexing {
	struct member *member;
	struct indexer *indexer[SITE_CHAIN_MAX];
	int64_t whole_at_ms[SITE_CHAIN_MAX]; /* when all of it is looked at again */
	int64_t roll_at_ms[SITE_CHAIN_MAX];  /* when a part of it is */
	struct site *site;                   /* of the pass that runs; NULL: none */
	unsigned at;
	struct indexer_pass pass;
	uint64_t archived;                /* files, at the last look */
	int64_t flush_at_ms;              /* 0: nothing is to be written */
	struct err error[SITE_CHAIN_MAX]; /* of the last pass, when it failed */
	struct timer timer;
	struct naming naming;
	bool names_run, names_failed;
	struct naming_known names;
	struct timer names_timer;
};

static uint64_t archived_files(const struct indexing *indexing)
{
	struct archiver_figures figures;

	archiver_figures(indexing->member->archiver, &figures);
	return figures.stored + figures.repeated;
}

static void pass_failed(struct indexing *indexing, const struct err *err)
{
	struct err *error = &indexing->error[indexing->at];
	bool told = strcmp(error->text, err->text) == 0;

	if (err->code == ERR_CANCELLED)
		return;
	if (!told)
		log_err(LOG_WARNING, err, ", will try again");
	*error = *err;
	indexing->whole_at_ms[indexing->at] = loop_now_ms(indexing->site->loop) + INDEX_RETRY_MS;
}

static void pass_done(struct op *op)
{
	struct indexer_pass *pass = container_of(op, struct indexer_pass, op);
	struct indexing *indexing = container_of(pass, struct indexing, pass);
	int64_t now_ms = loop_now_ms(indexing->site->loop);

	if (op_failed(op)) {
		pass_failed(indexing, &op->err);
	} else {
		if (pass->whole)
			indexing->whole_at_ms[indexing->at] = now_ms + INDEX_WHOLE_MS;
		if (!pass->only) /* a look says nothing of the index */
			err_clear(&indexing->error[indexing->at]);
	}
	indexing->site = NULL;
	if (!indexing->member->server->draining)
		timer_set(&indexing->timer, INDEX_LOOK_MS);
}

static void pass_begin(struct indexing *indexing, struct site *site, unsigned at, bool whole)
{
	int64_t now_ms = loop_now_ms(site->loop);
	bool flush = indexing->flush_at_ms != 0 && now_ms >= indexing->flush_at_ms;
	bool roll = now_ms >= indexing->roll_at_ms[at];

	indexing->site = site;
	indexing->at = at;
	if (!indexing->indexer[at])
		indexing->indexer[at] = indexer_new(site, false);
	if (at == 0 && flush)
		indexing->flush_at_ms = 0;
	if (whole || roll)
		indexing->roll_at_ms[at] = now_ms + INDEX_ROLL_MS;
	indexing->pass = (struct indexer_pass){.indexer = indexing->indexer[at],
	                                       .flush = at > 0 || flush,
	                                       .whole = whole,
	                                       .look = roll,
	                                       .only = at > 0 && !whole};
	indexer_pass_start_root(site->loop, &indexing->pass, pass_done);
}

/* The first repository: what is new there, what is to be written, or a look. */
static bool first_is_due(struct indexing *indexing, bool news, int64_t now_ms)
{
	if (err_is(&indexing->error[0]))
		return false;
	return news || (indexing->flush_at_ms && now_ms >= indexing->flush_at_ms) ||
	       now_ms >= indexing->roll_at_ms[0] ||
	       now_ms >= indexer_look_at_ms(indexing->indexer[0]);
}

/* One repository at a time: the first follows the archiver, the others are looked at now and
 * then. */
static void index_look(struct timer *timer)
{
	struct indexing *indexing = container_of(timer, struct indexing, timer);
	struct site *site = indexing->member->site;
	int64_t now_ms = loop_now_ms(site->loop);
	uint64_t archived = archived_files(indexing);
	bool whole = now_ms >= indexing->whole_at_ms[0], news = archived != indexing->archived;
	unsigned at = 0;

	if (indexing->member->server->draining || indexing->site)
		return;
	if (news && indexing->flush_at_ms == 0)
		indexing->flush_at_ms = now_ms + INDEX_FLUSH_MS;
	indexing->archived = archived;
	if (whole && indexing->flush_at_ms == 0)
		indexing->flush_at_ms = now_ms; /* what the last process left */
	if (whole || first_is_due(indexing, news, now_ms))
		return pass_begin(indexing, site, 0, whole);
	for (site = site->next; site && ++at < SITE_CHAIN_MAX; site = site->next) {
		whole = now_ms >= indexing->whole_at_ms[at];
		if ((whole || now_ms >= indexing->roll_at_ms[at]) && !site_is_away(site))
			return pass_begin(indexing, site, at, whole);
	}
	timer_set(timer, INDEX_LOOK_MS);
}

/* ---- names for numbers ---- */

static void names_done(struct op *op)
{
	struct naming *naming = container_of(op, struct naming, op);
	struct indexing *indexing = container_of(naming, struct indexing, naming);
	bool failed = op_failed(op);

	indexing->names_run = false;
	/* a server that is down is no news here: told once */
	if (failed && !indexing->names_failed && op->err.code != ERR_CANCELLED)
		log_err(LOG_INFO, &op->err, ", will try again");
	indexing->names_failed = failed;
	naming_release(naming);
	if (!indexing->member->server->draining)
		timer_set(&indexing->names_timer, NAMES_MS);
}

static void names_look(struct timer *timer)
{
	struct indexing *indexing = container_of(timer, struct indexing, names_timer);

	if (indexing->member->server->draining || indexing->names_run)
		return;
	if (haste_rests(indexing->member->site->haste, loop_now_ms(indexing->member->site->loop)))
		return timer_set(timer, NAMES_FIRST_MS);
	indexing->names_run = true;
	indexing->naming =
	        (struct naming){.site = indexing->member->site, .known = &indexing->names};
	naming_start_root(indexing->member->site->loop, &indexing->naming, names_done);
}

void index_names_soon(struct member *member)
{
	if (!member->server->draining && !member->indexing->names_run)
		timer_set(&member->indexing->names_timer, 0);
}

/* ---- the member's ---- */

/* The next pass need not wait. */
static void parts_are_plenty(void *context)
{
	struct indexing *indexing = context;

	if (!indexing->member->server->draining && !indexing->site)
		timer_set(&indexing->timer, 0);
}

void index_begin(struct member *member)
{
	struct indexing *indexing = xcalloc(1, sizeof(*indexing));

	indexing->member = member;
	member->indexing = indexing;
	member->site->parts = walparts_new(parts_are_plenty, indexing);
	timer_init(&indexing->timer, member->site->loop, index_look);
	timer_set(&indexing->timer, INDEX_LOOK_MS);
	timer_init(&indexing->names_timer, member->site->loop, names_look);
	timer_set(&indexing->names_timer, NAMES_FIRST_MS);
}

void index_cancel(struct member *member)
{
	timer_stop(&member->indexing->timer);
	if (member->indexing->site)
		op_cancel(&member->indexing->pass.op);
	timer_stop(&member->indexing->names_timer);
	if (member->indexing->names_run)
		op_cancel(&member->indexing->naming.op);
}

bool index_is_quiet(const struct member *member)
{
	return member->indexing->site == NULL && !member->indexing->names_run;
}

void index_end(struct member *member)
{
	struct indexing *indexing = member->indexing;

	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		indexer_free(indexing->indexer[i]);
	timer_release(&indexing->timer);
	timer_release(&indexing->names_timer);
	naming_known_release(&indexing->names);
	walparts_free(member->site->parts);
	member->site->parts = NULL;
	free(indexing);
	member->indexing = NULL;
}

const struct indexer *index_of(const struct member *member, const struct err **ret_error)
{
	*ret_error = NULL;
	for (unsigned i = SITE_CHAIN_MAX; i-- > 0;)
		if (err_is(&member->indexing->error[i]))
			*ret_error = &member->indexing->error[i];
	return member->indexing->indexer[0];
}
