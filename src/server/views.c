/*
 * views.c — the routes for people and programs: status, backups, jobs. All of them JSON.
 *
 * Status comes from memory alone: it answers at once, also when a repository hangs.
 */
#include "internal.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "job/backup.h"
#include "job/indexer.h"
#include "repo/keys.h"

#include "base/poison.h"

enum {
	ANSWER_BYTES_MAX = 16 * 1024 * 1024,
	REQUEST_FIELDS_MAX = 8,
	BACKUP_OLD_HOURS = 26, /* a daily backup with some room */
	LAG_MANY = 64,         /* segments that wait */
	SPACE_DAYS_FEW = 7,
};

void reply_json(struct exchange *exchange, unsigned status, struct jval *value)
{
	AUTO_BUF struct buf body;
	struct err err = {.code = ERR_NONE};

	buf_init(&body, ANSWER_BYTES_MAX);
	if (json_print(value, true, &body)) {
		exchange_reply(exchange, status, "application/json", &body);
	} else {
		err_set(&err, ERR_INTERNAL, "the answer is longer than %d bytes", ANSWER_BYTES_MAX);
		exchange_reply_error(exchange, &err);
	}
	jval_free(value);
}

static void json_time(struct jval *object, const char *field, int64_t unix_us)
{
	char text[TIME_TEXT_BYTES];

	if (unix_us == 0)
		return;
	clock_text_utc(unix_us, text);
	jset_str(object, field, text);
}

static struct jval *problem_add(struct jval *problems, const char *where, const char *text)
{
	struct jval *object = jadd_object(problems);

	jset_str(object, "where", where);
	jset_str(object, "text", text);
	return object;
}

static void problem_add_err(struct jval *problems, const char *where, const struct err *err)
{
	struct jval *object;
	char line[ERR_TEXT_MAX];

	err_line(err, line, sizeof(line));
	object = problem_add(problems, where, line);
	if (err->hint[0])
		jset_str(object, "hint", err->hint);
}

/* ---- status ---- */

static void status_archiver(const struct member *member, struct jval *object, struct jval *problems)
{
	struct archiver_figures figures;
	struct jval *archiver = jset_object(object, "archiver");
	char text[256], line[ERR_TEXT_MAX];

	archiver_figures(member->archiver, &figures);
	jset_u64(archiver, "stored", figures.stored);
	jset_u64(archiver, "repeated", figures.repeated);
	jset_u64(archiver, "failed", figures.failed);
	jset_u64(archiver, "ignored", figures.ignored);
	jset_u64(archiver, "bytes_read", figures.bytes_read);
	jset_u64(archiver, "bytes_stored", figures.bytes_stored);
	jset_int(archiver, "ready", figures.ready);
	jset_int(archiver, "under_way", figures.under_way);
	if (figures.last_stored[0])
		jset_str(archiver, "last_stored", figures.last_stored);
	json_time(archiver, "last_stored_at", figures.last_stored_us);
	if (figures.ready >= LAG_MANY) {
		snprintf(text, sizeof(text), "%u segments wait to be archived", figures.ready);
		problem_add(problems, member->site->cluster, text);
	}
	if (figures.suspect[0]) {
		jset_str(archiver, "damaged_in_pg_wal", figures.suspect);
		snprintf(text, sizeof(text),
		         "\"%s\" in pg_wal is damaged, and whole in the repository: look for what "
		         "damages files there (disk, memory, another program)",
		         figures.suspect);
		problem_add(problems, member->site->cluster, text);
	}
	if (figures.failing_since_us == 0)
		return;
	jset_str(archiver, "failing", figures.failing);
	json_time(archiver, "failing_since", figures.failing_since_us);
	err_line(&figures.last_error, line, sizeof(line));
	jset_str(archiver, "error", line);
	problem_add_err(problems, member->site->cluster, &figures.last_error);
}

static void status_owners(const struct member *member, struct jval *problems)
{
	struct archiver_place_figures figures;

	for (unsigned i = 0; archiver_place(member->archiver, i, &figures); i++)
		for (size_t n = 0;; n++) {
			AUTO_BUF struct buf text = {0};

			buf_init(&text, ERR_TEXT_MAX);
			if (!archiver_contest(member->archiver, i, n, &text))
				break;
			problem_add(problems, member->site->cluster, buf_text(&text));
		}
}

static void status_fetcher(const struct member *member, struct jval *object)
{
	struct fetcher_figures figures;
	struct jval *fetcher = jset_object(object, "fetcher");

	fetcher_figures(member->fetcher, &figures);
	jset_u64(fetcher, "delivered", figures.delivered);
	jset_u64(fetcher, "absent", figures.absent);
	jset_u64(fetcher, "failed", figures.failed);
	if (figures.last[0])
		jset_str(fetcher, "last", figures.last);
	json_time(fetcher, "last_at", figures.last_us);
}

static void status_backups(const struct member *member, struct jval *object, struct jval *problems)
{
	struct jval *backups = jset_object(object, "backups");
	int64_t hours = (clock_now_us() - member->last_backup_us) / US_PER_S / 3600;
	char text[PRESENCE_TEXT_BYTES + 64];

	if (!member->looked)
		return;
	jset_u64(backups, "count", member->backups);
	if (member->last_backup[0])
		jset_str(backups, "last", member->last_backup);
	json_time(backups, "last_at", member->last_backup_us);
	if (member->last_backup[0] && member->last_backup_in[0])
		jset_str(backups, "last_in", member->last_backup_in);
	if (member->last_backup_lacked[0]) {
		snprintf(text, sizeof(text), "the last backup is not in: %s",
		         member->last_backup_lacked);
		problem_add(problems, member->site->cluster, text);
	}
	if (!member->last_backup[0]) {
		problem_add(problems, member->site->cluster, "there is no backup yet");
	} else if (hours >= BACKUP_OLD_HOURS) {
		snprintf(text, sizeof(text), "the last backup is %lld hours old", (long long)hours);
		problem_add(problems, member->site->cluster, text);
	}
}

static void status_index(const struct member *member, struct jval *object, struct jval *problems)
{
	const struct err *error;
	const struct indexer *indexer = index_of(member, &error);
	const struct catalog *catalog = indexer ? indexer_catalog(indexer) : NULL;
	struct jval *index = jset_object(object, "index");

	if (indexer) {
		jset_u64(index, "segments", indexer_figures(indexer)->segments);
		jset_u64(index, "segments_from_pg_wal", indexer_figures(indexer)->from_pg_wal);
		jset_u64(index, "segments_from_push", indexer_figures(indexer)->from_push);
		jset_u64(index, "pieces_written", indexer_figures(indexer)->written);
		jset_u64(index, "bytes_stored", indexer_figures(indexer)->stored_bytes);
	}
	if (catalog)
		jset_u64(index, "archived_segments", catalog->segments);
	if (error)
		problem_add_err(problems, member->site->cluster, error);
}

/* Each repository of the cluster: whether it answers, and what it lacks. */
static void status_places(const struct member *member, struct jval *object, struct jval *problems)
{
	struct archiver_place_figures figures;
	struct jval *list = jset_array(object, "places");
	char text[256], lag[UNITS_TEXT_BYTES], bytes[UNITS_TEXT_BYTES], line[ERR_TEXT_MAX];

	for (unsigned i = 0; archiver_place(member->archiver, i, &figures); i++) {
		struct jval *item = jadd_object(list);

		jset_str(item, "repository", figures.repository);
		jset_bool(item, "reachable", !figures.away);
		jset_bool(item, "filling", figures.behind && !figures.away);
		jset_u64(item, "lag_segments", figures.lag_segments);
		jset_u64(item, "lag_bytes", figures.lag_bytes);
		jset_int(item, "lag_seconds", figures.lag_us / US_PER_S);
		jset_u64(item, "filled", figures.filled);
		if (figures.away) {
			json_time(item, "unreachable_since", figures.away_since_us);
			err_line(&figures.error, line, sizeof(line));
			jset_str(item, "error", line);
			problem_add_err(problems, figures.repository, &figures.error);
		}
		if (figures.lag_segments == 0)
			continue;
		units_duration(figures.lag_us / 1000, lag);
		units_size(figures.lag_bytes, bytes);
		snprintf(text, sizeof(text), "lacks %llu segments (%s) of cluster %s, since %s",
		         (unsigned long long)figures.lag_segments, bytes, member->site->cluster,
		         lag);
		problem_add(problems, figures.repository, text);
	}
}

static void status_cluster(const struct member *member, struct jval *clusters,
                           struct jval *problems)
{
	const struct config_cluster *cluster = &member->server->config->cluster[member->number];
	struct jval *object = jadd_object(clusters);

	jset_str(object, "name", cluster->name);
	if (member->site->pgdata)
		jset_str(object, "pgdata", member->site->pgdata);
	jset_str(object, "repository", cluster->repository->name);
	jset_str(object, "ack", cluster->ack ? cluster->ack : "all");
	if (member->site->next)
		status_places(member, object, problems);
	status_archiver(member, object, problems);
	status_owners(member, problems);
	status_fetcher(member, object);
	status_backups(member, object, problems);
	status_index(member, object, problems);
	if (err_is(&member->look_error))
		problem_add_err(problems, cluster->name, &member->look_error);
}

/* What keeps servers from each other's objects there. That nothing does is a problem. */
static void status_writers(const struct repo *repo, struct jval *object, struct jval *problems)
{
	enum store_safety safety = features_safety(&repo->features);
	char text[FEATURES_TEXT_BYTES];

	jset_str(object, "safety", features_safety_name(safety));
	if (safety != STORE_ONE_WRITER)
		return;
	features_say(&repo->features, text);
	problem_add(problems, store_label(repo->store), text);
}

static void status_keys(const struct repo *repo, struct jval *object, struct jval *problems)
{
	struct keys_state keys = keys_state(repo);
	char id[KEY_ID_BYTES];

	key_id_text(keys.key, id);
	jset_str(object, "data_key", keys.key ? id : NULL);
	if (keys.shut)
		problem_add_err(problems, store_label(repo->store), &repo->shut);
	if (keys.lags)
		problem_add(problems, store_label(repo->store),
		            "it has a data key that the key at hand does not open");
}

static void status_repository(const struct server *server, size_t number, struct jval *list,
                              struct jval *problems)
{
	const struct config_repository *repository = &server->config->repository[number];
	const struct space *space = &server->space[number];
	const struct repo *repo = server->runtime->repo[number];
	struct jval *object = jadd_object(list);
	char text[128];
	double days;

	jset_str(object, "name", repository->name);
	jset_str(object, "url", repository->url);
	jset_bool(object, "open", repo && repo->opened);
	if (repo && repo->opened) {
		status_writers(repo, object, problems);
		status_keys(repo, object, problems);
	}
	if (!space->known)
		return;
	jset_u64(object, "free_bytes", space->free_bytes);
	jset_u64(object, "total_bytes", space->total_bytes);
	if (!space_days_left(space, &days))
		return;
	jset_real(object, "days_until_full", days);
	if (days < SPACE_DAYS_FEW) {
		snprintf(text, sizeof(text), "the disk is full in %.1f days", days);
		problem_add(problems, repository->name, text);
	}
}

void serve_status(struct exchange *exchange)
{
	struct server *server = exchange->context;
	struct jval *status = jobject_new(), *problems = jarray_new(), *list;

	jset_int(status, "format", 1);
	jset_str(status, "version", SEAWALL_VERSION);
	jset_int(status, "process", getpid());
	json_time(status, "begun", server->begun_us);
	json_time(status, "now", clock_now_us());
	if (server->config->path)
		jset_str(status, "configuration", server->config->path);
	list = jset_array(status, "clusters");
	for (size_t i = 0; i < server->config->clusters; i++)
		status_cluster(&server->member[i], list, problems);
	list = jset_array(status, "repositories");
	for (size_t i = 0; i < server->config->repositories; i++)
		status_repository(server, i, list, problems);
	if (server->http_failed)
		problem_add_err(problems, "http", &server->http_error);
	if (server->reload_wants.length)
		problem_add(problems, "configuration", buf_text(&server->reload_wants));
	jset_int(status, "jobs_running", jobs_running(server->jobs));
	jset_value(status, "problems", problems);
	reply_json(exchange, 200, status);
}

/* ---- backups ---- */

struct member *member_of(struct exchange *exchange)
{
	struct server *server = exchange->context;
	struct err err = {.code = ERR_NONE};

	for (size_t i = 0; i < server->config->clusters; i++)
		if (strcmp(server->config->cluster[i].name, exchange->part[0]) == 0)
			return &server->member[i];
	err_set(&err, ERR_NOTFOUND, "there is no cluster \"%s\"", exchange->part[0]);
	exchange_reply_error(exchange, &err);
	return NULL;
}

struct listing {
	struct op op;
	struct backups backups;
	struct exchange *exchange;
};

static void listing_step(struct op *op)
{
	struct listing *listing = container_of(op, struct listing, op);

	if (op->state == 0) {
		backups_start(op, &listing->backups);
		return op_wait(op, 1);
	}
	op_done(op);
}

static void listing_json(const struct backups *backups, const struct manifest_head *head,
                         size_t heads, struct jval *list)
{
	for (size_t i = 0; i < heads; i++) {
		struct jval *item = jadd_object(list);

		backup_json(&head[i], item);
		presence_json(&backups->presence, head[i].id, item);
	}
}

static void listing_done(struct op *op)
{
	struct listing *listing = container_of(op, struct listing, op);
	struct backups *backups = &listing->backups;

	if (op_failed(&backups->op)) {
		exchange_reply_error(listing->exchange, &backups->op.err);
	} else {
		struct jval *object = jobject_new(), *list;

		jset_int(object, "format", 1);
		jset_str(object, "cluster", backups->runtime->site[backups->cluster].cluster);
		const struct heads *elsewhere = &backups->presence.elsewhere;

		jset_u64(object, "count",
		         backups->catalog.backups + elsewhere->count + elsewhere->unreadables);
		list = jset_array(object, "backups");
		listing_json(backups, backups->head, backups->heads, list);
		listing_json(backups, elsewhere->head, elsewhere->count, list);
		list = backups->unreadables + elsewhere->unreadables
		               ? jset_array(object, "unreadable")
		               : NULL;
		for (size_t i = 0; i < backups->unreadables; i++)
			problem_add_err(list, backups->unreadable[i].id,
			                &backups->unreadable[i].err);
		for (size_t i = 0; i < elsewhere->unreadables; i++)
			problem_add_err(list, elsewhere->unreadable[i].id,
			                &elsewhere->unreadable[i].err);
		presence_unknown_json(&backups->presence, object);
		reply_json(listing->exchange, 200, object);
	}
	backups_release(backups);
	free(listing);
}

static const struct op_type listing_type = {.name = "listing", .step = listing_step};

void serve_backups(struct exchange *exchange)
{
	struct server *server = exchange->context;
	struct member *member = member_of(exchange);
	struct listing *listing;

	if (!member)
		return;
	listing = xcalloc(1, sizeof(*listing));
	listing->exchange = exchange;
	listing->backups.runtime = server->runtime;
	listing->backups.cluster = member->number;
	op_start_root(server->runtime->loop, &listing->op, &listing_type, listing_done);
}

/* ---- the job of a backup ---- */

struct backup_job {
	struct op op;
	struct backup backup;
	struct site_open open;
	struct member *member;
	char *label;
};

static void backup_job_step(struct op *op)
{
	struct backup_job *job = container_of(op, struct backup_job, op);

	switch (op->state) {
	case 0:
		site_open_start(op, &job->open, job->member->server->runtime, job->member->number);
		return op_wait(op, 1);
	case 1:
		if (op_failed(&job->open.op)) {
			op->err = job->open.op.err;
			return op_fail_own(op);
		}
		backup_start(op, &job->backup);
		return op_wait(op, 2);
	default:
		if (!op_failed(&job->backup.op)) {
			index_names_soon(job->member);
			return op_done(op);
		}
		op->err = job->backup.op.err;
		op_fail_own(op);
	}
}

static const struct op_type backup_job_type = {.name = "backup-job", .step = backup_job_step};

static void backup_job_start(struct op *parent, void *story)
{
	struct backup_job *job = story;

	op_start(parent, &job->op, &backup_job_type);
}

static struct op *backup_job_op(void *story)
{
	return &((struct backup_job *)story)->op;
}

static void backup_job_progress(void *story, struct job_progress *ret)
{
	const struct backup_job *job = story;
	const struct backup_progress *from = &job->backup.progress;

	*ret = (struct job_progress){.phase = backup_phase_text(from->phase),
	                             .bytes_done = from->bytes_done,
	                             .bytes_total = from->bytes_total,
	                             .files_done = from->files_done,
	                             .files_total = from->files_total};
	snprintf(ret->waiting_for, sizeof(ret->waiting_for), "%s", from->waiting_for);
	snprintf(ret->left_out, sizeof(ret->left_out), "%s", from->left_out);
	snprintf(ret->result, sizeof(ret->result), "%s", job->backup.id);
	if (from->phase == BACKUP_DONE)
		ret->exit = backup_exit(&job->backup.head);
}

static void backup_job_free(void *story)
{
	struct backup_job *job = story;

	backup_release(&job->backup);
	free(job->label);
	free(job);
}

static const struct job_kind backup_job_kind = {.name = "backup",
                                                .start = backup_job_start,
                                                .op = backup_job_op,
                                                .progress = backup_job_progress,
                                                .free = backup_job_free};

/* The request's body: nothing, or {"label": …, "fast": true}. */
static bool backup_wishes(const struct exchange *exchange, struct backup_job *job, struct err *err)
{
	struct jval *wishes = NULL;
	const char *label = NULL;
	bool fast = true, good = true;

	if (exchange->body.length == 0)
		return true;
	if (!json_parse(exchange->body.data, exchange->body.length, &wishes, err))
		return err_wrap_as(err, ERR_USAGE, "the request's body is no JSON");
	for (struct jfields field = jfields_of(wishes); good && jfields_next(&field);)
		if (strcmp(field.name, "label") != 0 && strcmp(field.name, "fast") != 0)
			good = err_set(err, ERR_USAGE, "unknown field \"%s\"", field.name);
	if (good && jhas(wishes, "label"))
		good = jget_str(wishes, "label", &label, err);
	if (good && jhas(wishes, "fast"))
		good = jget_bool(wishes, "fast", &fast, err);
	if (good && label && strlen(label) > BACKUP_LABEL_MAX)
		good = err_set(err, ERR_USAGE, "the label is longer than %d bytes",
		               BACKUP_LABEL_MAX);
	if (good && label)
		job->label = xstrdup(label);
	job->backup.spread = !fast;
	jval_free(wishes);
	return good || err_wrap_as(err, ERR_USAGE, "could not start a backup");
}

static bool backup_may_start(const struct member *member, struct err *err)
{
	uint64_t other = jobs_find_running(member->server->jobs, "backup", member->site->cluster);

	if (member->server->draining)
		return err_set(err, ERR_CANCELLED, "the server is stopping");
	if (other == 0)
		return true;
	err_set(err, ERR_REFUSED, "a backup of cluster \"%s\" runs already (job %llu)",
	        member->site->cluster, (unsigned long long)other);
	err_hint(err, "Wait for it, or cancel it: Ctrl-C in the command that started it.");
	return false;
}

void serve_backup_start(struct exchange *exchange)
{
	struct member *member = member_of(exchange);
	struct err err = {.code = ERR_NONE};
	struct backup_job *story;
	struct job *job;
	struct jval *object;

	if (!member)
		return;
	story = xcalloc(1, sizeof(*story));
	story->member = member;
	if (!backup_may_start(member, &err) || !backup_wishes(exchange, story, &err)) {
		backup_job_free(story);
		return exchange_reply_error(exchange, &err);
	}
	story->backup.site = member->site;
	story->backup.label = story->label;
	job = jobs_start(member->server->jobs, &backup_job_kind, member->site->cluster, story,
	                 &err);
	if (!job)
		return exchange_reply_error(exchange, &err);
	object = jobject_new();
	job_json(job, object);
	reply_json(exchange, 202, object);
}

/* ---- jobs ---- */

void serve_jobs(struct exchange *exchange)
{
	struct server *server = exchange->context;
	struct jval *object = jobject_new();

	jset_int(object, "format", 1);
	jobs_json(server->jobs, jset_array(object, "jobs"));
	reply_json(exchange, 200, object);
}

static struct job *job_of(struct exchange *exchange)
{
	struct server *server = exchange->context;
	struct job *job = jobs_find(server->jobs, exchange->part[0]);
	struct err err = {.code = ERR_NONE};

	if (job)
		return job;
	err_set(&err, ERR_NOTFOUND, "there is no job \"%s\"", exchange->part[0]);
	exchange_reply_error(exchange, &err);
	return NULL;
}

static void reply_job(struct exchange *exchange, const struct job *job, unsigned status)
{
	struct jval *object = jobject_new();

	job_json(job, object);
	reply_json(exchange, status, object);
}

void serve_job(struct exchange *exchange)
{
	struct job *job = job_of(exchange);
	const char *accept = exchange_header(exchange, "Accept");

	if (!job)
		return;
	if (accept && strstr(accept, "text/event-stream"))
		return job_watch(job, exchange);
	reply_job(exchange, job, 200);
}

void serve_job_cancel(struct exchange *exchange)
{
	struct job *job = job_of(exchange);

	if (!job)
		return;
	job_cancel(job);
	reply_job(exchange, job, 202);
}
