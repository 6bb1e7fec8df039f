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

static void backup_row(const struct listing *listing, const struct manifest_head *head,
                       const char *wal, struct table *table)
{
	char time[TIME_TEXT_BYTES], size[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES];
	char places[PRESENCE_TEXT_BYTES];

	shown_time(head->stop_time_us, time);
	units_size(head->logical_bytes, size);
	units_size(head->stored_bytes, stored);
	table_add(table, head->id);
	table_add(table, time);
	table_addf(table, "%u", head->stop_tli);
	table_add(table, size);
	table_add(table, stored);
	table_add(table, findings(head));
	table_add(table, wal);
	if (listing->presence.places) {
		presence_text(&listing->presence, head->id, places);
		table_add(table, places);
	}
	table_add(table, head->label_text);
}

static void unreadable_text(const struct heads *heads, struct buf *out)
{
	char line[ERR_TEXT_MAX];

	for (size_t i = 0; i < heads->unreadables; i++) {
		err_line(&heads->unreadable[i].err, line, sizeof(line));
		buf_addf(out, "%s\n", line);
	}
}

/* Of the cluster's other repositories: what they alone have, and who was not asked. */
static void elsewhere_text(const struct listing *listing, struct buf *out)
{
	const struct presence *presence = &listing->presence;
	char line[ERR_TEXT_MAX];

	if (presence->elsewhere.count)
		buf_addf(out,
		         "Repository %s lacks %zu of them: a restore takes it from where it is, "
		         "\"seawall copy\" brings it there,\n\"list --repository\" shows what "
		         "another one can restore alone.\n",
		         listing->site->repository, presence->elsewhere.count);
	for (unsigned i = 0; i < presence->places; i++) {
		if (presence->place[i].known)
			continue;
		err_line(&presence->place[i].err, line, sizeof(line));
		buf_addf(out, "Repository %s did not answer: %s\n",
		         presence->place[i].site->repository, line);
	}
}

static void backups_text(const struct listing *listing, struct buf *out)
{
	static const char *const one[] = {"BACKUP", "ENDED (UTC)", "TIMELINE", "SIZE",
	                                  "STORED", "CHECKSUMS",   "WAL",      "LABEL"};
	static const char *const several[] = {
	        "BACKUP",    "ENDED (UTC)", "TIMELINE",     "SIZE",  "STORED",
	        "CHECKSUMS", "WAL",         "REPOSITORIES", "LABEL",
	};
	const struct heads *elsewhere = &listing->presence.elsewhere;
	bool is_one = listing->presence.places == 0;
	struct table table;

	table_init(&table, is_one ? ARRAY_LENGTH(one) : ARRAY_LENGTH(several),
	           is_one ? one : several, 1u << 2 | 1u << 3 | 1u << 4);
	for (size_t i = 0; i < listing->can.heads.count; i++) {
		const struct manifest_head *head = &listing->can.heads.head[i];

		backup_row(listing, head,
		           listing_is_broken(listing, head->id) ? "MISSING" : "complete", &table);
	}
	for (size_t i = 0; i < elsewhere->count; i++)
		backup_row(listing, &elsewhere->head[i], "-", &table);
	table_print(&table, 0, out);
	table_release(&table);
	unreadable_text(&listing->can.heads, out);
	unreadable_text(elsewhere, out);
}

static void list_text(const struct listing *listing, struct buf *out)
{
	const struct generation_facts *facts = &listing->generation.facts;

	buf_addf(out, "Cluster %s, PostgreSQL %u, system identifier %llu, repository %s\n\n",
	         listing->site->cluster, facts->major, (unsigned long long)facts->system_identifier,
	         store_label(listing->site->repo->store));
	if (listing->can.heads.count + listing->can.heads.unreadables +
	    listing->presence.elsewhere.count + listing->presence.elsewhere.unreadables)
		backups_text(listing, out);
	else
		buf_addstr(out, "There is no backup yet: \"seawall backup\" makes one.\n");
	elsewhere_text(listing, out);
	buf_addc(out, '\n');
	listing_intervals(listing, out);
}

static struct jval *backup_item(const struct listing *listing, const struct manifest_head *head,
                                struct jval *list)
{
	struct jval *item = jadd_object(list);

	shown_backup(head, item);
	presence_json(&listing->presence, head->id, item);
	return item;
}

static void unreadable_json(const struct heads *heads, struct jval *list)
{
	char line[ERR_TEXT_MAX];

	for (size_t i = 0; i < heads->unreadables; i++) {
		struct jval *item = jadd_object(list);

		err_line(&heads->unreadable[i].err, line, sizeof(line));
		jset_str(item, "id", heads->unreadable[i].id);
		jset_str(item, "error", line);
	}
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
	for (size_t i = 0; i < listing->can.heads.count; i++) {
		struct jval *item = backup_item(listing, &listing->can.heads.head[i], list);

		jset_bool(item, "wal_complete",
		          !listing_is_broken(listing, listing->can.heads.head[i].id));
	}
	for (size_t i = 0; i < listing->presence.elsewhere.count; i++)
		jset_null(backup_item(listing, &listing->presence.elsewhere.head[i], list),
		          "wal_complete");
	list = jset_array(root, "unreadable");
	unreadable_json(&listing->can.heads, list);
	unreadable_json(&listing->presence.elsewhere, list);
	presence_unknown_json(&listing->presence, root);
	restorable_json(&listing->can, clock_now_us(), root);
	listing_json_branches(listing, root);
	json_print(root, true, out);
	jval_free(root);
}

static bool list_run(struct cli *cli, struct err *err)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	struct runtime runtime = {0};
	AUTO_BUF struct buf out = {0};
	const char *repository = option_value(cli->arguments, "repository");
	size_t cluster, unreadables;
	bool done = story_cluster(cli, argument_at(cli->arguments, 0), &cluster, err) &&
	            story_runtime(cli, &runtime, err) &&
	            (!repository || runtime_prefer(&runtime, cluster, repository, err));

	listing->list_places = true;
	done = done && listing_load(&runtime, cluster, listing, err);
	buf_init(&out, LIST_BYTES_MAX);
	if (done) {
		if (cli->json)
			list_json(listing, &out);
		else
			list_text(listing, &out);
		done = print(buf_text(&out), err);
	}
	unreadables = listing->can.heads.unreadables + listing->presence.elsewhere.unreadables;
	if (done && unreadables)
		done = err_set(err, ERR_DAMAGED, "%zu backups could not be read", unreadables);
	listing_release(listing);
	runtime_release(&runtime);
	free(listing);
	return done;
}

static const struct cli_option list_options[] = {
        {"repository", "NAME", "what that repository has, when the cluster has several"},
        {0},
};

const struct command command_list = {
        .name = "list",
        .usage = "[CLUSTER]",
        .help = "show the backups and what can be restored",
        .about = "Shows each backup of a cluster, and the intervals that can be restored: from the "
                 "end of a "
                 "backup on, as\nfar as the WAL behind it is in the repository without a hole. It "
                 "reads "
                 "listings and the heads of the\nbackups, nothing else.\n\nWhen the cluster "
                 "has several repositories, each backup is shown with those that have it; \"b?\" "
                 "is one that did\nnot answer. The intervals are those of the repository in the "
                 "first line alone: the nearest that answers, or\n--repository. A restore takes "
                 "each backup, and each file of WAL, from the nearest that has it.",
        .example = "seawall list main",
        .options = list_options,
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = list_run,
};
