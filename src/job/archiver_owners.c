/*
 * archiver_owners.c — when an archiver looks who else writes its cluster (owner_watch.c): in the
 * server at the first file, once a minute, at a new timeline and on any conflict, for each
 * repository by itself; in `seawall wal push` after each file that was new.
 */
#include "archiver_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include "base/poison.h"

enum {
	OWNERS_LOOK_MS = 60 * 1000,
	OWNERS_AGAIN_MS = 5 * 1000, /* after a conflict, which PostgreSQL tries again and again */
};

/* Each quarrel once. */
static void place_speak(struct archive_place *place)
{
	const struct catalog *owners = &place->destination.owners;
	const struct owner_note *note;
	size_t count = 0;

	while ((note = owner_contest(owners, count))) {
		AUTO_BUF struct buf text = {0};

		buf_init(&text, ERR_TEXT_MAX);
		owner_contest_text(owners, note, &text);
		if (count++ >= place->contests)
			log_error("cluster \"%s\", repository \"%s\": %s; `seawall adopt` on the "
			          "right server fences the other one",
			          place->site->cluster, place->site->repository, buf_text(&text));
	}
	place->contests = count;
}

/* A failed look, once: in an outage the next ones are no news. */
static void place_tell(struct archive_place *place, const struct op *op)
{
	if (op_failed(op) && op->err.code == ERR_CANCELLED)
		return;
	if (op_failed(op) && !place->watch_failed)
		log_err(LOG_WARNING, &op->err, ", trying again each minute");
	place->watch_failed = op_failed(op);
}

/* What became of the repository's encryption, once. */
static void place_tell_keys(struct archive_place *place)
{
	const struct repo *repo = place->site->repo;
	struct keys_state now = keys_state(repo), before = place->keys;
	char id[KEY_ID_BYTES];

	place->keys = now;
	key_id_text(now.key, id);
	if (now.shut && !before.shut)
		log_err(LOG_ERROR, &repo->shut, ", PostgreSQL keeps its WAL");
	else if (now.key != before.key && before.known)
		log_info(
		        "repository \"%s\": what is written is sealed with data key %s from now on",
		        place->site->repository, id);
	else if (before.shut && !now.shut)
		log_info("repository \"%s\" is not encrypted, and takes what is stored again",
		         place->site->repository);
	if (now.lags && !before.lags)
		log_warning("repository \"%s\" has a data key that the key at hand does not open: "
		            "it goes on with data key %s. Set the new key, then reload the server",
		            place->site->repository, id);
}

static void place_watched(struct op *op)
{
	struct owner_watch *watch = container_of(op, struct owner_watch, op);
	struct archive_place *place =
	        container_of(watch->destination, struct archive_place, destination);
	struct archiver *archiver = place->archiver;

	place_tell(place, op);
	if (!op_failed(op) || place->site->repo->looked_us > 0)
		place_tell_keys(place);
	if (!op_failed(op) && watch->gap)
		place->gap_tli = watch->wrote.tli;
	place_speak(place);
	place->watch = NULL;
	free((char *)watch->folder);
	free(watch);
	if (archiver->closing)
		op_wake(&archiver->closing->op);
}

static void place_watch(struct archive_place *place)
{
	struct archiver *archiver = place->archiver;
	struct owner_watch *watch;

	if (!place->destination.known || !place->folder)
		return;
	watch = place->watch = xcalloc(1, sizeof(*watch));
	watch->site = place->site;
	watch->destination = &place->destination;
	watch->folder = xstrdup(place->folder);
	watch->wrote = place->wrote;
	watch->gap = place->wrote.tli && place->wrote.tli != place->gap_tli;
	place->watched_ms = clock_mono_us() / 1000;
	owner_watch_start_root(archiver->site->loop, watch, place_watched);
}

static void owners_look(struct timer *timer)
{
	struct archiver *archiver = container_of(timer, struct archiver, owners_timer);

	if (archiver->closing)
		return;
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++) {
		struct archive_place *place = &archiver->place[i];

		if (place->site && !place->watch && !site_is_away(place->site))
			place_watch(place);
	}
	timer_set(timer, OWNERS_LOOK_MS);
}

void archiver_owners_begin(struct archiver *archiver)
{
	timer_init(&archiver->owners_timer, archiver->site->loop, owners_look);
	if (archiver->ahead > 0)
		timer_set(&archiver->owners_timer, OWNERS_LOOK_MS);
}

void archiver_owners_end(struct archiver *archiver)
{
	timer_release(&archiver->owners_timer);
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++) {
		push_destination_release(&archiver->place[i].destination);
		free(archiver->place[i].folder);
	}
}

void archiver_owners_cancel(struct archiver *archiver)
{
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		if (archiver->place[i].watch)
			op_cancel(&archiver->place[i].watch->op);
}

bool archiver_owners_run(const struct archiver *archiver)
{
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		if (archiver->place[i].watch)
			return true;
	return false;
}

/* What the push said about who writes what; true: it is time for a look. */
static bool place_note(struct archive_place *place, const struct push *push)
{
	const struct walname *name = &push->name;
	struct owner_wrote before = place->wrote;
	bool fresh = !push->repeated || before.tli == 0;

	if (op_failed(&push->op))
		return push->op.err.code == ERR_EXISTS || push->op.err.code == ERR_REFUSED;
	if (name->kind != WALNAME_SEGMENT && name->kind != WALNAME_HISTORY)
		return false;
	if (name->tli >= before.tli && fresh)
		place->wrote.tli = name->tli;
	if (name->kind == WALNAME_SEGMENT && !push->repeated) {
		place->wrote.segment = true;
		place->wrote.segment_tli = name->tli;
		place->wrote.segno = walname_segno(name, push->control.segment_bytes);
	}
	return place->wrote.tli != before.tli;
}

bool archiver_owners_after(struct archive_copy *copy)
{
	struct archive_place *place = &copy->item->archiver->place[copy->place];
	int64_t now_ms = clock_mono_us() / 1000;
	bool look = place_note(place, &copy->push);

	/* `adopt --new-generation` is how a conflict is settled: it is looked for. */
	if (op_failed(&copy->push.op) && copy->push.op.err.code == ERR_EXISTS)
		push_destination_doubt(&place->destination);
	free(place->folder);
	place->folder = xstrdup(copy->item->folder);
	if (place->archiver->ahead == 0)
		return !op_failed(&copy->push.op) && place->wrote.tli && !copy->push.repeated;
	if (look && !place->archiver->closing && !place->watch &&
	    (!op_failed(&copy->push.op) || now_ms - place->watched_ms >= OWNERS_AGAIN_MS))
		place_watch(place);
	return false;
}

void archiver_owners_watch(struct archive_copy *copy)
{
	struct archive_place *place = &copy->item->archiver->place[copy->place];

	copy->watch = (struct owner_watch){.site = copy->site,
	                                   .destination = &place->destination,
	                                   .folder = copy->item->folder,
	                                   .wrote = place->wrote,
	                                   .fresh = true};
	owner_watch_start(&copy->op, &copy->watch);
}

bool archiver_contest(const struct archiver *archiver, unsigned place, size_t number,
                      struct buf *out)
{
	const struct owner_note *note;

	if (place >= SITE_CHAIN_MAX || !archiver->place[place].site)
		return false;
	note = owner_contest(&archiver->place[place].destination.owners, number);
	if (note)
		owner_contest_text(&archiver->place[place].destination.owners, note, out);
	return note != NULL;
}
