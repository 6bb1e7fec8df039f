/* walname_fuzz.c — names from archive_status, listings and callers: WAL files, relations,
 * positions. */
#include "fuzz/fuzz.h"
#include "pg/datadir.h"
#include "pg/segment.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char *text = xstrndup((const char *)data, length);
	char again[WALNAME_BYTES], position[LSN_TEXT_BYTES];
	struct relation_file file;
	struct walname name;
	lsn parsed, reparsed;

	if (walname_parse(text, &name)) {
		walname_format(&name, again);
		assert(strcmp(again, text) == 0);
		assert(walname_compare(&name, &name) == 0);
		for (uint32_t bytes = SEGMENT_BYTES_MIN; bytes <= SEGMENT_BYTES_MAX; bytes *= 2)
			if (walname_fits(&name, bytes))
				assert(lsn_segno(walname_start(&name, bytes), bytes) ==
				       walname_segno(&name, bytes));
	}
	if (lsn_parse(text, &parsed)) {
		lsn_text(parsed, position);
		assert(lsn_parse(position, &reparsed) && reparsed == parsed);
	}
	if (relation_file_parse(text, &file))
		assert(file.number && file.segment <= UINT32_MAX / RELATION_FILE_BLOCKS);
	relation_file_is_temporary(text);
	if (datadir_has_pages(text, &file))
		assert(datadir_judge(text, false, "PG_15_202209061") == DATADIR_COPY ||
		       strstr(text, "pg_tblspc"));
	datadir_judge(text, true, "PG_15_202209061");
	free(text);
	return 0;
}
