/*
 * buf.c — a growing byte string with a limit.
 *
 * The memory is one byte larger than what may be counted: the NUL. After an overflow nothing more
 * is added, so that what is there is always a true beginning and never has a hole.
 */
#include "base/buf.h"
#include "base/poison.h"

enum { SIZE_MIN = 64 };

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){.max = max};
}

void buf_clear(struct buf *buf)
{
	buf->length = 0;
	buf->overflow = false;
	if (buf->data)
		buf->data[0] = '\0';
}

void buf_release(struct buf *buf)
{
	free(buf->data);
	buf_init(buf, buf->max);
}

/* Room for length more and the NUL; the caller has compared with max. */
static void grow(struct buf *buf, size_t length)
{
	size_t need = buf->length + length + 1, size = MAX(buf->size, (size_t)SIZE_MIN);

	if (need <= buf->size)
		return;
	while (size < need)
		size = size > SIZE_MAX / 2 ? need : size * 2;
	if (buf->max < SIZE_MAX && size > buf->max + 1)
		size = buf->max + 1; /* never below need: the caller has compared */
	buf->data = xrealloc(buf->data, size);
	buf->size = size;
}

bool buf_add(struct buf *buf, const void *bytes, size_t length)
{
	size_t fits = MIN(length, buf->max - buf->length);

	if (buf->overflow)
		return false;
	grow(buf, fits);
	if (fits > 0)
		memcpy(buf->data + buf->length, bytes, fits);
	buf->length += fits;
	buf->data[buf->length] = '\0';
	buf->overflow = fits < length;
	return !buf->overflow;
}

bool buf_addstr(struct buf *buf, const char *text)
{
	return buf_add(buf, text, strlen(text));
}

bool buf_addc(struct buf *buf, char c)
{
	return buf_add(buf, &c, 1);
}

bool buf_addf(struct buf *buf, const char *format, ...)
{
	AUTO_FREE
	char *text = NULL;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return buf_addstr(buf, text);
}

void *buf_reserve(struct buf *buf, size_t length)
{
	if (buf->overflow || length > buf->max - buf->length) {
		buf->overflow = true;
		return NULL;
	}
	grow(buf, length);
	/* Zero-filled: however much of it the caller counts, a NUL follows. */
	memset(buf->data + buf->length, 0, length + 1);
	return buf->data + buf->length;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

char *buf_steal(struct buf *buf)
{
	char *text = buf->data ? STEAL(buf->data) : xstrdup("");

	buf->length = 0;
	buf->size = 0;
	return text;
}
