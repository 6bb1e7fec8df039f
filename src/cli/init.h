/* init.h — the parts of `init` that `serve` uses at its first start. */
#ifndef CLI_INIT_H
#define CLI_INIT_H

#include "user.h"

/* Root gives the owner the folders of the configuration that the owner could not make. */
MUST_USE bool init_give_folders(struct cli *cli, const struct owner *owner, struct err *err);
/* Makes the repositories of the configuration. */
MUST_USE bool init_repositories(struct cli *cli, struct err *err);

#endif
