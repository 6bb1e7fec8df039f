/*
 * restore_scan.c — reads the manifest once for nothing but numbers: how much goes to which disk,
 * what an in-place restore would remove. So a damaged manifest, a disk that is too small and a
 * mistake in the command line are found while nothing is touched.
 *
 * What one repository does not give whole is read from the next.
 */
#include "restore_scan.h"
#include "base/str.h"
#include "pg/version.h"
#include <string.h>
#include "base/poison.h"

enum scan_state { SCAN_START, SCAN_READING };

static void count_bytes(struct restore_scan *scan, const struct manifest_entry *entry)
{
	char oid[16];

	for (size_t i = 0; i < scan->plan->tablespaces; i++) {
		size_t length =
		        (size_t)snprintf(oid, sizeof(oid), "%u/", scan->plan->tablespace[i].oid);

		if (str_starts(entry->path, "pg_tblspc/") &&
		    strncmp(entry->path + strlen("pg_tblspc/"), oid, length) == 0) {
			scan->tablespace_bytes[i] += entry->size_bytes;
			return;
		}
	}
	scan->main_bytes += entry->size_bytes;
}

static bool scan_entry(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct restore_scan *scan = context;

	if (entry->kind == MANIFEST_FILE)
		count_bytes(scan, entry);
	if (!scan->sweep || manifest_path_is_late(entry->kind, entry->path))
		return true;
	return sweep_reach(scan->sweep, entry->path, err);
}

static bool scan_piece(struct restore_scan *scan, uint64_t end, const uint8_t *bytes, size_t length,
                       struct err *err)
{
	if (!manifest_reader_feed(scan->reader, bytes, length, err))
		return false;
	if (end < scan->head->body_bytes)
		return true;
	scan->ended = true;
	return manifest_reader_end(scan->reader, err) &&
	       (!scan->sweep || sweep_end(scan->sweep, err));
}

static bool scan_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct restore_scan *scan = stream->context;

	if (scan_piece(scan, offset + length, bytes, length, err))
		return true;
	scan->refused = true;
	return false;
}

static void scan_clear(struct restore_scan *scan)
{
	manifest_reader_free(STEAL(scan->reader));
	sweep_free(STEAL(scan->sweep));
	free(STEAL(scan->tablespace_bytes));
	scan->main_bytes = 0;
	scan->ended = false;
}

/* From the beginning, whoever it is read from. */
static void scan_read(struct restore_scan *scan)
{
	const struct restore_plan *plan = scan->plan;
	char folder[PG_VERSION_FOLDER_BYTES];

	pg_version_folder(pg_version_of_major(plan->major), folder);
	if (plan->in_place)
		scan->sweep = sweep_new(plan->pgdata, folder, false);
	scan->tablespace_bytes = xcalloc(plan->tablespaces + 1, sizeof(scan->tablespace_bytes[0]));
	scan->reader = manifest_reader_new(scan_entry, scan);
	name_backup(scan->name, plan->generation, plan->backup);
	scan->body = (struct object_stream){.repo = scan->turn.at->repo,
	                                    .name = scan->name,
	                                    .kind = SEALED_MANIFEST,
	                                    .class = GATE_RESTORE,
	                                    .parts_only = true,
	                                    .stall_ms = turn_stall_ms(&scan->turn),
	                                    .consume = scan_consume,
	                                    .context = scan};
	object_stream_start(&scan->op, &scan->body);
	op_wait(&scan->op, SCAN_READING);
}

static void scan_done(struct restore_scan *scan)
{
	struct op *op = &scan->op;

	if (!op_failed(&scan->body.op) && !scan->ended && scan->head->body_bytes > 0)
		err_set(&scan->body.op.err, ERR_DAMAGED,
		        "the manifest is shorter than its head says");
	if (!op_failed(&scan->body.op)) {
		turn_end(&scan->turn);
		scan->digest = scan->body.sealed.digest;
		return op_done(op);
	}
	if (op->cancelled || scan->refused || !turn_next(&scan->turn, &scan->body.op.err))
		return op_fail(op, scan->refused ? &scan->body.op.err : &scan->turn.why,
		               "could not read the manifest of backup %s", scan->plan->backup);
	scan_clear(scan);
	scan_read(scan);
}

static void scan_step(struct op *op)
{
	struct restore_scan *scan = container_of(op, struct restore_scan, op);

	if (op->state == SCAN_READING)
		return scan_done(scan);
	if (!pg_version_of_major(scan->plan->major))
		return op_fail_as(op, ERR_REFUSED, "PostgreSQL %u is not known", scan->plan->major);
	turn_begin(&scan->turn, scan->site, scan->home);
	scan_read(scan);
}

void restore_scan_start(struct op *parent, struct restore_scan *scan)
{
	static const struct op_type type = {.name = "restore_scan", .step = scan_step};

	op_start(parent, &scan->op, &type);
}

void restore_scan_release(struct restore_scan *scan)
{
	scan_clear(scan);
}
