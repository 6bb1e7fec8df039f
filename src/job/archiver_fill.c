/*
 * archiver_fill.c — repositories that lack what others of the cluster have are filled up
 * (wal_fill.c), one fill for each at a time, in the background.
 *
 * A place is "behind" when a file did not get there: it was away, or far slower than the others. A
 * look every FILL_LOOK_MS begins a fill as soon as it may be reached again, and at the start of the
 * server, when nobody knows what is missing where. It stays behind when a repository that may have
 * more could not be asked: until that one answers, or for a while. Only with several repositories,
 * and only in the server.
 */
#include "archiver_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include "base/poison.h"

enum { FILL_LOOK_MS = 1000, UNSURE_MS = 60 * 1000 };

void archive_place_is_behind(struct archive_place *place, uint64_t segments)
{
	place->lacks += segments;
	place->unsure_ms = 0;
	if (!place->behind)
		place->behind_since_us = clock_now_us();
	place->behind = true;
}

static void fill_moved(struct wal_fill *fill)
{
	struct archive_place *place = fill->context;

	place->filled++;
	place->lacks = fill->missing;
	place->segment_bytes = fill->facts.segment_bytes;
}

static void fills_wake_closing(struct archiver *archiver);

static void place_take(struct archive_place *place, const struct wal_fill *fill)
{
	bool again = place->behind;

	place->lacks = fill->damaged; /* never to be had */
	if (!fill->unsure)
		return;
	archive_place_is_behind(place,
	                        place->lacked > fill->filled ? place->lacked - fill->filled : 0);
	if (!again)
		place->unsure_ms = loop_now_ms(place->site->loop);
}

static void place_filled(struct op *op)
{
	struct wal_fill *fill = container_of(op, struct wal_fill, op);
	struct archive_place *place = fill->context;

	if (op_failed(op)) {
		site_note(place->site, fill->push.generation.waits ? NULL : &op->err);
		if (!place->behind)
			archive_place_is_behind(place, 0);
	} else {
		site_note(place->site, NULL);
		place_take(place, fill);
		if (fill->filled > 0)
			log_info("repository \"%s\" of cluster \"%s\" was filled up: %llu files, "
			         "%llu of them from pg_wal",
			         place->site->repository, place->site->cluster,
			         (unsigned long long)fill->filled,
			         (unsigned long long)fill->from_pg_wal);
	}
	place->fill = NULL;
	wal_fill_release(fill);
	free(fill);
	fills_wake_closing(place->archiver);
}

/* What comes while it runs and does not get there marks the place again. */
static void place_fill(struct archive_place *place)
{
	struct archiver *archiver = place->archiver;
	struct wal_fill *fill = xcalloc(1, sizeof(*fill));

	fill->first = archiver->site;
	fill->target = place->site;
	fill->destination = &place->destination;
	fill->folder = archiver->site->pgdata;
	fill->moved = fill_moved;
	fill->context = place;
	place->fill = fill;
	place->lacked = place->lacks;
	place->behind = false;
	wal_fill_start_root(archiver->site->loop, fill, place_filled);
}

/* Whether a fill would do more than the last one. */
static bool place_is_worth_it(const struct archive_place *place)
{
	const struct archiver *archiver = place->archiver;

	if (!place->unsure_ms || loop_now_ms(archiver->site->loop) - place->unsure_ms >= UNSURE_MS)
		return true;
	for (const struct site *site = archiver->site; site; site = site->next)
		if (site->away_until_ms)
			return false;
	return true;
}

static void fills_look(struct timer *timer)
{
	struct archiver *archiver = container_of(timer, struct archiver, fill_timer);

	if (archiver->closing)
		return;
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++) {
		struct archive_place *place = &archiver->place[i];

		if (place->site && place->behind && !place->fill && !site_is_away(place->site) &&
		    place_is_worth_it(place))
			place_fill(place);
	}
	timer_set(timer, FILL_LOOK_MS);
}

/* At the start nobody knows what is missing where. */
void archiver_fills_begin(struct archiver *archiver)
{
	unsigned at = 0;

	for (struct site *site = archiver->site; site; site = site->next)
		archiver->place[at++].site = site;
	if (at < 2 || archiver->ahead == 0)
		return;
	for (unsigned i = 0; i < at; i++)
		archive_place_is_behind(&archiver->place[i], 0);
	timer_init(&archiver->fill_timer, archiver->site->loop, fills_look);
	timer_set(&archiver->fill_timer, 0);
}

void archiver_fills_cancel(struct archiver *archiver)
{
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		if (archiver->place[i].fill)
			op_cancel(&archiver->place[i].fill->op);
}

bool archiver_fills_run(const struct archiver *archiver)
{
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		if (archiver->place[i].fill)
			return true;
	return false;
}

static void fills_wake_closing(struct archiver *archiver)
{
	if (archiver->closing)
		op_wake(&archiver->closing->op);
}

bool archiver_place(const struct archiver *archiver, unsigned number,
                    struct archiver_place_figures *ret)
{
	const struct archive_place *place = &archiver->place[number];

	if (number >= SITE_CHAIN_MAX || !place->site)
		return false;
	*ret = (struct archiver_place_figures){
	        .repository = place->site->repository,
	        .away = place->site->away_until_ms != 0,
	        .error = place->site->away,
	        .away_since_us = place->site->away_since_us,
	        .behind = place->behind || place->fill,
	        .lag_segments = place->lacks,
	        .lag_bytes = place->lacks * place->segment_bytes,
	        .filled = place->filled,
	};
	/* One that is away and lacks nothing does not lag. */
	if (place->behind_since_us && (place->lacks > 0 || place->behind))
		ret->lag_us = MAX(clock_now_us() - place->behind_since_us, 0);
	return true;
}
