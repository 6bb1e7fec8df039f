/*
 * facts.c — what a running server says about itself, in one query for 13 to 18.
 *
 * Settings come from pg_settings: a setting that the version does not have, or that the role may
 * not see, is a NULL there and no error. Nothing in the answer is trusted to be a number.
 */
#include "pg/session.h"

#include "base/str.h"
#include "pg/segment.h"
#include "pg/version.h"

#include "base/poison.h"

#define SETTING(name) "(SELECT setting FROM pg_catalog.pg_settings WHERE name = '" name "')"

/* One row for each column of the query, in order. */
#define FACTS(X)                                                                                   \
	X(SERVER_VERSION, SETTING("server_version_num"))                                           \
	X(SYSTEM_IDENTIFIER, "s.system_identifier")                                                \
	X(CATALOG_VERSION, "s.catalog_version_no")                                                 \
	X(SEGMENT_BYTES, SETTING("wal_segment_size"))                                              \
	X(BLOCK_BYTES, SETTING("block_size"))                                                      \
	X(WAL_BLOCK_BYTES, SETTING("wal_block_size"))                                              \
	X(TIMELINE, "c.timeline_id")                                                               \
	X(CHECKSUMS, SETTING("data_checksums"))                                                    \
	X(FULL_PAGE_WRITES, SETTING("full_page_writes"))                                           \
	X(IN_RECOVERY, "CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END")        \
	X(SUPERUSER, "pg_catalog.current_setting('is_superuser')")                                 \
	X(POSITION, "CASE WHEN pg_catalog.pg_is_in_recovery()"                                     \
	            " THEN pg_catalog.pg_last_wal_replay_lsn()"                                    \
	            " ELSE pg_catalog.pg_current_wal_lsn() END")                                   \
	X(WAL_LEVEL, SETTING("wal_level"))                                                         \
	X(ARCHIVE_MODE, SETTING("archive_mode"))                                                   \
	X(ARCHIVE_COMMAND, SETTING("archive_command"))                                             \
	X(ARCHIVE_LIBRARY, SETTING("archive_library"))                                             \
	X(DATA_DIRECTORY, SETTING("data_directory"))                                               \
	X(CONFIG_FILE, SETTING("config_file"))                                                     \
	X(HBA_FILE, SETTING("hba_file"))                                                           \
	X(IDENT_FILE, SETTING("ident_file"))                                                       \
	X(TIME_ZONE, SETTING("TimeZone"))                                                          \
	X(ROLE, "current_user")

enum fact {
#define X(name, sql) FACT_##name,
	FACTS(X)
#undef X
	        FACT_COUNT
};

static const char facts_sql[] = "SELECT NULL"
#define X(name, sql) ", " sql
        FACTS(X)
#undef X
                " FROM pg_catalog.pg_control_system() s,"
                " pg_catalog.pg_control_checkpoint() c";

static const char *fact_text(const struct facts_ask *ask, enum fact fact)
{
	const char *text = query_value(&ask->query, 0, (unsigned)fact + 1);

	return text ? text : "";
}

static bool fact_u32(const struct facts_ask *ask, enum fact fact, uint32_t *ret)
{
	return str_u32(fact_text(ask, fact), ret);
}

static bool fact_on(const struct facts_ask *ask, enum fact fact)
{
	return strcmp(fact_text(ask, fact), "on") == 0;
}

static bool fact_copy(const struct facts_ask *ask, enum fact fact, char *out, size_t out_bytes)
{
	return str_copy(out, out_bytes, fact_text(ask, fact));
}

/* pg_control's identifier is shown as a signed number. */
static bool fact_identifier(const struct facts_ask *ask, uint64_t *ret)
{
	const char *text = fact_text(ask, FACT_SYSTEM_IDENTIFIER);

	if (*text != '-')
		return str_u64(text, ret);
	if (!str_u64(text + 1, ret))
		return false;
	*ret = UINT64_C(0) - *ret;
	return true;
}

static bool facts_numbers(const struct facts_ask *ask, struct facts *facts)
{
	uint32_t version;
	const char *position = fact_text(ask, FACT_POSITION);

	if (!fact_u32(ask, FACT_SERVER_VERSION, &version) ||
	    !fact_identifier(ask, &facts->system_identifier) ||
	    !fact_u32(ask, FACT_CATALOG_VERSION, &facts->catalog_version) ||
	    !fact_u32(ask, FACT_SEGMENT_BYTES, &facts->segment_bytes) ||
	    !fact_u32(ask, FACT_BLOCK_BYTES, &facts->block_bytes) ||
	    !fact_u32(ask, FACT_WAL_BLOCK_BYTES, &facts->wal_block_bytes) ||
	    !fact_u32(ask, FACT_TIMELINE, &facts->checkpoint_timeline))
		return false;
	facts->server_version = (int)version;
	facts->major = version / 10000;
	return !*position || lsn_parse(position, &facts->position);
}

static bool facts_texts(const struct facts_ask *ask, struct facts *f)
{
	f->checksums = fact_on(ask, FACT_CHECKSUMS);
	f->full_page_writes = fact_on(ask, FACT_FULL_PAGE_WRITES);
	f->in_recovery = fact_on(ask, FACT_IN_RECOVERY);
	f->superuser = fact_on(ask, FACT_SUPERUSER);
	f->may_read_settings = *fact_text(ask, FACT_DATA_DIRECTORY);
	return fact_copy(ask, FACT_WAL_LEVEL, f->wal_level, sizeof(f->wal_level)) &&
	       fact_copy(ask, FACT_ARCHIVE_MODE, f->archive_mode, sizeof(f->archive_mode)) &&
	       fact_copy(ask, FACT_ARCHIVE_COMMAND, f->archive_command,
	                 sizeof(f->archive_command)) &&
	       fact_copy(ask, FACT_ARCHIVE_LIBRARY, f->archive_library,
	                 sizeof(f->archive_library)) &&
	       fact_copy(ask, FACT_DATA_DIRECTORY, f->data_directory, sizeof(f->data_directory)) &&
	       fact_copy(ask, FACT_CONFIG_FILE, f->config_file, sizeof(f->config_file)) &&
	       fact_copy(ask, FACT_HBA_FILE, f->hba_file, sizeof(f->hba_file)) &&
	       fact_copy(ask, FACT_IDENT_FILE, f->ident_file, sizeof(f->ident_file)) &&
	       fact_copy(ask, FACT_TIME_ZONE, f->time_zone, sizeof(f->time_zone)) &&
	       fact_copy(ask, FACT_ROLE, f->role, sizeof(f->role));
}

static void facts_step(struct op *op)
{
	struct facts_ask *ask = container_of(op, struct facts_ask, op);
	bool complete;

	if (op->state == 0) {
		query_start(op, &ask->query, ask->session,
		            &(struct query_text){.sql = facts_sql, .timeout_ms = 30000});
		return op_wait(op, 1);
	}
	if (op_failed(&ask->query.op))
		return op_fail(op, &ask->query.op.err, "could not ask PostgreSQL for its settings");
	complete = query_rows(&ask->query) == 1 && query_columns(&ask->query) == FACT_COUNT + 1 &&
	           facts_numbers(ask, &ask->facts) && facts_texts(ask, &ask->facts);
	query_release(&ask->query);
	if (!complete)
		return op_fail_as(op, ERR_POSTGRES,
		                  "PostgreSQL's settings are not what was expected of them");
	if (ask->facts.major < PG_MAJOR_MIN || ask->facts.major > PG_MAJOR_MAX)
		return op_fail_as(
		        op, ERR_REFUSED,
		        "PostgreSQL %u is not supported: this version of Seawall knows %d to %d",
		        ask->facts.major, PG_MAJOR_MIN, PG_MAJOR_MAX);
	op_done(op);
}

static const struct op_type facts_type = {.name = "facts", .step = facts_step};

void facts_ask_start(struct op *parent, struct facts_ask *ask, struct session *session)
{
	*ask = (struct facts_ask){.session = session};
	op_start(parent, &ask->op, &facts_type);
}
