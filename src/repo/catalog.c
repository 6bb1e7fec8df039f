/*
 * catalog.c — what an archive holds, and what follows from it. Pure functions.
 *
 * A timeline's segments are runs in an array; listings come in order, so nearly every segment only
 * lengthens the last run.
 */
#include "repo/catalog.h"

#include "base/search.h"
#include <string.h>

#include "base/poison.h"

/* Makes room for one more in an array that grows by doubling. */
static void *grow(void *array, size_t count, size_t *size, size_t item_bytes)
{
	if (count < *size)
		return array;
	*size = *size ? 2 * *size : 8;
	return xrealloc(array, *size * item_bytes);
}

struct timeline_wanted {
	const struct catalog *catalog;
	uint32_t tli;
};

static bool timeline_below(const void *context, size_t i)
{
	const struct timeline_wanted *wanted = context;

	return wanted->catalog->timeline[i].tli < wanted->tli;
}

/* The first timeline that is not below tli. */
static size_t timeline_at(const struct catalog *catalog, uint32_t tli)
{
	struct timeline_wanted wanted = {catalog, tli};

	return search_sorted(catalog->timelines, timeline_below, &wanted);
}

const struct catalog_timeline *catalog_timeline(const struct catalog *catalog, uint32_t tli)
{
	size_t at = timeline_at(catalog, tli);

	return at < catalog->timelines && catalog->timeline[at].tli == tli ? &catalog->timeline[at]
	                                                                   : NULL;
}

static struct catalog_timeline *timeline_make(struct catalog *catalog, uint32_t tli)
{
	size_t at = timeline_at(catalog, tli);
	struct catalog_timeline *timeline;

	if (at < catalog->timelines && catalog->timeline[at].tli == tli)
		return &catalog->timeline[at];
	catalog->timeline = grow(catalog->timeline, catalog->timelines, &catalog->timelines_size,
	                         sizeof(*timeline));
	timeline = &catalog->timeline[at];
	memmove(timeline + 1, timeline, (catalog->timelines - at) * sizeof(*timeline));
	*timeline = (struct catalog_timeline){.tli = tli};
	history_init(&timeline->history, tli);
	catalog->timelines++;
	return timeline;
}

void catalog_add_timeline(struct catalog *catalog, uint32_t tli)
{
	(void)timeline_make(catalog, tli);
}

struct run_wanted {
	const struct catalog_timeline *timeline;
	uint64_t segno;
};

static bool run_below(const void *context, size_t i)
{
	const struct run_wanted *wanted = context;

	return wanted->timeline->run[i].last < wanted->segno;
}

/* The first run that ends at or above segno. */
static size_t run_at(const struct catalog_timeline *timeline, uint64_t segno)
{
	struct run_wanted wanted = {timeline, segno};

	return search_sorted(timeline->runs, run_below, &wanted);
}

static void run_insert(struct catalog_timeline *timeline, size_t at, uint64_t segno)
{
	timeline->run =
	        grow(timeline->run, timeline->runs, &timeline->size, sizeof(*timeline->run));
	memmove(&timeline->run[at + 1], &timeline->run[at],
	        (timeline->runs - at) * sizeof(*timeline->run));
	timeline->run[at] = (struct catalog_run){segno, segno};
	timeline->runs++;
}

/* Run at and the one after it have met. */
static void run_join(struct catalog_timeline *timeline, size_t at)
{
	timeline->run[at].last = timeline->run[at + 1].last;
	memmove(&timeline->run[at + 1], &timeline->run[at + 2],
	        (timeline->runs - at - 2) * sizeof(*timeline->run));
	timeline->runs--;
}

void catalog_add_segment(struct catalog *catalog, uint32_t tli, uint64_t segno)
{
	struct catalog_timeline *timeline = timeline_make(catalog, tli);
	size_t at = run_at(timeline, segno);
	struct catalog_run *run = timeline->run;
	bool below = at < timeline->runs && run[at].first == segno + 1;
	bool above = at > 0 && run[at - 1].last + 1 == segno;

	if (at < timeline->runs && run[at].first <= segno)
		return;
	catalog->segments++;
	if (above)
		run[at - 1].last = segno;
	else if (below)
		run[at].first = segno;
	else
		run_insert(timeline, at, segno);
	if (above && below)
		run_join(timeline, at - 1);
}

void catalog_add_segments(struct catalog *catalog, uint32_t tli, uint64_t first, uint64_t last)
{
	struct catalog_timeline *timeline = timeline_make(catalog, tli);
	size_t at, end;

	/* their ends are runs now, and all that lies between becomes one with them */
	catalog_add_segment(catalog, tli, first);
	catalog_add_segment(catalog, tli, last);
	at = run_at(timeline, first);
	for (end = at; timeline->run[end].last < last; end++)
		catalog->segments += timeline->run[end + 1].first - timeline->run[end].last - 1;
	timeline->run[at].last = timeline->run[end].last;
	memmove(&timeline->run[at + 1], &timeline->run[end + 1],
	        (timeline->runs - end - 1) * sizeof(*timeline->run));
	timeline->runs -= end - at;
}

void catalog_remove_segments(struct catalog *catalog, uint32_t tli, uint64_t first, uint64_t last)
{
	struct catalog_timeline *timeline = timeline_make(catalog, tli);
	size_t at = run_at(timeline, first);

	while (at < timeline->runs && timeline->run[at].first <= last) {
		struct catalog_run run = timeline->run[at];

		catalog->segments -= MIN(run.last, last) - MAX(run.first, first) + 1;
		memmove(&timeline->run[at], &timeline->run[at + 1],
		        (timeline->runs - at - 1) * sizeof(*timeline->run));
		timeline->runs--;
		if (run.first < first) {
			run_insert(timeline, at, run.first);
			timeline->run[at++].last = first - 1;
		}
		if (run.last > last) {
			run_insert(timeline, at, last + 1);
			timeline->run[at].last = run.last;
			return;
		}
	}
}

const struct catalog_harm *catalog_harm_at(const struct catalog *catalog, uint32_t tli,
                                           uint64_t segno)
{
	for (size_t i = 0; i < catalog->harms; i++)
		if (catalog->harm[i].tli == tli && catalog->harm[i].segno == segno)
			return &catalog->harm[i];
	return NULL;
}

void catalog_add_harm(struct catalog *catalog, const struct catalog_harm *harm)
{
	size_t at = 0;

	if (catalog_has(catalog, harm->tli, harm->segno) ||
	    catalog_harm_at(catalog, harm->tli, harm->segno))
		return;
	catalog_add_timeline(catalog, harm->tli);
	while (at < catalog->harms &&
	       (catalog->harm[at].tli < harm->tli ||
	        (catalog->harm[at].tli == harm->tli && catalog->harm[at].segno < harm->segno)))
		at++;
	catalog->harm = xrealloc(catalog->harm, (catalog->harms + 1) * sizeof(*catalog->harm));
	memmove(&catalog->harm[at + 1], &catalog->harm[at],
	        (catalog->harms - at) * sizeof(*catalog->harm));
	catalog->harm[at] = *harm;
	catalog->harms++;
}

void catalog_add_file(struct catalog *catalog, const struct walname *name, const char *digest,
                      uint64_t bytes)
{
	struct catalog_timeline *timeline = timeline_make(catalog, name->tli);
	struct catalog_file *file;

	if (walname_fits(name, catalog->segment_bytes))
		timeline->files_to =
		        MAX(timeline->files_to, walname_segno(name, catalog->segment_bytes) + 1);
	catalog->file = grow(catalog->file, catalog->files, &catalog->files_size, sizeof(*file));
	file = &catalog->file[catalog->files++];
	*file = (struct catalog_file){.name = *name, .bytes = bytes};
	snprintf(file->digest, sizeof(file->digest), "%s", digest);
}

void catalog_add_history(struct catalog *catalog, struct history *history)
{
	struct catalog_timeline *timeline = timeline_make(catalog, history->tli);

	history_release(&timeline->history);
	timeline->history = *history;
	timeline->history_archived = true;
	history_init(history, history->tli);
}

void catalog_add_note(struct catalog *catalog, const struct owner_note *note)
{
	size_t at;

	(void)timeline_make(catalog, note->tli);
	catalog->note = grow(catalog->note, catalog->notes, &catalog->notes_size, sizeof(*note));
	for (at = catalog->notes; at > 0; at--) {
		const struct owner_note *before = &catalog->note[at - 1];

		if (before->tli < note->tli || (before->tli == note->tli && before->n <= note->n))
			break;
		catalog->note[at] = *before;
	}
	catalog->note[at] = *note;
	catalog->notes++;
}

void catalog_release(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->timelines; i++) {
		free(catalog->timeline[i].run);
		history_release(&catalog->timeline[i].history);
	}
	free(catalog->timeline);
	free(catalog->file);
	free(catalog->note);
	free(catalog->backup);
	free(catalog->harm);
	*catalog = (struct catalog){.segment_bytes = catalog->segment_bytes};
}

/* ---- questions ---- */

bool catalog_contiguous(const struct catalog *catalog, uint32_t tli, uint64_t segno,
                        uint64_t *ret_last)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);
	size_t at;

	if (!timeline)
		return false;
	at = run_at(timeline, segno);
	if (at == timeline->runs || timeline->run[at].first > segno)
		return false;
	*ret_last = timeline->run[at].last;
	return true;
}

bool catalog_has(const struct catalog *catalog, uint32_t tli, uint64_t segno)
{
	uint64_t last;

	return catalog_contiguous(catalog, tli, segno, &last);
}

bool catalog_highest(const struct catalog *catalog, uint32_t tli, uint64_t *ret_segno)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);

	if (!timeline || timeline->runs == 0)
		return false;
	*ret_segno = timeline->run[timeline->runs - 1].last;
	return true;
}

bool catalog_lowest(const struct catalog *catalog, uint32_t tli, uint64_t *ret_segno)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);

	if (!timeline || timeline->runs == 0)
		return false;
	*ret_segno = timeline->run[0].first;
	return true;
}

uint32_t catalog_highest_tli(const struct catalog *catalog)
{
	return catalog->timelines ? catalog->timeline[catalog->timelines - 1].tli : 0;
}

bool catalog_path_complete(const struct catalog *catalog, const struct history *path, lsn from,
                           lsn until, struct catalog_gap *ret)
{
	uint64_t segno = lsn_segno(from, catalog->segment_bytes);

	if (until <= from)
		return true;
	for (; segno <= lsn_segno_before(until, catalog->segment_bytes); segno++) {
		uint32_t tli = history_tli_of_segment(path, segno, catalog->segment_bytes);

		if (catalog_has(catalog, tli, segno))
			continue;
		*ret = (struct catalog_gap){tli, segno};
		return false;
	}
	return true;
}

/* The segment in which the timeline begins; false: not known, or from the very beginning. */
static bool timeline_begin(const struct catalog *catalog, const struct catalog_timeline *timeline,
                           uint64_t *ret_segno)
{
	const struct history *history = &timeline->history;

	if (!timeline->history_archived || history->count == 0)
		return false;
	*ret_segno =
	        lsn_segno(history->entry[history->count - 1].switch_lsn, catalog->segment_bytes);
	return true;
}

/* Whether some timeline left tli in a segment above segno. Every line of every history counts: who
 * was on tli up to there had its WAL. */
static bool below_fork(const struct catalog *catalog, uint32_t tli, uint64_t segno)
{
	for (size_t i = 0; i < catalog->timelines; i++) {
		const struct history *history = &catalog->timeline[i].history;

		for (size_t e = 0; e < history->count; e++)
			if (history->entry[e].tli == tli &&
			    segno < lsn_segno(history->entry[e].switch_lsn, catalog->segment_bytes))
				return true;
	}
	return false;
}

/* Whether there is a later timeline of which nobody knows where it began: no history of it. */
static bool fork_unknown(const struct catalog *catalog, uint32_t tli)
{
	for (size_t i = 0; i < catalog->timelines; i++)
		if (catalog->timeline[i].tli > tli && !catalog->timeline[i].history_archived)
			return true;
	return false;
}

enum absence absent_verdict(const struct catalog *catalog, uint32_t tli, uint64_t segno)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);
	uint64_t other;

	if (catalog_has(catalog, tli, segno))
		return ABSENCE_PRESENT;
	if (timeline && timeline_begin(catalog, timeline, &other) && segno < other)
		return ABSENCE_BEFORE_BEGIN;
	if (catalog_highest(catalog, tli, &other) && segno < other)
		return ABSENCE_HOLE;
	if (timeline && segno + 1 < timeline->files_to)
		return ABSENCE_HOLE;
	if (below_fork(catalog, tli, segno))
		return ABSENCE_BELOW_FORK;
	return fork_unknown(catalog, tli) ? ABSENCE_UNPROVEN : ABSENCE_ABOVE;
}

enum absence absent_history_verdict(const struct catalog *catalog, uint32_t tli)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);

	if (timeline && timeline->history_archived)
		return ABSENCE_PRESENT;
	if (tli == 1)
		return ABSENCE_BEFORE_BEGIN; /* the first timeline has none */
	return timeline || catalog_highest_tli(catalog) > tli ? ABSENCE_UNPROVEN : ABSENCE_ABOVE;
}

const char *absence_text(enum absence absence)
{
	switch (absence) {
	case ABSENCE_PRESENT:
		return "it is in the archive";
	case ABSENCE_ABOVE:
		return "the archive ends before it";
	case ABSENCE_BEFORE_BEGIN:
		return "its timeline begins later";
	case ABSENCE_HOLE:
		return "it is missing in the archive, which goes on behind it";
	case ABSENCE_BELOW_FORK:
		return "it is missing in the archive, though a later timeline came from behind it";
	case ABSENCE_UNPROVEN:
		return "it is missing in the archive, which knows of this timeline or a later one";
	}
	return "?";
}
