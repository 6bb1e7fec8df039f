/*
 * intervals.c — see intervals.h.
 *
 * For each timeline whose path is known: the backups that lie on the path, in order of their end.
 * From each that no interval holds yet, the WAL is followed along the path up to the first segment
 * that is missing. A backup is only in an interval when its own WAL, from start to stop, is.
 */
#include "repo/intervals.h"

#include "base/poison.h"

static bool path_of(const struct catalog_timeline *timeline, struct history *ret)
{
	if (!timeline->history_archived && timeline->tli > 1)
		return false;
	history_init(ret, timeline->tli);
	if (timeline->history_archived)
		history_copy(ret, &timeline->history);
	return true;
}

static int by_stop(const void *a, const void *b)
{
	const struct manifest_head *left = *(const struct manifest_head *const *)a;
	const struct manifest_head *right = *(const struct manifest_head *const *)b;

	if (left->stop_lsn != right->stop_lsn)
		return left->stop_lsn < right->stop_lsn ? -1 : 1;
	return strcmp(left->id, right->id);
}

static struct interval *add_interval(struct intervals *intervals)
{
	intervals->item =
	        xrealloc(intervals->item, (intervals->count + 1) * sizeof(*intervals->item));
	intervals->item[intervals->count] = (struct interval){0};
	return &intervals->item[intervals->count++];
}

/* How far the WAL of the path goes on from a position. */
static void follow(const struct catalog *catalog, const struct history *path, lsn from,
                   struct interval *ret)
{
	struct catalog_gap gap;
	uint64_t highest;

	if (catalog_path_complete(catalog, path, from, LSN_MAX, &gap)) {
		ret->to_lsn = LSN_MAX;
		return;
	}
	ret->hole_tli = gap.tli;
	ret->hole_segno = gap.segno;
	ret->to_lsn = lsn_of_segno(ret->hole_segno, catalog->segment_bytes);
	ret->hole = catalog_harm_at(catalog, gap.tli, gap.segno) ||
	            (catalog_highest(catalog, path->tli, &highest) && highest >= ret->hole_segno);
}

/* The first segment of a path has the name of its last byte's timeline, and an end lies behind the
 * last byte: so a backup that stops at a boundary needs nothing of the next segment. */
static bool inside(const struct interval *interval, const struct manifest_head *head)
{
	return interval->to_lsn >= head->stop_lsn;
}

static void find_on_path(const struct catalog *catalog, const struct history *path,
                         const struct manifest_head *const *head, size_t heads,
                         struct intervals *ret)
{
	struct interval *last = NULL;

	for (size_t i = 0; i < heads; i++) {
		struct interval next = {.tli = path->tli};

		if (!history_holds(path, head[i]->start_tli, head[i]->start_lsn,
		                   head[i]->start_lsn + 1) ||
		    !history_holds(path, head[i]->stop_tli, head[i]->stop_lsn - 1,
		                   head[i]->stop_lsn))
			continue;
		follow(catalog, path, head[i]->start_lsn, &next);
		if (!inside(&next, head[i]))
			continue;
		if (last && last->to_lsn == next.to_lsn) {
			last->backups++;
			last->to_us = MAX(last->to_us, head[i]->stop_time_us);
			continue;
		}
		last = add_interval(ret);
		*last = next;
		last->from_lsn = head[i]->stop_lsn;
		last->from_us = last->to_us = head[i]->stop_time_us;
		last->backups = 1;
		memcpy(last->backup, head[i]->id, sizeof(last->backup));
	}
}

static bool on_own_path(const struct catalog *catalog, const struct manifest_head *head)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, head->stop_tli);
	struct history path = {0};
	struct interval interval = {0};
	bool good;

	if (!timeline || !path_of(timeline, &path))
		return false;
	follow(catalog, &path, head->start_lsn, &interval);
	good = inside(&interval, head);
	history_release(&path);
	return good;
}

void intervals_find(const struct catalog *catalog, const struct manifest_head *head, size_t heads,
                    struct intervals *ret)
{
	const struct manifest_head **sorted =
	        xcalloc(heads ? heads : 1, sizeof(struct manifest_head *));

	*ret = (struct intervals){0};
	for (size_t i = 0; i < heads; i++)
		sorted[i] = &head[i];
	qsort(sorted, heads, sizeof(struct manifest_head *), by_stop);
	for (size_t i = 0; i < catalog->timelines; i++) {
		struct history path = {0};

		if (!path_of(&catalog->timeline[i], &path))
			continue;
		find_on_path(catalog, &path, sorted, heads, ret);
		history_release(&path);
	}
	for (size_t i = 0; i < heads; i++) {
		if (on_own_path(catalog, sorted[i]))
			continue;
		ret->broken = xrealloc(ret->broken, (ret->brokens + 1) * sizeof(*ret->broken));
		memcpy(ret->broken[ret->brokens++], sorted[i]->id, sizeof(*ret->broken));
	}
	free(sorted);
}

void intervals_release(struct intervals *intervals)
{
	free(intervals->item);
	free(intervals->broken);
	*intervals = (struct intervals){0};
}
