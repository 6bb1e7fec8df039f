/* control_fuzz.c — pg_control: any bytes, as they are and with the right checksum. */
#include "base/bytes.h"
#include "fuzz/fuzz.h"
#include "pg/control.h"
#include "pg/crc32c.h"
#include "pg/segment.h"
#include "pg/version.h"
#include <assert.h>

static void bytes_decode(const uint8_t *bytes, size_t length)
{
	struct control control;
	struct err err = {0};

	if (!control_decode(bytes, length, &control, &err)) {
		assert(err.code == ERR_DAMAGED || err.code == ERR_REFUSED);
		return;
	}
	assert(pg_version_of_major(control.major));
	assert(segment_bytes_valid(control.segment_bytes));
	assert(control_state_name(control.state));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	uint8_t bytes[CONTROL_USED_BYTES] = {0};
	unsigned crc_at;

	bytes_decode(data, length);
	if (length > sizeof(bytes))
		length = sizeof(bytes);
	memcpy(bytes, data, length);
	crc_at = get_u32(bytes + 8) >= 1800 ? 292 : 288;
	put_u32(bytes + crc_at, crc32c(CRC32C_EMPTY, bytes, crc_at));
	bytes_decode(bytes, sizeof(bytes));
	return 0;
}
