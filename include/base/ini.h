/*
 * ini.h — the line reader of the configuration file, shared by the server, the command line and the
 * hook.
 *
 * "[section name]" and "key = value" lines, '#' and ';' comment lines, blank lines. Everything else
 * is refused with its line number: an indented line, a line without "=", a section without its
 * bracket, a NUL byte. Lines may be long. A value is what follows "=" without the blanks around it;
 * no quoting. What a section or a key means is the caller's (config/options.h).
 */
#ifndef BASE_INI_H
#define BASE_INI_H

#include "base/err.h"

struct ini_line {
	unsigned number;     /* from 1 */
	const char *section; /* "server", "cluster main": blanks between the words made one; never
	                        NULL */
	const char *key;     /* NULL on the section's own line */
	const char *value;
};

/* Calls each for every section and setting, in order; stops when it returns false (err is filled by
 * it). Errors name file and line: "file \"x\", line 3: …". ERR_NOTFOUND when the file does not
 * exist. */
typedef bool ini_each(void *context, const struct ini_line *line, struct err *err);
MUST_USE bool ini_read(const char *path, ini_each *each, void *context, struct err *err);

#endif
