/* str.h — what libc lacks for text: exact number parsing, hex, prefixes, copies that say when they
 * do not fit. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/mem.h"

bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
/* Copies with the NUL; false (and an empty string) when it does not fit. */
MUST_USE bool str_copy(char *out, size_t out_bytes, const char *text);
/* The whole text must be the number; digits only (no sign, no blank), no overflow. */
bool str_u64(const char *text, uint64_t *ret);
bool str_u32(const char *text, uint32_t *ret);
/* Exactly `digits` hex digits at text (upper case only when strict), nothing is asked of what
 * follows. */
bool str_hex(const char *text, unsigned digits, bool upper_only, uint64_t *ret);
/* bytes as 2*length lower-case hex digits and a NUL. */
void str_hex_of(const void *bytes, size_t length, char *out);
/* The other way round: exactly length bytes from a text of 2*length digits and no more. */
bool str_hex_to(const char *text, void *bytes, size_t length);
/* Whether text is valid UTF-8 without control characters (what may stand in JSON and on a
 * terminal). */
bool str_is_text(const char *text, size_t length);
/* In place and of the same length: a control character becomes a blank, a byte that is no UTF-8 a
 * '?'. */
void str_clean(char *text);
/* What snprintf() cut (needed >= out_bytes) ends in "..." at a whole character; else nothing
 * happens. */
void str_cut(char *out, size_t out_bytes, size_t needed);
/* Removes blanks at both ends, in place; returns the start. */
char *str_trim(char *text);
/* text quoted for /bin/sh, single quotes; caller frees. */
char *str_shell(const char *text);

/* A growing list of strings, owned. */
struct strs {
	char **item;
	size_t count, size;
};
void strs_add(struct strs *strs, const char *text);
void strs_sort(struct strs *strs);
bool strs_has(const struct strs *strs, const char *text);
void strs_release(struct strs *strs);

#endif
