/*
 * jobs.h — work that somebody asked the server for and may watch: a story with a number, its
 * progress, and how it ended.
 *
 * Each job is a root operation that waits for its story. The last JOBS_ENDED_MAX that have ended
 * are kept, in memory only. At most JOBS_RUNNING_MAX run at a time.
 */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H

#include "codec/json.h"
#include "loop/loop.h"

enum { JOBS_ENDED_MAX = 100, JOBS_RUNNING_MAX = 16, JOB_TEXT_BYTES = 128 };

struct jobs;
struct job;
struct exchange;

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

struct job_progress {
	const char *phase; /* a constant text, or NULL */
	uint64_t bytes_done, bytes_total, files_done, files_total;
	char waiting_for[JOB_TEXT_BYTES], result[JOB_TEXT_BYTES]; /* "": none */
	char left_out[256]; /* repositories that do not get it; "": none */
	int exit;           /* of the command, when the story ended without error */
};

/* What a story is to a job. story is on the heap and the job's from jobs_start on. */
struct job_kind {
	const char *name; /* "backup" */
	void (*start)(struct op *parent, void *story);
	struct op *(*op)(void *story);
	void (*progress)(void *story, struct job_progress *ret);
	void (*free)(void *story); /* after the end */
};

struct jobs *jobs_new(struct loop *loop);
/* None may be running. NULL is fine. */
void jobs_free(struct jobs *jobs);

/* NULL (and story is freed) with err when too many run. cluster must stay. */
struct job *jobs_start(struct jobs *jobs, const struct job_kind *kind, const char *cluster,
                       void *story, struct err *err);
unsigned jobs_running(const struct jobs *jobs);
/* Whether one of this kind runs for the cluster; its number, or 0. */
uint64_t jobs_find_running(const struct jobs *jobs, const char *kind, const char *cluster);
void jobs_cancel_all(struct jobs *jobs);

uint64_t job_id(const struct job *job);
struct job *jobs_find(struct jobs *jobs, const char *id); /* NULL: unknown */
void job_cancel(struct job *job);
/* Fields of one job; all jobs, the newest first. */
void job_json(const struct job *job, struct jval *object);
void jobs_json(const struct jobs *jobs, struct jval *array);
/* Called when a job has ended; one function for all. */
void jobs_on_end(struct jobs *jobs, void (*ended)(void *context, const struct job *job),
                 void *context);
const char *job_cluster(const struct job *job);

/* Replies with server-sent events: "progress" when something changed, at most twice a second, and
 * "end" with the last state. */
void job_watch(struct job *job, struct exchange *exchange);

#endif
