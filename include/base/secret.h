/*
 * secret.h — memory for keys: whole pages that are never swapped out, are in no core dump and no
 * child process, and are wiped before they go back.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/err.h"

/* Zero-filled; NULL with err when the system does not let us lock that much. */
void *secret_new(size_t bytes, struct err *err);
/* bytes: as in secret_new. NULL is fine. */
void secret_free(void *memory, size_t bytes);
/* For what lay in other memory for a moment. */
void secret_wipe(void *bytes, size_t length);

#endif
