/*
 * names_fuzz.c — the listing of a repository, a name in each line: what is accepted is what would
 * be written again, and the markers of lost and the marks of damaged WAL (lost/) keep their order
 * whatever comes in whatever order, twice or out of every range.
 *
 * The first byte chooses the size of segments.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "repo/harm.h"
#include "repo/lost.h"

#define PREFIX "main/7123456789012345678-15-1"
enum { NAMES_MAX = 200, LESS_MAX = 4096 };

struct listing {
	uint32_t segment_bytes;
	struct lost lost;
	struct harm harm;
};

static void take_lost(struct listing *listing, const char *name)
{
	struct name_index range;
	char again[NAME_BYTES];

	if (!name_lost_parse(name, PREFIX, listing->segment_bytes, &range))
		return;
	assert(range.tli && range.first <= range.last && range.level == 0 && range.n == 0);
	name_lost(again, PREFIX, &range, listing->segment_bytes);
	assert(strcmp(again, name) == 0);
	lost_add(&listing->lost, &(struct lost_range){range.tli, range.first, range.last});
}

static void take_harm(struct listing *listing, const char *name)
{
	const struct repo *repo = (const struct repo *)listing; /* only compared */
	const struct harm_mark *now;
	struct name_harm mark, next;
	char again[NAME_BYTES], begin[NAME_BYTES];
	struct name_index range;

	if (!name_harm_parse(name, PREFIX, listing->segment_bytes, &mark))
		return;
	assert(mark.tli && mark.n && mark.word <= HARM_ACCEPTED);
	assert(!name_lost_parse(name, PREFIX, listing->segment_bytes, &range));
	name_harm(again, PREFIX, &mark, listing->segment_bytes);
	assert(strcmp(again, name) == 0);
	name_harm_segment(begin, PREFIX, mark.tli, mark.segno, listing->segment_bytes);
	assert(str_starts(name, begin));
	harm_take(&listing->harm, repo, &mark);
	now = harm_at(&listing->harm, repo, mark.tli, mark.segno);
	assert(!now || (now->name.n >= mark.n && now->name.word != HARM_GOOD));
	for (enum harm_word word = HARM_GOOD; word <= HARM_ACCEPTED; word++)
		if (harm_next(&mark, word, &next))
			assert(next.n == mark.n + 1 && next.word == word && word != mark.word);
}

static void take_others(const struct listing *listing, const char *name)
{
	char again[NAME_BYTES], id[NAME_BACKUP_ID_BYTES];
	struct name_index piece;
	struct walname wal;
	uint32_t tli, n;
	uint64_t key;
	lsn position;

	if (name_index_parse(name, PREFIX, listing->segment_bytes, &piece)) {
		name_index(again, PREFIX, &piece, listing->segment_bytes);
		assert(strcmp(again, name) == 0 && piece.first <= piece.last);
	}
	if (name_owner_parse(name, PREFIX, &tli, &n)) {
		name_owner(again, PREFIX, tli, n);
		assert(strcmp(again, name) == 0 && tli);
	}
	if (name_relnames_parse(name, PREFIX, &position)) {
		name_relnames(again, PREFIX, position);
		assert(strcmp(again, name) == 0);
	}
	if (name_key_parse(name, &key, &n)) {
		name_key(again, key, n);
		assert(strcmp(again, name) == 0);
	}
	if (name_key_marker_parse(name, &n)) {
		name_key_marker(again, n);
		assert(strcmp(again, name) == 0);
	}
	if (name_backup_parse(name, id))
		assert(backup_id_valid(id) && str_ends(name, id));
	if (name_wal_parse(name, &wal))
		assert(wal.kind == WALNAME_HISTORY || walname_compare(&wal, &wal) == 0);
	(void)name_generation_parse(name, &key, &tli, &n);
	(void)name_cluster_valid(name);
	assert(str_ends(name, name_sealed(name)));
}

static void check_lost(const struct lost *lost)
{
	struct lost less = {0};
	uint64_t count = 0;

	for (size_t i = 0; i < lost->count; i++) {
		const struct lost_range *at = &lost->range[i], *before = at - 1;

		assert(at->tli && at->first <= at->last);
		assert(i == 0 || before->tli < at->tli ||
		       (before->tli == at->tli && before->last + 1 < at->first));
		count = MIN(count + (at->last - at->first) + 1, (uint64_t)LESS_MAX + 1);
	}
	lost_less(lost, lost, &less);
	assert(less.count == 0);
	if (count <= LESS_MAX) { /* with nothing known, one segment after the other */
		lost_less(lost, &(struct lost){0}, &less);
		assert(less.count == lost->count);
		for (size_t i = 0; i < less.count; i++)
			assert(less.range[i].tli == lost->range[i].tli &&
			       less.range[i].first == lost->range[i].first &&
			       less.range[i].last == lost->range[i].last);
	}
	lost_release(&less);
}

static void check_harm(const struct listing *listing)
{
	struct catalog catalog = {.segment_bytes = listing->segment_bytes};
	const struct harm *harm = &listing->harm;
	size_t bad = 0;

	harm_into_catalog(harm, &catalog);
	for (size_t i = 0; i < harm->count; i++) {
		const struct name_harm *name = &harm->mark[i].name;
		const struct catalog_harm *at = catalog_harm_at(&catalog, name->tli, name->segno);

		bad += name->word != HARM_GOOD;
		assert((at != NULL) == (name->word != HARM_GOOD));
		assert(!at || at->accepted == (name->word == HARM_ACCEPTED));
	}
	assert(catalog.harms == bad);
	for (size_t i = 1; i < catalog.harms; i++)
		assert(catalog.harm[i - 1].tli < catalog.harm[i].tli ||
		       (catalog.harm[i - 1].tli == catalog.harm[i].tli &&
		        catalog.harm[i - 1].segno < catalog.harm[i].segno));
	catalog_release(&catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct listing listing = {.segment_bytes = SEGMENT_BYTES_MIN};
	char *text, *at;

	if (length == 0)
		return 0;
	for (unsigned i = data[0] & 15; i && listing.segment_bytes < SEGMENT_BYTES_MAX; i--)
		listing.segment_bytes *= 2;
	text = at = xstrndup((const char *)data + 1, length - 1);
	for (unsigned i = 0; i < NAMES_MAX && *at; i++) {
		size_t line = strcspn(at, "\n");
		/* a copy of its own, so that reading behind its end is seen */
		char *name = xstrndup(at, line);

		take_lost(&listing, name);
		take_harm(&listing, name);
		take_others(&listing, name);
		free(name);
		at += line + (at[line] == '\n');
	}
	check_lost(&listing.lost);
	check_harm(&listing);
	lost_release(&listing.lost);
	harm_release(&listing.harm);
	free(text);
	return 0;
}
