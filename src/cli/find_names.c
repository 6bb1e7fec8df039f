/*
 * find_names.c — names are taken now and then while the server runs. What a file was called at some
 * moment is what the nearest names before it say, else the nearest behind it.
 *
 * Of a long time not all are read: the newest, and of what is older as many at equal distances, so
 * that no table that was there for long is without its name, however long ago that was.
 */
#include "find_names.h"
#include "repo/walpieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum names_state { NAMES_START, NAMES_LISTING, NAMES_READING };

/* In place: `list` keeps FIND_NAMES_MAX of what it has. */
static void list_thin(struct relnames_list *list)
{
	size_t newest = FIND_NAMES_MAX / 2, sample = FIND_NAMES_MAX - newest, older;

	if (list->positions <= FIND_NAMES_MAX)
		return;
	older = list->positions - newest;
	for (size_t i = 0; i < sample; i++) /* the first of them is the oldest */
		list->position[i] = list->position[i * older / sample];
	memmove(&list->position[sample], &list->position[older], newest * sizeof(*list->position));
	list->positions = FIND_NAMES_MAX;
}

static void read_next(struct find_names *find)
{
	if (find->next == find->list.positions)
		return op_done(&find->op);
	find->read = (struct relnames_read){.repo = find->repo,
	                                    .generation = find->generation,
	                                    .position = find->list.position[find->next++]};
	relnames_read_start(&find->op, &find->read);
	op_wait(&find->op, NAMES_READING);
}

static void names_step(struct op *op)
{
	struct find_names *find = container_of(op, struct find_names, op);

	switch ((enum names_state)op->state) {
	case NAMES_START:
		find->list =
		        (struct relnames_list){.repo = find->repo, .generation = find->generation};
		relnames_list_start(op, &find->list);
		return op_wait(op, NAMES_LISTING);
	case NAMES_LISTING:
		if (op_failed(&find->list.op))
			return op_fail(op, &find->list.op.err,
			               "could not look for the names of tables");
		find->taken = xcalloc(FIND_NAMES_MAX, sizeof(*find->taken));
		list_thin(&find->list);
		return read_next(find);
	case NAMES_READING:
		if (!op_failed(&find->read.op))
			find->taken[find->count++] = find->read.names;
		else if (walpiece_is_bad(&find->read.op.err))
			find->unreadable++;
		else
			return op_fail(op, &find->read.op.err,
			               "could not read the names of tables");
		return read_next(find);
	}
}

/* What people call a table: no index, no TOAST. */
static bool is_told(char kind)
{
	return kind && strchr("rpmS", kind);
}

static bool name_from(const struct relnames *taken, const struct walindex_rel *rel,
                      struct walfind_name *ret)
{
	struct relname_found found = {0};
	bool known = relnames_find(taken, rel->database, rel->number, &found);

	if (found.database)
		snprintf(ret->database, sizeof(ret->database), "%s", found.database);
	if (!rel->number && found.database) { /* the whole database */
		snprintf(ret->table, sizeof(ret->table), "%s", found.database);
		return true;
	}
	if (!known || !is_told(found.kind))
		return false;
	snprintf(ret->schema, sizeof(ret->schema), "%s", found.schema);
	snprintf(ret->table, sizeof(ret->table), "%s", found.name);
	return true;
}

static bool name_at(const struct walfind_names *names, const struct walindex_rel *rel, lsn position,
                    struct walfind_name *ret)
{
	const struct find_names *find = container_of(names, struct find_names, names);
	size_t behind = 0;

	while (behind < find->count && find->taken[behind].position <= position)
		behind++;
	for (size_t i = behind; i-- > 0;)
		if (name_from(&find->taken[i], rel, ret))
			return true;
	for (size_t i = behind; i < find->count; i++)
		if (name_from(&find->taken[i], rel, ret))
			return true;
	return false;
}

void find_names_start(struct op *parent, struct find_names *find)
{
	static const struct op_type type = {.name = "find_names", .step = names_step};

	find->names.name = name_at;
	op_start(parent, &find->op, &type);
}

void find_names_release(struct find_names *find)
{
	for (size_t i = 0; i < find->count; i++)
		relnames_release(&find->taken[i]);
	free(find->taken);
	free(find->list.position);
}
