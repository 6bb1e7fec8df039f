/*
 * fetch_ahead.c — prefetch: which segments behind the one that was delivered are fetched now.
 *
 * The window says how far ahead (it grows when a replay had to wait); the flight says how many of
 * those are on their way at once. A replay is one process: with nothing ready it waits, and
 * everything is fetched as fast as the machine can; the more segments wait ready for it, the fewer
 * are fetched beside it, since what they take of the cores and of the disk it then lacks. So the
 * window fills while the replay runs, not before it.
 *
 * A segment that failed is not begun again from here, but with the next delivery: behind the end of
 * the archive that would be a loop of requests.
 */
#include "fetch_item.h"

#include "base/poison.h"

enum { AHEAD_ROOM_SHARE = 4 }; /* of the free room of the disk */

#define AHEAD_BYTES_MAX (UINT64_C(1) << 30)

unsigned ahead_flight(unsigned ready)
{
	return MAX((unsigned)FLIGHT_MAX / (1 + ready), (unsigned)FLIGHT_MIN);
}

static struct fetch_item *item_find(struct fetcher *fetcher, const struct walname *name,
                                    const char *folder)
{
	for (struct fetch_item *item = fetcher->items; item; item = item->next)
		if (walname_compare(&item->name, name) == 0 &&
		    strcmp(item->guide.folder, folder) == 0 && !item->op.cancelled)
			return item;
	return NULL;
}

static bool ahead_allowed(const struct fetcher *fetcher, const struct fetch_item *item)
{
	return fetcher->ahead_max > 0 && !fetcher->closing && item->name.kind == WALNAME_SEGMENT &&
	       (item->guide.standby || item->guide.recovery);
}

/* Segments that the replay has passed, or that lie far ahead after a jump, are let go. */
static void ahead_drop(struct fetcher *fetcher, uint64_t first, uint64_t last)
{
	for (struct fetch_item *item = fetcher->items; item; item = item->next) {
		uint64_t segno;

		if (item->wanted || item->name.kind != WALNAME_SEGMENT)
			continue;
		segno = walname_segno(&item->name, item->guide.segment_bytes);
		if (segno < first || segno > last)
			op_cancel(&item->op);
	}
}

/* The window in segments: as the replay wants it, within what it may take of the disk. */
static uint64_t ahead_window(const struct fetcher *fetcher)
{
	uint64_t bytes = MIN(AHEAD_BYTES_MAX, fetcher->guide.room_bytes / AHEAD_ROOM_SHARE);

	return MIN((uint64_t)fetcher->window, bytes / fetcher->guide.segment_bytes);
}

/* How many more may be begun. */
static unsigned ahead_places(const struct fetcher *fetcher)
{
	unsigned ready = 0, flying = 0, flight;

	for (const struct fetch_item *item = fetcher->items; item; item = item->next) {
		if (item->wanted || item->op.cancelled)
			continue;
		if (item->op.state == ITEM_READY)
			ready++;
		else
			flying++;
	}
	flight = ahead_flight(ready);
	return flight > flying ? flight - flying : 0;
}

void ahead_pump(struct fetcher *fetcher)
{
	const struct fetch_guide *guide = &fetcher->guide;
	uint64_t segno, last;
	unsigned places;

	if (!fetcher->from_path || fetcher->closing)
		return;
	segno = walname_segno(&fetcher->from, guide->segment_bytes);
	last = segno + ahead_window(fetcher);
	places = ahead_places(fetcher);
	while (places > 0 && segno++ < last) {
		char text[SEGMENT_NAME_BYTES];
		struct walname name;
		struct fetch_item *item;
		uint32_t tli = guide->has_path ? history_tli_of_segment(&guide->path, segno,
		                                                        guide->segment_bytes)
		                               : fetcher->from.tli;

		segment_name(tli, segno, guide->segment_bytes, text);
		if (!walname_parse(text, &name) || item_find(fetcher, &name, guide->folder))
			continue;
		item = fetch_item_begin(fetcher, &name, fetcher->from_path);
		item->ahead = true;
		guide_copy(&item->guide, guide);
		places--;
	}
}

void ahead_from(const struct fetch_item *wanted)
{
	struct fetcher *fetcher = wanted->fetcher;
	uint64_t segno;

	if (!ahead_allowed(fetcher, wanted))
		return;
	guide_copy(&fetcher->guide, &wanted->guide);
	fetcher->from = wanted->name;
	free(fetcher->from_path);
	fetcher->from_path = xstrdup(wanted->path);
	segno = walname_segno(&wanted->name, fetcher->guide.segment_bytes);
	ahead_drop(fetcher, segno, segno + ahead_window(fetcher));
	ahead_pump(fetcher);
}
