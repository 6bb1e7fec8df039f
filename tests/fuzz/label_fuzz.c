/* label_fuzz.c — backup_label, backup history files and tablespace_map. */
#include "fuzz/fuzz.h"
#include "pg/label.h"
#include <assert.h>
#include <string.h>

static void label_check(const uint8_t *data, size_t length)
{
	struct label label, again;
	struct err err = {0};
	struct buf text;

	if (!label_parse(data, length, &label, &err)) {
		assert(err.code == ERR_DAMAGED);
		return;
	}
	assert(label.start_tli != 0);
	buf_init(&text, LABEL_BYTES_MAX);
	label_write(&label, &text);
	if (!text.overflow) {
		assert(label_parse(buf_text(&text), text.length, &again, &err));
		assert(again.start_lsn == label.start_lsn && again.start_tli == label.start_tli);
		assert(strcmp(again.text, label.text) == 0);
	}
	buf_release(&text);
}

static void map_check(const uint8_t *data, size_t length)
{
	struct tablespace_map map, again;
	struct err err = {0};
	struct buf text;

	if (!tablespace_map_parse(data, length, &map, &err)) {
		assert(err.code == ERR_DAMAGED && map.count == 0);
		return;
	}
	buf_init(&text, 2 * TABLESPACE_MAP_BYTES_MAX);
	tablespace_map_write(&map, &text);
	if (text.length <= TABLESPACE_MAP_BYTES_MAX) {
		assert(tablespace_map_parse(buf_text(&text), text.length, &again, &err));
		assert(again.count == map.count);
		for (size_t i = 0; i < map.count; i++)
			assert(strcmp(again.item[i].path, map.item[i].path) == 0);
		tablespace_map_release(&again);
	}
	buf_release(&text);
	tablespace_map_release(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	label_check(data, length);
	map_check(data, length);
	return 0;
}
