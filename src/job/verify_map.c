/* verify_map.c — spans of names, kept few: neighbours of the same time are one. */
#include "verify_map.h"

#include <string.h>

#include "base/str.h"
#include "codec/json.h"
#include "repo/names.h"

#include "base/poison.h"

void verify_map_init(struct verify_map *map)
{
	*map = (struct verify_map){.spans = 1, .size = 16};
	map->span = xcalloc(map->size, sizeof(*map->span));
	map->span[0].to = xstrdup("");
}

void verify_map_release(struct verify_map *map)
{
	for (size_t i = 0; i < map->spans; i++)
		free(map->span[i].to);
	free(map->span);
	*map = (struct verify_map){0};
}

static void insert(struct verify_map *map, size_t at, const char *to, int64_t at_us)
{
	if (map->spans == map->size) {
		map->size = 2 * map->size;
		map->span = xrealloc(map->span, map->size * sizeof(*map->span));
	}
	memmove(&map->span[at + 1], &map->span[at], (map->spans - at) * sizeof(*map->span));
	map->spans++;
	map->span[at] = (struct verify_span){.to = xstrdup(to), .at_us = at_us};
}

static void erase(struct verify_map *map, size_t at)
{
	free(map->span[at].to);
	map->spans--;
	memmove(&map->span[at], &map->span[at + 1], (map->spans - at) * sizeof(*map->span));
}

void verify_map_copy(struct verify_map *map, const struct verify_map *from)
{
	verify_map_init(map);
	map->span[0].at_us = from->span[from->spans - 1].at_us;
	for (size_t i = 0; i + 1 < from->spans; i++)
		insert(map, i, from->span[i].to, from->span[i].at_us);
}

/* The span that holds the name. */
static size_t find(const struct verify_map *map, const char *name)
{
	size_t low = 0, high = map->spans - 1; /* the last one holds all that is left */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(map->span[middle].to, name) >= 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

int64_t verify_map_at(const struct verify_map *map, const char *name)
{
	return map->span[find(map, name)].at_us;
}

/* A span ends with the name. */
static void cut(struct verify_map *map, const char *name)
{
	size_t at = find(map, name);

	if (strcmp(map->span[at].to, name) != 0)
		insert(map, at, name, map->span[at].at_us);
}

void verify_map_mark(struct verify_map *map, const char *after, const char *to, int64_t at_us)
{
	size_t last, i;

	if (*after)
		cut(map, after);
	cut(map, to);
	last = find(map, to);
	while (last > 0 && strcmp(map->span[last - 1].to, after) > 0)
		erase(map, --last);
	map->span[last].at_us = at_us;
	for (i = last > 0 ? last - 1 : 0; i + 1 < map->spans && i <= last + 1;)
		if (map->span[i].at_us == map->span[i + 1].at_us)
			erase(map, i);
		else
			i++;
}

/* The two neighbours whose times differ least. */
static void join_two(struct verify_map *map)
{
	uint64_t least = UINT64_MAX;
	size_t best = 0;

	for (size_t i = 0; i + 1 < map->spans; i++) {
		int64_t a = map->span[i].at_us, b = map->span[i + 1].at_us;
		uint64_t apart = a > b ? (uint64_t)(a - b) : (uint64_t)(b - a);

		if (apart < least) {
			least = apart;
			best = i;
		}
	}
	map->span[best + 1].at_us = MIN(map->span[best].at_us, map->span[best + 1].at_us);
	erase(map, best);
}

void verify_map_save(struct verify_map *map, struct jval *list)
{
	while (map->spans > VERIFY_SPANS_MAX)
		join_two(map);
	for (size_t i = 0; i < map->spans; i++) {
		struct jval *item = jadd_object(list);

		jset_str(item, "to", map->span[i].to);
		jset_u64(item, "at_us", (uint64_t)map->span[i].at_us);
	}
}

static bool load_span(struct verify_map *map, const struct jval *item, bool last, struct err *err)
{
	const char *to, *before = map->spans > 1 ? map->span[map->spans - 2].to : "";
	uint64_t at_us;

	if (!jget_str(item, "to", &to, err) || !jget_u64(item, "at_us", &at_us, err))
		return false;
	if (at_us > INT64_MAX || strlen(to) >= NAME_BYTES || last != !*to ||
	    (!last && strcmp(before, to) >= 0))
		return err_set(err, ERR_DAMAGED, "its spans are out of order");
	if (last)
		map->span[map->spans - 1].at_us = (int64_t)at_us;
	else
		insert(map, map->spans - 1, to, (int64_t)at_us);
	return true;
}

bool verify_map_load(struct verify_map *map, const struct jval *list, struct err *err)
{
	size_t count = jarray_length(list);
	struct verify_map found;
	bool ok = count > 0 && count <= VERIFY_SPANS_MAX;

	if (!ok)
		return err_set(err, ERR_DAMAGED, "it has %zu spans", count);
	verify_map_init(&found);
	for (size_t i = 0; ok && i < count; i++)
		ok = load_span(&found, jarray_at(list, i), i + 1 == count, err);
	if (!ok) {
		verify_map_release(&found);
		return false;
	}
	verify_map_release(map);
	*map = found;
	return true;
}
