/* disk.h — what may be lost together. */
#ifndef CLI_DISK_H
#define CLI_DISK_H

#include "config/config.h"

/* Whether data directory and repository lie on one file system. pgdata may be NULL. */
bool disk_is_shared(const char *pgdata, const struct config_repository *repository);

#endif
