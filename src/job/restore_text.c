/* restore_text.c — a plan, and what comes next, as people read it. */
#include "restore_internal.h"
#include "restore_rates.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "base/zone.h"
#include <string.h>
#include "base/poison.h"

static void add_time(const struct restore_plan *plan, int64_t us, struct buf *out)
{
	char local[ZONE_TEXT_BYTES], utc[TIME_TEXT_BYTES];
	struct zone *zone = NULL;
	struct err ignored = {0};

	clock_text_utc(us, utc);
	if (plan->time_zone[0] && zone_load(plan->time_zone, &zone, &ignored)) {
		zone_text(us, zone, local);
		buf_addf(out, "%s", local);
		if (strcmp(local, utc) != 0)
			buf_addf(out, " (%s)", utc);
	} else {
		buf_addstr(out, utc);
	}
	zone_free(zone);
}

static void add_path(const struct restore_plan *plan, struct buf *out)
{
	buf_addstr(out, "  timeline  ");
	for (size_t i = 0; i < plan->path.count; i++) {
		lsn begin, end;

		/* Those before the backup are not part of what happens. */
		if (plan->path.entry[i].switch_lsn <= plan->start_lsn ||
		    !history_span(&plan->path, plan->path.entry[i].tli, &begin, &end))
			continue;
		buf_addf(out, "%u until " LSN_FORMAT ", then ", plan->path.entry[i].tli,
		         LSN_ARGS(end));
	}
	buf_addf(out, "%u\n", plan->path.tli);
}

static void add_wal(const struct restore_plan *plan, struct buf *out)
{
	char first[SEGMENT_NAME_BYTES], last[SEGMENT_NAME_BYTES], size[UNITS_TEXT_BYTES];
	uint64_t count = plan->last_segno - plan->first_segno + 1;

	segment_name(history_tli_of_segment(&plan->path, plan->first_segno, plan->segment_bytes),
	             plan->first_segno, plan->segment_bytes, first);
	segment_name(history_tli_of_segment(&plan->path, plan->last_segno, plan->segment_bytes),
	             plan->last_segno, plan->segment_bytes, last);
	units_size(count * plan->segment_bytes, size);
	buf_addf(out, "  WAL       %s to %s, at most %s\n", first, last, size);
	if (plan->end_lsn) {
		buf_addf(out, "  end       " LSN_FORMAT " on timeline %u", LSN_ARGS(plan->end_lsn),
		         plan->end_tli);
		if (plan->last_commit_us && plan->last_commit_lsn <= plan->end_lsn) {
			buf_addstr(out, ", last commit ");
			add_time(plan, plan->last_commit_us, out);
		}
		buf_addc(out, '\n');
	}
	if (plan->hole.found) {
		char missing[SEGMENT_NAME_BYTES], behind[SEGMENT_NAME_BYTES];

		segment_name(plan->hole.tli, plan->hole.segno, plan->segment_bytes, missing);
		segment_name(plan->hole.behind_tli, plan->hole.behind_segno, plan->segment_bytes,
		             behind);
		buf_addf(out, "  warning   segment %s %s: the restore ends before it", missing,
		         restore_hole_text(&plan->hole));
		if (strcmp(missing, behind) != 0)
			buf_addf(out, ", although there is WAL behind it, up to %s", behind);
		buf_addc(out, '\n');
	}
}

/* What a person must have seen before it is gone. */
static void add_removed(const struct sweep *sweep, struct buf *out)
{
	if (!sweep || sweep_count(sweep) == 0)
		return;
	buf_addf(out, "  removes   %llu files or folders that the backup does not have:",
	         (unsigned long long)sweep_count(sweep));
	for (unsigned i = 0; sweep_name(sweep, i); i++)
		buf_addf(out, "%s %s", i ? "," : "", sweep_name(sweep, i));
	buf_addstr(out, sweep_count(sweep) > SWEEP_NAMES_MAX ? " ...\n" : "\n");
}

static void add_target_place(const struct restore *restore, struct buf *out)
{
	const struct restore_plan *plan = &restore->plan;

	buf_addf(out, "  into      %s%s\n", plan->pgdata,
	         plan->clone      ? " (a copy: it does not archive)"
	         : plan->in_place ? " (in place: what differs is replaced, the rest removed)"
	                          : "");
	for (size_t i = 0; i < plan->tablespaces; i++)
		buf_addf(out, "            tablespace %s in %s\n", plan->tablespace[i].name,
		         plan->tablespace[i].path);
	if (restore->options->link_pgwal)
		buf_addf(out, "            pg_wal in %s\n", restore->options->link_pgwal);
}

void restore_plan_lines(const struct restore *restore, struct buf *out)
{
	const struct restore_plan *plan = &restore->plan;
	char size[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES];

	buf_addf(out, "restore of cluster \"%s\" (PostgreSQL %u)\n  target    ", plan->cluster,
	         plan->major);
	restore_target_text(&plan->target, plan->time_zone, out);
	buf_addf(out, "\n  backup    %s, ended ", plan->backup);
	add_time(plan, plan->backup_stop_us, out);
	buf_addf(out, " at " LSN_FORMAT " on timeline %u", LSN_ARGS(plan->stop_lsn),
	         plan->stop_tli);
	if (restore->site->next)
		buf_addf(out, ", from repository %s", restore->from->repository);
	buf_addc(out, '\n');
	add_path(plan, out);
	add_wal(plan, out);
	add_target_place(restore, out);
	add_removed(restore->detail->scan.sweep, out);
	units_size(plan->logical_bytes, size);
	units_size(plan->stored_bytes, stored);
	buf_addf(out, "  size      %llu files, %s (%s in the repository)\n",
	         (unsigned long long)plan->files, size, stored);
	restore_estimate_text(&restore->estimate, out);
}

/* "/etc/postgresql/15/main/postgresql.conf" is started by Debian's own command. */
static bool debian_cluster(const char *config_file, char *out, size_t out_bytes)
{
	const char *rest = config_file + strlen("/etc/postgresql/");
	size_t version, name;

	if (!str_starts(config_file, "/etc/postgresql/"))
		return false;
	version = strcspn(rest, "/");
	if (!version || !rest[version])
		return false;
	name = strcspn(rest + version + 1, "/");
	if (strcmp(rest + version + 1 + name, "/postgresql.conf") != 0)
		return false;
	return snprintf(out, out_bytes, "pg_ctlcluster %.*s %.*s start", (int)version, rest,
	                (int)name, rest + version + 1) < (int)out_bytes;
}

void restore_next_lines(const struct restore *restore, struct buf *out)
{
	static const char *const then[] = {
	        "promotes itself there",
	        "pauses there, readable; SELECT pg_wal_replay_resume() ends the recovery",
	        "shuts down there"};
	const struct restore_plan *plan = &restore->plan;
	const char *config = restore_config_file(restore);
	AUTO_FREE char *folder = str_shell(plan->pgdata);
	AUTO_FREE char *bin = restore->detail->pg_bin ? path_join(restore->detail->pg_bin, "pg_ctl")
	                                              : xstrdup("pg_ctl");
	char debian[256];

	buf_addf(out, "The directory is ready. To start it:\n");
	if (config && debian_cluster(config, debian, sizeof(debian)))
		buf_addf(out, "  %s\n", debian);
	else if (config)
		buf_addf(out, "  %s -D %s -o '-c config_file=%s' -w start\n", bin, folder, config);
	else
		buf_addf(out, "  %s -D %s -l logfile -w start\n", bin, folder);
	buf_addf(out, "It replays the WAL to the target and %s.\n", then[restore->options->then]);
}
