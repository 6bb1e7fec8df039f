/* session_internal.h — what session.c, query.c and facts.c share. */
#ifndef PG_SESSION_INTERNAL_H
#define PG_SESSION_INTERNAL_H

#include "pg/session.h"

/* Wakes the operation that waits for the session's socket. */
void session_on_ready(struct fd_watch *watch, int events);
/* libpq's message on one clean line without its newline; out, or a text that says there is none. */
const char *session_message(const char *message, char out[ERR_TEXT_MAX]);

#endif
