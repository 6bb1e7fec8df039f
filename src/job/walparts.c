/*
 * walparts.c — a list in the order in which segments were archived, which is nearly that of WAL:
 * the one that is asked for stands near its beginning. What is new is turned away when there is no
 * room, since the oldest is wanted first.
 */
#include "job/walparts.h"

#include <string.h>

#include "base/poison.h"

struct item {
	struct item *next;
	uint64_t number; /* of all that were put there */
	char generation[NAME_GENERATION_MAX];
	uint32_t tli;
	uint64_t segno;
	struct walpart *part;
};

struct walparts {
	struct item *first, **end;
	size_t bytes;
	uint64_t put;
	char generation[NAME_GENERATION_MAX]; /* of the last one */
	void (*on_plenty)(void *context);
	void *context;
};

struct walparts *walparts_new(void (*on_plenty)(void *context), void *context)
{
	struct walparts *parts = xcalloc(1, sizeof(*parts));

	parts->end = &parts->first;
	parts->on_plenty = on_plenty;
	parts->context = context;
	return parts;
}

/* Out of the list; its part is the caller's. */
static struct walpart *item_remove(struct walparts *parts, struct item **link)
{
	struct item *item = *link;
	struct walpart *part = item->part;

	*link = item->next;
	if (parts->end == &item->next)
		parts->end = link;
	parts->bytes -= sizeof(*item) + walpart_bytes(part);
	free(item);
	return part;
}

void walparts_drop(struct walparts *parts, uint64_t mark)
{
	while (parts && parts->first && parts->first->number <= mark)
		walpart_free(item_remove(parts, &parts->first));
}

void walparts_free(struct walparts *parts)
{
	walparts_drop(parts, UINT64_MAX);
	free(parts);
}

void walparts_put(struct walparts *parts, const char *generation, uint32_t tli, uint64_t segno,
                  struct walpart *part)
{
	size_t bytes = sizeof(struct item) + walpart_bytes(part);
	bool was_plenty = parts->bytes >= WALPARTS_BYTES_MAX / 2;
	struct item *item;

	snprintf(parts->generation, sizeof(parts->generation), "%s", generation);
	if (bytes > WALPARTS_BYTES_MAX - parts->bytes)
		return walpart_free(part);
	item = xcalloc(1, sizeof(*item));
	item->number = ++parts->put;
	snprintf(item->generation, sizeof(item->generation), "%s", generation);
	item->tli = tli;
	item->segno = segno;
	item->part = part;
	*parts->end = item;
	parts->end = &item->next;
	parts->bytes += bytes;
	if (!was_plenty && parts->bytes >= WALPARTS_BYTES_MAX / 2 && parts->on_plenty)
		parts->on_plenty(parts->context);
}

struct walpart *walparts_take(struct walparts *parts, const char *generation, uint32_t tli,
                              uint64_t segno)
{
	if (!parts)
		return NULL;
	for (struct item **link = &parts->first; *link; link = &(*link)->next)
		if ((*link)->segno == segno && (*link)->tli == tli &&
		    strcmp((*link)->generation, generation) == 0)
			return item_remove(parts, link);
	return NULL;
}

const char *walparts_generation(const struct walparts *parts)
{
	return parts ? parts->generation : "";
}

uint64_t walparts_mark(const struct walparts *parts)
{
	return parts ? parts->put : 0;
}
