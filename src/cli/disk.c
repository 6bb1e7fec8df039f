/*
 * disk.c — a repository on the disk of the data directory is lost with it.
 */
#include <sys/stat.h>
#include "disk.h"
#include "base/poison.h"

bool disk_is_shared(const char *pgdata, const struct config_repository *repository)
{
	const char *folder = config_url_folder(repository->url);
	struct stat a, b;

	return pgdata && folder && stat(pgdata, &a) == 0 && stat(folder, &b) == 0 &&
	       a.st_dev == b.st_dev;
}
