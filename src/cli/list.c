/*
 * list.c — `seawall list`: the backups of a cluster, and what can be restored.
 */
#include "base/clock.h"
#include "base/units.h"
#include "codec/json.h"
#include "listing.h"
#include "shown.h"
#include "story.h"
#include "table.h"
#include "base/poison.h"

enum { LIST_BYTES_MAX = 16 * 1024 * 1024 };

static const char *findings(const struct manifest_head *head)
{
	if (!head->checksums)
		return "none";
	return head->findings_total ? "DAMAGED" : "good";
}

static void backups_text(const struct listing *listing, struct buf *out)
{
	static const char *const titles[] = {"BACKUP", "ENDED (UTC)", "TIMELINE", "SIZE",
	                                     "STORED", "CHECKSUMS",   "WAL",      "LABEL"};
	struct table table;

	table_init(&table, ARRAY_LENGTH(titles), titles, 1u << 2 | 1u << 3 | 1u << 4);
	for (size_t i = 0; i < listing->heads.count; i++) {
		const struct manifest_head *head = &listing->heads.head[i];
		char time[TIME_TEXT_BYTES], size[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES];

		shown_time(head->stop_time_us, time);
		units_size(head->logical_bytes, size);
		units_size(head->stored_bytes, stored);
		table_add(&table, head->id);
		table_add(&table, time);
		table_addf(&table, "%u", head->stop_tli);
		table_add(&table, size);
		table_add(&table, stored);
		table_add(&table, findings(head));
		table_add(&table, listing_is_broken(listing, head->id) ? "MISSING" : "complete");
		table_add(&table, head->label_text);
	}
	table_print(&table, 0, out);
	table_release(&table);
	for (size_t i = 0; i < listing->heads.unreadables; i++) {
		char line[ERR_TEXT_MAX];

		err_line(&listing->heads.unreadable[i].err, line, sizeof(line));
		buf_addf(out, "%s\n", line);
	}
}

static void list_text(const struct listing *listing, struct buf *out)
{
	const struct generation_facts *facts = &listing->generation.facts;

	buf_addf(out, "Cluster %s, PostgreSQL %u, system identifier %llu, repository %s\n\n",
	         listing->site->cluster, facts->major, (unsigned long long)facts->system_identifier,
	         store_label(listing->site->repo->store));
	if (listing->heads.count + listing->heads.unreadables)
		backups_text(listing, out);
	else
		buf_addstr(out, "There is no backup yet: \"seawall backup\" makes one.\n");
	buf_addc(out, '\n');
	listing_intervals(listing, out);
}

static void list_json(const struct listing *listing, struct buf *out)
{
	struct jval *root = jobject_new(), *list;

	jset_int(root, "version", 1);
	jset_str(root, "cluster", listing->site->cluster);
	jset_str(root, "repository", store_label(listing->site->repo->store));
	jset_u64(root, "system_identifier", listing->generation.facts.system_identifier);
	jset_int(root, "postgresql", listing->generation.facts.major);
	list = jset_array(root, "backups");
	for (size_t i = 0; i < listing->heads.count; i++) {
		struct jval *item = jadd_object(list);

		shown_backup(&listing->heads.head[i], item);
		jset_bool(item, "wal_complete",
		          !listing_is_broken(listing, listing->heads.head[i].id));
	}
	list = jset_array(root, "unreadable");
	for (size_t i = 0; i < listing->heads.unreadables; i++) {
		struct jval *item = jadd_object(list);
		char line[ERR_TEXT_MAX];

		err_line(&listing->heads.unreadable[i].err, line, sizeof(line));
		jset_str(item, "id", listing->heads.unreadable[i].id);
		jset_str(item, "error", line);
	}
	list = jset_array(root, "intervals");
	for (size_t i = 0; i < listing->intervals.count; i++)
		shown_interval(&listing->intervals.item[i], listing->catalog.segment_bytes,
		               jadd_object(list));
	listing_json_branches(listing, root);
	json_print(root, true, out);
	jval_free(root);
}

static bool list_run(struct cli *cli, struct err *err)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	struct runtime runtime = {0};
	AUTO_BUF struct buf out = {0};
	size_t cluster;
	bool done = story_cluster(cli, argument_at(cli->arguments, 0), &cluster, err) &&
	            story_runtime(cli, &runtime, err);

	listing->list_wal = true;
	done = done && listing_load(&runtime, cluster, listing, err);
	buf_init(&out, LIST_BYTES_MAX);
	if (done) {
		if (cli->json)
			list_json(listing, &out);
		else
			list_text(listing, &out);
		done = print(buf_text(&out), err);
	}
	if (done && listing->heads.unreadables)
		done = err_set(err, ERR_DAMAGED, "%zu backups could not be read",
		               listing->heads.unreadables);
	listing_release(listing);
	runtime_release(&runtime);
	free(listing);
	return done;
}

const struct command command_list = {
        .name = "list",
        .usage = "[CLUSTER]",
        .help = "show the backups and what can be restored",
        .about = "Shows each backup of a cluster, and the intervals that can be restored: from the "
                 "end of a "
                 "backup on, as\nfar as the WAL behind it is in the repository without a hole. It "
                 "reads "
                 "listings and the heads of the\nbackups, nothing else.",
        .example = "seawall list main",
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = list_run,
};
