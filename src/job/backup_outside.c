/*
 * backup_outside.c — the configuration files that lie outside of the data directory: the three that
 * the server names (Debian keeps them in /etc/postgresql), and all that they include.
 */
#include "backup_outside.h"
#include "base/file.h"
#include "base/log.h"
#include "pg/conffile.h"
#include <string.h>
#include "base/poison.h"

static bool is_inside(const char *pgdata, const char *path)
{
	size_t length = strlen(pgdata);

	return strncmp(path, pgdata, length) == 0 && path[length] == '/';
}

void backup_outside(const char *pgdata, const struct facts *facts, struct strs *out)
{
	const struct {
		const char *path, *name;
		enum conffile_kind kind;
	} file[] = {
	        {facts->config_file, "postgresql.conf", CONFFILE_SETTINGS},
	        {facts->hba_file, "pg_hba.conf", CONFFILE_RULES},
	        {facts->ident_file, "pg_ident.conf", CONFFILE_RULES},
	};
	struct strs all = {0}, missing = {0};

	for (size_t i = 0; i < ARRAY_LENGTH(file); i++) {
		AUTO_FREE char *path =
		        conffile_resolve(pgdata, file[i].path[0] ? file[i].path : file[i].name);

		conffile_collect(path, file[i].kind, &all, &missing);
	}
	for (size_t i = 0; i < all.count; i++)
		if (!is_inside(pgdata, all.item[i]))
			strs_add(out, all.item[i]);
	for (size_t i = 0; i < missing.count; i++)
		log_warning("configuration file \"%s\" cannot be read, it is not in the backup",
		            missing.item[i]);
	strs_release(&all);
	strs_release(&missing);
}
