/*
 * restore_shown.c — see restore_shown.h.
 */
#include "restore_shown.h"
#include "base/poison.h"

void restore_shown_end(const struct restore *restore, struct buf *out)
{
	static const char *const then[] = {"It was promoted", "It is paused there, and can be read",
	                                   "It was shut down there"};
	char time[TIME_TEXT_BYTES];

	buf_addf(out, "Cluster \"%s\" is restored in \"%s\", up to " LSN_FORMAT " on timeline %u",
	         restore->plan.cluster, restore->plan.pgdata, LSN_ARGS(restore->reached_lsn),
	         restore->reached_tli);
	if (restore->reached_commit_us) {
		clock_text_utc(restore->reached_commit_us, time);
		buf_addf(out, ", last commit %s", time);
	}
	buf_addf(out, ".\n%s", then[restore->options->then]);
	if (restore->options->then == RESTORE_PROMOTE && restore->new_tli)
		buf_addf(out, " to timeline %u", restore->new_tli);
	buf_addstr(out, ".\n");
}

static void plan_json(const struct restore *restore, struct jval *object)
{
	const struct restore_plan *plan = &restore->plan;
	char segment[SEGMENT_NAME_BYTES];
	struct jval *path = jset_array(object, "path");

	jset_str(object, "cluster", plan->cluster);
	jset_str(object, "pgdata", plan->pgdata);
	jset_bool(object, "copy", plan->clone);
	jset_bool(object, "in_place", plan->in_place);
	jset_str(object, "target", plan->target.text);
	jset_bool(object, "before", plan->target.before);
	jset_str(object, "backup", plan->backup);
	jset_str(object, "repository", restore->from->repository);
	jset_int(object, "timeline", plan->path.tli);
	for (size_t i = 0; i < plan->path.count; i++) {
		struct jval *item = jadd_object(path);

		jset_int(item, "timeline", plan->path.entry[i].tli);
		shown_json_lsn(item, "until", plan->path.entry[i].switch_lsn);
	}
	shown_json_lsn(object, "from_lsn", plan->start_lsn);
	if (plan->end_lsn)
		shown_json_lsn(object, "end_lsn", plan->end_lsn);
	shown_json_time(object, "last_commit", plan->last_commit_us);
	jset_u64(object, "files", plan->files);
	jset_u64(object, "logical_bytes", plan->logical_bytes);
	jset_u64(object, "stored_bytes", plan->stored_bytes);
	if (!plan->hole.found)
		return;
	segment_name(plan->hole.tli, plan->hole.segno, plan->segment_bytes, segment);
	jset_str(object, "hole", segment);
}

void restore_shown_json(const struct restore *restore, struct buf *out)
{
	struct jval *root = jobject_new(), *estimate, *end;

	jset_int(root, "version", 1);
	plan_json(restore, jset_object(root, "plan"));
	estimate = jset_object(root, "estimate");
	if (restore->estimate.files_ms)
		jset_int(estimate, "files_ms", restore->estimate.files_ms);
	if (restore->estimate.replay_ms)
		jset_int(estimate, "replay_ms", restore->estimate.replay_ms);
	if (!restore->options->plan_only && restore->options->start) {
		end = jset_object(root, "reached");
		shown_json_lsn(end, "lsn", restore->reached_lsn);
		jset_int(end, "timeline", restore->reached_tli);
		shown_json_time(end, "last_commit", restore->reached_commit_us);
		if (restore->new_tli)
			jset_int(end, "new_timeline", restore->new_tli);
	}
	if (!restore->options->plan_only) {
		struct jval *files = jset_object(root, "files");

		jset_u64(files, "bytes", restore->progress.bytes_done);
		jset_u64(files, "bytes_kept", restore->progress.bytes_kept);
		jset_u64(files, "bytes_read", restore->progress.bytes_read);
		jset_bool(files, "resumed", restore->resumed);
	}
	json_print(root, true, out);
	jval_free(root);
}
