/* setup.h — what a person has to put into postgresql.conf. */
#ifndef CLI_SETUP_H
#define CLI_SETUP_H

#include "config/config.h"

/* The command for archive_command, as it stands between the quotes of postgresql.conf: the absolute
 * path of seawall-wal beside this program, --config when PostgreSQL would not find the file by
 * itself. NULL with err. Caller frees. */
char *setup_archive_command(const struct config *config, struct err *err);

/* Whether the program of that command is there and may be run. */
bool setup_hook_is_there(void);

#endif
