/*
 * restore_disks.c — one syncfs(2) is one file system, and a data directory may be several: pg_wal
 * or the folder of a database may be a mount point, and pg_wal a link that stays where it leads.
 *
 * Each folder is compared with the one above it, so what is noted is the top of each file system
 * however often one is mounted: where there is no syncfs, the files below each of them are synced.
 */
#include "restore_disks.h"
#include "base/durable.h"
#include "base/file.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/poison.h"

bool restore_disks_see(struct restore_disks *disks, int folder, const char *path, struct err *err)
{
	AUTO_FREE char *above = path_folder(path);
	struct stat own, link, up;

	if (fstatat(folder, path, &link, AT_SYMLINK_NOFOLLOW) != 0 ||
	    fstatat(folder, path, &own, 0) != 0 || fstatat(folder, above, &up, 0) != 0)
		return err_sys(err, "could not look at folder \"%s\"", path);
	if (own.st_dev != up.st_dev || S_ISLNK(link.st_mode))
		strs_add(&disks->path, path);
	return true;
}

bool restore_disks_sync(const struct restore_disks *disks, const char *pgdata, struct err *err)
{
	if (!durable_sync_filesystem(pgdata, err))
		return false;
	for (size_t i = 0; i < disks->path.count; i++) {
		AUTO_FREE char *whole = path_join(pgdata, disks->path.item[i]);

		if (!durable_sync_filesystem(whole, err))
			return false;
	}
	return true;
}

void restore_disks_release(struct restore_disks *disks)
{
	strs_release(&disks->path);
}
