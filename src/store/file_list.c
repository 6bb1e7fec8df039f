/*
 * file_list.c — a flat listing of a tree of folders, in the order of full names.
 *
 * In a folder the entries are put in the order that their full names have: a folder sorts with its
 * '/' ("a.b" < "a/b" < "a0"). A folder is entered only if names in it can begin with the prefix and
 * be greater than `after`, so a page costs the folders on the way to it and those that it fills,
 * whatever the archive holds. Of one folder at most the entries that a page can need are kept.
 */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

enum { DEPTH_MAX = 32 };

struct lister {
	int root_fd;
	struct store_list *list;
	struct work *work;
	struct err *err;
};

enum outcome { LIST_ON, LIST_FULL, LIST_FAILED };

/* The smallest entries of a folder above a given one. */
struct batch {
	struct strs keys; /* a folder's ends in '/' */
	size_t max;
	bool cut;          /* there are greater ones */
	const char *above; /* NULL: from the beginning */
};

static void batch_trim(struct batch *batch)
{
	strs_sort(&batch->keys);
	while (batch->keys.count > batch->max) {
		free(batch->keys.item[--batch->keys.count]);
		batch->cut = true;
	}
}

static void batch_add(struct batch *batch, const char *key)
{
	if (batch->above && strcmp(key, batch->above) <= 0)
		return;
	strs_add(&batch->keys, key);
	if (batch->keys.count >= 2 * batch->max + 64)
		batch_trim(batch);
}

/* Can a name that begins with path (a folder's, with its '/') be wanted? */
static bool folder_wanted(const struct store_list *list, const char *path)
{
	size_t length = strlen(path), prefix_length = strlen(list->prefix);

	if (strncmp(path, list->prefix, MIN(length, prefix_length)) != 0)
		return false;
	return !list->after || strncmp(path, list->after, length) >= 0;
}

static bool file_wanted(const struct store_list *list, const char *name)
{
	return str_starts(name, list->prefix) && (!list->after || strcmp(name, list->after) > 0);
}

/* With `folders`: path is what is listed, not what is in it. */
static bool folder_listed(const struct store_list *list, const char *path)
{
	return list->folders && strlen(path) > strlen(list->prefix) &&
	       str_starts(path, list->prefix);
}

/* A folder that was removed meanwhile is empty. */
static bool gone(int number)
{
	return number == ENOENT || number == ENOTDIR;
}

/* 'd', 'f', 0 for everything that is no object and holds none, or '?' with errno: not known, and so
 * not to be left out. */
static char entry_kind(int fd, const struct dirent *entry)
{
	struct stat st;

	if (!store_name_valid(entry->d_name))
		return 0;
	if (entry->d_type == DT_DIR)
		return 'd';
	if (entry->d_type == DT_REG)
		return 'f';
	if (fstatat(fd, entry->d_name, &st, 0) != 0)
		return gone(errno) || errno == ELOOP ? 0 : '?';
	return S_ISDIR(st.st_mode) ? 'd' : S_ISREG(st.st_mode) ? 'f' : 0;
}

/* path: "" or with '/' at its end. NULL with errno. */
static DIR *folder_open(const struct lister *lister, const char *path)
{
	int fd = openat(lister->root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}

static bool batch_read(const struct lister *lister, const char *path, struct batch *batch)
{
	const struct store_list *list = lister->list;
	DIR *dir = folder_open(lister, path);
	struct dirent *entry;

	if (!dir)
		return gone(errno) || file_error(lister->err, "read folder", path);
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		char key[sizeof(entry->d_name) + 2], full[STORE_NAME_MAX + 2];
		char kind = entry_kind(dirfd(dir), entry);
		int length;

		if (!kind)
			continue;
		if (kind == '?')
			break;
		snprintf(key, sizeof(key), "%s%s", entry->d_name, kind == 'd' ? "/" : "");
		length = snprintf(full, sizeof(full), "%s%s", path, key);
		if (length > STORE_NAME_MAX)
			continue;
		if (kind == 'd' ? folder_wanted(list, full) : file_wanted(list, full))
			batch_add(batch, key);
	}
	if (errno != 0) {
		file_error(lister->err, "read folder", path);
		closedir(dir);
		return false;
	}
	closedir(dir);
	batch_trim(batch);
	return true;
}

/* Whether any object lies below: an empty folder is not there. */
static bool holds_object(const struct lister *lister, const char *path, int depth)
{
	DIR *dir = folder_open(lister, path);
	struct dirent *entry;
	bool found = false;

	if (!dir)
		return !gone(errno); /* who cannot look must not say that there is nothing */
	while (!found && (errno = 0, entry = readdir(dir)) != NULL) {
		char full[STORE_NAME_MAX + 2];
		char kind = entry_kind(dirfd(dir), entry);
		int length = snprintf(full, sizeof(full), "%s%s/", path, entry->d_name);

		if (kind == 'f' || kind == '?')
			found = true;
		else if (kind == 'd' && length <= STORE_NAME_MAX && depth < DEPTH_MAX)
			found = holds_object(lister, full, depth + 1);
	}
	if (!entry && errno != 0)
		found = true;
	closedir(dir);
	return found;
}

static enum outcome add_entry(const struct lister *lister, const char *name, bool folder)
{
	struct store_list *list = lister->list;
	struct stat st = {0};

	if (folder ? !holds_object(lister, name, 0) : fstatat(lister->root_fd, name, &st, 0) != 0) {
		if (folder || gone(errno))
			return LIST_ON;
		file_error(lister->err, "look at file", name);
		return LIST_FAILED;
	}
	if (list->count == store_list_limit(list)) {
		list->more = true;
		return LIST_FULL;
	}
	store_list_add(list, name, (uint64_t)st.st_size,
	               st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / 1000);
	return LIST_ON;
}

static enum outcome list_folder(const struct lister *lister, const char *path, int depth);

static enum outcome list_key(const struct lister *lister, const char *path, const char *key,
                             int depth)
{
	const struct store_list *list = lister->list;
	char full[STORE_NAME_MAX + 2];

	snprintf(full, sizeof(full), "%s%s", path, key);
	if (!str_ends(key, "/"))
		return add_entry(lister, full, false);
	if (!folder_listed(list, full))
		return depth < DEPTH_MAX ? list_folder(lister, full, depth + 1) : LIST_ON;
	if (list->after && strcmp(full, list->after) <= 0)
		return LIST_ON;
	return add_entry(lister, full, true);
}

static enum outcome list_folder(const struct lister *lister, const char *path, int depth)
{
	struct batch batch = {.max = store_list_limit(lister->list) + 1};
	enum outcome outcome = LIST_ON;
	char above[STORE_NAME_MAX + 2];

	do {
		batch.cut = false;
		if (work_cancelled(lister->work)) {
			err_set(lister->err, ERR_CANCELLED, "cancelled");
			outcome = LIST_FAILED;
		} else if (!batch_read(lister, path, &batch)) {
			outcome = LIST_FAILED;
		}
		for (size_t i = 0; outcome == LIST_ON && i < batch.keys.count; i++)
			outcome = list_key(lister, path, batch.keys.item[i], depth);
		if (outcome == LIST_ON && batch.cut) {
			snprintf(above, sizeof(above), "%s", batch.keys.item[batch.keys.count - 1]);
			batch.above = above;
		}
		strs_release(&batch.keys);
	} while (outcome == LIST_ON && batch.cut);
	return outcome;
}

bool file_list_page(int root_fd, struct store_list *list, struct work *work, struct err *err)
{
	struct lister lister = {.root_fd = root_fd, .list = list, .work = work, .err = err};
	const char *slash = strrchr(list->prefix, '/');
	AUTO_FREE
	char *folder = NULL; /* the part of the prefix that is whole components, with its '/' */

	if (!slash)
		return list_folder(&lister, "", 0) != LIST_FAILED;
	folder = xstrndup(list->prefix, (size_t)(slash - list->prefix));
	if (!store_name_valid(folder))
		return true; /* no name begins so */
	free(folder);
	folder = xstrndup(list->prefix, (size_t)(slash + 1 - list->prefix));
	return list_folder(&lister, folder, 0) != LIST_FAILED;
}
