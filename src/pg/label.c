/*
 * label.c — backup_label, backup history files and tablespace_map
 * (src/backend/access/transam/xlog.c and xlogbackup.c write them, xlogrecovery.c reads them).
 *
 * Lines with a key are looked up in a table; lines with another key are passed over, since newer
 * servers add some. Values never run over their line, so nothing in a label's own text can be taken
 * for a field unless it holds a line feed; then the first line of a key counts, which is the
 * server's.
 */
#include "pg/label.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum field {
	FIELD_START_LOCATION,
	FIELD_STOP_LOCATION,
	FIELD_CHECKPOINT,
	FIELD_METHOD,
	FIELD_FROM,
	FIELD_START_TIME,
	FIELD_LABEL,
	FIELD_START_TIMELINE,
	FIELD_STOP_TIME,
	FIELD_STOP_TIMELINE,
	FIELD_INCREMENTAL_LSN,
	FIELD_COUNT,
};

static const char *const field_key[FIELD_COUNT] = {
        [FIELD_START_LOCATION] = "START WAL LOCATION: ",
        [FIELD_STOP_LOCATION] = "STOP WAL LOCATION: ",
        [FIELD_CHECKPOINT] = "CHECKPOINT LOCATION: ",
        [FIELD_METHOD] = "BACKUP METHOD: ",
        [FIELD_FROM] = "BACKUP FROM: ",
        [FIELD_START_TIME] = "START TIME: ",
        [FIELD_LABEL] = "LABEL: ",
        [FIELD_START_TIMELINE] = "START TIMELINE: ",
        [FIELD_STOP_TIME] = "STOP TIME: ",
        [FIELD_STOP_TIMELINE] = "STOP TIMELINE: ",
        [FIELD_INCREMENTAL_LSN] = "INCREMENTAL FROM LSN: ",
};

/* "X/X (file NAME)"; the text is changed. */
static bool location_parse(char *value, lsn *ret, char file[SEGMENT_NAME_BYTES])
{
	static const char before[] = " (file ";
	char *name = strstr(value, before), *end;
	struct walname parsed;

	if (!name)
		return false;
	*name = '\0';
	name += sizeof(before) - 1;
	end = strchr(name, ')');
	if (!end || end[1])
		return false;
	*end = '\0';
	return lsn_parse(value, ret) && walname_parse(name, &parsed) &&
	       parsed.kind == WALNAME_SEGMENT && str_copy(file, SEGMENT_NAME_BYTES, name);
}

static bool field_parse(struct label *label, enum field field, char *value)
{
	switch (field) {
	case FIELD_START_LOCATION:
		return location_parse(value, &label->start_lsn, label->start_file);
	case FIELD_STOP_LOCATION:
		return location_parse(value, &label->stop_lsn, label->stop_file);
	case FIELD_CHECKPOINT:
		return lsn_parse(value, &label->checkpoint_lsn);
	case FIELD_METHOD:
		return str_copy(label->method, sizeof(label->method), value);
	case FIELD_FROM:
		return str_copy(label->from, sizeof(label->from), value);
	case FIELD_START_TIME:
		return str_copy(label->start_time, sizeof(label->start_time), value);
	case FIELD_LABEL:
		return str_copy(label->text, sizeof(label->text), value);
	case FIELD_START_TIMELINE:
		return str_u32(value, &label->start_tli) && label->start_tli;
	case FIELD_STOP_TIME:
		return str_copy(label->stop_time, sizeof(label->stop_time), value);
	case FIELD_STOP_TIMELINE:
		return str_u32(value, &label->stop_tli) && label->stop_tli;
	case FIELD_INCREMENTAL_LSN:
		return lsn_parse(value, &label->incremental_from_lsn);
	case FIELD_COUNT:
		break;
	}
	return false;
}

static bool line_take(struct label *label, char *line, bool found[FIELD_COUNT], struct err *err)
{
	for (unsigned f = 0; f < FIELD_COUNT; f++) {
		if (!str_starts(line, field_key[f]))
			continue;
		if (found[f])
			return true;
		found[f] = true;
		if (!field_parse(label, (enum field)f, line + strlen(field_key[f])))
			return err_set(err, ERR_DAMAGED,
			               "its line \"%.*s\" has a value that is none",
			               (int)strcspn(field_key[f], ":"), field_key[f]);
		return true;
	}
	return true;
}

static bool text_check(const char *text, size_t length, size_t max, struct err *err)
{
	if (length > max)
		return err_set(err, ERR_DAMAGED, "it has %zu bytes, the limit is %zu", length, max);
	if (length && memchr(text, '\0', length))
		return err_set(err, ERR_DAMAGED, "it contains a zero byte");
	return true;
}

/* What the server insists on, and what follows from it. */
static bool label_check(struct label *label, const bool found[FIELD_COUNT], struct err *err)
{
	static const enum field needed[] = {FIELD_START_LOCATION, FIELD_CHECKPOINT, FIELD_METHOD};
	struct walname file;

	for (size_t i = 0; i < ARRAY_LENGTH(needed); i++)
		if (!found[needed[i]])
			return err_set(err, ERR_DAMAGED, "it has no line \"%.*s\"",
			               (int)strcspn(field_key[needed[i]], ":"),
			               field_key[needed[i]]);
	if (!walname_parse(label->start_file, &file))
		return err_set(err, ERR_DAMAGED, "it names no segment");
	if (!label->start_tli)
		label->start_tli = file.tli;
	if (label->start_tli != file.tli)
		return err_set(err, ERR_DAMAGED, "it names timeline %u and segment %s",
		               label->start_tli, label->start_file);
	return true;
}

static bool lines_take(char *text, struct label *label, struct err *err)
{
	bool found[FIELD_COUNT] = {false};

	/* The server reads CR as a part of the value and then fails: an editor has been at it. */
	if (strchr(text, '\r'))
		return err_set(err, ERR_DAMAGED, "it has CR line ends, which PostgreSQL refuses");
	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!line_take(label, line, found, err))
			return false;
	}
	return label_check(label, found, err);
}

bool label_parse(const void *bytes, size_t length, struct label *ret, struct err *err)
{
	AUTO_FREE
	char *text = NULL;
	struct label label = {0};

	if (!text_check(bytes, length, LABEL_BYTES_MAX, err))
		return err_wrap(err, "the backup label is not valid");
	text = xstrndup(bytes, length);
	if (!lines_take(text, &label, err))
		return err_wrap(err, "the backup label is not valid");
	*ret = label;
	return true;
}

void label_write(const struct label *label, struct buf *out)
{
	buf_addf(out, "%s" LSN_FORMAT " (file %s)\n", field_key[FIELD_START_LOCATION],
	         LSN_ARGS(label->start_lsn), label->start_file);
	buf_addf(out, "%s" LSN_FORMAT "\n", field_key[FIELD_CHECKPOINT],
	         LSN_ARGS(label->checkpoint_lsn));
	buf_addf(out, "%s%s\n", field_key[FIELD_METHOD], label->method);
	buf_addf(out, "%s%s\n", field_key[FIELD_FROM], label->from);
	buf_addf(out, "%s%s\n", field_key[FIELD_START_TIME], label->start_time);
	buf_addf(out, "%s%s\n", field_key[FIELD_LABEL], label->text);
	buf_addf(out, "%s%u\n", field_key[FIELD_START_TIMELINE], label->start_tli);
}

/* ---- tablespace_map ---- */

/* One "<oid> <path>" line from *at on, unescaped in place; a backslash takes what follows as it is.
 */
static char *map_line(char *at, char **ret_next)
{
	char *from = at, *to = at;

	while (*from && *from != '\n') {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from++;
	}
	*ret_next = *from ? from + 1 : NULL;
	*to = '\0';
	return at;
}

static bool map_entry(struct tablespace_map *map, char *line, struct err *err)
{
	char *blank = strchr(line, ' ');
	uint32_t oid;

	if (!blank)
		return err_set(err, ERR_DAMAGED, "a line has no path");
	*blank = '\0';
	if (!str_u32(line, &oid) || !oid)
		return err_set(err, ERR_DAMAGED, "\"%.20s\" is no tablespace", line);
	if (blank[1] != '/' || strlen(blank + 1) >= TABLESPACE_PATH_MAX)
		return err_set(err, ERR_DAMAGED, "the path of tablespace %u is not absolute", oid);
	if (tablespace_map_path(map, oid))
		return err_set(err, ERR_DAMAGED, "tablespace %u is there twice", oid);
	tablespace_map_add(map, oid, blank + 1);
	return true;
}

bool tablespace_map_parse(const void *bytes, size_t length, struct tablespace_map *ret,
                          struct err *err)
{
	AUTO_FREE
	char *text = NULL;
	bool good = text_check(bytes, length, TABLESPACE_MAP_BYTES_MAX, err);

	*ret = (struct tablespace_map){0};
	if (good && length)
		text = xstrndup(bytes, length);
	for (char *at = text, *next; good && at && *at; at = next)
		good = map_entry(ret, map_line(at, &next), err);
	if (good)
		return true;
	tablespace_map_release(ret);
	return err_wrap(err, "the tablespace map is not valid");
}

void tablespace_map_write(const struct tablespace_map *map, struct buf *out)
{
	for (size_t i = 0; i < map->count; i++) {
		buf_addf(out, "%u ", map->item[i].oid);
		for (const char *p = map->item[i].path; *p; p++) {
			if (*p == '\\' || *p == '\n' || *p == '\r')
				buf_addc(out, '\\');
			buf_addc(out, *p);
		}
		buf_addc(out, '\n');
	}
}

void tablespace_map_add(struct tablespace_map *map, uint32_t oid, const char *path)
{
	if (map->count == map->size) {
		map->size = MAX(map->size * 2, 8);
		map->item = xrealloc(map->item, map->size * sizeof(map->item[0]));
	}
	map->item[map->count++] = (struct tablespace){.oid = oid, .path = xstrdup(path)};
}

static struct tablespace *map_find(const struct tablespace_map *map, uint32_t oid)
{
	for (size_t i = 0; i < map->count; i++)
		if (map->item[i].oid == oid)
			return &map->item[i];
	return NULL;
}

const char *tablespace_map_path(const struct tablespace_map *map, uint32_t oid)
{
	const struct tablespace *found = map_find(map, oid);

	return found ? found->path : NULL;
}

void tablespace_map_release(struct tablespace_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		free(map->item[i].path);
	free(map->item);
	*map = (struct tablespace_map){0};
}
