/*
 * indexer_gap.c — see indexer_gap.h. To index what is behind a gap at once would be right, and
 * dear: when the segment comes, the piece that it belongs to is read and made once more.
 */
#include "indexer_gap.h"

#include "base/poison.h"

/* The first segment at or behind `from` that lacks before others of the timeline; false: none. */
static bool find_gap(const struct catalog_timeline *timeline, uint64_t from, uint64_t *ret)
{
	for (size_t r = 1; r < timeline->runs; r++) {
		*ret = MAX(timeline->run[r - 1].last + 1, from);
		if (*ret < timeline->run[r].first)
			return true;
	}
	return false;
}

void gap_update(struct indexer_gap *gap, const struct catalog *catalog, int64_t now_ms)
{
	uint32_t tli = catalog_highest_tli(catalog);
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);
	uint64_t segno = 0, highest = 0;

	if (tli != gap->tli)
		*gap = (struct indexer_gap){.tli = tli};
	if (gap->waits && now_ms - gap->since_ms >= GAP_WAIT_MS &&
	    !catalog_has(catalog, tli, gap->segno))
		gap->settled = gap->seen;
	if (!timeline || !catalog_highest(catalog, tli, &highest) ||
	    !find_gap(timeline, MAX(gap->settled, highest - MIN(highest, GAP_SEGMENTS)), &segno)) {
		gap->waits = false;
		return;
	}
	if (!gap->waits || gap->segno != segno) {
		gap->since_ms = now_ms;
		gap->seen = highest;
		gap->pause_ms = GAP_LOOK_FIRST_MS;
	} else {
		gap->pause_ms = MIN(2 * gap->pause_ms, (int64_t)GAP_LOOK_MS);
	}
	gap->waits = true;
	gap->segno = segno;
	gap->look_at_ms = now_ms + gap->pause_ms;
}
