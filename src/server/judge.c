/* judge.c — directories are compared as the kernel knows them (device and inode), never as text. */
#include "server/judge.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "pg/control.h"

#include "base/poison.h"

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool path_climbs(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return true;
	return false;
}

/* The usual cause is a path that was typed, in a folder that is no data directory. */
static bool judge_no_wal(const struct judge *judge, const char *wal, struct err *err)
{
	if (errno != ENOENT)
		return err_sys(err, "could not look at folder \"%s\"", wal);
	err_set(err, ERR_NOTFOUND,
	        "file \"%s\" does not lie in the pg_wal of a data directory: there is no \"%s\"",
	        judge->file, wal);
	err_hint(err,
	         "Give the path that PostgreSQL calls %%p: pg_wal/NAME, in the data directory, "
	         "or the whole path.");
	return false;
}

static bool judge_path(struct judge *judge, struct err *err)
{
	AUTO_FREE char *folder = NULL;
	AUTO_FREE char *wal = path_join(judge->data, "pg_wal");
	struct stat folder_stat, wal_stat;

	judge->file = path_is_absolute(judge->path) ? xstrdup(judge->path)
	                                            : path_join(judge->data, judge->path);
	folder = path_folder(judge->file);
	if (!*path_name(judge->file) || path_climbs(judge->path) || path_climbs(judge->data))
		return err_set(err, ERR_REFUSED,
		               "path \"%s\" is not allowed: it has to name a file, without \"..\"",
		               judge->path);
	if (stat(wal, &wal_stat) != 0)
		return judge_no_wal(judge, wal, err);
	if (stat(folder, &folder_stat) != 0)
		return err_sys(err, "could not look at folder \"%s\"", folder);
	if (!S_ISDIR(wal_stat.st_mode) || !same_file(&folder_stat, &wal_stat))
		return err_set(err, ERR_REFUSED, "file \"%s\" does not lie in \"%s\"", judge->file,
		               wal);
	return true;
}

static int judge_by_identifier(const struct judge *judge)
{
	struct control mine, other;
	struct err err = {.code = ERR_NONE};
	int found = JUDGE_NOBODY;

	if (!control_read(judge->data, &mine, &err))
		return JUDGE_NOBODY;
	for (unsigned i = 0; i < judge->clusters; i++) {
		err_clear(&err);
		if (!judge->pgdata[i] || !control_read(judge->pgdata[i], &other, &err) ||
		    other.system_identifier != mine.system_identifier)
			continue;
		if (found != JUDGE_NOBODY)
			return JUDGE_NOBODY; /* two: the caller has to name one */
		found = (int)i;
	}
	return found;
}

bool judge_run(struct judge *judge, struct err *err)
{
	struct stat data, other;

	judge->cluster = JUDGE_NOBODY;
	if (!path_is_absolute(judge->data))
		return err_set(err, ERR_REFUSED, "data directory \"%s\" is no absolute path",
		               judge->data);
	if (stat(judge->data, &data) != 0)
		return err_sys(err, "could not look at data directory \"%s\"", judge->data);
	if (!judge_path(judge, err))
		return false;
	for (unsigned i = 0; i < judge->clusters; i++)
		if (judge->pgdata[i] && stat(judge->pgdata[i], &other) == 0 &&
		    same_file(&data, &other)) {
			judge->cluster = (int)i;
			return true;
		}
	if (judge->identifiers)
		judge->cluster = judge_by_identifier(judge);
	return true;
}
