/*
 * copy_list.c — which objects a copy is made of, by their names alone.
 *
 * Tails, notes and what is in conflict stay where they are: they tell of their own repository. So
 * do packs and bodies of backups that have no manifest.
 */
#include "copy_list.h"

#include <string.h>

#include "base/poison.h"

enum { ATTEMPT_DIGITS = 16, PART_DIGITS_MIN = 4 };

/* The length of "<name>" in "<name>.<attempt>.<number>"; 0: it is no part. */
static size_t part_head_length(const char *name)
{
	static const char digits[] = "0123456789", hex[] = "0123456789abcdef";
	const char *dot = strrchr(name, '.'), *attempt;

	if (!dot || strlen(dot + 1) < PART_DIGITS_MIN || dot[1 + strspn(dot + 1, digits)] ||
	    dot - name <= ATTEMPT_DIGITS + 1)
		return 0;
	attempt = dot - ATTEMPT_DIGITS;
	if (attempt[-1] != '.' || strspn(attempt, hex) != ATTEMPT_DIGITS)
		return 0;
	return (size_t)(attempt - 1 - name);
}

/* "pack/<id>/…" or "backup/<id>": the id. */
static bool id_of(const char *name, size_t folder, char ret[NAME_BACKUP_ID_BYTES])
{
	if (strlen(name + folder) < NAME_BACKUP_ID_BYTES - 1)
		return false;
	memcpy(ret, name + folder, NAME_BACKUP_ID_BYTES - 1);
	ret[NAME_BACKUP_ID_BYTES - 1] = '\0';
	return backup_id_valid(ret);
}

static enum copy_stage wal_stage(const struct copy_list *list, const char *name, size_t head)
{
	AUTO_FREE char *whole = xstrdup(name);
	struct walname wal;

	if (head)
		whole[head] = '\0';
	if (!name_wal_parse(whole, &wal) ||
	    walname_segno(&wal, list->segment_bytes) < list->first_segno)
		return COPY_NOT;
	return head ? COPY_FIRST : COPY_WAL;
}

static bool begins(const char *name, const char *folder)
{
	return strncmp(name, folder, strlen(folder)) == 0;
}

enum copy_stage copy_stage_of(const struct copy_list *list, const char *name)
{
	size_t head = part_head_length(name);
	char id[NAME_BACKUP_ID_BYTES];

	if (begins(name, "timeline/"))
		return COPY_FIRST;
	if (begins(name, "wal/"))
		return wal_stage(list, name, head);
	if (begins(name, "index/"))
		return head ? COPY_FIRST : COPY_DATA;
	if (begins(name, "pack/") && id_of(name, strlen("pack/"), id))
		return strs_has(&list->packs, id) ? COPY_DATA : COPY_NOT;
	if (begins(name, "backup/") && id_of(name, strlen("backup/"), id) &&
	    strs_has(&list->ids, id))
		return head ? COPY_DATA : COPY_MANIFEST;
	return COPY_NOT;
}

void copy_list_add(struct copy_list *list, const char *name, uint64_t bytes)
{
	enum copy_stage stage = copy_stage_of(list, name);

	if (stage == COPY_NOT)
		return;
	if (list->count == list->size) {
		list->size = MAX(2 * list->size, (size_t)256);
		list->item = xrealloc(list->item, list->size * sizeof(*list->item));
	}
	list->item[list->count++] =
	        (struct copy_item){.name = xstrdup(name), .bytes = bytes, .stage = stage};
}

static int item_compare(const void *a, const void *b)
{
	const struct copy_item *left = a, *right = b;

	if (left->stage != right->stage)
		return left->stage < right->stage ? -1 : 1;
	return strcmp(left->name, right->name);
}

static int name_compare(const void *key, const void *at)
{
	return strcmp(key, *(char *const *)at);
}

static bool has(const struct strs *there, const char *name)
{
	return there->count > 0 &&
	       bsearch(name, there->item, there->count, sizeof(*there->item), name_compare) != NULL;
}

static bool is_there(const struct copy_item *item, const struct strs *there)
{
	size_t head = part_head_length(item->name);
	AUTO_FREE char *whole = NULL;

	if (has(there, item->name))
		return true;
	if (!head)
		return false;
	whole = xstrdup(item->name);
	whole[head] = '\0';
	return has(there, whole); /* under an attempt of its own, maybe */
}

uint64_t copy_list_settle(struct copy_list *list, const struct strs *there)
{
	size_t kept = 0;
	uint64_t found;

	for (size_t i = 0; i < list->count; i++) {
		if (is_there(&list->item[i], there))
			free(list->item[i].name);
		else
			list->item[kept++] = list->item[i];
	}
	found = list->count - kept;
	list->count = kept;
	if (kept > 0)
		qsort(list->item, kept, sizeof(*list->item), item_compare);
	return found;
}

void copy_list_release(struct copy_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->item[i].name);
	free(list->item);
	strs_release(&list->ids);
	strs_release(&list->packs);
	*list = (struct copy_list){0};
}
