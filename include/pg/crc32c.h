/* crc32c.h — CRC-32C (Castagnoli) as PostgreSQL uses it: start and end inverted. */
#ifndef PG_CRC32C_H
#define PG_CRC32C_H

#include "base/mem.h"

#define CRC32C_EMPTY 0u /* of no bytes */

/* The CRC of what gave crc followed by these bytes: crc32c(crc32c(CRC32C_EMPTY, a), b) is that of
 * a+b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);
/* Of a WAL record of `length` bytes, at least 24: its body, then its header but for the CRC itself.
 */
uint32_t crc32c_record(const void *record, size_t length);
/* That of a+b from that of a, that of b, and b's length. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);
/* The same by tables alone, for tests and machines without the instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t length);
/* All that this machine can run, for tests; crc32c() is the last of them. */
struct crc32c_way {
	const char *name;
	uint32_t (*crc)(uint32_t crc, const void *bytes, size_t length);
};
const struct crc32c_way *crc32c_ways(size_t *ret_count);

#endif
