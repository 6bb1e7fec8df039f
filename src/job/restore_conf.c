/*
 * restore_conf.c — recovery settings, written so that they mean one thing.
 *
 * postgresql.auto.conf wins over postgresql.conf, so ours go to its end, between two marks. The
 * timeline is a number, a time has a numeric offset, and even "the latest" is a position: then a
 * recovery that runs out of WAL too early stops with an error instead of opening.
 */
#include "restore_conf.h"
#include "base/clock.h"
#include "base/file.h"
#include <ctype.h>
#include <string.h>
#include "base/poison.h"

#define MARK_BEGIN "# seawall restore: until the end of the recovery"
#define MARK_STAY  "# seawall restore: of this restored copy"
#define MARK_END   "# seawall restore: end"

enum { CONF_NAME_MAX = 64, PROMOTE_TRIGGER_MAJOR_MAX = 15 };

void conf_quote(const char *value, struct buf *out)
{
	buf_addc(out, '\'');
	for (const char *p = value; *p; p++) {
		if (*p == '\'')
			buf_addstr(out, "''");
		else if (*p == '\\')
			buf_addstr(out, "\\\\");
		else if (*p == '\n')
			buf_addstr(out, "\\n");
		else
			buf_addc(out, *p);
	}
	buf_addc(out, '\'');
}

bool conf_line_name(const char *line, size_t length, char *out, size_t out_bytes)
{
	size_t at = 0, n = 0;

	while (at < length && (line[at] == ' ' || line[at] == '\t'))
		at++;
	if (at == length || !(isalpha((unsigned char)line[at]) || line[at] == '_'))
		return false;
	while (at < length && (isalnum((unsigned char)line[at]) || strchr("_.$", line[at]))) {
		if (n + 1 >= out_bytes)
			return false;
		out[n++] = (char)tolower((unsigned char)line[at++]);
	}
	out[n] = 0;
	return true;
}

bool conf_is_recovery(const char *name)
{
	static const char *const names[] = {"restore_command",         "archive_cleanup_command",
	                                    "recovery_end_command",    "primary_conninfo",
	                                    "primary_slot_name",       "promote_trigger_file",
	                                    "recovery_min_apply_delay"};

	if (str_starts(name, "recovery_target"))
		return true;
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static const char *line_end(const char *line)
{
	const char *newline = strchr(line, '\n');

	return newline ? newline + 1 : line + strlen(line);
}

void conf_strip(const char *text, bool all, struct buf *out, unsigned *ret_removed)
{
	char name[CONF_NAME_MAX];
	bool ours = false;

	*ret_removed = 0;
	for (const char *line = text, *next; *line; line = next) {
		size_t length = (size_t)((next = line_end(line)) - line);

		if (str_starts(line, MARK_BEGIN) || (all && str_starts(line, MARK_STAY)))
			ours = true;
		if (ours ||
		    (conf_line_name(line, length, name, sizeof(name)) && conf_is_recovery(name)))
			++*ret_removed;
		else
			buf_add(out, line, length);
		if (str_starts(line, MARK_END))
			ours = false;
	}
	if (out->length && out->data[out->length - 1] != '\n')
		buf_addc(out, '\n');
}

static bool in(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

void conf_comment_out(const char *text, const char *const *names, struct buf *out,
                      unsigned *ret_count)
{
	char name[CONF_NAME_MAX];

	*ret_count = 0;
	for (const char *line = text, *next; *line; line = next) {
		size_t length = (size_t)((next = line_end(line)) - line);

		if (conf_line_name(line, length, name, sizeof(name)) && in(names, name)) {
			buf_addstr(out, CONF_COMMENT);
			++*ret_count;
		}
		buf_add(out, line, length);
	}
}

/* What follows the name: "= value", "value", with quotes or without, then maybe a comment. */
static bool line_value(const char *line, size_t length, const char *name, char *out,
                       size_t out_bytes)
{
	const char *p = line, *end = line + length;
	size_t n = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	p += strlen(name);
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p < end && *p == '=')
		p++;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p < end && *p == '\'') {
		for (p++; p < end && !(*p == '\'' && p[1] != '\''); p++) {
			if ((*p == '\'' || *p == '\\') && p + 1 < end)
				p++;
			if (n + 1 < out_bytes)
				out[n++] = *p;
		}
	} else {
		for (; p < end && !strchr(" \t\r\n#", *p); p++)
			if (n + 1 < out_bytes)
				out[n++] = *p;
	}
	out[n] = 0;
	return n + 1 < out_bytes;
}

bool conf_value(const char *text, const char *name, char *out, size_t out_bytes)
{
	char found[CONF_NAME_MAX];
	bool there = false;

	for (const char *line = text, *next; *line; line = next) {
		size_t length = (size_t)((next = line_end(line)) - line);

		if (conf_line_name(line, length, found, sizeof(found)) &&
		    strcmp(found, name) == 0 && line_value(line, length, name, out, out_bytes))
			there = true;
	}
	return there;
}

bool conf_option_check(const char *option, struct err *err)
{
	const char *equals = strchr(option, '=');
	char name[CONF_NAME_MAX];

	if (!equals || !conf_line_name(option, (size_t)(equals - option), name, sizeof(name)) ||
	    strlen(name) != (size_t)(equals - option) || strchr(equals, '\n'))
		return err_set(err, ERR_USAGE, "\"--option %s\" is not NAME=VALUE", option);
	if (conf_is_recovery(name) || strcmp(name, "hot_standby") == 0)
		return err_set(
		        err, ERR_USAGE,
		        "the setting \"%s\" belongs to the recovery, which restore sets itself",
		        name);
	if (strcmp(name, "data_directory") == 0 || strcmp(name, "config_file") == 0)
		return err_set(err, ERR_USAGE, "the setting \"%s\" cannot be given here", name);
	return true;
}

/* A word for /bin/sh inside a command of PostgreSQL: '%' is doubled. */
static void add_word(struct buf *out, const char *text)
{
	AUTO_FREE char *quoted = str_shell(text);

	for (const char *p = quoted; *p; p++) {
		buf_addc(out, *p);
		if (*p == '%')
			buf_addc(out, '%');
	}
	buf_addc(out, ' ');
}

bool conf_restore_command(const struct conf_command *command, struct buf *out, struct err *err)
{
	size_t expanded;

	add_word(out, command->program);
	if (command->config) {
		buf_addstr(out, "--config ");
		add_word(out, command->config);
	}
	buf_addstr(out, "--cluster ");
	add_word(out, command->cluster);
	buf_addstr(out, "--restore ");
	add_word(out, command->plan);
	buf_addstr(out, "fetch %f \"%p\"");
	/* %f is at most 24 characters here, %p "pg_wal/RECOVERYHISTORY". */
	expanded = out->length + 24 + 22 - 4;
	if (out->overflow || (command->major <= 15 && expanded > CONF_COMMAND_BYTES_MAX)) {
		err_set(err, ERR_REFUSED,
		        "the restore_command would have %zu bytes, and PostgreSQL %u cuts it at %d",
		        expanded, command->major, CONF_COMMAND_BYTES_MAX + 1);
		err_hint(err,
		         "Restore into a directory with a shorter path, or shorten that of the "
		         "configuration.");
		return false;
	}
	return true;
}

static void set_text(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "%s = ", name);
	conf_quote(value, out);
	buf_addc(out, '\n');
}

static void set_lsn(struct buf *out, lsn position)
{
	buf_addf(out, "recovery_target_lsn = '" LSN_FORMAT "'\n", LSN_ARGS(position));
}

static void add_target(const struct restore_plan *plan, struct buf *out)
{
	const struct restore_target *target = &plan->target;
	bool before = target->before;
	char text[TIME_TEXT_BYTES];

	/* A known last record is the target, whatever it was derived from. */
	if (plan->end_start) {
		set_lsn(out, plan->end_start);
		buf_addstr(out, "recovery_target_inclusive = on\n");
		return;
	}
	switch (target->kind) {
	case RESTORE_LATEST:
		return;
	case RESTORE_BACKUP_END:
		buf_addstr(out, "recovery_target = 'immediate'\n");
		return;
	case RESTORE_TIME:
		clock_text_utc(target->time_us, text);
		set_text(out, "recovery_target_time", text);
		break;
	case RESTORE_LSN:
		set_lsn(out, target->position);
		break;
	case RESTORE_XID:
		buf_addf(out, "recovery_target_xid = '%u'\n", target->xid);
		break;
	case RESTORE_NAME:
		set_text(out, "recovery_target_name", target->name);
		return;
	}
	buf_addf(out, "recovery_target_inclusive = %s\n", before ? "off" : "on");
}

/* A hot standby must have at least as much of these as the primary had. Only what the
 * configuration has less of is set. */
void conf_floors(const struct pg_parameters *floor, const char *config_text, struct buf *out)
{
	const struct {
		const char *name;
		int32_t least, initial;
	} rows[] = {
	        {"max_connections", floor->max_connections, 100},
	        {"max_worker_processes", floor->max_worker_processes, 8},
	        {"max_wal_senders", floor->max_wal_senders, 10},
	        {"max_prepared_transactions", floor->max_prepared_transactions, 0},
	        {"max_locks_per_transaction", floor->max_locks_per_transaction, 64},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		char text[32];
		uint32_t value = (uint32_t)rows[i].initial;

		if (conf_value(config_text, rows[i].name, text, sizeof(text)) &&
		    !str_u32(text, &value))
			value = 0;
		if ((int64_t)value < rows[i].least)
			buf_addf(out, "%s = %d\n", rows[i].name, rows[i].least);
	}
}

/* It must neither archive for the original, nor wait for its standbys, nor write into its log. */
static void add_clone(const struct conf_recovery *recovery, struct buf *out)
{
	char folder[MANIFEST_PATH_MAX];

	buf_addstr(out, "archive_mode = off\n"
	                "synchronous_standby_names = ''\n");
	if (conf_value(recovery->config_text, "log_directory", folder, sizeof(folder)) &&
	    folder[0] == '/')
		buf_addstr(out, "log_directory = 'log'\n");
}

void conf_recovery(const struct conf_recovery *recovery, struct buf *out)
{
	const struct restore_plan *plan = recovery->plan;

	buf_addstr(out, MARK_STAY "\n");
	if (plan->clone)
		add_clone(recovery, out);
	if (recovery->port)
		buf_addf(out, "port = %u\n", recovery->port);
	for (size_t i = 0; recovery->option && i < recovery->option->count; i++) {
		AUTO_FREE char *name = xstrdup(recovery->option->item[i]);
		char *equals = strchr(name, '=');

		if (!equals)
			continue;
		*equals = 0;
		set_text(out, name, equals + 1);
	}
	buf_addstr(out, MARK_END "\n" MARK_BEGIN "\n");
	set_text(out, "restore_command", recovery->restore_command);
	buf_addf(out, "recovery_target_timeline = '%u'\n", plan->path.tli);
	add_target(plan, out);
	set_text(out, "recovery_target_action", recovery->action);
	/* What postgresql.conf says of them is meant for a standby: to clean up another archive, to
	 * move an address, to wait for hours. */
	buf_addstr(out, "hot_standby = on\n"
	                "archive_cleanup_command = ''\n"
	                "recovery_end_command = ''\n"
	                "recovery_min_apply_delay = 0\n");
	if (plan->major <= PROMOTE_TRIGGER_MAJOR_MAX)
		buf_addstr(out, "promote_trigger_file = ''\n");
	conf_floors(recovery->floor, recovery->config_text, out);
	buf_addstr(out, MARK_END "\n");
}

void conf_add(const struct buf *lines, struct buf *text)
{
	buf_addstr(text, MARK_BEGIN "\n");
	buf_add(text, lines->data, lines->length);
	buf_addstr(text, MARK_END "\n");
}
