/*
 * bytes.h — integers of fixed width and little-endian order, and a reader that never runs past its
 * end.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/mem.h"
#include <string.h>

static inline void put_u8(void *p, uint8_t v)
{
	memcpy(p, &v, 1);
}
static inline void put_u16(void *p, uint16_t v)
{
	uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

	memcpy(p, b, sizeof(b));
}
static inline void put_u32(void *p, uint32_t v)
{
	put_u16(p, (uint16_t)v);
	put_u16((char *)p + 2, (uint16_t)(v >> 16));
}
static inline void put_u64(void *p, uint64_t v)
{
	put_u32(p, (uint32_t)v);
	put_u32((char *)p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get_u16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t get_u32(const void *p)
{
	return get_u16(p) | (uint32_t)get_u16((const char *)p + 2) << 16;
}
static inline uint64_t get_u64(const void *p)
{
	return get_u32(p) | (uint64_t)get_u32((const char *)p + 4) << 32;
}

/* Reads from a piece of memory; after the first read past the end `bad` stays true and zeros come.
 */
struct cursor {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static inline struct cursor cursor_of(const void *bytes, size_t length)
{
	return (struct cursor){.at = bytes, .left = length};
}
/* The next length bytes, or NULL (and bad). */
static inline const void *cursor_take(struct cursor *c, size_t length)
{
	const void *p = c->at;

	if (c->bad || length > c->left) {
		c->bad = true;
		return NULL;
	}
	c->at += length;
	c->left -= length;
	return p;
}
static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);

	return p ? *p : 0;
}
static inline uint16_t cursor_u16(struct cursor *c)
{
	const void *p = cursor_take(c, 2);

	return p ? get_u16(p) : 0;
}
static inline uint32_t cursor_u32(struct cursor *c)
{
	const void *p = cursor_take(c, 4);

	return p ? get_u32(p) : 0;
}
static inline uint64_t cursor_u64(struct cursor *c)
{
	const void *p = cursor_take(c, 8);

	return p ? get_u64(p) : 0;
}

#endif
