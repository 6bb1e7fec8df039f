/*
 * datadir.c — what belongs into a backup: the lists of src/backend/backup/basebackup.c, alike in 13
 * to 18.
 *
 * A path is judged by its parts: what is skipped above needs no asking below, but the answer is the
 * same when a caller asks anyway.
 */
#include "pg/datadir.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum { PARTS_MAX = 8, PART_BYTES = 256 };

/* Folders at the top whose content the server makes anew. */
static const char *const empty_folders[] = {
        "pg_wal",    "pg_replslot",  "pg_dynshmem", "pg_notify",
        "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
};

/* Files at the top that are of the running server, or of another backup. */
static const char *const skipped_files[] = {
        "postmaster.pid", "postmaster.opts", "postgresql.auto.conf.tmp", "current_logfiles.tmp",
        "backup_label",   "tablespace_map",  "backup_manifest",
};

static bool is_listed(const char *name, size_t length, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(list[i]) == length && strncmp(list[i], name, length) == 0)
			return true;
	return false;
}

/* Wherever it lies: temporary files, caches of the relation catalog, droppings of a desktop. */
static bool name_is_skipped(const char *name)
{
	return str_starts(name, "pgsql_tmp") || str_starts(name, "pg_internal.init") ||
	       strcmp(name, ".DS_Store") == 0;
}

/* Decimal without a leading zero that fits 32 bits; returns where it ends, or NULL. */
static const char *number_parse(const char *text, uint32_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return NULL;
	}
	if (p == text || *text == '0')
		return NULL;
	*ret = (uint32_t)value;
	return p;
}

/* "[_fsm|_vm|_init][.<segment>]" to the end of the name. */
static bool suffix_parse(const char *rest, struct relation_file *ret)
{
	static const char *const suffix[] = {
	        [FORK_FSM] = "_fsm",
	        [FORK_VM] = "_vm",
	        [FORK_INIT] = "_init",
	};

	for (int fork = FORK_FSM; fork <= FORK_INIT; fork++)
		if (str_starts(rest, suffix[fork])) {
			ret->fork = (enum relation_fork)fork;
			rest += strlen(suffix[fork]);
			break;
		}
	if (*rest == '.') {
		rest = number_parse(rest + 1, &ret->segment);
		/* A block number has 32 bits. */
		if (!rest || ret->segment > UINT32_MAX / RELATION_FILE_BLOCKS)
			return false;
	}
	return *rest == '\0';
}

bool relation_file_parse(const char *name, struct relation_file *ret)
{
	struct relation_file file = {0};
	const char *rest = number_parse(name, &file.number);

	if (!rest || !suffix_parse(rest, &file))
		return false;
	*ret = file;
	return true;
}

bool relation_file_is_temporary(const char *name)
{
	struct relation_file file;
	const char *p = name;

	if (*p++ != 't' || *p < '0' || *p > '9')
		return false;
	while (*p >= '0' && *p <= '9') /* backend 0 exists */
		p++;
	return *p == '_' && relation_file_parse(p + 1, &file);
}

/* The parts of a path, as many as matter. */
struct parts {
	const char *at[PARTS_MAX];
	size_t length[PARTS_MAX];
	size_t count;
};

static struct parts parts_of(const char *path)
{
	struct parts parts = {.count = 0};

	while (*path && parts.count < PARTS_MAX) {
		size_t length = strcspn(path, "/");

		parts.at[parts.count] = path;
		parts.length[parts.count++] = length;
		path += length;
		path += *path == '/';
	}
	return parts;
}

static bool part_is(const struct parts *parts, size_t i, const char *text)
{
	return i < parts->count && strlen(text) == parts->length[i] &&
	       strncmp(parts->at[i], text, parts->length[i]) == 0;
}

static bool part_is_oid(const struct parts *parts, size_t i)
{
	uint32_t oid;
	const char *end = number_parse(parts->at[i], &oid);

	return end == parts->at[i] + parts->length[i];
}

static bool holds_relations(const struct parts *parts, size_t count)
{
	if (count == 1)
		return part_is(parts, 0, "global");
	if (count == 2)
		return part_is(parts, 0, "base") && part_is_oid(parts, 1);
	return count == 4 && part_is(parts, 0, "pg_tblspc") && part_is_oid(parts, 1) &&
	       parts->length[2] >= 3 && strncmp(parts->at[2], "PG_", 3) == 0 &&
	       part_is_oid(parts, 3);
}

bool datadir_holds_relations(const char *folder)
{
	struct parts parts = parts_of(folder);

	return holds_relations(&parts, parts.count);
}

/* In a tablespace only the folder of this version is this cluster's. */
static bool tablespace_is_foreign(const struct parts *parts, const char *version_folder)
{
	return parts->count >= 3 && part_is(parts, 0, "pg_tblspc") &&
	       !part_is(parts, 2, version_folder);
}

static bool part_is_skipped(const struct parts *parts, size_t i)
{
	char name[PART_BYTES];

	if (parts->length[i] >= sizeof(name))
		return false;
	memcpy(name, parts->at[i], parts->length[i]);
	name[parts->length[i]] = '\0';
	return name_is_skipped(name) ||
	       (holds_relations(parts, i) && relation_file_is_temporary(name));
}

enum datadir_verdict datadir_judge(const char *path, bool is_folder, const char *version_folder)
{
	struct parts parts = parts_of(path);

	if (parts.count == 0)
		return DATADIR_COPY;
	if (is_listed(parts.at[0], parts.length[0], empty_folders, ARRAY_LENGTH(empty_folders)))
		return parts.count == 1 && is_folder ? DATADIR_EMPTY : DATADIR_SKIP;
	if (parts.count == 1 && !is_folder &&
	    is_listed(parts.at[0], parts.length[0], skipped_files, ARRAY_LENGTH(skipped_files)))
		return DATADIR_SKIP;
	if (tablespace_is_foreign(&parts, version_folder))
		return DATADIR_SKIP;
	for (size_t i = 0; i < parts.count; i++)
		if (part_is_skipped(&parts, i))
			return DATADIR_SKIP;
	return DATADIR_COPY;
}

bool datadir_has_pages(const char *path, struct relation_file *ret)
{
	struct parts parts = parts_of(path);

	return parts.count && holds_relations(&parts, parts.count - 1) &&
	       relation_file_parse(parts.at[parts.count - 1], ret);
}

/* ---- unlogged relations ---- */

void unlogged_set_add(struct unlogged_set *set, const char *name)
{
	struct relation_file file;

	if (!relation_file_parse(name, &file) || file.fork != FORK_INIT)
		return;
	if (set->count == set->size) {
		set->size = MAX(set->size * 2, 16);
		set->number = xrealloc(set->number, set->size * sizeof(set->number[0]));
	}
	set->number[set->count++] = file.number;
}

static int number_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void unlogged_set_sort(struct unlogged_set *set)
{
	if (set->count)
		qsort(set->number, set->count, sizeof(set->number[0]), number_compare);
}

bool unlogged_set_excludes(const struct unlogged_set *set, const char *name)
{
	struct relation_file file;

	return set->count && relation_file_parse(name, &file) && file.fork != FORK_INIT &&
	       bsearch(&file.number, set->number, set->count, sizeof(set->number[0]),
	               number_compare);
}

void unlogged_set_release(struct unlogged_set *set)
{
	free(set->number);
	*set = (struct unlogged_set){0};
}
