/*
 * backup_check.c — what must be true before a backup begins, each with its own sentence, and the
 * questions to the server, which differ between 13, 14 and the later ones. Functions only; the
 * story is in backup.c.
 */
#include "backup_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/durable.h"
#include "base/file.h"
#include "base/str.h"
#include "job/backup.h"
#include "pg/version.h"

#include "base/poison.h"

/* ---- one at a time ---- */

static bool lock_refuse(const struct site *site, int fd, struct err *err)
{
	char pid[24] = "";
	ssize_t length = file_pread_full(fd, pid, sizeof(pid) - 1, 0);

	pid[MAX(length, 0)] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	err_set(err, ERR_REFUSED, "a backup of cluster \"%s\" is running already (process %s)",
	        site->cluster, pid[0] ? pid : "unknown");
	err_hint(err, "Wait for its end, or cancel it.");
	return false;
}

bool backup_lock(const struct site *site, int *ret_fd, struct err *err)
{
	AUTO_FREE
	char *path = xasprintf("%s/backup-%s.lock", site->state, site->cluster);
	AUTO_FD
	int fd = -1;
	char pid[24];
	int length = snprintf(pid, sizeof(pid), "%jd\n", (intmax_t)getpid());

	if (!durable_mkdir(site->state, 0700, err))
		return err_wrap(err, "could not make the state folder");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, "could not open lock file \"%s\"", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return lock_refuse(site, fd, err);
		return err_sys(err, "could not lock file \"%s\"", path);
	}
	if (ftruncate(fd, 0) != 0 || !file_pwrite_full(fd, pid, (size_t)length, 0))
		return err_sys(err, "could not write lock file \"%s\"", path);
	*ret_fd = STEAL_FD(fd);
	return true;
}

bool backup_label_check(const char *label, struct err *err)
{
	if (!label)
		return true;
	if (strlen(label) > BACKUP_LABEL_MAX / 2)
		return err_set(err, ERR_USAGE, "the label is longer than %d bytes",
		               BACKUP_LABEL_MAX / 2);
	for (const char *p = label; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7F)
			return err_set(err, ERR_USAGE, "the label has a control character");
	return true;
}

/* ---- the server ---- */

static bool facts_refuse_archiving(const struct facts *facts, struct err *err)
{
	bool on = strcmp(facts->archive_mode, "on") == 0 ||
	          strcmp(facts->archive_mode, "always") == 0;
	bool command = facts->archive_command[0] || facts->archive_library[0];

	if (on && command)
		return true;
	if (!on)
		err_set(err, ERR_REFUSED, "PostgreSQL is not archiving: archive_mode is \"%s\"",
		        facts->archive_mode);
	else
		err_set(err, ERR_REFUSED, "PostgreSQL is not archiving: archive_command is empty");
	err_hint(err,
	         "A backup needs its WAL. Set archive_mode = on and archive_command as "
	         "`seawall init` prints them%s.",
	         on ? " and reload" : ", and restart PostgreSQL");
	return false;
}

bool backup_check_facts(const struct facts *facts, struct err *err)
{
	if (facts->major < PG_MAJOR_MIN || facts->major > PG_MAJOR_MAX)
		return err_set(err, ERR_REFUSED, "PostgreSQL %u is not supported (%d to %d are)",
		               facts->major, PG_MAJOR_MIN, PG_MAJOR_MAX);
	if (facts->in_recovery) {
		err_set(err, ERR_REFUSED, "the server is a standby (in recovery)");
		err_hint(err, "This version makes backups of a primary. Run it there.");
		return false;
	}
	return facts_refuse_archiving(facts, err);
}

bool backup_check_folder(const char *pgdata, const struct facts *facts, struct control *ret_control,
                         struct err *err)
{
	struct stat here, there;

	if (!control_read(pgdata, ret_control, err))
		return false;
	if (ret_control->system_identifier != facts->system_identifier) {
		err_set(err, ERR_REFUSED,
		        "the data directory \"%s\" has system identifier %" PRIu64
		        ", the server that answers has %" PRIu64,
		        pgdata, ret_control->system_identifier, facts->system_identifier);
		err_hint(err, "\"pgdata\" and \"connect\" in the configuration must be the same "
		              "cluster's.");
		return false;
	}
	if (!facts->data_directory[0])
		return true;
	if (stat(pgdata, &here) != 0 || stat(facts->data_directory, &there) != 0)
		return err_sys(err, "could not look at the data directory \"%s\"",
		               facts->data_directory);
	if (here.st_dev != there.st_dev || here.st_ino != there.st_ino) {
		err_set(err, ERR_REFUSED,
		        "the server that answers has the data directory \"%s\", "
		        "not \"%s\"",
		        facts->data_directory, pgdata);
		err_hint(err, "They have the same system identifier: one is a copy of the other.");
		return false;
	}
	return true;
}

bool backup_check_generation(const struct generation_facts *generation,
                             const struct control *control, struct err *err)
{
	if (generation->segment_bytes == control->segment_bytes)
		return true;
	return err_set(err, ERR_REFUSED,
	               "the repository has segments of %" PRIu32
	               " bytes for this system identifier, the cluster now writes %" PRIu32,
	               generation->segment_bytes, control->segment_bytes);
}

char *backup_find_pg_bin(const char *pgdata)
{
	AUTO_FREE
	char *path = path_join(pgdata, "postmaster.pid");
	AUTO_BUF
	struct buf text;
	struct err ignored = {0};
	char link[64], target[4096];
	uint32_t pid;
	ssize_t length;

	buf_init(&text, 4096);
	if (!file_read_all(path, &text, &ignored) || text.length == 0)
		return xstrdup("");
	text.data[strcspn(text.data, "\n")] = '\0';
	if (!str_u32(text.data, &pid))
		return xstrdup("");
	snprintf(link, sizeof(link), "/proc/%" PRIu32 "/exe", pid);
	length = readlink(link, target, sizeof(target) - 1);
	if (length <= 0)
		return xstrdup("");
	target[length] = '\0';
	return path_folder(target);
}

static bool path_is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	while (length > 1 && folder[length - 1] == '/')
		length--;
	return length > 0 && strncmp(path, folder, length) == 0 && path[length] == '/';
}

bool backup_is_inside(const char *path, const char *pgdata, const char *data_directory)
{
	return path_is_below(path, pgdata) || path_is_below(path, data_directory);
}

/* ---- SQL ---- */

/* The numbers spell "Seaw" and "bckp"; they are the same in every version. */
const char backup_sql_lock[] =
        "SELECT CASE WHEN pg_try_advisory_lock(1399153015, 1650682736) THEN NULL ELSE"
        " coalesce((SELECT min(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND classid = 1399153015 AND objid = 1650682736), 0) END";

const char backup_sql_tablespaces[] =
        "SELECT oid, spcname FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')";

const char backup_sql_archiver[] =
        "SELECT last_failed_wal FROM pg_stat_archiver"
        " WHERE last_failed_time > coalesce(last_archived_time, '-infinity')";

const char *backup_sql_start(unsigned major)
{
	if (major >= 15)
		return "SELECT pg_backup_start($1, $2::boolean)";
	return "SELECT pg_start_backup($1, $2::boolean, false)";
}

#define STOP_COLUMNS                                                                               \
	"SELECT lsn, labelfile, spcmapfile,"                                                       \
	" (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM "

const char *backup_sql_stop(unsigned major)
{
	if (major >= 15)
		return STOP_COLUMNS "pg_backup_stop(false)";
	return STOP_COLUMNS "pg_stop_backup(false, false)";
}

bool backup_stop_parse(const struct query *query, struct backup_stop *ret, struct err *err)
{
	struct backup_stop stop = {0};
	const char *value[4];
	uint64_t time;

	if (query_rows(query) != 1 || query_columns(query) != 4)
		return err_set(err, ERR_POSTGRES,
		               "the server's answer at the end of the backup "
		               "has another form than expected");
	for (unsigned i = 0; i < 4; i++)
		value[i] = query_value(query, 0, i) ? query_value(query, 0, i) : "";
	if (!lsn_parse(value[0], &stop.stop_lsn) || !str_u64(value[3], &time) || time > INT64_MAX)
		return err_set(err, ERR_POSTGRES,
		               "the server named \"%s\" as the backup's end, which is no position",
		               value[0]);
	if (!label_parse(value[1], strlen(value[1]), &stop.label, err))
		return err_wrap(err, "the server's backup_label is invalid");
	stop.time_us = (int64_t)time;
	stop.label_file = xstrdup(value[1]);
	stop.map_file = xstrdup(value[2]);
	*ret = stop;
	return true;
}

void backup_stop_release(struct backup_stop *stop)
{
	free(stop->label_file);
	free(stop->map_file);
	*stop = (struct backup_stop){0};
}
