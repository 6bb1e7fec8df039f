/*
 * branch.c — which branch a recovery follows. The settings reader knows just enough of
 * postgresql.conf: "name = value" lines, quotes, comments; the last one wins, and
 * postgresql.auto.conf wins over postgresql.conf.
 */
#include "branch.h"

#include "base/file.h"
#include "base/str.h"

#include "pg/control.h"
#include "repo/catalog.h"

#include "base/poison.h"

enum { SETTINGS_BYTES_MAX = 4 << 20 };

/* The value of "recovery_target_timeline = …" on this line; false: another line. */
static bool setting_of_line(char *line, char *ret, size_t ret_bytes)
{
	static const char name[] = "recovery_target_timeline";
	size_t length;

	line = str_trim(line);
	if (strncasecmp(line, name, sizeof(name) - 1) != 0)
		return false;
	line += sizeof(name) - 1;
	line += strspn(line, " \t");
	if (*line == '=')
		line++;
	line += strspn(line, " \t'");
	length = strcspn(line, " \t'#");
	if (length == 0 || length >= ret_bytes)
		return false;
	snprintf(ret, ret_bytes, "%.*s", (int)length, line);
	return true;
}

static void settings_scan(const char *folder, const char *file, char *ret, size_t ret_bytes)
{
	AUTO_FREE char *path = path_join(folder, file);
	AUTO_BUF struct buf text;
	struct err ignored = {0};
	char *rest, *line;

	buf_init(&text, SETTINGS_BYTES_MAX);
	if (!file_read_all(path, &text, &ignored)) /* Debian keeps postgresql.conf elsewhere */
		return;
	rest = text.data;
	while (rest && (line = strsep(&rest, "\n")))
		setting_of_line(line, ret, ret_bytes);
}

static bool file_exists(const char *folder, const char *name)
{
	AUTO_FREE char *path = path_join(folder, name);

	return access(path, F_OK) == 0;
}

bool branch_aim_read(const char *folder, struct branch_aim *ret, struct err *err)
{
	struct control control;
	char value[32] = "latest";
	uint64_t tli;

	*ret = (struct branch_aim){0};
	ret->known =
	        file_exists(folder, "recovery.signal") || file_exists(folder, "standby.signal");
	if (!ret->known)
		return true;
	if (!control_read(folder, &control, err))
		return false;
	ret->current_tli = control.checkpoint.tli;
	settings_scan(folder, "postgresql.conf", value, sizeof(value));
	settings_scan(folder, "postgresql.auto.conf", value, sizeof(value));
	if (strcasecmp(value, "latest") == 0) {
		ret->latest = true;
	} else if (strcasecmp(value, "current") == 0) {
		ret->tli = ret->current_tli;
	} else {
		bool hex = str_starts(value, "0x") || str_starts(value, "0X");
		char *end;

		tli = strtoull(hex ? value + 2 : value, &end, hex ? 16 : 10);
		if (*end || tli == 0 || tli > UINT32_MAX)
			return err_set(err, ERR_CONFIG,
			               "recovery_target_timeline = \"%s\" is no timeline", value);
		ret->tli = (uint32_t)tli;
	}
	return true;
}

bool branch_path(const struct branch_aim *aim, const struct catalog *catalog, struct history *ret)
{
	uint32_t tli = aim->tli;
	const struct catalog_timeline *timeline;

	if (aim->latest) /* PostgreSQL probes upwards, one by one, until a history is missing */
		for (tli = aim->current_tli;; tli++) {
			timeline = catalog_timeline(catalog, tli + 1);
			if (!timeline || !timeline->history_archived)
				break;
		}
	history_init(ret, tli);
	if (tli == 1)
		return true;
	timeline = catalog_timeline(catalog, tli);
	if (!timeline || !timeline->history_archived)
		return tli == aim->current_tli; /* it follows what it is on: no fork to judge */
	history_copy(ret, &timeline->history);
	return true;
}

bool branch_is_left(const struct history *path, uint32_t tli, uint64_t segno,
                    uint32_t segment_bytes, lsn *ret_switch_lsn)
{
	return history_switch(path, tli, ret_switch_lsn) &&
	       lsn_of_segno(segno + 1, segment_bytes) > *ret_switch_lsn;
}
