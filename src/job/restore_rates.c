/*
 * restore_rates.c — the file "restore.rates" in the state folder: what the last restore here has
 * measured. It may be lost at any time; the next restore writes it again.
 */
#include "restore_rates.h"

#include "base/durable.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "codec/json.h"

#include "base/poison.h"

enum { RATES_BYTES_MAX = 4096 };

uint64_t restore_rate(uint64_t bytes, int64_t ms)
{
	return bytes < RATE_BYTES_MIN ? 0 : bytes * 1000 / (uint64_t)MAX(ms, 1);
}

void restore_rates_read(const char *state, struct restore_rates *ret)
{
	AUTO_FREE
	char *path = state ? path_join(state, "restore.rates") : NULL;
	AUTO_BUF struct buf buf = {0};
	struct jval *root = NULL;
	struct err ignored = {0};

	*ret = (struct restore_rates){0};
	if (!path)
		return;
	buf_init(&buf, RATES_BYTES_MAX);
	if (!file_read_all(path, &buf, &ignored) ||
	    !json_parse(buf.data, buf.length, &root, &ignored))
		return;
	if (!jget_u64(root, "copy_bytes_per_s", &ret->copy, &ignored) ||
	    !jget_u64(root, "replay_bytes_per_s", &ret->replay, &ignored))
		*ret = (struct restore_rates){0};
	jval_free(root);
}

void restore_rates_keep(const char *state, const struct restore_rates *measured)
{
	AUTO_FREE
	char *path = state ? path_join(state, "restore.rates") : NULL;
	AUTO_BUF struct buf buf = {0};
	struct restore_rates rates;
	struct jval *root;
	struct err err = {0};

	if (!path || (!measured->copy && !measured->replay))
		return;
	restore_rates_read(state, &rates);
	root = jobject_new();
	jset_u64(root, "copy_bytes_per_s", measured->copy ? measured->copy : rates.copy);
	jset_u64(root, "replay_bytes_per_s", measured->replay ? measured->replay : rates.replay);
	buf_init(&buf, RATES_BYTES_MAX);
	json_print(root, true, &buf);
	jval_free(root);
	if (!durable_write(path, 0600, buf.data, buf.length, &err))
		log_err(LOG_DEBUG, &err, ", so the next estimate goes without it");
}

static int64_t time_ms(uint64_t bytes, uint64_t rate)
{
	return (int64_t)((double)bytes * 1000 / (double)rate);
}

static uint64_t wal_bytes(const struct restore_plan *plan)
{
	uint64_t segments = plan->last_segno - plan->first_segno + 1;

	if (plan->end_lsn > plan->start_lsn)
		return plan->end_lsn - plan->start_lsn;
	return segments * plan->segment_bytes;
}

struct restore_estimate restore_estimate(const struct restore_rates *rates,
                                         const struct restore_plan *plan, int64_t backup_ms)
{
	uint64_t copy = rates->copy ? rates->copy : restore_rate(plan->logical_bytes, backup_ms);

	return (struct restore_estimate){
	        .files_ms = copy ? MAX(time_ms(plan->logical_bytes, copy), 1) : 0,
	        .replay_ms = rates->replay ? MAX(time_ms(wal_bytes(plan), rates->replay), 1) : 0,
	        .of_backup = !rates->copy,
	};
}

void restore_estimate_text(const struct restore_estimate *estimate, struct buf *out)
{
	char files[UNITS_TEXT_BYTES], replay[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];
	const char *how = estimate->of_backup ? "as long as the backup took"
	                                      : "as fast as the last restore here";

	if (!estimate->files_ms && !estimate->replay_ms) {
		buf_addstr(out, "  time      not known: nothing was measured here yet\n");
		return;
	}
	units_duration(estimate->files_ms, files);
	units_duration(estimate->replay_ms, replay);
	units_duration(estimate->files_ms + estimate->replay_ms, all);
	if (!estimate->replay_ms)
		buf_addf(out,
		         "  time      about %s for the files, %s; for the WAL the first replay "
		         "here will tell\n",
		         files, how);
	else if (!estimate->files_ms)
		buf_addf(out, "  time      about %s for the WAL\n", replay);
	else
		buf_addf(out, "  time      about %s: %s for the files, %s, and %s for the WAL\n",
		         all, files, how, replay);
}
