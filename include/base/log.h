/*
 * log.h — one line for each thing that happened, to standard error, as text or JSON.
 *
 * Only the top of a story speaks (job, server, cli, hook); base to repo stay silent above debug.
 * One writer, one write(2) for each line, so lines of several threads do not mix; the settings are
 * set before threads start and changed only by the loop thread (atomics).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level level, enum log_format format);
bool log_on(enum log_level level);
void log_line(enum log_level level, const char *format, ...) PRINTF(2, 3);
/* An error on one line, with its hint; prefix what happens next in `then` (", will retry"), or
 * NULL. */
void log_err(enum log_level level, const struct err *err, const char *then);
bool log_level_parse(const char *text, enum log_level *ret);

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_on(LOG_DEBUG))                                                             \
			log_line(LOG_DEBUG, __VA_ARGS__);                                          \
	} while (0)

#endif
