/*
 * restore_follow.c — the replay, from the start of PostgreSQL to its checked end.
 *
 *   START -> SERVING (a worker writes the plan with our socket) -> STARTING (the server, in a
 *   session of its own: it outlives us)
 *         -> SIGHTING (a worker: lock file, pg_control) -> CONNECTING -> ASKING -> RESTING -> …
 *         -> JUDGING (a worker: the timeline of the last page) -> ACTING (promote) -> … -> ENDING
 *
 * The server pauses at the target by itself. Only when position and timeline of what it replayed
 * last are those of the plan is it told to go on. As long as nobody can be let in, since a
 * transaction of many subtransactions was under way all the time, it does not pause but promotes
 * itself: then the new timeline's history tells where that was (ENDED). A server that ends by
 * itself ended for a reason: its own words are shown, and a target that never came is told from
 * everything else.
 */
#include "restore_internal.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

enum follow_state {
	FOLLOW_START,
	FOLLOW_SERVING,
	FOLLOW_STARTING,
	FOLLOW_SIGHTING,
	FOLLOW_CONNECTING,
	FOLLOW_ASKING,
	FOLLOW_RESTING,
	FOLLOW_JUDGING,
	FOLLOW_ACTING,
	FOLLOW_ENDED,
	FOLLOW_EXPLAINING,
};
enum {
	POLL_MS = 200,
	ABSENT_POLLS_MAX = 15, /* of a server that was started and is not seen */
	RESTARTS_MAX = 8,
	REFUSED_POLLS_MAX = 50, /* of one that is ready and lets us not in */
	WAL_PAGE_BYTES = 8192,
	WAL_PAGE_HEADER_BYTES = 24,
	WAL_LONG_HEADER_BYTES = 40,
};

/* One row: in recovery, replayed up to, last commit (us since 1970), paused, timeline of a primary.
 */
static const char sql_13[] =
        "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn(),"
        " (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8,"
        " CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,"
        " CASE WHEN pg_is_in_recovery() THEN NULL"
        " ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";
static const char sql_14[] =
        "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn(),"
        " (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8,"
        " CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() = 'paused'"
        " ELSE false END,"
        " CASE WHEN pg_is_in_recovery() THEN NULL"
        " ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

static void enter(struct restore_follow *follow, enum restore_phase phase)
{
	struct restore *restore = follow->restore;

	if (restore->progress.phase == phase)
		return;
	restore->progress.phase = phase;
	if (phase == RESTORE_REPLAYING)
		restore->progress.replay_begun_ms = loop_now_ms(follow->op.loop);
	if (restore->changed)
		restore->changed(restore);
}

/* ---- starting ---- */

static void write_plan_run(struct work *work)
{
	struct restore_follow *follow = container_of(work, struct restore_follow, work);
	const struct restore_plan *plan = &follow->restore->plan;
	AUTO_FREE char *path = path_join(plan->pgdata, RESTORE_PLAN_FILE);
	struct stat status;

	if (stat(follow->log, &status) == 0)
		follow->log_from = (uint64_t)status.st_size;
	else if (!durable_write_inside(follow->log, "", 0, &work->op.err)) /* with its mode */
		return;
	if (!restore_plan_write(plan, path, &work->op.err))
		return;
	/* Killed while the replay ran: the server may be there still, and is followed. */
	restore_sight(follow);
}

static void serve(struct restore_follow *follow)
{
	struct restore *restore = follow->restore;
	struct err err = {0};
	char line[ERR_TEXT_MAX];

	restore->plan.socket[0] = 0;
	if (!restore->serve)
		return;
	follow->served = restore->serve(restore, &err);
	if (follow->served)
		return;
	restore->plan.socket[0] = 0;
	err_line(&err, line, sizeof(line));
	if (restore->said)
		restore->said(restore, line); /* slower, not wrong: the hook does it alone */
}

static void server_start(struct restore_follow *follow)
{
	static const char script[] = "setsid \"$@\" </dev/null >>\"$SEAWALL_LOG\" 2>&1 & echo $!";
	struct restore *restore = follow->restore;
	const char *config = restore_config_file(restore);
	unsigned n = 0;

	follow->program = path_join(restore->detail->pg_bin, "postgres");
	follow->log_env = xasprintf("SEAWALL_LOG=%s", follow->log);
	follow->env[0] = follow->log_env;
	follow->argv[n++] = "/bin/sh";
	follow->argv[n++] = "-c";
	follow->argv[n++] = script;
	follow->argv[n++] = "sh";
	follow->argv[n++] = follow->program;
	follow->argv[n++] = "-D";
	follow->argv[n++] = restore->plan.pgdata;
	if (config) {
		follow->config = xasprintf("config_file=%s", config);
		follow->argv[n++] = "-c";
		follow->argv[n++] = follow->config;
	}
	follow->argv[n] = NULL;
	follow->child = (struct child){.argv = follow->argv,
	                               .folder = "/",
	                               .env_add = follow->env,
	                               .own_group = true,
	                               .timeout_ms = 30000};
	child_start(&follow->op, &follow->child);
	op_wait(&follow->op, FOLLOW_STARTING);
}

static void sight_run(struct work *work)
{
	restore_sight(container_of(work, struct restore_follow, work));
}

static void look(struct restore_follow *follow, int state)
{
	follow->work = (struct work){0};
	work_start_class(&follow->op, &follow->work, WORK_RESTORE, sight_run);
	op_wait(&follow->op, state);
}

static void rest(struct restore_follow *follow)
{
	nap_start(&follow->op, &follow->nap, POLL_MS);
	op_wait(&follow->op, FOLLOW_RESTING);
}

/* ---- the session ---- */

static bool has_uri(const char *connect)
{
	return str_starts(connect, "postgresql://") || str_starts(connect, "postgres://");
}

/* The configured role and database, but this server's socket. */
static char *connect_string(const struct restore_follow *follow)
{
	const char *given = follow->restore->site->connect;
	AUTO_BUF struct buf out;

	buf_init(&out, 16384);
	if (given && !has_uri(given))
		buf_addf(&out, "%s ", given);
	buf_addstr(&out, "hostaddr='' host='");
	for (const char *p = follow->sight.socket_folder; *p; p++) {
		if (*p == '\'' || *p == '\\')
			buf_addc(&out, '\\');
		buf_addc(&out, *p);
	}
	buf_addf(&out, "' port=%u", follow->sight.port);
	return buf_steal(&out);
}

static void ask(struct restore_follow *follow)
{
	struct query_text text = {
	        .sql = follow->session.server_version >= 140000 ? sql_14 : sql_13,
	        .timeout_ms = 30000,
	};

	query_release(&follow->query);
	follow->query = (struct query){0};
	query_start(&follow->op, &follow->query, &follow->session, &text);
	op_wait(&follow->op, FOLLOW_ASKING);
}

static bool answer_is(const struct query *query, unsigned column, const char *text)
{
	const char *value = query_rows(query) == 1 ? query_value(query, 0, column) : NULL;

	return value && strcmp(value, text) == 0;
}

static void take_answer(struct restore_follow *follow)
{
	struct restore *restore = follow->restore;
	const struct query *query = &follow->query;
	const char *value = query_value(query, 0, 1);
	const char *commit = query_value(query, 0, 2);
	uint64_t number;
	lsn at;

	if (value && lsn_parse(value, &at) && at) {
		restore->reached_lsn = restore->progress.replay_at = at;
		if (!restore->progress.replay_from)
			restore->progress.replay_from = restore->plan.start_lsn;
	}
	if (commit && str_u64(commit, &number))
		restore->reached_commit_us = restore->progress.replay_commit_us = (int64_t)number;
	value = query_value(query, 0, 4);
	if (value && str_hex(value, 8, true, &number))
		restore->new_tli = (uint32_t)number;
}

/* ---- the end ---- */

/* A record that ends at a page's end may be said to end behind the next page's header. */
static lsn plain_end(lsn at, uint32_t segment_bytes)
{
	uint64_t in_page = at % WAL_PAGE_BYTES;

	if (in_page == WAL_PAGE_HEADER_BYTES ||
	    (in_page == WAL_LONG_HEADER_BYTES && at % segment_bytes == in_page))
		return at - in_page;
	return at;
}

static bool judge_position(const struct restore *restore, struct err *err)
{
	const struct restore_plan *plan = &restore->plan;
	lsn at = plain_end(restore->reached_lsn, plan->segment_bytes);
	lsn want = plain_end(plan->end_lsn, plan->segment_bytes);

	if (plan->end_start && at != want)
		return err_set(err, ERR_FAILED,
		               "the replay paused at " LSN_FORMAT ", the plan ends at " LSN_FORMAT,
		               LSN_ARGS(at), LSN_ARGS(want));
	if (at < plan->stop_lsn)
		return err_set(err, ERR_FAILED,
		               "the replay paused at " LSN_FORMAT
		               ", before the end of the backup at " LSN_FORMAT,
		               LSN_ARGS(at), LSN_ARGS(plan->stop_lsn));
	if (plan->end_start || plan->target.kind != RESTORE_LSN)
		return true;
	if (plan->target.before ? at > plan->target.position : at < plan->target.position)
		return err_set(err, ERR_FAILED,
		               "the replay paused at " LSN_FORMAT
		               ", which is not at lsn " LSN_FORMAT,
		               LSN_ARGS(at), LSN_ARGS(plan->target.position));
	return true;
}

/* Not only the number of bytes, also whose they are: the page that holds the last one. */
static bool judge_timeline(struct restore *restore, struct err *err)
{
	const struct restore_plan *plan = &restore->plan;
	const struct server_sight *sight = &restore->detail->follow.sight;
	lsn last = sight->page_of - 1;
	uint32_t want = history_tli_at(&plan->path, sight->page_at);

	restore->reached_tli = history_tli_at(&plan->path, last);
	if (sight->parent_copy)
		return err_set(
		        err, ERR_FAILED,
		        "pg_wal holds an older timeline's copy of the segment that the replay "
		        "ended in: it may have left the path to timeline %u",
		        plan->path.tli);
	if (sight->page_tli && sight->page_tli != want)
		return err_set(err, ERR_FAILED,
		               "the last WAL page replayed is of timeline %u, the plan says %u",
		               sight->page_tli, want);
	if (!sight->page_tli)
		return err_set(err, ERR_FAILED,
		               "the WAL page replayed last, at " LSN_FORMAT
		               ", is not in pg_wal: its timeline cannot be checked",
		               LSN_ARGS(last - last % WAL_PAGE_BYTES));
	return true;
}

static void stop_server(struct restore_follow *follow, int signal_number)
{
	pid_t pid = follow->pid ? follow->pid : follow->sight.pid;

	follow->ending = true;
	session_close(&follow->session);
	if (pid > 0)
		kill(pid, signal_number);
}

static void act(struct restore_follow *follow)
{
	struct query_text text = {.sql = "SELECT pg_promote(false)", .timeout_ms = 30000};

	follow->checked = true;
	follow->restore->progress.replay_ms =
	        loop_now_ms(follow->op.loop) - follow->restore->progress.replay_begun_ms;
	enter(follow, RESTORE_FINISHING);
	switch (follow->restore->options->then) {
	case RESTORE_PAUSE:
		session_close(&follow->session);
		return op_done(&follow->op);
	case RESTORE_SHUTDOWN:
		stop_server(follow, SIGINT);
		return rest(follow);
	case RESTORE_PROMOTE:
		query_release(&follow->query);
		follow->query = (struct query){0};
		query_start(&follow->op, &follow->query, &follow->session, &text);
		return op_wait(&follow->op, FOLLOW_ACTING);
	}
}

/* A server that has less than the WAL says the primary had pauses there, or ends (13): not at its
 * target, so it is told more and started again. */
static void raise_run(struct work *work)
{
	struct restore_follow *follow = container_of(work, struct restore_follow, work);
	struct restore *restore = follow->restore;

	restore_sight(follow);
	follow->raised = false;
	if (follow->restarts < RESTARTS_MAX &&
	    !restore_raise_floors(restore, &follow->raised, &work->op.err))
		err_wrap(&work->op.err, "could not raise the settings of the server");
}

static void explain_run(struct work *work)
{
	struct restore_follow *follow = container_of(work, struct restore_follow, work);
	const struct restore *restore = follow->restore;
	const struct restore_plan *plan = &restore->plan;
	AUTO_BUF struct buf lines;
	AUTO_BUF struct buf target;
	char last[TIME_TEXT_BYTES] = "unknown";
	int64_t commit_us = MAX(plan->last_commit_us, restore->reached_commit_us);
	bool missed;

	buf_init(&lines, 16384);
	buf_init(&target, 512);
	raise_run(work);
	if (follow->raised || err_is(&work->op.err))
		return;
	restore_log_tail(follow, &lines, &missed);
	if (commit_us)
		clock_text_utc(commit_us, last);
	restore_target_text(&plan->target, plan->time_zone, &target);
	if (missed) {
		err_set(&work->op.err, ERR_FAILED,
		        "the target never came: %s is not in the archived WAL; the last commit was "
		        "at "
		        "%s",
		        buf_text(&target), last);
		err_hint(&work->op.err, "The directory is kept and stopped, nothing was promoted. "
		                        "Restore again with another "
		                        "target, into an empty directory or with --in-place.");
		return;
	}
	err_set(&work->op.err, ERR_POSTGRES, "PostgreSQL ended during the recovery");
	if (lines.length && restore->said) {
		str_clean(str_trim(lines.data)); /* one line: it is a reason, the log has it all */
		err_wrap(&work->op.err, "%.1000s", str_trim(lines.data));
	}
	err_hint(&work->op.err, "Its log is \"%s\". The same command starts it again.",
	         follow->log);
}

static void explain(struct restore_follow *follow)
{
	session_close(&follow->session);
	follow->work = (struct work){0};
	work_start_class(&follow->op, &follow->work, WORK_RESTORE, explain_run);
	op_wait(&follow->op, FOLLOW_EXPLAINING);
}

/* ---- the story ---- */

static void server_again(struct restore_follow *follow)
{
	follow->raised = false;
	follow->restarts++;
	follow->pid = 0;
	follow->absent_polls = 0;
	child_release(&follow->child);
	free(STEAL(follow->program));
	free(STEAL(follow->log_env));
	free(STEAL(follow->config));
	session_close(&follow->session);
	server_start(follow);
}

static void finish(struct restore_follow *follow, const struct err *err)
{
	struct op *op = &follow->op;

	session_close(&follow->session);
	query_release(&follow->query);
	if (err)
		return op_fail(op, err, "the replay did not reach its end");
	op_done(op);
}

static void seen(struct restore_follow *follow)
{
	const struct server_sight *sight = &follow->sight;

	if (!sight->running) {
		if (follow->raised)
			return server_again(follow);
		if (follow->ending)
			return finish(follow, err_is(&follow->bad_end) ? &follow->bad_end : NULL);
		if (follow->pid == 0 && ++follow->absent_polls < ABSENT_POLLS_MAX)
			return rest(follow);
		return explain(follow);
	}
	if (follow->session.conn && !follow->session.broken)
		return ask(follow);
	session_close(&follow->session);
	if (follow->ending ||
	    (strcmp(sight->status, "ready") != 0 && strcmp(sight->status, "standby") != 0 &&
	     strcmp(sight->status, "starting") != 0) ||
	    !sight->port || strcmp(sight->status, "ready") != 0) {
		if (sight->control_known)
			follow->restore->progress.replay_at = sight->control.min_recovery_lsn;
		return rest(follow);
	}
	free(follow->connect);
	follow->connect = connect_string(follow);
	session_open_start(&follow->op, &follow->open, &follow->session, follow->connect, 5000);
	op_wait(&follow->op, FOLLOW_CONNECTING);
}

static void cancelled(struct restore_follow *follow)
{
	struct err err = {0};

	if (follow->op.state >= FOLLOW_STARTING) {
		if (follow->child.output.length && !follow->pid) {
			uint64_t pid;

			if (str_u64(str_trim(follow->child.output.data), &pid))
				follow->pid = (pid_t)pid;
		}
		stop_server(follow, SIGINT);
	}
	err_set(&err, ERR_CANCELLED, "it was cancelled, and PostgreSQL was told to stop");
	finish(follow, &err);
}

static void refused(struct restore_follow *follow, const struct err *why)
{
	if (++follow->refused_polls < REFUSED_POLLS_MAX)
		return rest(follow);
	op_fail(&follow->op, why,
	        "PostgreSQL runs, but the end of its recovery cannot be checked: it paused there "
	        "and "
	        "was left as it is");
}

static void ended_run(struct work *work)
{
	struct restore_follow *follow = container_of(work, struct restore_follow, work);

	(void)!restore_sight_end(follow->restore, &work->op.err);
}

/* It was promoted, and not by us. */
static void ended_look(struct restore_follow *follow)
{
	follow->work = (struct work){0};
	work_start_class(&follow->op, &follow->work, WORK_RESTORE, ended_run);
	op_wait(&follow->op, FOLLOW_ENDED);
}

static void stop_wrong(struct restore_follow *follow, const struct err *err)
{
	follow->bad_end = *err;
	stop_server(follow, SIGINT);
	rest(follow);
}

static void ended(struct restore_follow *follow)
{
	struct restore *restore = follow->restore;
	struct err err = follow->work.op.err;

	if (err_is(&err) || !judge_position(restore, &err)) {
		err_wrap(&err, "PostgreSQL ended the recovery by itself, on timeline %u",
		         restore->new_tli);
		if (!follow->program) /* of an earlier run: who knows what it is used for now */
			return finish(follow, &err);
		err_hint(&err, "PostgreSQL was stopped.");
		return stop_wrong(follow, &err);
	}
	if (restore->options->then == RESTORE_PROMOTE)
		return finish(follow, NULL);
	err_set(&err, ERR_FAILED,
	        "PostgreSQL could not wait at the end, which is the right one: it was promoted to "
	        "timeline %u",
	        restore->new_tli);
	err_hint(&err, "A transaction with more than 64 subtransactions was under way since the "
	               "backup; as long as that is so, nobody is let in. Take --then promote, "
	               "or a later backup.");
	if (!follow->program)
		return finish(follow, &err);
	stop_wrong(follow, &err);
}

static void answered(struct restore_follow *follow)
{
	struct restore *restore = follow->restore;

	if (op_failed(&follow->query.op)) {
		follow->last = follow->query.op.err;
		session_close(&follow->session);
		return refused(follow, &follow->last);
	}
	follow->refused_polls = 0;
	if (query_rows(&follow->query) != 1)
		return rest(follow);
	take_answer(follow);
	if (!answer_is(&follow->query, 0, "t")) {
		if (follow->checked)
			return finish(follow, NULL);
		return ended_look(follow);
	}
	restore->new_tli = 0;
	if (!answer_is(&follow->query, 3, "t") || follow->checked)
		return rest(follow);
	follow->sight.page_of = restore->reached_lsn;
	follow->work = (struct work){0};
	work_start_class(&follow->op, &follow->work, WORK_RESTORE, raise_run);
	op_wait(&follow->op, FOLLOW_JUDGING);
}

static void judged(struct restore_follow *follow)
{
	struct err err = {0};

	if (op_failed(&follow->work.op))
		return finish(follow, &follow->work.op.err);
	if (follow->raised) { /* ended by itself in explain, else by us */
		stop_server(follow, SIGINT);
		follow->ending = false;
		return rest(follow);
	}
	if (judge_position(follow->restore, &err) && judge_timeline(follow->restore, &err))
		return act(follow);
	err_hint(&err, "PostgreSQL was stopped and nothing was promoted.");
	stop_wrong(follow, &err);
}

static void follow_begin(struct restore_follow *follow)
{
	struct restore *restore = follow->restore;

	follow->log = path_join(restore->plan.pgdata, RESTORE_LOG_FILE);
	restore->progress.replay_from = restore->plan.start_lsn;
	restore->progress.replay_to = restore->plan.end_lsn;
	enter(follow, RESTORE_STARTING);
	serve(follow);
	work_start_class(&follow->op, &follow->work, WORK_RESTORE, write_plan_run);
	op_wait(&follow->op, FOLLOW_SERVING);
}

static void started(struct restore_follow *follow)
{
	uint64_t pid;

	if (op_failed(&follow->child.op))
		return op_fail(&follow->op, &follow->child.op.err, "could not start PostgreSQL");
	if (follow->child.output.length && str_u64(str_trim(follow->child.output.data), &pid))
		follow->pid = (pid_t)pid;
	enter(follow, RESTORE_REPLAYING);
	rest(follow);
}

static void follow_step(struct op *op)
{
	struct restore_follow *follow = container_of(op, struct restore_follow, op);

	if (op->cancelled) /* nobody would follow it, and nobody serve it */
		return cancelled(follow);
	switch ((enum follow_state)op->state) {
	case FOLLOW_START:
		return follow_begin(follow);

	case FOLLOW_SERVING:
		if (op_failed(&follow->work.op))
			return op_fail(op, &follow->work.op.err, "could not write the plan");
		if (follow->sight.running) { /* an earlier run started it */
			enter(follow, RESTORE_REPLAYING);
			follow->pid = follow->sight.pid;
			return rest(follow);
		}
		return server_start(follow);

	case FOLLOW_STARTING:
		return started(follow);

	case FOLLOW_RESTING:
		return look(follow, FOLLOW_SIGHTING);

	case FOLLOW_SIGHTING:
		return seen(follow);

	case FOLLOW_CONNECTING:
		if (op_failed(&follow->open.op)) {
			follow->last = follow->open.op.err;
			return refused(follow, &follow->last);
		}
		return ask(follow);

	case FOLLOW_ASKING:
		return answered(follow);

	case FOLLOW_JUDGING:
		return judged(follow);

	case FOLLOW_ACTING:
		if (op_failed(&follow->query.op))
			return finish(follow, &follow->query.op.err);
		return rest(follow);

	case FOLLOW_ENDED:
		return ended(follow);

	case FOLLOW_EXPLAINING:
		if (follow->raised)
			return server_again(follow);
		return op_fail(op, &follow->work.op.err, "the replay did not reach its end");
	}
}

void restore_follow_start(struct op *parent, struct restore_follow *follow)
{
	static const struct op_type type = {.name = "restore_follow", .step = follow_step};

	op_start(parent, &follow->op, &type);
}

void restore_follow_release(struct restore_follow *follow)
{
	child_release(&follow->child);
	free(follow->program);
	free(follow->config);
	free(follow->log);
	free(follow->log_env);
	free(follow->connect);
	follow->program = follow->config = follow->log = follow->log_env = follow->connect = NULL;
}
