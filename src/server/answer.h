/* answer.h — what the hooks' requests have in common: their parameters and their answer. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "job/archiver.h"
#include "server/listener.h"

enum { ANSWER_WAIT_S_DEFAULT = 5, ANSWER_WAIT_S_MAX = 60 };

/* The header Seawall-Result (none for ANSWER_UNKNOWN), a status, and the lines of why (may be
 * NULL).
 */
void answer_reply(struct exchange *exchange, enum answer answer, const struct err *why);
/* ?wait=, in ms; false when it is no number or too big. */
bool answer_wait(const struct exchange *exchange, int64_t *ret_ms);
/* A parameter as a string of its own, or NULL; the caller frees it. */
char *answer_query(const struct exchange *exchange, const char *name);

#endif
