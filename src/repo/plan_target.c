/*
 * plan_target.c — the target of a restore, from text and to text.
 */
#include "base/str.h"
#include "base/zone.h"
#include "repo/plan.h"
#include <string.h>
#include "base/poison.h"

static bool parse_name(const char *text, struct restore_target *ret, struct err *err)
{
	ret->kind = RESTORE_NAME;
	if (!*text)
		return err_set(err, ERR_USAGE,
		               "the target \"name:\" has no name of a restore point");
	if (!str_is_text(text, strlen(text)))
		return err_set(err, ERR_USAGE, "the name of the restore point is no plain text");
	if (!str_copy(ret->name, sizeof(ret->name), text))
		return err_set(err, ERR_USAGE,
		               "the name of restore point \"%.80s\" is longer than %d bytes", text,
		               RESTORE_NAME_BYTES - 1);
	return true;
}

bool restore_target_parse(const char *text, struct restore_target *ret, struct err *err)
{
	*ret = (struct restore_target){.kind = RESTORE_TIME};
	if (!str_copy(ret->text, sizeof(ret->text), text))
		return err_set(err, ERR_USAGE, "the target \"%.60s...\" is too long", text);
	if (strcmp(text, "latest") == 0) {
		ret->kind = RESTORE_LATEST;
	} else if (strcmp(text, "backup-end") == 0) {
		ret->kind = RESTORE_BACKUP_END;
	} else if (str_starts(text, "lsn:")) {
		ret->kind = RESTORE_LSN;
		if (!lsn_parse(text + 4, &ret->position) || ret->position == 0)
			return err_set(err, ERR_USAGE,
			               "\"%s\" is no position in the WAL, such as lsn:0/3000148",
			               text);
	} else if (str_starts(text, "xid:")) {
		ret->kind = RESTORE_XID;
		if (!str_u32(text + 4, &ret->xid) || ret->xid < 3)
			return err_set(err, ERR_USAGE,
			               "\"%s\" is no transaction, such as xid:74123", text);
	} else if (str_starts(text, "name:")) {
		return parse_name(text + 5, ret, err);
	} else if (!(text[0] >= '0' && text[0] <= '9')) {
		err_set(err, ERR_USAGE, "\"%s\" is no target", text);
		err_hint(err,
		         "It is latest, a time, lsn:0/3000148, xid:74123, name:before_migration "
		         "or backup-end.");
		return false;
	}
	return true;
}

bool restore_target_resolve(struct restore_target *target, const char *zone, int64_t now_us,
                            struct err *err)
{
	if (target->kind != RESTORE_TIME)
		return true;
	if (!zone_parse_time(target->text, zone, now_us, &target->time_us, err))
		return false;
	if (target->time_us > now_us) {
		char then[TIME_TEXT_BYTES], now[TIME_TEXT_BYTES];

		clock_text_utc(target->time_us, then);
		clock_text_utc(now_us, now);
		err_set(err, ERR_REFUSED, "the target time \"%s\" (%s) is in the future",
		        target->text, then);
		err_hint(err,
		         "It is %s now. \"--to latest\" restores to the end of what is archived.",
		         now);
		return false;
	}
	return true;
}

static void time_text(const struct restore_target *target, const char *zone_name, struct buf *out)
{
	char local[ZONE_TEXT_BYTES], utc[TIME_TEXT_BYTES];
	struct zone *zone = NULL;
	struct err ignored = {0};

	clock_text_utc(target->time_us, utc);
	if (zone_name && *zone_name && zone_load(zone_name, &zone, &ignored)) {
		zone_text(target->time_us, zone, local);
		buf_addf(out, "time %s %s (%s)", local, zone_name, utc);
	} else {
		buf_addf(out, "time %s", utc);
	}
	zone_free(zone);
}

void restore_target_text(const struct restore_target *target, const char *zone, struct buf *out)
{
	switch (target->kind) {
	case RESTORE_LATEST:
		buf_addstr(out, "latest");
		return;
	case RESTORE_BACKUP_END:
		buf_addstr(out, "the end of the backup");
		return;
	case RESTORE_TIME:
		time_text(target, zone, out);
		break;
	case RESTORE_LSN:
		buf_addf(out, "lsn " LSN_FORMAT, LSN_ARGS(target->position));
		break;
	case RESTORE_XID:
		buf_addf(out, "transaction %u", target->xid);
		break;
	case RESTORE_NAME:
		buf_addf(out, "restore point \"%s\"", target->name);
		break;
	}
	buf_addstr(out, target->before ? ", stopping before it" : ", including it");
}
