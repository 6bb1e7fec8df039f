/* shown.h — how times and backups look, for all commands alike. */
#ifndef CLI_SHOWN_H
#define CLI_SHOWN_H

#include "base/clock.h"
#include "codec/json.h"
#include "repo/manifest.h"

/* "2026-11-20 14:02:31": UTC, whole seconds; "-" for 0. */
void shown_time(int64_t unix_us, char out[TIME_TEXT_BYTES]);
/* Fields of an object. Times are ISO texts in UTC, LSNs as PostgreSQL writes them. */
void shown_json_time(struct jval *object, const char *field, int64_t unix_us);
void shown_json_lsn(struct jval *object, const char *field, lsn position);
void shown_backup(const struct manifest_head *head, struct jval *object);

#endif
