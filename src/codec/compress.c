/*
 * compress.c — one frame: lz4, zstd or as it is; and the text of the setting.
 *
 * zstd's contexts cost more to make than a frame costs to compress, so each thread keeps its own
 * until codec_thread_end(), and with them the room for a decrypted frame.
 */
#include "internal.h"

#include "base/str.h"

#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/poison.h"

enum { ZSTD_LEVEL_DEFAULT = 3, ZSTD_LEVEL_MAX = 19 };

static __thread ZSTD_CCtx *thread_compress;
static __thread ZSTD_DCtx *thread_expand;
static __thread uint8_t *thread_scratch;

void codec_thread_end(void)
{
	ZSTD_freeCCtx(STEAL(thread_compress));
	ZSTD_freeDCtx(STEAL(thread_expand));
	free(STEAL(thread_scratch));
}

uint8_t *codec_thread_scratch(void)
{
	if (!thread_scratch)
		thread_scratch = xmalloc(SEALED_FRAME_BYTES_MAX);
	return thread_scratch;
}

bool compression_parse(const char *text, struct compression *ret)
{
	static const char zstd[] = "zstd:";
	uint32_t level = ZSTD_LEVEL_DEFAULT;

	*ret = (struct compression){.kind = SEALED_NONE};
	if (strcmp(text, "none") == 0)
		return true;
	if (strcmp(text, "lz4") == 0) {
		ret->kind = SEALED_LZ4;
		return true;
	}
	if (strcmp(text, "zstd") != 0 &&
	    !(str_starts(text, zstd) && str_u32(text + strlen(zstd), &level)))
		return false;
	if (level < 1 || level > ZSTD_LEVEL_MAX)
		return false;
	*ret = (struct compression){.kind = SEALED_ZSTD, .level = (int)level};
	return true;
}

void compression_text(const struct compression *compression, char out[16])
{
	switch (compression->kind) {
	case SEALED_NONE:
		snprintf(out, 16, "none");
		break;
	case SEALED_LZ4:
		snprintf(out, 16, "lz4");
		break;
	case SEALED_ZSTD:
		snprintf(out, 16, "zstd:%d", compression->level);
		break;
	}
}

size_t frame_compress_bound(const struct compression *how, size_t length)
{
	switch (how->kind) {
	case SEALED_NONE:
		return 0;
	case SEALED_LZ4:
		return (size_t)LZ4_compressBound((int)length);
	case SEALED_ZSTD:
		return ZSTD_compressBound(length);
	}
	return 0;
}

/* 0 for a failure too (it cannot fail but for memory and room): the frame is then kept as it is. */
static size_t zstd_compress(int level, const void *in, size_t length, void *out, size_t room)
{
	size_t made;

	if (!thread_compress)
		thread_compress = ZSTD_createCCtx();
	if (!thread_compress)
		return 0;
	made = ZSTD_compressCCtx(thread_compress, out, room, in, length, level);
	return ZSTD_isError(made) ? 0 : made;
}

size_t frame_compress(const struct compression *how, const void *in, size_t length, void *out,
                      size_t room)
{
	size_t made = 0;

	assert(length > 0 && length <= SEALED_FRAME_BYTES_MAX);
	if (how->kind == SEALED_LZ4)
		made = (size_t)LZ4_compress_default(in, out, (int)length,
		                                    (int)MIN(room, (size_t)INT32_MAX));
	else if (how->kind == SEALED_ZSTD)
		made = zstd_compress(how->level, in, length, out, room);
	return made < length ? made : 0;
}

static bool zstd_expand(const void *in, size_t in_length, void *out, size_t length)
{
	if (!thread_expand)
		thread_expand = ZSTD_createDCtx();
	/* An error is a number far above any length. */
	return thread_expand &&
	       ZSTD_decompressDCtx(thread_expand, out, length, in, in_length) == length;
}

bool frame_expand(enum sealed_compression how, const void *in, size_t in_length, void *out,
                  size_t length)
{
	assert(in_length <= SEALED_FRAME_BYTES_MAX && length <= SEALED_FRAME_BYTES_MAX);
	switch (how) {
	case SEALED_NONE:
		return false;
	case SEALED_LZ4:
		return LZ4_decompress_safe(in, out, (int)in_length, (int)length) == (int)length;
	case SEALED_ZSTD:
		return zstd_expand(in, in_length, out, length);
	}
	return false;
}
