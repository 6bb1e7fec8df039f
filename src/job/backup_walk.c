/*
 * backup_walk.c — a depth-first walk through a data directory that changes meanwhile.
 *
 *   walk_step   one entry after the other: folders before what is in them, names sorted
 *   walk_plan   puts entries and pieces of files into plans of at most one pack
 *
 * What vanishes between being listed and being looked at is left out: the WAL has its removal. What
 * cannot be read for any other reason ends the backup. Symbolic links are followed where PostgreSQL
 * makes them (tablespaces; pg_wal is noted and not entered). A link to a file (a postgresql.conf
 * that lies elsewhere) is copied as the file; a linked folder anywhere else is refused, since
 * leaving it out would be a backup that cannot be restored.
 */
#include "backup_walk.h"
#include "restore_copy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "base/log.h"
#include "pg/page.h"

#include "base/poison.h"

struct level {
	char *path; /* relative; "" is the top */
	struct strs names;
	size_t next;
	struct unlogged_set unlogged;
	bool relations;
};

/* What walk_step found. */
struct found {
	enum manifest_kind kind;
	char path[MANIFEST_PATH_MAX + 1];
	char target[MANIFEST_PATH_MAX + 1];
	struct stat status;
	bool through_link;
	bool present; /* false: nothing to copy under this name */
};

struct walk {
	const char *pgdata, *version_folder;
	bool checksums, begun;
	struct level *level;
	size_t levels, levels_size;
	struct walk_tablespace *tablespace;
	size_t tablespaces;
	struct found found; /* the entry at hand */
	bool at_hand;       /* ... of which bytes from `offset` are not planned yet */
	uint64_t offset;
};

struct walk *walk_new(const char *pgdata, const char *version_folder, bool checksums)
{
	struct walk *walk = xcalloc(1, sizeof(*walk));

	walk->pgdata = pgdata;
	walk->version_folder = version_folder;
	walk->checksums = checksums;
	return walk;
}

static void level_release(struct level *level)
{
	free(level->path);
	strs_release(&level->names);
	unlogged_set_release(&level->unlogged);
}

void walk_free(struct walk *walk)
{
	if (!walk)
		return;
	while (walk->levels > 0)
		level_release(&walk->level[--walk->levels]);
	for (size_t i = 0; i < walk->tablespaces; i++)
		free(walk->tablespace[i].target);
	free(walk->tablespace);
	free(walk->level);
	free(walk);
}

size_t walk_tablespaces(const struct walk *walk, const struct walk_tablespace **ret)
{
	*ret = walk->tablespace;
	return walk->tablespaces;
}

/* ---- folders ---- */

/* Lists a folder and makes it the level at hand. *ret_there false: it vanished. */
static bool level_push(struct walk *walk, const char *path, bool *ret_there, struct err *err)
{
	AUTO_FREE
	char *full = path_join(walk->pgdata, path);
	struct level level = {.relations = datadir_holds_relations(path)};
	struct err why = {0};

	*ret_there = false;
	if (!file_list(path[0] ? full : walk->pgdata, &level.names, &why)) {
		level_release(&level);
		if (why.code == ERR_NOTFOUND && path[0])
			return true;
		*err = why;
		return false;
	}
	strs_sort(&level.names);
	for (size_t i = 0; level.relations && i < level.names.count; i++)
		unlogged_set_add(&level.unlogged, level.names.item[i]);
	unlogged_set_sort(&level.unlogged);
	level.path = xstrdup(path);
	if (walk->levels == walk->levels_size) {
		walk->levels_size = MAX(2 * walk->levels_size, (size_t)8);
		walk->level = xrealloc(walk->level, walk->levels_size * sizeof(*walk->level));
	}
	walk->level[walk->levels++] = level;
	*ret_there = true;
	return true;
}

static const struct walk_tablespace *tablespace_of(const struct walk *walk, const char *path)
{
	uint32_t oid;

	if (!str_u32(path + strlen("pg_tblspc/"), &oid))
		return NULL;
	for (size_t i = 0; i < walk->tablespaces; i++)
		if (walk->tablespace[i].oid == oid)
			return &walk->tablespace[i];
	return NULL;
}

/* A tablespace's own folder, met on the way through the data directory: its content comes under
 * pg_tblspc. */
static bool is_tablespace_place(const struct walk *walk, const struct stat *status)
{
	for (size_t i = 0; i < walk->tablespaces; i++)
		if (walk->tablespace[i].target &&
		    walk->tablespace[i].device == (uint64_t)status->st_dev &&
		    walk->tablespace[i].inode == (uint64_t)status->st_ino)
			return true;
	return false;
}

static bool tablespace_look(struct walk *walk, const char *full, uint32_t oid, struct err *err)
{
	struct walk_tablespace *item = &walk->tablespace[walk->tablespaces];
	char target[MANIFEST_PATH_MAX + 1];
	struct stat status;
	ssize_t length;

	*item = (struct walk_tablespace){.oid = oid};
	if (stat(full, &status) != 0 && errno == ENOENT && lstat(full, &status) != 0)
		return errno == ENOENT || err_sys(err, "could not look at \"%s\"", full);
	if (stat(full, &status) != 0) {
		bool gone = errno == ENOENT;

		err_sys(err, "could not look at the folder of tablespace \"%s\"", full);
		if (!gone)
			return false;
		err->code = ERR_REFUSED;
		err_hint(err, "Is a disk not mounted? Without its tablespaces a cluster is not "
		              "backed up.");
		return false;
	}
	if (!S_ISDIR(status.st_mode))
		return err_set(err, ERR_REFUSED, "tablespace \"%s\" is not a folder", full);
	item->device = (uint64_t)status.st_dev;
	item->inode = (uint64_t)status.st_ino;
	length = readlink(full, target, sizeof(target));
	if (length >= (ssize_t)sizeof(target))
		return err_set(err, ERR_REFUSED, "the link \"%s\" is too long", full);
	if (length < 0 && errno != EINVAL)
		return err_sys(err, "could not read link \"%s\"", full);
	if (length >= 0)
		item->target = xstrndup(target, (size_t)length);
	walk->tablespaces++;
	return true;
}

bool walk_begin(struct walk *walk, struct err *err)
{
	AUTO_FREE
	char *folder = path_join(walk->pgdata, "pg_tblspc");
	struct strs names = {0};
	bool good = file_list(folder, &names, err), there;

	strs_sort(&names);
	walk->tablespace = xcalloc(names.count + 1, sizeof(*walk->tablespace));
	for (size_t i = 0; good && i < names.count; i++) {
		AUTO_FREE
		char *full = path_join(folder, names.item[i]);
		uint32_t oid;

		if (str_u32(names.item[i], &oid))
			good = tablespace_look(walk, full, oid, err);
	}
	strs_release(&names);
	walk->begun = true;
	return good && level_push(walk, "", &there, err);
}

/* ---- one entry ---- */

static bool look_refuse_link(const struct found *found, struct err *err)
{
	err_set(err, ERR_REFUSED, "folder \"%s\" of the data directory is a symbolic link",
	        found->path);
	err_hint(err, "Only pg_wal and tablespaces may be links. Move the folder to its place, or "
	              "mount it there.");
	return false;
}

static bool look_at_folder(struct walk *walk, struct found *found, struct err *err)
{
	enum datadir_verdict verdict = datadir_judge(found->path, true, walk->version_folder);
	bool in_tablespaces = str_starts(found->path, "pg_tblspc/");
	bool there = true;

	if (verdict == DATADIR_SKIP || strcmp(found->path, "lost+found") == 0)
		return true;
	if (in_tablespaces && !strchr(found->path + strlen("pg_tblspc/"), '/') &&
	    !tablespace_of(walk, found->path))
		return true; /* made since the backup began */
	if (!in_tablespaces && is_tablespace_place(walk, &found->status))
		verdict = DATADIR_EMPTY;
	found->kind = MANIFEST_FOLDER;
	if (verdict == DATADIR_COPY && !level_push(walk, found->path, &there, err))
		return false;
	found->present = there;
	return true;
}

static bool look_read_link(const char *full, struct found *found, struct err *err)
{
	ssize_t length = readlink(full, found->target, sizeof(found->target));

	if (length < 0 && errno == ENOENT)
		return true;
	if (length < 0)
		return err_sys(err, "could not read link \"%s\"", full);
	if (length >= (ssize_t)sizeof(found->target))
		return err_set(err, ERR_REFUSED, "the link \"%s\" is too long", full);
	found->target[length] = '\0';
	found->kind = MANIFEST_LINK;
	found->present = length > 0;
	return true;
}

static bool look_at_tablespace(struct walk *walk, const char *full, struct found *found,
                               struct err *err)
{
	bool there;

	if (!tablespace_of(walk, found->path))
		return true;
	if (!look_read_link(full, found, err))
		return false;
	if (!found->present)
		return true;
	if (!level_push(walk, found->path, &there, err))
		return false;
	found->present = there;
	return true;
}

static bool look_at_link(struct walk *walk, const char *full, struct found *found, struct err *err)
{
	struct stat status;

	if (str_starts(found->path, "pg_tblspc/"))
		return look_at_tablespace(walk, full, found, err);
	if (strcmp(found->path, "pg_wal") == 0)
		return look_read_link(full, found, err);
	if (stat(full, &status) != 0) {
		if (errno != ENOENT)
			return err_sys(err, "could not follow link \"%s\"", full);
		log_warning("\"%s\" is a symbolic link to nothing, it is not in the backup", full);
		return true;
	}
	found->status = status;
	if (S_ISDIR(status.st_mode)) {
		enum datadir_verdict verdict =
		        datadir_judge(found->path, true, walk->version_folder);

		if (verdict == DATADIR_COPY)
			return look_refuse_link(found, err);
		found->kind = MANIFEST_FOLDER;
		found->present = verdict == DATADIR_EMPTY;
		return true;
	}
	if (datadir_judge(found->path, false, walk->version_folder) == DATADIR_SKIP)
		return true;
	found->kind = MANIFEST_FILE;
	found->through_link = true;
	found->present = S_ISREG(status.st_mode);
	return true;
}

/* Of a restore into this directory, or of a killed process: not the cluster's. */
static bool name_is_ours(const char *path, const char *name)
{
	return restore_file_is_ours(path) || durable_is_draft(name);
}

static bool look_at_file(const struct walk *walk, const struct level *level, const char *name,
                         struct found *found)
{
	if (manifest_path_is_late(MANIFEST_FILE, found->path) || name_is_ours(found->path, name) ||
	    datadir_judge(found->path, false, walk->version_folder) != DATADIR_COPY)
		return true;
	if (level->relations && unlogged_set_excludes(&level->unlogged, name))
		return true;
	found->kind = MANIFEST_FILE;
	found->present = true;
	return true;
}

static bool walk_look(struct walk *walk, const struct level *level, const char *name,
                      struct err *err)
{
	struct found *found = &walk->found;
	AUTO_FREE char *full = NULL;
	int length = snprintf(found->path, sizeof(found->path), "%s%s%s", level->path,
	                      level->path[0] ? "/" : "", name);

	found->present = found->through_link = false;
	found->target[0] = '\0';
	if (length < 0 || (size_t)length >= sizeof(found->path))
		return err_set(err, ERR_REFUSED, "a path below \"%s\" is too long", level->path);
	full = path_join(walk->pgdata, found->path);
	if (lstat(full, &found->status) != 0)
		return errno == ENOENT || err_sys(err, "could not look at file \"%s\"", full);
	if (S_ISLNK(found->status.st_mode))
		return look_at_link(walk, full, found, err);
	if (S_ISDIR(found->status.st_mode))
		return look_at_folder(walk, found, err);
	if (S_ISREG(found->status.st_mode))
		return look_at_file(walk, level, name, found);
	return true; /* sockets, pipes */
}

/* The next entry into walk->found; *ret_more false: there is none. */
static bool walk_step(struct walk *walk, bool *ret_more, struct err *err)
{
	while (walk->levels > 0) {
		struct level *level = &walk->level[walk->levels - 1];

		if (level->next == level->names.count) {
			level_release(level);
			walk->levels--;
			continue;
		}
		if (!walk_look(walk, level, level->names.item[level->next++], err))
			return false;
		if (walk->found.present) {
			*ret_more = true;
			return true;
		}
	}
	*ret_more = false;
	return true;
}

/* ---- plans ---- */

struct plan_item *plan_add(struct plan *plan)
{
	if (plan->count == plan->size) {
		plan->size = MAX(2 * plan->size, (size_t)64);
		plan->item = xrealloc(plan->item, plan->size * sizeof(*plan->item));
	}
	plan->item[plan->count] = (struct plan_item){0};
	return &plan->item[plan->count++];
}

void plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->item[i].path);
		free(plan->item[i].target);
		free(plan->item[i].content);
	}
	free(plan->item);
	*plan = (struct plan){0};
}

static uint64_t plan_room(const struct plan *plan)
{
	return PLAN_BYTES_MAX - plan->bytes - plan->slack;
}

/* A file that a rename may replace by a longer one is copied as long as it is when it is opened. */
static bool found_may_be_replaced(const struct found *found)
{
	struct relation_file relation;

	return found->kind == MANIFEST_FILE && !datadir_has_pages(found->path, &relation);
}

/* How many bytes of the entry at hand go into this plan; 0 and not *ret_fits: none, it is full. */
static uint64_t plan_share(const struct walk *walk, const struct plan *plan, bool *ret_fits)
{
	uint64_t left = (uint64_t)walk->found.status.st_size - walk->offset;
	uint64_t room = plan_room(plan);
	bool replaced = found_may_be_replaced(&walk->found);

	*ret_fits = true;
	if (walk->found.kind != MANIFEST_FILE)
		return 0;
	if (replaced && plan->slack == 0) {
		*ret_fits = room >= PLAN_SLACK_BYTES;
		if (!*ret_fits)
			return 0;
		room -= PLAN_SLACK_BYTES;
	}
	if (left <= room)
		return left;
	room -= room % PAGE_BYTES;
	*ret_fits = room >= PLAN_PIECE_BYTES_MIN &&
	            !(replaced && walk->offset == 0 && left <= PLAN_SLACK_BYTES);
	return *ret_fits ? room : 0;
}

static void plan_take(struct walk *walk, struct plan *plan, uint64_t share)
{
	const struct found *found = &walk->found;
	uint64_t size = found->kind == MANIFEST_FILE ? (uint64_t)found->status.st_size : 0;
	struct plan_item *item = plan_add(plan);

	item->kind = found->kind;
	item->path = xstrdup(found->path);
	if (found->kind == MANIFEST_LINK)
		item->target = xstrdup(found->target);
	item->offset = walk->offset;
	item->length = (uint32_t)share;
	item->first = walk->offset == 0;
	item->last = walk->offset + share == size;
	item->through_link = found->through_link;
	item->mode = found->status.st_mode & 07777;
	item->modified_us = (int64_t)found->status.st_mtim.tv_sec * US_PER_S +
	                    found->status.st_mtim.tv_nsec / 1000;
	if (found->kind == MANIFEST_FILE)
		item->pages = datadir_has_pages(found->path, &item->relation) && walk->checksums;
	if (found_may_be_replaced(found))
		plan->slack = PLAN_SLACK_BYTES;
	plan->bytes += share;
	walk->offset += share;
	walk->at_hand = !item->last;
}

bool walk_plan(struct walk *walk, struct plan *plan, struct err *err)
{
	uint64_t share;
	bool more, fits;

	while (plan->count < PLAN_ITEMS_MAX) {
		if (!walk->at_hand) {
			if (!walk_step(walk, &more, err))
				return false;
			if (!more)
				return true;
			walk->at_hand = true;
			walk->offset = 0;
		}
		share = plan_share(walk, plan, &fits);
		if (!fits)
			return true;
		plan_take(walk, plan, share);
	}
	return true;
}

bool walk_count(struct walk *walk, uint64_t *bytes, uint64_t *files, bool *ret_more,
                struct err *err)
{
	*ret_more = true;
	for (unsigned i = 0; i < COUNT_SLICE && *ret_more; i++) {
		if (!walk_step(walk, ret_more, err))
			return false;
		if (!*ret_more || walk->found.kind != MANIFEST_FILE)
			continue;
		(*files)++;
		*bytes += (uint64_t)walk->found.status.st_size;
	}
	return true;
}
