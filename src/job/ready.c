/*
 * ready.c — looking at archive_status. A backlog may have a hundred thousand entries: names go into
 * an array of twice READY_MAX, which is sorted and cut in half whenever it is full, so memory is
 * fixed.
 */
#include "ready.h"

#include <dirent.h>
#include <errno.h>

#include "base/file.h"
#include "base/str.h"

#include "base/poison.h"

struct gathering {
	struct walname name[2 * READY_MAX];
	unsigned count;
};

int ready_compare(const struct walname *a, const struct walname *b)
{
	char a_text[WALNAME_BYTES], b_text[WALNAME_BYTES];

	if ((a->kind == WALNAME_HISTORY) != (b->kind == WALNAME_HISTORY))
		return a->kind == WALNAME_HISTORY ? -1 : 1;
	walname_format(a, a_text);
	walname_format(b, b_text);
	return strcmp(a_text, b_text);
}

static int compare(const void *a, const void *b)
{
	return ready_compare(a, b);
}

static void gathering_cut(struct gathering *gathering)
{
	qsort(gathering->name, gathering->count, sizeof(gathering->name[0]), compare);
	gathering->count = MIN(gathering->count, (unsigned)READY_MAX);
}

/* False: not a .ready entry of ours. */
static bool ready_name(const char *entry, struct walname *ret)
{
	char text[WALNAME_BYTES];
	size_t length = strlen(entry) - strlen(".ready");

	if (length >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)length, entry);
	return walname_parse(text, ret);
}

bool ready_count(const char *folder, uint64_t *ret_found, struct err *err)
{
	AUTO_FREE
	char *path = path_join(folder, "pg_wal/archive_status");
	struct walname name;
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return err_sys(err, "could not open folder \"%s\"", path);
	*ret_found = 0;
	while ((entry = readdir(dir)))
		*ret_found += str_ends(entry->d_name, ".ready") && ready_name(entry->d_name, &name);
	closedir(dir);
	return true;
}

bool ready_read(const char *folder, struct ready *ret, struct err *err)
{
	AUTO_FREE
	char *path = path_join(folder, "pg_wal/archive_status");
	AUTO_FREE
	struct gathering *gathering = xcalloc(1, sizeof(*gathering));
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return err_sys(err, "could not open folder \"%s\"", path);
	ret->found = ret->ignored = 0;
	errno = 0;
	while ((entry = readdir(dir))) {
		if (!str_ends(entry->d_name, ".ready"))
			continue;
		if (!ready_name(entry->d_name, &gathering->name[gathering->count])) {
			ret->ignored++;
			continue;
		}
		ret->found++;
		if (++gathering->count == ARRAY_LENGTH(gathering->name))
			gathering_cut(gathering);
		errno = 0;
	}
	if (errno) {
		err_sys(err, "could not read folder \"%s\"", path);
		closedir(dir);
		return false;
	}
	closedir(dir);
	gathering_cut(gathering);
	ret->count = gathering->count;
	memcpy(ret->name, gathering->name, ret->count * sizeof(ret->name[0]));
	return true;
}
