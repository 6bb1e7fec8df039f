/*
 * err.h — errors are values: a code from one table, sentences, and a hint.
 *
 * The place that fails writes the innermost reason; each caller adds what it was doing; the story
 * or the command at the top speaks once (log.h, cli). Sentences follow PostgreSQL's style guide:
 * lower case, no full stop, "could not …", names in double quotes with what kind of thing they are.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/mem.h"

/* A new code needs a caller that acts differently. The exit status is that of doc/cli (cli.md). */
#define ERR_CODES(X)                                                                               \
	/* code         name           exit retry  in the manual */                                \
	X(NONE, "none", 0, false, "no error")                                                      \
	X(NOTFOUND, "not-found", 1, false, "it is not there")                                      \
	X(FAILED, "failed", 1, false, "the answer is no")                                          \
	X(USAGE, "usage", 2, false, "the command line is wrong")                                   \
	X(CONFIG, "configuration", 3, false, "a setting is wrong or missing")                      \
	X(NETWORK, "network", 4, true, "a peer did not answer or broke off")                       \
	X(STORE, "store", 4, false, "the repository cannot be used")                               \
	X(EXISTS, "exists", 5, false, "it is there already, with other content")                   \
	X(REFUSED, "refused", 5, false, "refused for safety")                                      \
	X(POSTGRES, "postgres", 6, false, "PostgreSQL said no")                                    \
	X(DAMAGED, "damaged", 7, false, "damaged data was found")                                  \
	X(CANCELLED, "cancelled", 8, false, "cancelled on request")                                \
	X(TIMEOUT, "timeout", 8, true, "out of time")                                              \
	X(IO, "io", 4, false, "a local file or disk failed")                                       \
	X(FULL, "full", 4, false, "no space left")                                                 \
	X(INTERNAL, "internal", 4, false, "a fault of Seawall itself")

enum err_code {
#define X(code, name, exit, retry, help) ERR_##code,
	ERR_CODES(X)
#undef X
};

enum {
	ERR_TEXT_MAX = 1536, /* all sentences together; what does not fit ends in "..." */
	ERR_HINT_MAX = 512,
};

/* Zero-filled is "no error". text: sentences from the outermost to the innermost, one per line. */
struct err {
	enum err_code code;
	char text[ERR_TEXT_MAX];
	char hint[ERR_HINT_MAX];
};

/* All return false, so that `return err_set(err, …);` fails the caller. */
bool err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF(3, 4);
/* An error that another process gave as its text, sentences from the outermost on, one a line. */
bool err_set_text(struct err *err, enum err_code code, const char *text);
/* errno as it is now: ": <strerror>" is added; ENOSPC and EDQUOT are FULL, ENOENT NOTFOUND, else
 * IO. */
bool err_sys(struct err *err, const char *format, ...) PRINTF(2, 3);
/* Adds what the caller was doing in front; the code stays. */
bool err_wrap(struct err *err, const char *format, ...) PRINTF(2, 3);
/* As err_wrap, and the code becomes another. */
bool err_wrap_as(struct err *err, enum err_code code, const char *format, ...) PRINTF(3, 4);
/* A whole sentence that says what to do; the innermost hint stays, a later one is dropped. */
void err_hint(struct err *err, const char *format, ...) PRINTF(2, 3);
/* Removes the code and all text. */
void err_clear(struct err *err);
/* Moves the innermost and all other sentences onto one line, joined by ": "; the hint is left out.
 */
void err_line(const struct err *err, char *out, size_t out_bytes);
/* The up to three lines that a person sees: "what\nwhy\nhint: …", newline at the end of each. Why
 * is everything below the outermost sentence, joined by ": ". */
void err_lines(const struct err *err, char *out, size_t out_bytes);

static inline bool err_is(const struct err *err)
{
	return err->code != ERR_NONE;
}
const char *err_code_name(enum err_code code);
int err_code_exit(enum err_code code);
bool err_code_retry(enum err_code code);

#endif
