/*
 * restore_scan.c — reads the manifest once for nothing but numbers: how much goes to which disk,
 * what an in-place restore would remove. So a damaged manifest, a disk that is too small and a
 * mistake in the command line are found while nothing is touched.
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

static bool scan_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct restore_scan *scan = stream->context;

	if (!manifest_reader_feed(scan->reader, bytes, length, err))
		return false;
	if (offset + length < scan->head->body_bytes)
		return true;
	return manifest_reader_end(scan->reader, err) &&
	       (!scan->sweep || sweep_end(scan->sweep, err));
}

static void scan_step(struct op *op)
{
	struct restore_scan *scan = container_of(op, struct restore_scan, op);

	if (op->state == SCAN_START) {
		const struct pg_version *version = pg_version_of_major(scan->plan->major);
		char folder[PG_VERSION_FOLDER_BYTES];

		if (!version)
			return op_fail_as(op, ERR_REFUSED, "PostgreSQL %u is not known",
			                  scan->plan->major);
		pg_version_folder(version, folder);
		if (scan->plan->in_place)
			scan->sweep = sweep_new(scan->plan->pgdata, folder, false);
		scan->tablespace_bytes =
		        xcalloc(scan->plan->tablespaces + 1, sizeof(scan->tablespace_bytes[0]));
		scan->reader = manifest_reader_new(scan_entry, scan);
		name_backup(scan->name, scan->plan->generation, scan->plan->backup);
		scan->body = (struct object_stream){.repo = scan->site->repo,
		                                    .name = scan->name,
		                                    .kind = SEALED_MANIFEST,
		                                    .class = GATE_RESTORE,
		                                    .parts_only = true,
		                                    .consume = scan_consume,
		                                    .context = scan};
		object_stream_start(op, &scan->body);
		return op_wait(op, SCAN_READING);
	}
	if (op_failed(&scan->body.op))
		return op_fail(op, &scan->body.op.err, "could not read the manifest of backup %s",
		               scan->plan->backup);
	op_done(op);
}

void restore_scan_start(struct op *parent, struct restore_scan *scan)
{
	static const struct op_type type = {.name = "restore_scan", .step = scan_step};

	op_start(parent, &scan->op, &type);
}

void restore_scan_release(struct restore_scan *scan)
{
	manifest_reader_free(scan->reader);
	sweep_free(scan->sweep);
	free(scan->tablespace_bytes);
	scan->reader = NULL;
	scan->sweep = NULL;
	scan->tablespace_bytes = NULL;
}
