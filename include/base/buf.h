/*
 * buf.h — a growing byte string with a limit that must be named.
 *
 * What would go beyond the limit is dropped and `overflow` is set for good; a caller that cares
 * looks once, at the end. The bytes are always followed by a NUL, so that text can be printed.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/mem.h"

struct buf {
	char *data; /* NULL until something is added; owned */
	size_t length, size, max;
	bool overflow;
};

void buf_init(struct buf *buf, size_t max);
void buf_clear(struct buf *buf);
void buf_release(struct buf *buf);
bool buf_add(struct buf *buf, const void *bytes, size_t length);
bool buf_addstr(struct buf *buf, const char *text);
bool buf_addc(struct buf *buf, char c);
bool buf_addf(struct buf *buf, const char *format, ...) PRINTF(2, 3);
/* Room for length more bytes, not yet counted; NULL beyond the limit. Then buf->length += used. */
void *buf_reserve(struct buf *buf, size_t length);
/* The text, never NULL; still the buffer's. */
const char *buf_text(const struct buf *buf);
/* The text as a string of its own (the caller frees it); the buffer is empty afterwards. */
char *buf_steal(struct buf *buf);

#define AUTO_BUF __attribute__((cleanup(buf_release)))

#endif
