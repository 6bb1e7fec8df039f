/*
 * check_postgres.c — the steps of `check` that ask PostgreSQL: connection, data directory, rights,
 * settings, its archiver, and one real segment.
 */
#include <sys/stat.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "checking.h"
#include "loop/nap.h"
#include "pg/control.h"
#include "repo/catalog.h"
#include "setup.h"
#include "base/poison.h"

enum { QUERY_MS = 30 * 1000, SEGMENT_MS = 60 * 1000, LOOK_MS = 200, SKEW_MS_MAX = 5000 };

/* ---- asking ---- */

struct asking {
	struct session *session;
	struct session_open open;
	struct facts_ask facts;
	struct query query;
	struct query_text text;
	const char *connect;
};

static void start_open(struct op *parent, void *context)
{
	struct asking *asking = context;

	session_open_start(parent, &asking->open, asking->session, asking->connect, 0);
}

static void start_facts(struct op *parent, void *context)
{
	struct asking *asking = context;

	facts_ask_start(parent, &asking->facts, asking->session);
}

static void start_query(struct op *parent, void *context)
{
	struct asking *asking = context;

	query_start(parent, &asking->query, asking->session, &asking->text);
}

/* One row; the caller releases asking->query also after a failure. */
static bool ask(struct checking *checking, struct asking *asking, const char *sql, struct err *err)
{
	*asking = (struct asking){.session = &checking->session,
	                          .text = {.sql = sql, .timeout_ms = QUERY_MS}};
	if (!story_run(&checking->runtime, start_query, &asking->query.op, asking, err))
		return false;
	if (query_rows(&asking->query) == 1)
		return true;
	return err_set(err, ERR_POSTGRES, "PostgreSQL answered with %u rows",
	               query_rows(&asking->query));
}

static const char *value(const struct asking *asking, unsigned column)
{
	const char *text = query_value(&asking->query, 0, column);

	return text ? text : "";
}

static enum outcome skip(struct checking *checking)
{
	return check_say(checking, CHECK_SKIPPED, "there is no connection to PostgreSQL");
}

/* ---- the steps ---- */

static enum outcome check_connection(struct checking *checking)
{
	struct asking asking = {.session = &checking->session,
	                        .connect = checking->config_cluster->connect};
	struct err err = {0};

	checking->session.loop = checking->runtime.loop;
	if (!story_run(&checking->runtime, start_open, &asking.open.op, &asking, &err)) {
		err_hint(&err,
		         "Is PostgreSQL running? Set \"connect\" in [cluster %s]; "
		         "sql/setup.sql makes a role.",
		         checking->site->cluster);
		return check_fail(checking, &err);
	}
	checking->connected = true;
	return check_say(checking, CHECK_OK, "%s",
	                 checking->config_cluster->connect ? "as \"connect\" says"
	                                                   : "over the local socket");
}

static enum outcome check_version(struct checking *checking)
{
	struct asking *asking;
	struct err err = {0};
	bool done;

	if (!checking->connected)
		return skip(checking);
	asking = xcalloc(1, sizeof(*asking));
	asking->session = &checking->session;
	done = story_run(&checking->runtime, start_facts, &asking->facts.op, asking, &err);
	checking->facts = asking->facts.facts;
	free(asking);
	if (!done)
		return check_fail(checking, &err);
	checking->known = true;
	return check_say(checking, CHECK_OK, "%u.%u, role \"%s\"%s", checking->facts.major,
	                 (unsigned)checking->facts.server_version % 10000, checking->facts.role,
	                 checking->facts.in_recovery ? ", a standby" : "");
}

static enum outcome check_folder(struct checking *checking)
{
	const char *pgdata = checking->site->pgdata, *theirs = checking->facts.data_directory;
	struct stat mine, other;
	struct control control;
	struct err err = {0};

	if (!checking->known)
		return skip(checking);
	if (!pgdata)
		return check_say(checking, CHECK_SKIPPED, "\"pgdata\" is not set");
	if (!control_read(pgdata, &control, &err))
		return check_fail(checking, &err);
	if (control.system_identifier != checking->facts.system_identifier ||
	    (*theirs && stat(pgdata, &mine) == 0 && stat(theirs, &other) == 0 &&
	     (mine.st_dev != other.st_dev || mine.st_ino != other.st_ino))) {
		check_hint(checking,
		           "Set \"pgdata\" and \"connect\" in [cluster %s] to the same cluster.",
		           checking->site->cluster);
		return check_say(
		        checking, CHECK_FAILED,
		        "\"connect\" leads to the cluster in \"%s\", and \"pgdata\" is \"%s\"",
		        *theirs ? theirs : "another folder", pgdata);
	}
	return check_say(checking, CHECK_OK, "\"%s\", system identifier %llu", pgdata,
	                 (unsigned long long)control.system_identifier);
}

/* The functions that a backup and this check call, by version. */
static const char *rights_sql(unsigned major)
{
	if (major >= 15)
		return "SELECT concat_ws(', ', "
		       "CASE WHEN NOT has_function_privilege('pg_backup_start(text,boolean)', "
		       "'EXECUTE') THEN 'pg_backup_start' END, "
		       "CASE WHEN NOT has_function_privilege('pg_backup_stop(boolean)', 'EXECUTE') "
		       "THEN 'pg_backup_stop' END, "
		       "CASE WHEN NOT has_function_privilege('pg_switch_wal()', 'EXECUTE') "
		       "THEN 'pg_switch_wal' END)";
	return "SELECT concat_ws(', ', "
	       "CASE WHEN NOT has_function_privilege('pg_start_backup(text,boolean,boolean)', "
	       "'EXECUTE') THEN 'pg_start_backup' END, "
	       "CASE WHEN NOT has_function_privilege('pg_stop_backup(boolean,boolean)', 'EXECUTE') "
	       "THEN 'pg_stop_backup' END, "
	       "CASE WHEN NOT has_function_privilege('pg_switch_wal()', 'EXECUTE') "
	       "THEN 'pg_switch_wal' END)";
}

static enum outcome check_role(struct checking *checking)
{
	struct asking asking;
	struct err err = {0};
	enum outcome outcome;

	if (!checking->known)
		return skip(checking);
	if (!ask(checking, &asking, rights_sql(checking->facts.major), &err)) {
		outcome = check_fail(checking, &err);
	} else if (*value(&asking, 0)) {
		check_hint(checking, "Run sql/setup.sql as a superuser.");
		outcome = check_say(checking, CHECK_FAILED, "role \"%s\" may not call %s",
		                    checking->facts.role, value(&asking, 0));
	} else if (!checking->facts.may_read_settings) {
		check_hint(checking, "Run sql/setup.sql as a superuser.");
		outcome = check_say(checking, CHECK_FAILED,
		                    "role \"%s\" may not see all settings (pg_read_all_settings)",
		                    checking->facts.role);
	} else {
		checking->may_switch = true;
		outcome = check_say(checking, CHECK_OK, "\"%s\" has the rights that a backup needs",
		                    checking->facts.role);
	}
	query_release(&asking.query);
	return outcome;
}

static enum outcome check_wal_level(struct checking *checking)
{
	if (!checking->known)
		return skip(checking);
	if (strcmp(checking->facts.wal_level, "minimal") == 0) {
		check_hint(checking,
		           "Set wal_level = replica in postgresql.conf and restart PostgreSQL.");
		return check_say(checking, CHECK_FAILED,
		                 "is \"minimal\": such WAL cannot be archived");
	}
	if (!checking->facts.full_page_writes) {
		check_hint(checking,
		           "Set full_page_writes = on; a backup may copy half-written pages.");
		return check_say(checking, CHECK_FAILED, "full_page_writes is off");
	}
	return check_say(checking, CHECK_OK, "\"%s\"", checking->facts.wal_level);
}

static enum outcome check_archive_mode(struct checking *checking)
{
	const char *mode = checking->facts.archive_mode;

	if (!checking->known)
		return skip(checking);
	if (strcmp(mode, "off") == 0) {
		check_hint(checking,
		           "Set archive_mode = on in postgresql.conf and restart PostgreSQL.");
		return check_say(checking, CHECK_FAILED, "is \"off\"");
	}
	checking->archives = true;
	return check_say(checking, CHECK_OK, "\"%s\"", mode);
}

static enum outcome check_archive_command(struct checking *checking)
{
	const char *command = checking->facts.archive_command;
	struct err err = {0};
	AUTO_FREE char *wanted = NULL;

	if (!checking->known)
		return skip(checking);
	if (!checking->archives)
		return check_say(checking, CHECK_SKIPPED, "archive_mode is off");
	wanted = setup_archive_command(checking->config, &err);
	if (!wanted)
		return check_fail(checking, &err);
	if (*checking->facts.archive_library) {
		checking->archives = false;
		check_hint(checking, "Set archive_library = '' and archive_command = '%s'.",
		           wanted);
		return check_say(checking, CHECK_FAILED,
		                 "archive_library is \"%s\", so it is not used",
		                 checking->facts.archive_library);
	}
	if (strstr(command, "seawall-wal") && strstr(command, "push") && strstr(command, "%p"))
		return check_say(checking, CHECK_OK, "%s", command);
	if (*command && strstr(command, "seawall")) {
		check_hint(checking, "Seawall's own is archive_command = '%s'.", wanted);
		return check_say(checking, CHECK_WARNING, "is %s", command);
	}
	checking->archives = false;
	check_hint(checking, "Set archive_command = '%s' in postgresql.conf and reload PostgreSQL.",
	           wanted);
	return check_say(checking, CHECK_FAILED, "%s%s",
	                 *command ? "does not call seawall-wal: " : "is empty", command);
}

/* The clock of the server: on another host when `connect` leads there. */
static enum outcome check_server_clock(struct checking *checking)
{
	struct asking asking;
	char off[UNITS_TEXT_BYTES];
	struct err err = {0};
	enum outcome outcome;
	int64_t off_ms;

	if (!checking->known)
		return skip(checking);
	if (!ask(checking, &asking,
	         "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint", &err)) {
		outcome = check_fail(checking, &err);
	} else {
		off_ms = strtoll(value(&asking, 0), NULL, 10) - clock_now_us() / 1000;
		units_duration(off_ms < 0 ? -off_ms : off_ms, off);
		outcome = off_ms > SKEW_MS_MAX || off_ms < -SKEW_MS_MAX ? CHECK_WARNING : CHECK_OK;
		check_say(checking, outcome, "PostgreSQL's differs by %s", off);
	}
	query_release(&asking.query);
	return outcome;
}

static enum outcome check_archiver(struct checking *checking)
{
	struct asking asking;
	struct err err = {0};
	enum outcome outcome;

	if (!checking->known)
		return skip(checking);
	if (!ask(checking, &asking,
	         "SELECT last_failed_wal, date_trunc('second', last_failed_time), archived_count "
	         "FROM pg_stat_archiver "
	         "WHERE last_failed_time > coalesce(last_archived_time, '-infinity') "
	         "UNION ALL SELECT NULL, NULL, archived_count FROM pg_stat_archiver "
	         "WHERE last_failed_time IS NULL "
	         "OR last_failed_time <= coalesce(last_archived_time, '-infinity')",
	         &err)) {
		outcome = check_fail(checking, &err);
	} else if (*value(&asking, 0)) {
		check_hint(checking, "PostgreSQL's log has what archive_command said. It keeps the "
		                     "file, and tries again within a minute.");
		outcome = check_say(checking, CHECK_FAILED, "fails with \"%s\", last at %s",
		                    value(&asking, 0), value(&asking, 1));
	} else {
		outcome = check_say(checking, CHECK_OK, "has archived %s files", value(&asking, 2));
	}
	query_release(&asking.query);
	return outcome;
}

/* ---- one segment ---- */

static void start_nap(struct op *parent, void *context)
{
	nap_start(parent, context, LOOK_MS);
}

static void start_head(struct op *parent, void *context)
{
	catalog_head_start(parent, context);
}

/* Whether the segment is in the repository; its generation may have to be made by it first. */
static bool segment_is_there(struct checking *checking, const char *name, bool *ret_there,
                             struct err *err)
{
	struct generation_open generation;
	struct catalog_head head = {0};

	*ret_there = false;
	if (!story_generation(&checking->runtime, checking->cluster, &generation, err)) {
		if (err->code != ERR_NOTFOUND)
			return false;
		err_clear(err);
		return true;
	}
	head.repo = checking->site->repo;
	head.generation = generation.generation;
	head.segment_bytes = generation.facts.segment_bytes;
	if (!segment_parse(name, head.segment_bytes, &head.tli, &head.segno))
		return err_set(err, ERR_POSTGRES, "PostgreSQL calls its WAL \"%s\"", name);
	if (!story_run(&checking->runtime, start_head, &head.op, &head, err))
		return false;
	*ret_there = head.found;
	return true;
}

/* What PostgreSQL's archiver thinks of the segment: done, or failing. */
static bool ask_archiver(struct checking *checking, const char *name, bool *ret_done,
                         struct err *err)
{
	struct asking asking;
	bool good = ask(checking, &asking, "SELECT last_archived_wal FROM pg_stat_archiver", err);

	*ret_done = good && strcmp(value(&asking, 0), name) >= 0;
	query_release(&asking.query);
	return good;
}

/* Until it is there, or PostgreSQL says that it was archived, or time is up. */
static bool wait_for_segment(struct checking *checking, const char *name, bool *ret_there,
                             bool *ret_archived, struct err *err)
{
	int64_t until_us = clock_mono_us() + INT64_C(1000) * SEGMENT_MS;

	for (;;) {
		struct nap nap = {0};

		/* Asked before the look: what was archived by now must be seen by it. */
		if (!ask_archiver(checking, name, ret_archived, err) ||
		    !segment_is_there(checking, name, ret_there, err))
			return false;
		if (*ret_there || *ret_archived || clock_mono_us() >= until_us)
			return true;
		if (!story_run(&checking->runtime, start_nap, &nap.op, &nap, err))
			return false;
	}
}

/* txid_current() writes a commit record, so that there is something to switch away from. */
static bool switch_segment(struct checking *checking, char name[SEGMENT_NAME_BYTES],
                           struct err *err)
{
	struct asking asking;
	bool done = ask(checking, &asking, "SELECT txid_current()", err);

	query_release(&asking.query);
	if (!done)
		return false;
	done = ask(checking, &asking, "SELECT pg_walfile_name(pg_switch_wal())", err);
	if (done && !str_copy(name, SEGMENT_NAME_BYTES, value(&asking, 0)))
		done = err_set(err, ERR_POSTGRES, "PostgreSQL calls its WAL \"%s\"",
		               value(&asking, 0));
	query_release(&asking.query);
	return done;
}

static enum outcome check_segment(struct checking *checking)
{
	int64_t begun_us = clock_mono_us();
	char name[SEGMENT_NAME_BYTES], took[UNITS_TEXT_BYTES];
	struct err err = {0};
	bool there, archived;

	if (option_given(checking->cli->arguments, "no-segment"))
		return check_say(checking, CHECK_SKIPPED, "--no-segment");
	if (!checking->usable || !checking->known || !checking->archives || !checking->may_switch)
		return check_say(checking, CHECK_SKIPPED, "a step before it failed");
	if (checking->facts.in_recovery)
		return check_say(checking, CHECK_SKIPPED,
		                 "a standby cannot switch to a new segment");
	if (!switch_segment(checking, name, &err) ||
	    !wait_for_segment(checking, name, &there, &archived, &err))
		return check_fail(checking, &err);
	units_duration((clock_mono_us() - begun_us) / 1000, took);
	if (there)
		return check_say(checking, CHECK_OK, "\"%s\" is in the repository after %s", name,
		                 took);
	if (archived) {
		check_hint(checking,
		           "archive_command succeeds without storing anything here: look at it.");
		return check_say(checking, CHECK_FAILED,
		                 "PostgreSQL says that \"%s\" is archived, and it is not in the "
		                 "repository",
		                 name);
	}
	check_hint(checking,
	           "PostgreSQL's log has what archive_command said; \"seawall status\" shows "
	           "what waits.");
	return check_say(checking, CHECK_FAILED, "\"%s\" is not in the repository after %s", name,
	                 took);
}

const struct step check_postgres[] = {
        {"connection", check_connection},
        {"PostgreSQL", check_version},
        {"data directory", check_folder},
        {"role", check_role},
        {"wal_level", check_wal_level},
        {"archive_mode", check_archive_mode},
        {"archive_command", check_archive_command},
        {"PostgreSQL's clock", check_server_clock},
        {"archiver", check_archiver},
        {"one segment", check_segment},
        {0},
};
