/*
 * naming.c — the story of taking names.
 *
 *   START -> CONNECTING -> ASKING (position, databases)
 *         -> for each database: ENTERING -> ROWS, page by page
 *         -> nothing has changed since the last time: done
 *         -> for each repository that can be reached: READYING -> OPENING
 *              -> LISTING -> READING (the newest there; the same names: next) -> WRITING -> next
 *
 * Catalogs have their own numbers in every cluster, so only what is above them is told.
 */
#include "job/naming.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* clang-format off */
#define NAMING_STATES(X) \
	X(NAMING_START) X(NAMING_CONNECTING) X(NAMING_ASKING) X(NAMING_ENTERING) X(NAMING_ROWS) \
	X(NAMING_READYING) X(NAMING_OPENING) X(NAMING_LISTING) X(NAMING_READING) \
	X(NAMING_WRITING)
/* clang-format on */

OP_STATES(naming_state, NAMING_STATES)

enum { ROWS_AT_ONCE = 5000, QUERY_MS = 60 * 1000, DATABASE_COLUMNS = 5 };

static const char databases_sql[] = "SELECT d.oid, d.datname,"
                                    " (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                                    " ELSE pg_current_wal_insert_lsn() END)::text,"
                                    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
                                    " (SELECT system_identifier FROM pg_control_system())"
                                    " FROM pg_database d WHERE d.datallowconn ORDER BY d.oid";

static const char rows_sql[] =
        "SELECT pg_relation_filenode(c.oid), c.oid, c.relkind, n.nspname, c.relname"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid > $1::oid AND c.relkind IN ('r', 'i', 't', 'S', 'm')"
        " ORDER BY c.oid LIMIT 5000";
static const char rows_after_first[] = "16383"; /* catalogs are below */

static void naming_close(struct naming *naming)
{
	query_release(&naming->query);
	session_close(&naming->session);
	free(naming->where);
	naming->where = NULL;
}

static void naming_end(struct naming *naming, const struct err *cause)
{
	naming_close(naming);
	free(naming->list.position);
	naming->list.position = NULL;
	if (cause)
		return op_fail(&naming->op, cause, "could not take the names of cluster \"%s\"",
		               naming->site->cluster);
	op_done(&naming->op);
}

static void ask(struct naming *naming, const char *sql, const char *param, enum naming_state state)
{
	query_release(&naming->query);
	query_start(&naming->op, &naming->query, &naming->session,
	            &(struct query_text){.sql = sql,
	                                 .param = {param},
	                                 .params = param != NULL,
	                                 .timeout_ms = QUERY_MS});
	op_wait(&naming->op, (int)state);
}

/* ---- databases ---- */

static bool take_databases(struct naming *naming, struct err *err)
{
	const struct query *query = &naming->query;
	const char *position, *time, *identifier;
	uint64_t time_us;
	uint32_t oid;

	for (unsigned row = 0; row < query_rows(query); row++)
		if (query_value(query, row, 0) && query_value(query, row, 1) &&
		    str_u32(query_value(query, row, 0), &oid))
			relnames_add_database(&naming->names, oid, query_value(query, row, 1));
	position = query_rows(query) ? query_value(query, 0, 2) : NULL;
	time = query_rows(query) ? query_value(query, 0, 3) : NULL;
	identifier = query_rows(query) ? query_value(query, 0, 4) : NULL;
	if (!position || !time || !identifier || !lsn_parse(position, &naming->names.position) ||
	    !str_u64(time, &time_us) || !str_u64(identifier, &naming->system_identifier))
		return err_set(err, ERR_POSTGRES, "the server did not say where its WAL is");
	naming->names.time_us = (int64_t)time_us;
	return true;
}

/* As a value in a connection string. */
static void add_quoted(struct buf *out, const char *text)
{
	buf_addc(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *text);
	}
	buf_addc(out, '\'');
}

static void write_begin(struct naming *naming);

static bool unchanged(const struct naming *naming)
{
	const struct naming_known *known = naming->known;

	return known && known->known && known->system_identifier == naming->system_identifier &&
	       relnames_same(&known->names, &naming->names);
}

static void enter_next(struct naming *naming)
{
	const char *connect = naming->site->connect ? naming->site->connect : "";
	AUTO_BUF struct buf where = {0};

	naming_close(naming);
	if (naming->op.cancelled) {
		err_set(&naming->op.err, ERR_CANCELLED, "cancelled");
		return naming_end(naming, &naming->op.err);
	}
	/* an address of another form cannot be given another database: that one alone, then */
	if (naming->at == naming->names.databases || strstr(connect, "://")) {
		relnames_settle(&naming->names);
		if (unchanged(naming))
			return naming_end(naming, NULL);
		naming->target = naming->site;
		return write_begin(naming);
	}
	buf_init(&where, 64 * 1024);
	buf_addf(&where, "%s dbname=", connect);
	add_quoted(&where, naming->names.database[naming->at].name);
	naming->where = buf_steal(&where);
	session_open_start(&naming->op, &naming->connect, &naming->session, naming->where, 0);
	op_wait(&naming->op, NAMING_ENTERING);
}

static void ask_rows(struct naming *naming)
{
	ask(naming, rows_sql, naming->after_text, NAMING_ROWS);
}

static bool take_rows(struct naming *naming)
{
	struct relnames_database *database = &naming->names.database[naming->at];
	const struct query *query = &naming->query;

	for (unsigned row = 0; row < query_rows(query); row++) {
		const char *number = query_value(query, row, 0);
		const char *kind = query_value(query, row, 2);
		struct relname_row found = {.schema = query_value(query, row, 3),
		                            .name = query_value(query, row, 4)};

		if (!str_u32(query_value(query, row, 1), &found.oid))
			return false;
		snprintf(naming->after_text, sizeof(naming->after_text), "%" PRIu32, found.oid);
		if (!number || !kind || !found.schema || !found.name ||
		    !str_u32(number, &found.number))
			continue; /* it has no file, or is gone */
		found.kind = kind[0];
		if (!relnames_add(database, &found))
			return false;
	}
	return query_rows(query) == ROWS_AT_ONCE;
}

/* ---- repositories ---- */

static void write_next(struct naming *naming)
{
	naming->target = naming->target->next;
	write_begin(naming);
}

static void write_begin(struct naming *naming)
{
	while (naming->target && naming->target != naming->site && site_is_away(naming->target))
		naming->target = naming->target->next;
	if (!naming->target) {
		if (naming->known) {
			naming_known_release(naming->known);
			naming->known->names = naming->names;
			naming->known->system_identifier = naming->system_identifier;
			naming->known->known = true;
			naming->names = (struct relnames){0};
		}
		return naming_end(naming, NULL);
	}
	site_ready_start(&naming->op, &naming->ready, naming->target);
	op_wait(&naming->op, NAMING_READYING);
}

/* Another repository that fails is another day's work; the first one's failure is ours. */
static void target_failed(struct naming *naming, const struct err *err)
{
	free(naming->list.position);
	naming->list.position = NULL;
	if (naming->target == naming->site || err->code == ERR_CANCELLED)
		return naming_end(naming, err);
	site_note(naming->target, err);
	write_next(naming);
}

static void opened(struct naming *naming)
{
	if (op_failed(&naming->open.op)) {
		if (naming->open.op.err.code == ERR_NOTFOUND)
			return write_next(naming); /* nothing of it is archived there yet */
		return target_failed(naming, &naming->open.op.err);
	}
	naming->list = (struct relnames_list){.repo = naming->target->repo,
	                                      .generation = naming->open.generation};
	relnames_list_start(&naming->op, &naming->list);
	op_wait(&naming->op, NAMING_LISTING);
}

static void write_names(struct naming *naming)
{
	free(naming->list.position);
	naming->list.position = NULL;
	naming->write = (struct relnames_write){.repo = naming->target->repo,
	                                        .generation = naming->open.generation,
	                                        .names = &naming->names};
	relnames_write_start(&naming->op, &naming->write);
	op_wait(&naming->op, NAMING_WRITING);
}

static void listed(struct naming *naming)
{
	if (op_failed(&naming->list.op))
		return target_failed(naming, &naming->list.op.err);
	if (naming->list.positions == 0)
		return write_names(naming);
	naming->read = (struct relnames_read){
	        .repo = naming->target->repo,
	        .generation = naming->open.generation,
	        .position = naming->list.position[naming->list.positions - 1]};
	relnames_read_start(&naming->op, &naming->read);
	op_wait(&naming->op, NAMING_READING);
}

static void was_read(struct naming *naming)
{
	bool same =
	        !op_failed(&naming->read.op) && relnames_same(&naming->read.names, &naming->names);

	relnames_release(&naming->read.names);
	if (!same)
		return write_names(naming); /* also when the last one cannot be read */
	free(naming->list.position);
	naming->list.position = NULL;
	write_next(naming);
}

/* ---- the story ---- */

static void naming_step(struct op *op)
{
	struct naming *naming = container_of(op, struct naming, op);

	switch ((enum naming_state)op->state) {
	case NAMING_START:
		session_open_start(op, &naming->connect, &naming->session, naming->site->connect,
		                   0);
		return op_wait(op, NAMING_CONNECTING);
	case NAMING_CONNECTING:
		if (op_failed(&naming->connect.op))
			return naming_end(naming, &naming->connect.op.err);
		return ask(naming, databases_sql, NULL, NAMING_ASKING);
	case NAMING_ASKING:
		if (op_failed(&naming->query.op))
			return naming_end(naming, &naming->query.op.err);
		if (!take_databases(naming, &op->err))
			return naming_end(naming, &op->err);
		return enter_next(naming);
	case NAMING_ENTERING:
		if (op_failed(&naming->connect.op)) { /* its name alone, then */
			naming->at++;
			return enter_next(naming);
		}
		snprintf(naming->after_text, sizeof(naming->after_text), "%s", rows_after_first);
		return ask_rows(naming);
	case NAMING_ROWS:
		if (!op_failed(&naming->query.op) && take_rows(naming))
			return ask_rows(naming);
		naming->at++;
		return enter_next(naming);
	case NAMING_READYING:
		if (op_failed(&naming->ready.op))
			return target_failed(naming, &naming->ready.op.err);
		naming->open =
		        (struct generation_open){.repo = naming->target->repo,
		                                 .cluster = naming->target->cluster,
		                                 .system_identifier = naming->system_identifier};
		generation_open_start(op, &naming->open);
		return op_wait(op, NAMING_OPENING);
	case NAMING_OPENING:
		return opened(naming);
	case NAMING_LISTING:
		return listed(naming);
	case NAMING_READING:
		return was_read(naming);
	case NAMING_WRITING:
		if (op_failed(&naming->write.op))
			return target_failed(naming, &naming->write.op.err);
		naming->written = true;
		return write_next(naming);
	}
}

static const struct op_type naming_type = {
        .name = "naming", .step = naming_step, .state_name = naming_state_name};

void naming_start(struct op *parent, struct naming *naming)
{
	op_start(parent, &naming->op, &naming_type);
}

void naming_start_root(struct loop *loop, struct naming *naming, void (*on_done)(struct op *op))
{
	op_start_root(loop, &naming->op, &naming_type, on_done);
}

void naming_release(struct naming *naming)
{
	relnames_release(&naming->names);
}

void naming_known_release(struct naming_known *known)
{
	relnames_release(&known->names);
	known->known = false;
}
