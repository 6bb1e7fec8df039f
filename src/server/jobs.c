/*
 * jobs.c — the registry of jobs, and those who watch them.
 *
 * A job that ended lets go of its story and keeps its last progress. One timer serves all watchers:
 * every WATCH_MS it sends to each what has changed since, and a comment when nothing did for
 * ALIVE_MS, so that a client that left is noticed; without watchers it does not run.
 */
#include "server/jobs.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "server/listener.h"

#include "base/poison.h"

enum { WATCH_MS = 500, ALIVE_MS = 5000, WATCHERS_MAX = 64, EVENT_BYTES_MAX = 32 * 1024 };

struct watcher {
	struct job *job;
	struct exchange *exchange;
	struct buf last; /* the event sent last */
	int64_t sent_ms;
	struct watcher *next;
};

struct job {
	struct op op;
	uint64_t id;
	struct jobs *jobs;
	const struct job_kind *kind;
	char cluster[JOB_TEXT_BYTES];
	void *story; /* NULL: ended */
	enum job_state state;
	int64_t begun_us, ended_us;
	struct job_progress progress;
	struct err err;
	struct job *next; /* newer to older */
};

struct jobs {
	struct loop *loop;
	struct job *list;
	uint64_t next_id;
	unsigned running, ended;
	struct watcher *watchers;
	unsigned watchers_count;
	struct timer timer;
	void (*on_end)(void *context, const struct job *job);
	void *context;
};

static void watchers_fired(struct timer *timer);

struct jobs *jobs_new(struct loop *loop)
{
	struct jobs *jobs = xcalloc(1, sizeof(*jobs));

	jobs->loop = loop;
	jobs->next_id = 1;
	timer_init(&jobs->timer, loop, watchers_fired);
	return jobs;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	assert(jobs->running == 0 && !jobs->watchers);
	while (jobs->list) {
		struct job *job = jobs->list;

		jobs->list = job->next;
		free(job);
	}
	timer_release(&jobs->timer);
	free(jobs);
}

void jobs_on_end(struct jobs *jobs, void (*ended)(void *context, const struct job *job),
                 void *context)
{
	jobs->on_end = ended;
	jobs->context = context;
}

/* ---- the job's operation ---- */

static void job_step(struct op *op)
{
	struct job *job = container_of(op, struct job, op);

	if (op->state == 0) {
		job->kind->start(op, job->story);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type job_type = {.name = "job", .step = job_step};

/* Drops the oldest that ended while there are more than are kept; watched ones stay. */
static void jobs_trim(struct jobs *jobs)
{
	struct job **oldest = NULL;

	if (jobs->ended <= JOBS_ENDED_MAX)
		return;
	for (struct job **at = &jobs->list; *at; at = &(*at)->next)
		if ((*at)->state != JOB_RUNNING)
			oldest = at;
	if (!oldest)
		return;
	for (struct watcher *watcher = jobs->watchers; watcher; watcher = watcher->next)
		if (watcher->job == *oldest)
			return;
	struct job *job = *oldest;

	*oldest = job->next;
	free(job);
	jobs->ended--;
}

static void job_speak(const struct job *job)
{
	if (job->state == JOB_DONE)
		log_info("job %llu, %s of cluster \"%s\", is done%s%s", (unsigned long long)job->id,
		         job->kind->name, job->cluster, job->progress.result[0] ? ": " : "",
		         job->progress.result);
	else
		log_err(LOG_ERROR, &job->err, NULL);
}

static void job_done(struct op *op)
{
	struct job *job = container_of(op, struct job, op);
	struct jobs *jobs = job->jobs;
	const struct op *story = job->kind->op(job->story);

	job->kind->progress(job->story, &job->progress);
	job->ended_us = clock_now_us();
	job->state = JOB_DONE;
	if (op_failed(story)) {
		job->err = story->err;
		job->state = job->err.code == ERR_CANCELLED ? JOB_CANCELLED : JOB_FAILED;
		err_wrap(&job->err, "%s of cluster \"%s\" failed (job %llu)", job->kind->name,
		         job->cluster, (unsigned long long)job->id);
	}
	job->kind->free(job->story);
	job->story = NULL;
	jobs->running--;
	jobs->ended++;
	job_speak(job);
	if (jobs->on_end)
		jobs->on_end(jobs->context, job);
	if (jobs->watchers)
		timer_set(&jobs->timer, 0);
	jobs_trim(jobs);
}

struct job *jobs_start(struct jobs *jobs, const struct job_kind *kind, const char *cluster,
                       void *story, struct err *err)
{
	struct job *job;

	if (jobs->running >= JOBS_RUNNING_MAX) {
		kind->free(story);
		err_set(err, ERR_REFUSED, "%u jobs run already", jobs->running);
		return NULL;
	}
	job = xcalloc(1, sizeof(*job));
	job->jobs = jobs;
	job->kind = kind;
	job->story = story;
	job->id = jobs->next_id++;
	job->begun_us = clock_now_us();
	if (!str_copy(job->cluster, sizeof(job->cluster), cluster))
		job->cluster[0] = '\0';
	job->next = jobs->list;
	jobs->list = job;
	jobs->running++;
	op_start_root(jobs->loop, &job->op, &job_type, job_done);
	return job;
}

unsigned jobs_running(const struct jobs *jobs)
{
	return jobs->running;
}

uint64_t jobs_find_running(const struct jobs *jobs, const char *kind, const char *cluster)
{
	for (const struct job *job = jobs->list; job; job = job->next)
		if (job->state == JOB_RUNNING && strcmp(job->kind->name, kind) == 0 &&
		    strcmp(job->cluster, cluster) == 0)
			return job->id;
	return 0;
}

void jobs_cancel_all(struct jobs *jobs)
{
	for (struct job *job = jobs->list; job; job = job->next)
		job_cancel(job);
}

uint64_t job_id(const struct job *job)
{
	return job->id;
}

const char *job_cluster(const struct job *job)
{
	return job->cluster;
}

struct job *jobs_find(struct jobs *jobs, const char *id)
{
	uint64_t number;

	if (!str_u64(id, &number))
		return NULL;
	for (struct job *job = jobs->list; job; job = job->next)
		if (job->id == number)
			return job;
	return NULL;
}

void job_cancel(struct job *job)
{
	if (job->state == JOB_RUNNING)
		op_cancel(&job->op);
}

/* ---- what is told ---- */

void job_json(const struct job *job, struct jval *object)
{
	static const char *const states[] = {"running", "done", "failed", "cancelled"};
	char text[ERR_TEXT_MAX + ERR_HINT_MAX + 16];
	struct job_progress progress = job->progress;

	if (job->story)
		job->kind->progress(job->story, &progress);
	jset_u64(object, "id", job->id);
	jset_str(object, "kind", job->kind->name);
	jset_str(object, "cluster", job->cluster);
	jset_str(object, "state", states[job->state]);
	jset_str(object, "phase", progress.phase);
	jset_u64(object, "bytes_done", progress.bytes_done);
	jset_u64(object, "bytes_total", progress.bytes_total);
	jset_u64(object, "files_done", progress.files_done);
	jset_u64(object, "files_total", progress.files_total);
	if (progress.waiting_for[0])
		jset_str(object, "waiting_for", progress.waiting_for);
	if (progress.left_out[0])
		jset_str(object, "left_out", progress.left_out);
	if (progress.result[0])
		jset_str(object, "result", progress.result);
	clock_text_utc(job->begun_us, text);
	jset_str(object, "begun", text);
	if (job->state == JOB_RUNNING)
		return;
	clock_text_utc(job->ended_us, text);
	jset_str(object, "ended", text);
	jset_int(object, "exit",
	         job->state == JOB_DONE ? progress.exit : err_code_exit(job->err.code));
	if (job->state == JOB_DONE)
		return;
	jset_str(object, "error_code", err_code_name(job->err.code));
	jset_str(object, "error", job->err.text);
	if (job->err.hint[0])
		jset_str(object, "hint", job->err.hint);
}

void jobs_json(const struct jobs *jobs, struct jval *array)
{
	for (const struct job *job = jobs->list; job; job = job->next)
		job_json(job, jadd_object(array));
}

/* ---- watchers ---- */

static void watcher_gone(struct exchange *exchange)
{
	struct watcher *watcher = exchange->user;
	struct jobs *jobs = watcher->job->jobs;

	for (struct watcher **at = &jobs->watchers; *at; at = &(*at)->next)
		if (*at == watcher) {
			*at = watcher->next;
			break;
		}
	jobs->watchers_count--;
	buf_release(&watcher->last);
	free(watcher);
}

static void event_text(const struct job *job, struct buf *out)
{
	struct jval *object = jobject_new();

	job_json(job, object);
	buf_addf(out, "event: %s\ndata: ", job->state == JOB_RUNNING ? "progress" : "end");
	json_print(object, false, out);
	buf_addstr(out, "\n\n");
	jval_free(object);
}

static void watcher_send(struct watcher *watcher, int64_t now_ms)
{
	AUTO_BUF struct buf event;

	buf_init(&event, EVENT_BYTES_MAX);
	event_text(watcher->job, &event);
	if (strcmp(buf_text(&event), buf_text(&watcher->last)) == 0) {
		if (now_ms - watcher->sent_ms < ALIVE_MS)
			return;
		buf_clear(&event);
		buf_addstr(&event, ": still here\n\n");
	} else {
		buf_clear(&watcher->last);
		buf_add(&watcher->last, event.data, event.length);
	}
	watcher->sent_ms = now_ms;
	exchange_stream_send(watcher->exchange, &event);
}

static void watchers_fired(struct timer *timer)
{
	struct jobs *jobs = container_of(timer, struct jobs, timer);
	int64_t now_ms = loop_now_ms(jobs->loop);
	bool more = false;

	for (struct watcher *watcher = jobs->watchers; watcher; watcher = watcher->next) {
		if (watcher->sent_ms < 0) /* told its end; the connection is not closed yet */
			continue;
		watcher_send(watcher, now_ms);
		if (watcher->job->state == JOB_RUNNING) {
			more = true;
			continue;
		}
		watcher->sent_ms = -1;
		exchange_stream_end(watcher->exchange);
	}
	if (more)
		timer_set(timer, WATCH_MS);
}

void job_watch(struct job *job, struct exchange *exchange)
{
	struct jobs *jobs = job->jobs;
	struct watcher *watcher;

	if (jobs->watchers_count >= WATCHERS_MAX) {
		struct err err = {.code = ERR_NONE};

		err_set(&err, ERR_REFUSED, "%u clients watch jobs already", jobs->watchers_count);
		return exchange_reply_error(exchange, &err);
	}
	watcher = xcalloc(1, sizeof(*watcher));
	watcher->job = job;
	watcher->exchange = exchange;
	buf_init(&watcher->last, EVENT_BYTES_MAX);
	watcher->next = jobs->watchers;
	jobs->watchers = watcher;
	jobs->watchers_count++;
	exchange->user = watcher;
	exchange->stream_ended = watcher_gone;
	exchange_stream(exchange, "text/event-stream");
	timer_set(&jobs->timer, 0);
}
