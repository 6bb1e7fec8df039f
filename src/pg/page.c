/*
 * page.c — the checksum of data pages (src/include/storage/checksum_impl.h): 32 lanes of a hash
 * like FNV-1a, each over every 32nd word, folded by XOR.
 *
 * The lanes are independent, so the loop runs in vector registers; it is compiled twice, and the
 * better one for this machine is picked when the program starts.
 */
#include "pg/page.h"

#include "base/bytes.h"

#include <string.h>

#include "base/poison.h"

enum {
	LANES = 32,
	ROWS = PAGE_BYTES / 4 / LANES,
	CHECKSUM_OFFSET = 8,
	CHECKSUM_WORD = 2, /* its word: the checksum is the low half */
	UPPER_OFFSET = 14,
};
#define FNV_PRIME 16777619u

static const uint32_t lane_start[LANES] = {
        0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2,
        0x83E13D2C, 0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C,
        0xF718902A, 0x0B1C9CDB, 0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979,
        0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E,
        0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};

typedef uint32_t lanes8 __attribute__((vector_size(32), aligned(4), may_alias));
enum { GROUPS = LANES / 8 };

/* Written once, compiled for each instruction set below: always_inline takes over the caller's
 * target. */
static inline __attribute__((always_inline)) uint32_t lanes_fold(const uint8_t *page)
{
	lanes8 sum[GROUPS], value[GROUPS];
	uint32_t word[LANES], result = 0;

	memcpy(sum, lane_start, sizeof(sum));
	for (int row = 0; row < ROWS + 2; row++) {
		/* Two rows of zeros at the end let the last real row reach all bits. */
		if (row < ROWS)
			memcpy(value, page + (size_t)row * sizeof(value), sizeof(value));
		else
			memset(value, 0, sizeof(value));
		if (row == 0)
			value[0][CHECKSUM_WORD] &= 0xFFFF0000u;
		for (int g = 0; g < GROUPS; g++) {
			lanes8 mixed = sum[g] ^ value[g];

			sum[g] = (mixed * FNV_PRIME) ^ (mixed >> 17);
		}
	}
	memcpy(word, sum, sizeof(word));
	for (int i = 0; i < LANES; i++)
		result ^= word[i];
	return result;
}

static uint32_t lanes_fold_plain(const uint8_t *page)
{
	return lanes_fold(page);
}

static uint32_t (*implementation)(const uint8_t *page) = lanes_fold_plain;

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint32_t lanes_fold_avx2(const uint8_t *page)
{
	return lanes_fold(page);
}

__attribute__((constructor)) static void page_prepare(void)
{
	if (__builtin_cpu_supports("avx2"))
		implementation = lanes_fold_avx2;
}
#endif

uint16_t page_checksum(const void *page, uint32_t block)
{
	return (uint16_t)((implementation(page) ^ block) % 65535 + 1);
}

lsn page_lsn(const void *page)
{
	return (lsn)get_u32(page) << 32 | get_u32((const char *)page + 4);
}

bool page_is_zero(const void *page)
{
	/* The page is compared with itself, one byte on: all bytes are equal to the first. */
	return *(const uint8_t *)page == 0 &&
	       memcmp(page, (const uint8_t *)page + 1, PAGE_BYTES - 1) == 0;
}

enum page_verdict page_judge(const void *page, uint32_t block, lsn start)
{
	if (get_u16((const char *)page + UPPER_OFFSET) == 0)
		return page_is_zero(page) ? PAGE_NEW : PAGE_ODD;
	if (page_lsn(page) >= start)
		return PAGE_SKIPPED;
	if (get_u16((const char *)page + CHECKSUM_OFFSET) == page_checksum(page, block))
		return PAGE_OK;
	return PAGE_BAD;
}
