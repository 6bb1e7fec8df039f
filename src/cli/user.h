/* user.h — as whom a command runs: the owner of the data directory (cli.md, "As whom and where").
 */
#ifndef CLI_USER_H
#define CLI_USER_H

#include "command.h"

struct owner {
	uid_t uid;
	gid_t gid;
	char *name, *home; /* owned */
};

/* What the owner is taken from: the option --owner, a data directory of the command line or of the
 * configuration, the base folder, the only cluster in Debian's place. For root. */
MUST_USE bool owner_find(const struct cli *cli, struct owner *ret, struct err *err);
void owner_release(struct owner *owner);

/* Root makes the first missing folder of path for the owner, when the owner could not do it: what
 * lies below is made by the owner itself, so that root never acts in a folder of somebody else. */
MUST_USE bool owner_give_folder(const struct owner *owner, const char *path, struct err *err);

/* From now on this process is the owner's. */
MUST_USE bool owner_become(const struct owner *owner, struct err *err);

/* Not root: whether this user owns the data directories that the command is about. */
MUST_USE bool owner_check(const struct cli *cli, struct err *err);

/* The only data directory below /var/lib/postgresql/VERSION/NAME; NULL: none or several. Caller
 * frees. */
char *find_only_pgdata(void);

#endif
