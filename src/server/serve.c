/*
 * serve.c — the life of the server.
 *
 *   START -> RUNNING -> DRAINING -> CLOSING -> done
 *
 * RUNNING is woken by signals; a tick every SERVER_TICK_MS looks after the state folder and the
 * socket. DRAINING: no new connections, jobs are cancelled, pushes under way may end; what is left
 * at the deadline is cancelled, and a hook that waits for it does the work itself. CLOSING ends
 * archivers and fetchers.
 */
#include "internal.h"

#include <signal.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "base/log.h"
#include "server/server.h"

#include "base/poison.h"

enum { PUSH_AHEAD_MAX = 8, FETCH_AHEAD_MAX = 64, DRAIN_LOOK_MS = 20, WANTS_BYTES_MAX = 4096 };

#define SERVE_STATES(X) X(SERVE_START) X(SERVE_RUNNING) X(SERVE_DRAINING) X(SERVE_CLOSING)
OP_STATES(serve_state, SERVE_STATES)

static const struct route serve_routes[] = {
        {"POST", "/v1/wal/push", serve_push, 0},
        {"POST", "/v1/wal/fetch", serve_fetch, 0},
        {"GET", "/v1/status", serve_status, ROUTE_VIEW},
        {"GET", "/v1/clusters/*/backups", serve_backups, ROUTE_VIEW},
        {"GET", "/v1/clusters/*/intervals", serve_intervals, ROUTE_VIEW},
        {"POST", "/v1/clusters/*/backups", serve_backup_start, 0},
        {"GET", "/v1/jobs", serve_jobs, ROUTE_VIEW},
        {"GET", "/v1/jobs/*", serve_job, ROUTE_VIEW},
        {"POST", "/v1/jobs/*/cancel", serve_job_cancel, 0},
        {NULL},
};

/* A signal or the tick may come in the very turn in which the server has ended. */
static void serve_wake(struct server *server)
{
	if (!server->op.done)
		op_wake(&server->op);
}

/* ---- looking after the state folder ---- */

/* Once for each reason, although it is tried at every tick. */
static void serve_tell(const struct err *err, struct err *told)
{
	if (strcmp(told->text, err->text) != 0)
		log_err(LOG_WARNING, err, ", will try again");
	*told = *err;
}

static void serve_mend_state(struct server *server)
{
	const char *state = server->config->server.state;
	struct err err = {.code = ERR_NONE};

	if (lock_intact(server))
		return;
	lock_release(server);
	if (!lock_take(server, &err))
		return serve_tell(&err, &server->state_error);
	err_clear(&server->state_error);
	log_warning("the state folder \"%s\" was deleted; it is made again", state);
}

static void serve_mend_socket(struct server *server)
{
	const char *socket = server->config->server.socket;
	AUTO_FREE char *folder = path_folder(socket);
	struct err err = {.code = ERR_NONE};

	if (listener_unix_intact(server->listener))
		return;
	if (!durable_mkdir(folder, 0700, &err) || !listener_rebind_unix(server->listener, &err)) {
		err_wrap(&err, "nobody can reach the server at socket \"%s\"", socket);
		return serve_tell(&err, &server->socket_error);
	}
	err_clear(&server->socket_error);
	log_warning("socket \"%s\" was deleted; it is made again", socket);
}

static void serve_tick(struct timer *timer)
{
	struct server *server = container_of(timer, struct server, tick);

	if (server->draining)
		return serve_wake(server);
	serve_mend_state(server);
	serve_mend_socket(server);
	timer_set(timer, SERVER_TICK_MS);
}

static void serve_look(struct timer *timer)
{
	look_start(container_of(timer, struct server, look_timer));
	timer_set(timer, SERVER_LOOK_MS);
}

static void serve_job_ended(void *context, const struct job *job)
{
	(void)job;
	look_start(context);
}

/* ---- signals ---- */

static void on_stop(void *context)
{
	struct server *server = context;

	server->hurry = server->stop_asked;
	server->stop_asked = true;
	serve_wake(server);
}

static void on_reload(void *context)
{
	struct server *server = context;

	server->reload_asked = true;
	serve_wake(server);
}

static void serve_reload(struct server *server)
{
	struct err err = {.code = ERR_NONE};
	struct strs changes = {.count = 0};
	char state[64];
	struct config *fresh;
	bool restart;

	server->reload_asked = false;
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
	         (long long)clock_mono_us());
	notify(state);
	fresh = config_load(server->config_given, &err);
	if (!fresh) {
		log_err(LOG_ERROR, &err, ", the settings stay as they were");
		return notify("READY=1");
	}
	restart = config_diff(server->config, fresh, &changes);
	buf_clear(&server->reload_wants);
	for (size_t i = 0; i < changes.count; i++)
		log_info("configuration: %s", changes.item[i]);
	if (restart)
		buf_addstr(&server->reload_wants, "some changed settings need a restart");
	if (restart)
		log_warning("some of the changed settings need a restart of the server");
	if (changes.count == 0)
		log_info("the configuration was read again: nothing has changed");
	config_reload(server->config, fresh);
	runtime_reload(server->runtime);
	log_setup((enum log_level)server->config->server.log_level,
	          (enum log_format)server->config->server.log);
	strs_release(&changes);
	config_free(fresh);
	notify("READY=1");
}

/* ---- the end ---- */

static void serve_drain(struct server *server)
{
	server->draining = true;
	server->drain_until_ms = loop_now_ms(server->op.loop) + SERVER_DRAIN_MS;
	notify("STOPPING=1");
	log_info("stopping: what is under way may end");
	listener_quiesce(server->listener);
	timer_stop(&server->look_timer);
	jobs_cancel_all(server->jobs);
	look_cancel(server);
	for (size_t i = 0; i < server->config->clusters; i++)
		index_cancel(&server->member[i]);
	timer_set(&server->tick, DRAIN_LOOK_MS);
	op_wait(&server->op, SERVE_DRAINING);
}

static bool serve_indexes(const struct server *server)
{
	for (size_t i = 0; i < server->config->clusters; i++)
		if (!index_is_quiet(&server->member[i]))
			return true;
	return false;
}

static bool serve_is_quiet(const struct server *server)
{
	return !server->asks && !server->look && !serve_indexes(server) &&
	       jobs_running(server->jobs) == 0 && listener_open(server->listener) == 0;
}

static bool serve_archives(const struct server *server)
{
	struct archiver_figures figures;

	for (size_t i = 0; i < server->config->clusters; i++) {
		archiver_figures(server->member[i].archiver, &figures);
		if (figures.under_way > 0)
			return true;
	}
	return false;
}

static void serve_close(struct server *server)
{
	for (size_t i = 0; i < server->config->clusters; i++) {
		struct member *member = &server->member[i];

		member->archiver_close.archiver = member->archiver;
		archiver_close_start(&server->op, &member->archiver_close);
		member->fetcher_close.fetcher = member->fetcher;
		fetcher_close_start(&server->op, &member->fetcher_close);
	}
	for (unsigned i = 0; i < server->planned_count; i++) {
		server->planned[i]->close.fetcher = server->planned[i]->fetcher;
		fetcher_close_start(&server->op, &server->planned[i]->close);
	}
	op_wait(&server->op, SERVE_CLOSING);
}

static void serve_draining(struct server *server)
{
	bool late = server->hurry || loop_now_ms(server->op.loop) >= server->drain_until_ms;

	if (late)
		asks_cancel(server);
	if (serve_is_quiet(server) && (late || !serve_archives(server)))
		return serve_close(server);
	timer_set(&server->tick, DRAIN_LOOK_MS);
	op_wait(&server->op, SERVE_DRAINING);
}

static void serve_step(struct op *op)
{
	struct server *server = container_of(op, struct server, op);

	switch ((enum serve_state)op->state) {
	case SERVE_START:
	case SERVE_RUNNING:
		if (server->reload_asked)
			serve_reload(server);
		if (server->stop_asked)
			return serve_drain(server);
		return op_wait(op, SERVE_RUNNING);
	case SERVE_DRAINING:
		return serve_draining(server);
	case SERVE_CLOSING:
		if (op->children == 0)
			op_done(op);
	}
}

/* Only signals end it; that it can be cancelled keeps it asleep without children. */
static void serve_cancel(struct op *op)
{
	on_stop(container_of(op, struct server, op));
}

static const struct op_type serve_type = {.name = "serve",
                                          .step = serve_step,
                                          .cancel = serve_cancel,
                                          .state_name = serve_state_name};

/* ---- the beginning ---- */

static void serve_make_members(struct server *server)
{
	struct runtime *runtime = server->runtime;

	server->member = xcalloc(server->config->clusters, sizeof(*server->member));
	server->space = xcalloc(server->config->repositories, sizeof(*server->space));
	server->writers_told = xcalloc(server->config->repositories, sizeof(*server->writers_told));
	for (size_t i = 0; i < server->config->clusters; i++) {
		struct member *member = &server->member[i];
		struct fetcher_options fetch = {.site = &runtime->site[i],
		                                .ahead_max = FETCH_AHEAD_MAX};

		member->server = server;
		member->number = i;
		member->site = &runtime->site[i];
		member->archiver = archiver_new(member->site, PUSH_AHEAD_MAX);
		member->fetcher = fetcher_new(&fetch);
		index_begin(member);
	}
}

static bool serve_listen(struct server *server, struct err *err)
{
	const struct config_server *settings = &server->config->server;
	AUTO_FREE char *folder = path_folder(settings->socket);

	server->listener = listener_new(server->runtime->loop, serve_routes, server);
	if (!durable_mkdir(folder, 0700, err) ||
	    !listener_add_unix(server->listener, settings->socket, err))
		return err_wrap(err, "could not start the server");
	if (!settings->http)
		return true;
	if (listener_add_tcp(server->listener, settings->http, &server->http_error))
		return true;
	server->http_failed = true;
	log_err(LOG_WARNING, &server->http_error, ", going on without it");
	return true;
}

/* Before anybody can know of the server: a SIGHUP that finds no handler would end it. They are
 * called by the loop, so nothing happens before it runs. */
static void serve_watch_signals(struct server *server)
{
	struct loop *loop = server->runtime->loop;

	loop_on_signal(loop, SIGTERM, on_stop, server);
	loop_on_signal(loop, SIGINT, on_stop, server);
	loop_on_signal(loop, SIGHUP, on_reload, server);
}

static void serve_begin(struct server *server)
{
	struct loop *loop = server->runtime->loop;

	serve_make_members(server);
	server->jobs = jobs_new(loop);
	jobs_on_end(server->jobs, serve_job_ended, server);
	timer_init(&server->tick, loop, serve_tick);
	timer_set(&server->tick, SERVER_TICK_MS);
	timer_init(&server->look_timer, loop, serve_look);
	timer_set(&server->look_timer, 0);
}

static void ignore_signal(void *context)
{
	(void)context;
}

static void serve_ignore_signals(struct server *server)
{
	loop_on_signal(server->runtime->loop, SIGTERM, ignore_signal, NULL);
	loop_on_signal(server->runtime->loop, SIGINT, ignore_signal, NULL);
	loop_on_signal(server->runtime->loop, SIGHUP, ignore_signal, NULL);
}

static void serve_end(struct server *server)
{
	serve_ignore_signals(server);
	timer_release(&server->tick);
	timer_release(&server->look_timer);
	loop_run(server->runtime->loop); /* what ends by itself: fetchers that were given up */
	listener_free(server->listener);
	jobs_free(server->jobs);
	for (unsigned i = 0; i < server->planned_count; i++) {
		restore_plan_release(&server->planned[i]->plan);
		free(server->planned[i]);
	}
	for (size_t i = 0; i < server->config->clusters; i++)
		index_end(&server->member[i]);
	buf_release(&server->reload_wants);
	free(server->member);
	free(server->space);
	free(server->writers_told);
}

bool server_run(const struct server_options *options, struct err *err)
{
	struct server server = {.runtime = options->runtime,
	                        .config = options->config,
	                        .config_given = options->config_given,
	                        .begun_us = clock_now_us(),
	                        .lock_fd = -1};
	bool good;

	buf_init(&server.reload_wants, WANTS_BYTES_MAX);
	good = lock_take(&server, err);
	if (good) { /* not before: another server of this process keeps its signals */
		serve_watch_signals(&server);
		good = serve_listen(&server, err);
		if (!good)
			serve_ignore_signals(&server);
	}
	if (good) {
		serve_begin(&server);
		log_info("serving %zu cluster%s on socket \"%s\"", server.config->clusters,
		         server.config->clusters == 1 ? "" : "s", server.config->server.socket);
		notify("READY=1");
		loop_run_op(server.runtime->loop, &server.op, &serve_type);
		serve_end(&server);
		log_info("stopped");
	} else {
		listener_free(server.listener);
		buf_release(&server.reload_wants);
	}
	lock_release(&server);
	return good;
}
