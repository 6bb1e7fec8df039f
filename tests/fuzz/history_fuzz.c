/* history_fuzz.c — timeline history files: what is read is written and read again alike. */
#include "fuzz/fuzz.h"
#include "pg/timeline.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct history history, again;
	struct err err = {0};
	struct buf text;
	lsn begin, end;

	if (!history_parse(UINT32_MAX, data, length, &history, &err)) {
		assert(err.code == ERR_DAMAGED && history.count == 0 && !history.entry);
		return 0;
	}
	buf_init(&text, 3 * HISTORY_BYTES_MAX);
	history_write(&history, &text);
	assert(!text.overflow);
	if (text.length <= HISTORY_BYTES_MAX) {
		assert(history_parse(UINT32_MAX, buf_text(&text), text.length, &again, &err));
		assert(again.count == history.count);
		for (size_t i = 0; i < again.count; i++) {
			assert(again.entry[i].switch_lsn == history.entry[i].switch_lsn);
			assert(strcmp(again.entry[i].reason, history.entry[i].reason) == 0);
		}
		history_release(&again);
	}
	/* The two ways to ask agree. */
	for (size_t i = 0; i < history.count; i++)
		if (history_span(&history, history.entry[i].tli, &begin, &end)) {
			assert(history_tli_at(&history, begin) == history.entry[i].tli);
			assert(history_tli_at(&history, end - 1) == history.entry[i].tli);
			assert(history_tli_at(&history, end) != history.entry[i].tli);
		}
	buf_release(&text);
	history_release(&history);
	return 0;
}
