/*
 * crc32c.c — CRC-32C by the processor's instructions, or by tables.
 *
 * Up to 256 bytes: one chain of the CRC instruction. Its latency is three cycles, and it starts one
 * each cycle, so longer input goes by four independent folds (V. Gopal and others, "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009): 16 bytes X that
 * stand D bits before others count there as X * x^D modulo the polynomial. They are two 64-bit
 * halves H * x^64 + L, so they become two carry-less products with constants of 32 bits. With the
 * bits reflected (bit 0 is the highest power) a product comes out one power too low, and a constant
 * of 32 bits in a register of 64 stands 32 powers too high: the constants are x^(D+64-33) for H and
 * x^(D-33) for L. They are made by power_of_bits() from this, not copied. What is left, 16 bytes,
 * goes through the CRC instruction. This reads straight on, and asks for memory ahead: from memory
 * that is a quarter faster than what comes next.
 *
 * Processors that multiply slowly (before AVX2: 8 cycles) run three streams of the CRC instruction
 * side by side, joined by advancing a CRC over the length of what follows. Advancing is a
 * multiplication by x^(8 n) modulo the polynomial; for the fixed stream lengths it is four table
 * look-ups, for any length (crc32c_combine) about sixty carry-less steps. The tables (20 KB) are
 * made once, before main, so that no thread ever sees them half made.
 */
#include "pg/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

#include "base/poison.h"

enum {
	SLICES = 8,
	LONG_BYTES = 1024, /* of each of three streams */
	SHORT_BYTES = 128,
	FOLD_MIN_BYTES =
	        256,        /* fewer are done as soon by one chain, beside those of other records */
	FOLD_BYTES = 64,    /* of the four folds together */
	AHEAD_BYTES = 2048, /* the processor's own look ahead ends at each 4 KB */
};
enum { RECORD_HEADER_BYTES = 24, RECORD_CRC_OFFSET = 20 };
#define POLYNOMIAL 0x82F63B78u /* reflected */

static uint32_t slice[SLICES][256];

/* a * b modulo the polynomial; bit 31 is x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
	}
	return product;
}

/* square^n modulo the polynomial. */
static uint32_t power_of(uint32_t square, uint64_t n)
{
	uint32_t power = UINT32_C(1) << 31; /* x^0 */

	for (; n; n >>= 1) {
		if (n & 1)
			power = multiply(power, square);
		square = multiply(square, square);
	}
	return power;
}

static uint32_t power_of_bytes(uint64_t bytes)
{
	return power_of(UINT32_C(1) << 23 /* x^8 */, bytes);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
	/* The inversions at start and end cancel: what remains is linear. */
	return multiply(crc_a, power_of_bytes(length_b)) ^ crc_b;
}

static uint64_t load_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t length)
{
	const uint8_t *p = bytes;

	crc = ~crc;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (; length >= 8; length -= 8, p += 8) {
		uint32_t low = crc ^ load_u32(p), high = load_u32(p + 4);

		crc = slice[7][low & 255] ^ slice[6][low >> 8 & 255] ^ slice[5][low >> 16 & 255] ^
		      slice[4][low >> 24] ^ slice[3][high & 255] ^ slice[2][high >> 8 & 255] ^
		      slice[1][high >> 16 & 255] ^ slice[0][high >> 24];
	}
#endif
	for (; length; length--, p++)
		crc = crc >> 8 ^ slice[0][(crc ^ *p) & 255];
	return ~crc;
}

#if defined(__x86_64__)

/* crc in and out as it is between start and end. */
__attribute__((target("sse4.2"))) static inline uint32_t chain(uint64_t crc, const uint8_t *p,
                                                               size_t length)
{
	for (; length >= 8; length -= 8, p += 8)
		crc = _mm_crc32_u64(crc, load_u64(p));
	if (length & 4) {
		crc = _mm_crc32_u32((uint32_t)crc, load_u32(p));
		p += 4;
	}
	for (length &= 3; length; length--, p++)
		crc = _mm_crc32_u8((uint32_t)crc, *p);
	return (uint32_t)crc;
}

static uint32_t over_long[4][256], over_short[4][256];

static uint64_t advance(uint32_t table[4][256], uint64_t crc)
{
	return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^
	       table[3][crc >> 24 & 255];
}

/* Three streams of `stream` bytes each, as often as they fit; all state in and out by value. */
__attribute__((target("sse4.2"))) static uint64_t three_streams(uint64_t crc, const uint8_t *p,
                                                                size_t stream,
                                                                uint32_t table[4][256])
{
	uint64_t b = 0, c = 0;

	for (size_t i = 0; i < stream; i += 8) {
		crc = _mm_crc32_u64(crc, load_u64(p + i));
		b = _mm_crc32_u64(b, load_u64(p + stream + i));
		c = _mm_crc32_u64(c, load_u64(p + 2 * stream + i));
	}
	return advance(table, advance(table, crc) ^ b) ^ c;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t start, const void *bytes,
                                                               size_t length)
{
	const uint8_t *p = bytes;
	uint64_t crc = (uint32_t)~start;

	for (; length >= 3 * LONG_BYTES; length -= 3 * LONG_BYTES, p += 3 * LONG_BYTES)
		crc = three_streams(crc, p, LONG_BYTES, over_long);
	for (; length >= 3 * SHORT_BYTES; length -= 3 * SHORT_BYTES, p += 3 * SHORT_BYTES)
		crc = three_streams(crc, p, SHORT_BYTES, over_short);
	return ~chain(crc, p, length);
}

static uint32_t power_of_bits(uint64_t bits)
{
	return power_of(UINT32_C(1) << 30 /* x^1 */, bits);
}

static __m128i fold_by_1, fold_by_4; /* 16 and 64 bytes further on */

static __m128i fold_constants(uint64_t bits)
{
	return _mm_set_epi64x(power_of_bits(bits - 33), power_of_bits(bits + 64 - 33));
}

static __m128i load_16(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

__attribute__((target("sse4.2,pclmul"))) static inline __m128i fold(__m128i x, __m128i by,
                                                                    __m128i onto)
{
	return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), onto),
	                     _mm_clmulepi64_si128(x, by, 0x11));
}

/* At least FOLD_BYTES; crc in and out as in chain(). *ret_done: how many of them, all but the last
 * few. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t folds(uint64_t crc, const uint8_t *p,
                                                               size_t length, size_t *ret_done)
{
	__m128i a = _mm_xor_si128(load_16(p), _mm_cvtsi32_si128((int)crc));
	__m128i b = load_16(p + 16), c = load_16(p + 32), d = load_16(p + 48);
	__m128i by = fold_by_4;
	size_t at = FOLD_BYTES;

	for (; at + FOLD_BYTES <= length; at += FOLD_BYTES) {
		_mm_prefetch((const char *)p + at + AHEAD_BYTES, _MM_HINT_T0);
		a = fold(a, by, load_16(p + at));
		b = fold(b, by, load_16(p + at + 16));
		c = fold(c, by, load_16(p + at + 32));
		d = fold(d, by, load_16(p + at + 48));
	}
	by = fold_by_1;
	a = fold(fold(fold(a, by, b), by, c), by, d);
	*ret_done = at;
	crc = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(a));
	return _mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(a, 1));
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_fold(uint32_t start, const void *bytes,
                                                              size_t length)
{
	const uint8_t *p = bytes;
	uint64_t crc = (uint32_t)~start;
	size_t done = 0;

	if (length >= FOLD_MIN_BYTES)
		crc = folds(crc, p, length, &done);
	return ~chain(crc, p + done, length - done);
}

static void tables_advance(uint32_t table[4][256], uint64_t bytes)
{
	uint32_t power = power_of_bytes(bytes);

	for (unsigned byte = 0; byte < 4; byte++)
		for (uint32_t v = 0; v < 256; v++)
			table[byte][v] = multiply(v << 8 * byte, power);
}

/* Most records are short: one call, one chain. */
__attribute__((target("sse4.2"))) static uint32_t record_sse42(const void *record, size_t length)
{
	const uint8_t *header = record, *p = header + RECORD_HEADER_BYTES;
	uint64_t crc;

	length -= RECORD_HEADER_BYTES;
	if (length >= FOLD_MIN_BYTES)
		crc = (uint32_t)~crc32c(CRC32C_EMPTY, p, length);
	else
		crc = chain(UINT32_MAX, p, length);
	crc = _mm_crc32_u64(crc, load_u64(header));
	crc = _mm_crc32_u64(crc, load_u64(header + 8));
	return ~_mm_crc32_u32((uint32_t)crc, load_u32(header + 16));
}

#elif defined(__aarch64__)

/* The instruction is in every 64-bit ARM server core, but optional in the first architecture
 * version. */
enum { AUXV_CRC32 = 1 << 7 }; /* HWCAP_CRC32 */

__attribute__((target("+crc"))) static uint32_t crc32c_arm(uint32_t start, const void *bytes,
                                                           size_t length)
{
	const uint8_t *p = bytes;
	uint32_t crc = ~start;

	for (; length >= 8; length -= 8, p += 8)
		crc = __crc32cd(crc, load_u64(p));
	for (; length; length--, p++)
		crc = __crc32cb(crc, *p);
	return ~crc;
}

#endif

static struct crc32c_way way[] = {
        {"tables", crc32c_portable},
#if defined(__x86_64__)
        {"three streams of SSE 4.2", crc32c_sse42},
        {"folds of PCLMULQDQ", crc32c_fold},
#elif defined(__aarch64__)
        {"ARMv8 CRC", crc32c_arm},
#endif
};
static size_t ways = 1; /* that this machine has; the last one is the fastest */

static uint32_t record_by_parts(const void *record, size_t length)
{
	const uint8_t *header = record;

	return crc32c(
	        crc32c(CRC32C_EMPTY, header + RECORD_HEADER_BYTES, length - RECORD_HEADER_BYTES),
	        header, RECORD_CRC_OFFSET);
}

static uint32_t (*implementation)(uint32_t, const void *, size_t) = crc32c_portable;
static uint32_t (*record_implementation)(const void *, size_t) = record_by_parts;

static void slices_prepare(void)
{
	for (uint32_t v = 0; v < 256; v++) {
		uint32_t crc = v;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		slice[0][v] = crc;
	}
	for (unsigned i = 1; i < SLICES; i++)
		for (uint32_t v = 0; v < 256; v++)
			slice[i][v] = slice[i - 1][v] >> 8 ^ slice[0][slice[i - 1][v] & 255];
}

__attribute__((constructor)) static void crc32c_prepare(void)
{
	slices_prepare();
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2")) {
		tables_advance(over_long, LONG_BYTES);
		tables_advance(over_short, SHORT_BYTES);
		record_implementation = record_sse42;
		ways = 2;
	}
	if (ways == 2 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("avx2")) {
		fold_by_1 = fold_constants(8 * FOLD_BYTES / 4);
		fold_by_4 = fold_constants(8 * FOLD_BYTES);
		ways = 3;
	}
#elif defined(__aarch64__)
	if (getauxval(AT_HWCAP) & AUXV_CRC32)
		ways = 2;
#endif
	implementation = way[ways - 1].crc;
}

const struct crc32c_way *crc32c_ways(size_t *ret_count)
{
	*ret_count = ways;
	return way;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length)
{
	return implementation(crc, bytes, length);
}

uint32_t crc32c_record(const void *record, size_t length)
{
	return record_implementation(record, length);
}
