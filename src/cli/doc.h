/* doc.h — the documents that are printed from the tables. */
#ifndef CLI_DOC_H
#define CLI_DOC_H

#include "command.h"

/* "seawall-wal-push" for "wal push"; caller frees. */
char *doc_page_name(const struct command *command);

/* Manual pages, as roff. */
void man_program(struct buf *out);
void man_hook(struct buf *out);
void man_command(const struct command *command, struct buf *out);

#endif
