/*
 * shown.c — see shown.h.
 */
#include "shown.h"
#include "base/poison.h"

void shown_time(int64_t unix_us, char out[TIME_TEXT_BYTES])
{
	char *end;

	if (unix_us == 0) {
		snprintf(out, TIME_TEXT_BYTES, "-");
		return;
	}
	clock_text_utc(unix_us - unix_us % US_PER_S, out);
	end = strchr(out, '+');
	if (end)
		*end = '\0';
}

void shown_json_time(struct jval *object, const char *field, int64_t unix_us)
{
	char text[TIME_TEXT_BYTES];

	if (unix_us == 0)
		return jset_null(object, field);
	clock_text_utc(unix_us, text);
	jset_str(object, field, text);
}

void shown_json_lsn(struct jval *object, const char *field, lsn position)
{
	char text[LSN_TEXT_BYTES];

	lsn_text(position, text);
	jset_str(object, field, text);
}

void shown_backup(const struct manifest_head *head, struct jval *object)
{
	jset_str(object, "id", head->id);
	jset_str(object, "label", head->label_text);
	shown_json_time(object, "begun", head->begun_us);
	shown_json_time(object, "ended", head->ended_us);
	shown_json_time(object, "stop_time", head->stop_time_us);
	jset_int(object, "start_timeline", head->start_tli);
	shown_json_lsn(object, "start_lsn", head->start_lsn);
	jset_int(object, "stop_timeline", head->stop_tli);
	shown_json_lsn(object, "stop_lsn", head->stop_lsn);
	jset_int(object, "postgresql", head->major);
	jset_str(object, "from", head->from);
	jset_u64(object, "files", head->files);
	jset_u64(object, "logical_bytes", head->logical_bytes);
	jset_u64(object, "stored_bytes", head->stored_bytes);
	jset_u64(object, "packs", head->packs);
	jset_bool(object, "checksums", head->checksums);
	jset_u64(object, "findings", head->findings_total);
	jset_str(object, "tool_version", head->tool_version);
}
