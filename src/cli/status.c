/*
 * status.c — `seawall status`: one screen. What the server knows from memory, and from the listings
 * of the repository what can be restored.
 *
 * Without a server the exit status is 1: archiving goes on, but slower, and nobody works ahead.
 */
#include <dirent.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "client.h"
#include "disk.h"
#include "job/restore.h"
#include "listing.h"
#include "pg/control.h"
#include "shown.h"
#include "table.h"
#include "base/poison.h"

enum { STATUS_BYTES_MAX = 4 * 1024 * 1024 };

/* What one of the other repositories of a cluster can restore. */
struct other {
	const struct site *site; /* NULL: there is none */
	struct listing listing;
	struct err err;
};
enum { OTHERS_MAX = SITE_CHAIN_MAX - 1 };

struct looking {
	struct cli *cli;
	struct runtime runtime;
	struct client client;
	struct jval *server; /* NULL: none runs */
	struct err server_err;
	struct listing *listing; /* as the clusters of the configuration */
	struct err *listing_err;
	struct other (*others)[OTHERS_MAX];
};

static const char *text_of(const struct jval *object, const char *field)
{
	struct err err = {0};
	const char *text = "";

	return jget_str(object, field, &text, &err) ? text : "";
}

static int64_t int_of(const struct jval *object, const char *field)
{
	struct err err = {0};
	int64_t value = 0;

	return jget_int(object, field, &value, &err) ? value : 0;
}

static uint64_t u64_of(const struct jval *object, const char *field)
{
	struct err err = {0};
	uint64_t value = 0;

	return jget_u64(object, field, &value, &err) ? value : 0;
}

static const struct jval *array_of(const struct jval *object, const char *field)
{
	struct err err = {0};
	const struct jval *array = NULL;

	return jget_array(object, field, &array, &err) ? array : NULL;
}

static const struct jval *object_of(const struct jval *object, const char *field)
{
	struct err err = {0};
	const struct jval *inner = NULL;

	return object && jget_object(object, field, &inner, &err) ? inner : NULL;
}

/* The item of that name in a list of the server's answer; NULL: none, or no server. */
static const struct jval *named(const struct looking *looking, const char *list, const char *name)
{
	const struct jval *array = looking->server ? array_of(looking->server, list) : NULL;

	for (size_t i = 0; i < jarray_length(array); i++)
		if (strcmp(text_of(jarray_at(array, i), "name"), name) == 0)
			return jarray_at(array, i);
	return NULL;
}

/* How many files wait in archive_status; -1: the folder cannot be read. */
static int64_t ready_files(const char *pgdata)
{
	AUTO_FREE char *folder = path_join(pgdata, "pg_wal/archive_status");
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	int64_t count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		count += str_ends(entry->d_name, ".ready");
	closedir(dir);
	return count;
}

static void age_text(int64_t since_us, char out[UNITS_TEXT_BYTES])
{
	units_duration((clock_now_us() - since_us) / 1000, out);
}

/* In which repositories the server saw the last backup, when there are several. */
static const char *backup_in(const struct looking *looking, size_t number, const char *id)
{
	const char *cluster = looking->cli->config->cluster[number].name;
	const struct jval *backups = object_of(named(looking, "clusters", cluster), "backups");

	return backups && strcmp(text_of(backups, "last"), id) == 0 ? text_of(backups, "last_in")
	                                                            : "";
}

static void add_backup(const struct looking *looking, size_t number, struct table *table)
{
	const struct listing *listing = &looking->listing[number];
	const struct manifest_head *last = NULL;
	const char *in;
	char age[UNITS_TEXT_BYTES];

	table_add(table, "last backup");
	for (size_t i = 0; i < listing->can.heads.count; i++)
		if (!last || listing->can.heads.head[i].ended_us > last->ended_us)
			last = &listing->can.heads.head[i];
	if (!last) {
		table_add(table, "NONE");
		return;
	}
	age_text(last->ended_us, age);
	in = backup_in(looking, number, last->id);
	table_addf(table, "%s, %s ago%s%s%s", last->id, age, *in ? ", in " : "", in,
	           listing_is_broken(listing, last->id) ? ", its WAL is MISSING" : "");
}

/* What would be lost if the host were lost now. */
static void add_exposure(const struct looking *looking, size_t number, struct table *table)
{
	const struct listing *listing = &looking->listing[number];
	char age[UNITS_TEXT_BYTES];

	if (restorable_safe_us(&listing->can)) {
		age_text(restorable_safe_us(&listing->can), age);
		table_add(table, "RPO now");
		table_addf(table, "at most %s: the last transaction that is safe ended then", age);
	} else if (listing->can.catalog.newest_us) {
		age_text(listing->can.catalog.newest_us, age);
		table_add(table, "RPO now");
		table_addf(table,
		           "not known: a segment was archived %s ago, and no index tells yet of "
		           "its transactions",
		           age);
	}
	if (listing->can.catalog.segments) {
		table_add(table, "WAL");
		table_addf(table, "%llu segments in the repository",
		           (unsigned long long)listing->can.catalog.segments);
	} else {
		table_add(table, "WAL");
		table_add(table, "nothing in the repository");
	}
}

/* Nothing while a server runs in the directory, or when nobody can say. Status is of the archive,
 * but of a server that is down nothing more comes. */
static bool down_text(const char *pgdata, char *out, size_t out_bytes)
{
	AUTO_FREE char *lock = pgdata ? path_join(pgdata, "postmaster.pid") : NULL;
	struct err ignored = {0};
	struct control control;
	char time[TIME_TEXT_BYTES];
	pid_t pid;

	if (!pgdata || restore_place_in_use(pgdata, &pid) ||
	    !control_read(pgdata, &control, &ignored))
		return false;
	shown_time(control.updated_us, time);
	if (control.state == CONTROL_SHUTDOWNED || control.state == CONTROL_SHUTDOWNED_IN_RECOVERY)
		snprintf(out, out_bytes, "does not run; it was shut down at %s", time);
	else
		snprintf(out, out_bytes,
		         "does not run, and was not shut down: %s; last seen at work at %s",
		         access(lock, F_OK) == 0
		                 ? "it crashed or was killed, or runs in another container"
		                 : "it crashed or was killed",
		         time);
	return true;
}

/* What waits in pg_wal, and why: known also while the repository is away. */
static void add_waiting(const struct looking *looking, size_t number, struct table *table)
{
	const struct config_cluster *cluster = &looking->cli->config->cluster[number];
	const char *pgdata = looking->runtime.site[number].pgdata;
	const struct jval *item = named(looking, "clusters", cluster->name);
	const struct jval *archiver = object_of(item, "archiver");
	int64_t ready = pgdata ? ready_files(pgdata) : -1;

	if (!pgdata)
		return;
	table_add(table, "waiting");
	if (ready < 0)
		table_add(table, "unknown: the data directory cannot be read");
	else
		table_addf(table, "%lld files in pg_wal/archive_status", (long long)ready);
	if (!archiver || !*text_of(archiver, "failing"))
		return;
	table_add(table, "FAILING");
	table_addf(table, "\"%s\" since %s: %s", text_of(archiver, "failing"),
	           text_of(archiver, "failing_since"), text_of(archiver, "error"));
}

/* The repositories of a cluster that has several. */
static void add_places(const struct looking *looking, size_t number, struct table *table)
{
	const struct config_cluster *cluster = &looking->cli->config->cluster[number];
	const struct jval *item = named(looking, "clusters", cluster->name);
	const struct jval *places = item ? array_of(item, "places") : NULL;
	char bytes[UNITS_TEXT_BYTES], lag[UNITS_TEXT_BYTES];

	for (size_t i = 0; i < jarray_length(places); i++) {
		const struct jval *place = jarray_at(places, i);
		const char *name = text_of(place, "repository");

		units_size(u64_of(place, "lag_bytes"), bytes);
		units_duration(int_of(place, "lag_seconds") * 1000, lag);
		table_add(table, name);
		if (*text_of(place, "error"))
			table_addf(table, "NOT REACHED since %s, lacks %llu segments, %s, %s: %s",
			           text_of(place, "unreachable_since"),
			           (unsigned long long)u64_of(place, "lag_segments"), bytes, lag,
			           text_of(place, "error"));
		else if (u64_of(place, "lag_segments") > 0)
			table_addf(table, "is filled up: lacks %llu segments, %s, %s",
			           (unsigned long long)u64_of(place, "lag_segments"), bytes, lag);
		else
			table_add(table, "reachable, lacks nothing");
	}
}

/* One repository's intervals after the other's, the nearest first. */
static void intervals_text(const struct looking *looking, size_t number, struct buf *out)
{
	const struct other *others = looking->others[number];
	char line[ERR_TEXT_MAX];

	if (!err_is(&looking->listing_err[number])) {
		buf_addc(out, '\n');
		if (others[0].site)
			buf_addf(out, "From repository %s\n",
			         looking->listing[number].site->repository);
		listing_intervals(&looking->listing[number], out);
	}
	for (unsigned i = 0; i < OTHERS_MAX && others[i].site; i++) {
		buf_addf(out, "\nFrom repository %s\n", others[i].site->repository);
		if (!err_is(&others[i].err)) {
			listing_intervals(&others[i].listing, out);
			continue;
		}
		err_line(&others[i].err, line, sizeof(line));
		buf_addf(out, "Not known: %s\n", line);
	}
}

static void cluster_text(const struct looking *looking, size_t number, struct buf *out)
{
	const struct config_cluster *cluster = &looking->cli->config->cluster[number];
	const char *pgdata = looking->runtime.site[number].pgdata;
	const struct err *why = &looking->listing_err[number];
	char line[ERR_TEXT_MAX];
	struct table table;

	buf_addf(out, "\nCluster %s, repository %s\n", cluster->name,
	         looking->runtime.site[number].repository);
	table_init(&table, 2, NULL, 0);
	table_add(&table, "data directory");
	table_add(&table, pgdata ? pgdata : "that of the first push");
	if (down_text(pgdata, line, sizeof(line))) {
		table_add(&table, "PostgreSQL");
		table_add(&table, line);
	}
	add_places(looking, number, &table);
	if (err_is(why)) {
		err_line(why, line, sizeof(line));
		table_add(&table, "repository");
		table_add(&table, line);
	} else {
		add_backup(looking, number, &table);
		add_exposure(looking, number, &table);
	}
	add_waiting(looking, number, &table);
	table_print(&table, 2, out);
	table_release(&table);
	intervals_text(looking, number, out);
}

static void repository_text(const struct looking *looking, size_t number, struct buf *out)
{
	const struct config_repository *repository = &looking->cli->config->repository[number];
	const struct repo *repo = looking->runtime.repo[number];
	const struct jval *item = named(looking, "repositories", repository->name);
	char left[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];
	uint64_t free_bytes, total_bytes;
	struct err err = {0};
	double days;

	buf_addf(out, "\nRepository %s at %s\n", repository->name, repository->url);
	if (repo && store_space(repo->store, &free_bytes, &total_bytes)) {
		units_size(free_bytes, left);
		units_size(total_bytes, all);
		buf_addf(out, "  free  %s of %s", left, all);
		if (item && jget_real(item, "days_until_full", &days, &err))
			buf_addf(out, ", full in %.1f days at the rate of the last day", days);
		buf_addc(out, '\n');
	}
}

static void server_text(const struct looking *looking, struct buf *out)
{
	const struct jval *server = looking->server;
	char line[ERR_TEXT_MAX];

	if (server) {
		buf_addf(out, "Server %s, process %lld, since %s, %lld jobs running\n",
		         text_of(server, "version"), (long long)int_of(server, "process"),
		         text_of(server, "begun"), (long long)int_of(server, "jobs_running"));
	} else if (err_is(&looking->server_err)) {
		err_line(&looking->server_err, line, sizeof(line));
		buf_addf(out, "Server: %s\n", line);
	} else {
		buf_addf(out, "Server: none runs at \"%s\"\n", looking->client.socket);
	}
}

/* One hint is often that of several problems, and is said once. */
static void add_problem(struct buf *out, const char *where, const char *what, const char *hint)
{
	if (!out->length)
		buf_addstr(out, "\nProblems:\n");
	buf_addf(out, "  %s: %s\n", where, what);
	if (*hint && !strstr(buf_text(out), hint))
		buf_addf(out, "    hint: %s\n", hint);
}

/* From the hole on nothing can be restored before there is another backup. */
static void add_hole(const struct looking *looking, size_t number, struct buf *out)
{
	const struct intervals *intervals = &looking->listing[number].can.intervals;
	const struct interval *last =
	        intervals->count ? &intervals->item[intervals->count - 1] : NULL;
	char to[TIME_TEXT_BYTES], text[256];

	if (!last || !last->hole || looking->others[number][0].site)
		return;
	shown_time(MAX(last->last_us, last->to_us), to);
	snprintf(text, sizeof(text),
	         "WAL is missing behind the last backup: nothing after %s can be restored", to);
	add_problem(out, looking->cli->config->cluster[number].name, text,
	            "Take a backup now. Is what is missing still in some pg_wal? `seawall wal push "
	            "PATH`.");
}

static void problems_text(const struct looking *looking, struct buf *out)
{
	const struct config *config = looking->cli->config;
	const struct jval *problems =
	        looking->server ? array_of(looking->server, "problems") : NULL;
	AUTO_BUF struct buf list = {0};

	buf_init(&list, STATUS_BYTES_MAX);
	for (size_t i = 0; i < jarray_length(problems); i++)
		add_problem(&list, text_of(jarray_at(problems, i), "where"),
		            text_of(jarray_at(problems, i), "text"),
		            text_of(jarray_at(problems, i), "hint"));
	for (size_t i = 0; i < config->clusters; i++) {
		add_hole(looking, i, &list);
		if (disk_is_shared(looking->runtime.site[i].pgdata, config->cluster[i].repository))
			add_problem(&list, config->cluster[i].name,
			            "the repository is on the same disk as the data directory", "");
	}
	buf_addstr(out, buf_text(&list));
}

static void status_text(const struct looking *looking, struct buf *out)
{
	const struct config *config = looking->cli->config;

	server_text(looking, out);
	for (size_t i = 0; i < config->clusters; i++)
		cluster_text(looking, i, out);
	for (size_t i = 0; i < config->repositories; i++)
		repository_text(looking, i, out);
	problems_text(looking, out);
}

static void others_json(const struct looking *looking, size_t number, struct jval *object)
{
	const struct other *others = looking->others[number];
	struct jval *list = others[0].site ? jset_array(object, "other_repositories") : NULL;
	char line[ERR_TEXT_MAX];

	for (unsigned i = 0; i < OTHERS_MAX && others[i].site; i++) {
		struct jval *item = jadd_object(list);

		jset_str(item, "repository", others[i].site->repository);
		if (!err_is(&others[i].err)) {
			restorable_json(&others[i].listing.can, clock_now_us(), item);
			continue;
		}
		err_line(&others[i].err, line, sizeof(line));
		jset_str(item, "error", line);
	}
}

static void cluster_json(const struct looking *looking, size_t number, struct jval *object)
{
	const struct listing *listing = &looking->listing[number];
	const char *pgdata = looking->runtime.site[number].pgdata;
	char line[ERR_TEXT_MAX];

	jset_str(object, "name", looking->cli->config->cluster[number].name);
	jset_str(object, "pgdata", pgdata);
	jset_str(object, "repository", looking->runtime.site[number].repository);
	others_json(looking, number, object);
	if (pgdata)
		jset_int(object, "waiting", ready_files(pgdata));
	if (down_text(pgdata, line, sizeof(line)))
		jset_str(object, "postgresql", line);
	if (err_is(&looking->listing_err[number])) {
		err_line(&looking->listing_err[number], line, sizeof(line));
		jset_str(object, "error", line);
		return;
	}
	jset_u64(object, "segments", listing->can.catalog.segments);
	shown_json_time(object, "newest_segment", listing->can.catalog.newest_us);
	jset_int(object, "backups", (int64_t)listing->can.heads.count);
	restorable_json(&listing->can, clock_now_us(), object);
	listing_json_branches(listing, object);
}

static void status_json(struct looking *looking, struct buf *out)
{
	struct jval *root = jobject_new(), *list;

	jset_int(root, "version", 1);
	if (looking->server)
		jset_value(root, "server", STEAL(looking->server));
	else
		jset_null(root, "server");
	list = jset_array(root, "clusters");
	for (size_t i = 0; i < looking->cli->config->clusters; i++)
		cluster_json(looking, i, jadd_object(list));
	json_print(root, true, out);
	jval_free(root);
}

/* What the server, or the search for a repository that answers, has found out is not tried again: a
 * repository that is away costs a person's time. */
static bool known_away(const struct looking *looking, size_t number, const struct site *site,
                       struct err *err)
{
	const struct config_cluster *cluster = &looking->cli->config->cluster[number];
	const struct jval *item = named(looking, "clusters", cluster->name);
	const struct jval *places = item ? array_of(item, "places") : NULL;
	const char *answers = looking->runtime.site[number].repository;

	for (size_t i = 0; i < jarray_length(places); i++) {
		const struct jval *place = jarray_at(places, i);

		if (strcmp(text_of(place, "repository"), site->repository) == 0 &&
		    *text_of(place, "error"))
			return !err_set_text(err, ERR_NETWORK, text_of(place, "error"));
	}
	for (unsigned i = 0; i < cluster->places; i++) {
		if (strcmp(cluster->place[i]->name, answers) == 0)
			return false;
		if (strcmp(cluster->place[i]->name, site->repository) == 0)
			return !err_set(err, ERR_NETWORK, "it did not answer");
	}
	return false;
}

/* False: the person has cancelled it. */
static bool look_elsewhere(struct looking *looking, size_t number, struct err *err)
{
	const struct repo *nearest = looking->runtime.site[number].repo;
	struct site *site = looking->runtime.site[number].next;

	if (!nearest || !nearest->opened) /* then all of them were tried */
		return true;
	for (unsigned i = 0; i < OTHERS_MAX && site; i++, site = site->next) {
		struct other *other = &looking->others[number][i];

		other->site = site;
		if (known_away(looking, number, site, &other->err) ||
		    listing_load_at(&looking->runtime, site, &other->listing, &other->err) ||
		    other->err.code != ERR_CANCELLED)
			continue;
		*err = other->err;
		return false;
	}
	return true;
}

static bool look(struct looking *looking, struct err *err)
{
	static const struct client_request what = {.method = "GET", .path = "/v1/status"};
	const struct config *config = looking->cli->config;

	if (client_ask(&looking->client, &what, &looking->server, &looking->server_err) ==
	            CLIENT_FAILED &&
	    looking->server_err.code == ERR_CANCELLED) {
		*err = looking->server_err;
		return false;
	}
	for (size_t i = 0; i < config->clusters; i++) {
		if (!listing_load(&looking->runtime, i, &looking->listing[i],
		                  &looking->listing_err[i]) &&
		    looking->listing_err[i].code == ERR_CANCELLED) {
			*err = looking->listing_err[i];
			return false;
		}
		if (!look_elsewhere(looking, i, err))
			return false;
	}
	return true;
}

static bool show(struct looking *looking, struct err *err)
{
	bool runs = looking->server != NULL;
	AUTO_BUF struct buf out = {0};

	buf_init(&out, STATUS_BYTES_MAX);
	if (looking->cli->json)
		status_json(looking, &out);
	else
		status_text(looking, &out);
	if (!print(buf_text(&out), err))
		return false;
	if (runs)
		return true;
	if (err_is(&looking->server_err)) {
		*err = looking->server_err;
		return false;
	}
	err_set(err, ERR_FAILED, "no server runs for this configuration");
	err_hint(err,
	         "Start it: \"seawall serve\", or \"systemctl start seawall\". Archiving goes on "
	         "without it, slower.");
	return false;
}

static bool status_run(struct cli *cli, struct err *err)
{
	struct looking looking = {.cli = cli};
	bool done = story_runtime(cli, &looking.runtime, err);

	if (!done)
		return false;
	looking.listing = xcalloc(cli->config->clusters, sizeof(*looking.listing));
	looking.listing_err = xcalloc(cli->config->clusters, sizeof(*looking.listing_err));
	looking.others = xcalloc(cli->config->clusters, sizeof(*looking.others));
	client_init(&looking.client, &looking.runtime);
	done = look(&looking, err) && show(&looking, err);
	client_release(&looking.client);
	for (size_t i = 0; i < cli->config->clusters; i++) {
		listing_release(&looking.listing[i]);
		for (unsigned k = 0; k < OTHERS_MAX; k++)
			listing_release(&looking.others[i][k].listing);
	}
	free(looking.others);
	free(looking.listing);
	free(looking.listing_err);
	jval_free(looking.server);
	runtime_release(&looking.runtime);
	return done;
}

static const struct cli_exit status_exits[] = {
        {0, "the server runs; problems, if there are any, are shown"},
        {1, "no server runs"},
        {2, "the command line is wrong"},
        {3, "the configuration is wrong"},
        {4, "the server does not answer"},
        {5, "refused for safety"},
        {8, "cancelled or out of time"},
        {0, NULL},
};

const struct command command_status = {
        .name = "status",
        .usage = "",
        .help = "show clusters, restorable intervals, the last backup and problems",
        .about = "One screen: the server, and for each cluster how far its WAL is archived, what "
                 "waits, the last backup\nand the intervals that each of its repositories can "
                 "restore; for each repository the space that is left,\nand in how many days it is "
                 "full at the rate of the last day.",
        .example = "seawall status",
        .user = USER_OWNER,
        .exits = status_exits,
        .run = status_run,
};
