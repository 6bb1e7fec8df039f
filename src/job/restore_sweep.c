/*
 * restore_sweep.c — a walk of what is there, merged with the manifest.
 *
 * Both are sorted in the same way (manifest_path_compare), so one pass over each tells what only
 * the directory has; memory is one folder's names for each level. Only pg_tblspc's links are
 * followed, and there only the folder of our own version: what else lies in a tablespace is not
 * ours. A link that the backup does not have is removed itself, never what it points to.
 */
#include "restore_sweep.h"
#include "restore_copy.h"
#include "base/file.h"
#include "base/str.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

enum { LEVELS_MAX = 64 };

struct level {
	char *path; /* relative; "" for the top */
	struct strs names;
	size_t next;
};
struct sweep {
	char *pgdata, *version_folder;
	bool remove;
	struct level level[LEVELS_MAX];
	unsigned levels;
	bool begun;
	uint64_t count;
	struct strs first;
};

struct sweep *sweep_new(const char *pgdata, const char *version_folder, bool remove)
{
	struct sweep *sweep = xcalloc(1, sizeof(*sweep));

	sweep->pgdata = xstrdup(pgdata);
	sweep->version_folder = xstrdup(version_folder);
	sweep->remove = remove;
	return sweep;
}

static void level_drop(struct sweep *sweep)
{
	struct level *level = &sweep->level[--sweep->levels];

	free(level->path);
	strs_release(&level->names);
	*level = (struct level){0};
}

void sweep_free(struct sweep *sweep)
{
	if (!sweep)
		return;
	while (sweep->levels)
		level_drop(sweep);
	strs_release(&sweep->first);
	free(sweep->pgdata);
	free(sweep->version_folder);
	free(sweep);
}

uint64_t sweep_count(const struct sweep *sweep)
{
	return sweep->count;
}

const char *sweep_name(const struct sweep *sweep, unsigned n)
{
	return n < sweep->first.count ? sweep->first.item[n] : NULL;
}

static char *whole_path(const struct sweep *sweep, const char *path)
{
	return *path ? path_join(sweep->pgdata, path) : xstrdup(sweep->pgdata);
}

/* What is the restore's own, comes later or is dealt with elsewhere. */
static bool spared(const char *path)
{
	static const char *const names[] = {"pg_wal",          "backup_label",
	                                    "tablespace_map",  "global/pg_control",
	                                    "recovery.signal", "postgresql.auto.conf"};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return restore_file_is_ours(path) || (!strchr(path, '/') && durable_is_draft(path));
}

static bool in_tablespaces(const char *path)
{
	return strcmp(path_name(path), path) != 0 && str_starts(path, "pg_tblspc/") &&
	       !strchr(path + strlen("pg_tblspc/"), '/');
}

static bool level_enter(struct sweep *sweep, const char *path, struct err *err)
{
	AUTO_FREE char *whole = whole_path(sweep, path);
	struct level *level = &sweep->level[sweep->levels];

	if (sweep->levels == LEVELS_MAX)
		return err_set(err, ERR_REFUSED, "folder \"%s\" lies too deep", whole);
	level->path = xstrdup(path);
	sweep->levels++;
	if (in_tablespaces(path)) {
		AUTO_FREE char *inside = path_join(whole, sweep->version_folder);
		struct stat status;

		if (lstat(inside, &status) == 0)
			strs_add(&level->names, sweep->version_folder);
		return true;
	}
	if (!file_list(whole, &level->names, err)) {
		if (err->code != ERR_NOTFOUND)
			return false;
		err_clear(err);
	}
	strs_sort(&level->names);
	return true;
}

static char *level_name(const struct level *level)
{
	const char *name = level->names.item[level->next];

	return *level->path ? path_join(level->path, name) : xstrdup(name);
}

static bool sweep_away(struct sweep *sweep, const char *path, struct err *err)
{
	AUTO_FREE char *whole = whole_path(sweep, path);

	sweep->count++;
	if (sweep->first.count < SWEEP_NAMES_MAX)
		strs_add(&sweep->first, path);
	return !sweep->remove || file_remove_tree(whole, err);
}

/* Whether a folder is looked into; a link only in pg_tblspc. */
static bool is_folder(const struct sweep *sweep, const char *path)
{
	AUTO_FREE char *whole = whole_path(sweep, path);
	struct stat status;

	if (in_tablespaces(path))
		return stat(whole, &status) == 0 && S_ISDIR(status.st_mode);
	return lstat(whole, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Everything up to path (NULL: to the end) goes by. */
static bool advance(struct sweep *sweep, const char *path, struct err *err)
{
	while (sweep->levels) {
		struct level *level = &sweep->level[sweep->levels - 1];
		AUTO_FREE char *name = NULL;
		int order;

		if (level->next == level->names.count) {
			level_drop(sweep);
			continue;
		}
		name = level_name(level);
		order = path ? manifest_path_compare(name, path) : -1;
		if (order > 0)
			return true;
		level->next++;
		if (spared(name))
			continue;
		if (order < 0) {
			if (!sweep_away(sweep, name, err))
				return false;
			continue;
		}
		return !is_folder(sweep, name) || level_enter(sweep, name, err);
	}
	return true;
}

bool sweep_reach(struct sweep *sweep, const char *path, struct err *err)
{
	if (!sweep->begun && !level_enter(sweep, "", err))
		return false;
	sweep->begun = true;
	return advance(sweep, path, err);
}

bool sweep_end(struct sweep *sweep, struct err *err)
{
	if (!sweep->begun && !level_enter(sweep, "", err))
		return false;
	sweep->begun = true;
	return advance(sweep, NULL, err);
}
