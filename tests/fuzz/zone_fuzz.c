/* zone_fuzz.c — the reader of time zone files, and of times as people write them. */
#include "fuzz/fuzz.h"
#include "base/zone.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct err err = {0};
	struct zone *zone = NULL;
	char text[256];
	int64_t us;

	if (zone_decode(data, length, &zone, &err))
		for (int64_t s = -5000000000; s < 5000000000; s += 77777777) {
			int32_t offset = zone_offset(zone, s);

			assert(offset > -27 * 3600 && offset < 27 * 3600);
		}
	zone_free(zone);
	if (length < sizeof(text)) {
		memcpy(text, data, length);
		text[length] = 0;
		err_clear(&err);
		if (!zone_parse_time(text, "Europe/Berlin", 1795183320000000, &us, &err))
			assert(err_is(&err));
	}
	return 0;
}
