/*
 * restore_place.c — where a restore may write: the data directory, tablespaces, room, the journal.
 *
 * Everything here is looked at before the first byte is written, and refused then. The journal says
 * whose half-done directory it is: the same command goes on with it, any other is refused.
 */
#include "restore_internal.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/units.h"
#include "pg/version.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/poison.h"

enum {
	PID_FILE_BYTES_MAX = 8192,
	COMMAND_BYTES_MAX = 1 << 20,
	SPARE_SEGMENTS = 8, /* of WAL in pg_wal and in the spool beside it */
};

bool restore_file_is_ours(const char *path)
{
	static const char *const names[] = {RESTORE_JOURNAL_FILE, RESTORE_CLONE_FILE,
	                                    RESTORE_PLAN_FILE,    RESTORE_LOG_FILE,
	                                    RESTORE_CONTROL_OLD,  RESTORE_CONTROL_NEW};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return false;
}

/* ---- the journal ---- */

static void escape(const char *text, struct buf *out)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || c == '%')
			buf_addf(out, "%%%02X", c);
		else
			buf_addc(out, (char)c);
	}
}

bool restore_journal_write(const char *pgdata, const char *command, enum journal_phase phase,
                           struct err *err)
{
	AUTO_FREE char *path = path_join(pgdata, RESTORE_JOURNAL_FILE);
	AUTO_BUF struct buf out;

	buf_init(&out, COMMAND_BYTES_MAX);
	buf_addf(&out,
	         "# A restore into this directory has not ended. The same command goes on with "
	         "it.\n[journal]\nphase = %s\ncommand = ",
	         phase == JOURNAL_PLACED ? "placed" : "copying");
	escape(command, &out);
	buf_addc(&out, '\n');
	return durable_write_inside(path, out.data, out.length, err) ||
	       err_wrap(err, "could not write the journal of the restore");
}

struct journal_reading {
	char *command;
	enum journal_phase phase;
	bool phase_known;
};

static bool journal_line(void *context, const struct ini_line *line, struct err *err)
{
	struct journal_reading *reading = context;

	if (!line->key)
		return strcmp(line->section, "journal") == 0 ||
		       err_set(err, ERR_DAMAGED, "line %u: unknown section", line->number);
	if (strcmp(line->key, "phase") == 0) {
		reading->phase =
		        strcmp(line->value, "placed") == 0 ? JOURNAL_PLACED : JOURNAL_COPYING;
		reading->phase_known = true;
	} else if (strcmp(line->key, "command") == 0 && !reading->command) {
		reading->command = xstrdup(line->value);
	} else {
		return err_set(err, ERR_DAMAGED, "line %u: unknown setting", line->number);
	}
	return true;
}

bool restore_journal_read(const char *pgdata, char **ret_command, enum journal_phase *ret_phase,
                          struct err *err)
{
	AUTO_FREE char *path = path_join(pgdata, RESTORE_JOURNAL_FILE);
	struct journal_reading reading = {0};
	bool good = ini_read(path, journal_line, &reading, err);

	if (good && (!reading.command || !reading.phase_known))
		good = err_set(err, ERR_DAMAGED, "\"%s\" is no journal of a restore", path);
	if (!good) {
		free(reading.command);
		return false;
	}
	*ret_command = reading.command;
	*ret_phase = reading.phase;
	return true;
}

/* ---- in use ---- */

static bool pid_runs_in(pid_t pid, const struct stat *folder)
{
	char path[64];
	struct stat cwd;

	snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)pid);
	return stat(path, &cwd) == 0 && cwd.st_dev == folder->st_dev &&
	       cwd.st_ino == folder->st_ino;
}

static bool pid_is_postgres(pid_t pid)
{
	char path[64], name[32] = "";
	AUTO_FD int fd = -1;

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && file_read_full(fd, name, sizeof(name) - 1) > 0 &&
	       (str_starts(name, "postgres") || str_starts(name, "postmaster"));
}

static pid_t lock_file_pid(const char *folder)
{
	AUTO_FREE char *path = path_join(folder, "postmaster.pid");
	AUTO_BUF struct buf text;
	struct err ignored = {0};
	uint64_t pid;

	buf_init(&text, PID_FILE_BYTES_MAX);
	if (!file_read_all(path, &text, &ignored) || text.length == 0)
		return 0;
	text.data[strcspn(text.data, "\n")] = 0;
	return str_u64(text.data, &pid) && pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

bool restore_place_in_use(const char *path, pid_t *ret_pid)
{
	struct stat folder;
	struct dirent *entry;
	pid_t pid = lock_file_pid(path);
	DIR *proc;

	*ret_pid = 0;
	if (stat(path, &folder) != 0)
		return false;
	/* The number may have gone to another process since a crash: one that is no server. */
	if (restore_process_lives(pid) && (pid_runs_in(pid, &folder) || pid_is_postgres(pid))) {
		*ret_pid = pid;
		return true;
	}
	proc = opendir("/proc");
	while (proc && (entry = readdir(proc))) {
		uint64_t number;

		if (str_u64(entry->d_name, &number) && number <= INT_MAX &&
		    pid_runs_in((pid_t)number, &folder) && pid_is_postgres((pid_t)number)) {
			*ret_pid = (pid_t)number;
			break;
		}
	}
	if (proc)
		closedir(proc);
	return *ret_pid != 0;
}

/* ---- the data directory ---- */

/* The path without links in the folders above its last component. */
static char *canonical(const char *path, struct err *err)
{
	AUTO_FREE char *trimmed = xstrdup(path), *folder = NULL, *real = NULL;
	size_t length = strlen(trimmed);

	while (length > 1 && trimmed[length - 1] == '/')
		trimmed[--length] = 0;
	if (strcmp(path_name(trimmed), ".") == 0 || strcmp(path_name(trimmed), "..") == 0 ||
	    length == 1) {
		err_set(err, ERR_USAGE, "\"%s\" cannot be restored into", path);
		return NULL;
	}
	folder = path_folder(trimmed);
	real = realpath(folder, NULL);
	if (!real) {
		err_sys(err,
		        "the folder \"%s\", which is to hold the data directory, cannot be used",
		        folder);
		err->code = ERR_REFUSED;
		err_hint(err, "Make it first, owned by the user who runs PostgreSQL.");
		return NULL;
	}
	return path_join(strcmp(real, "/") == 0 ? "" : real, path_name(trimmed));
}

static bool same_folder(const char *a, const char *b)
{
	struct stat x, y;
	AUTO_FREE char *one = realpath(a, NULL), *other = realpath(b, NULL);

	if (stat(a, &x) == 0 && stat(b, &y) == 0)
		return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
	return strcmp(one ? one : a, other ? other : b) == 0;
}

static bool same_path(const char *path, const char *other)
{
	struct err ignored = {0};
	AUTO_FREE char *plain = canonical(other, &ignored);

	return same_folder(path, other) || (plain && strcmp(path, plain) == 0);
}

static bool lies_in(const char *path, const char *folder)
{
	AUTO_FREE char *real = realpath(folder, NULL);
	size_t length = strlen(real ? real : folder);

	return strncmp(path, real ? real : folder, length) == 0 &&
	       (path[length] == '/' || path[length] == 0);
}

static bool refuse_overlap(const char *path, const char *folder, const char *what, struct err *err)
{
	AUTO_FREE char *real = folder ? realpath(folder, NULL) : NULL;

	if (!folder || (!lies_in(path, folder) && !lies_in(real ? real : folder, path)))
		return true;
	return err_set(err, ERR_REFUSED, "\"%s\" is not restored into, because %s is \"%s\"", path,
	               what, real ? real : folder);
}

/* Another restore into what one has left: of the same cluster only. */
static bool look_plan(struct restore_place *place, struct err *err)
{
	AUTO_FREE char *path = path_join(place->path, RESTORE_PLAN_FILE);
	struct restore_plan plan;

	if (!restore_plan_read(path, &plan, err))
		return false;
	place->system_identifier = plan.system_identifier;
	restore_plan_release(&plan);
	return true;
}

static bool look_journal(struct restore_place *place, struct err *err)
{
	AUTO_FREE char *command = NULL;
	AUTO_BUF struct buf ours;
	enum journal_phase phase;
	struct err missing = {0};

	buf_init(&ours, COMMAND_BYTES_MAX);
	escape(place->command, &ours);
	if (!restore_journal_read(place->path, &command, &phase, &missing)) {
		if (missing.code == ERR_NOTFOUND)
			return true;
		*err = missing;
		return false;
	}
	place->journal = true;
	if (strcmp(command, buf_text(&ours)) != 0 && place->in_place)
		return look_plan(place, err);
	if (strcmp(command, buf_text(&ours)) != 0) {
		err_set(err, ERR_REFUSED,
		        "\"%s\" holds a restore that was not finished, with other "
		        "options: %s",
		        place->path, command);
		err_hint(err,
		         "Run it with those options to complete it, begin anew with --in-place, "
		         "or remove the directory.");
		return false;
	}
	place->resume = true;
	place->placed = phase == JOURNAL_PLACED;
	return true;
}

static bool look_inside(struct restore_place *place, struct err *err)
{
	struct strs names = {0};
	struct control control;
	struct err ignored = {0};
	bool good = file_list(place->path, &names, err);

	if (!good)
		return err_wrap_as(err, ERR_REFUSED, "could not look into \"%s\"", place->path);
	/* Killed before there was a journal: nothing but our own beginnings. */
	place->empty = true;
	for (size_t i = 0; i < names.count; i++)
		place->empty &= strcmp(names.item[i], RESTORE_PLAN_FILE) == 0 ||
		                durable_is_draft(names.item[i]);
	good = look_journal(place, err);
	if (good && !place->empty && !place->resume && !place->in_place) {
		err_set(err, ERR_REFUSED, "directory \"%s\" is not empty", place->path);
		err_hint(err, "Restore into another one with --pgdata, or into this one with "
		              "--in-place, which uses what is there and removes the rest.");
		good = false;
	}
	if (good && !place->empty && !place->resume && !place->journal) {
		if (!strs_has(&names, "PG_VERSION")) {
			err_set(err, ERR_REFUSED,
			        "directory \"%s\" is not empty and is no data directory of "
			        "PostgreSQL",
			        place->path);
			good = false;
		} else if (control_read(place->path, &control, &ignored)) {
			place->system_identifier = control.system_identifier;
		}
	}
	strs_release(&names);
	return good;
}

static bool look_owner(const char *path, const struct stat *status, struct err *err)
{
	if (status->st_uid == geteuid())
		return true;
	err_set(err, ERR_REFUSED, "directory \"%s\" belongs to another user", path);
	err_hint(err, "Run the command as that user, or as root with --owner.");
	return false;
}

bool restore_place_look(struct restore_place *place, struct err *err)
{
	struct stat status;
	pid_t pid;

	place->path = canonical(place->given, err);
	if (!place->path)
		return false;
	if (strpbrk(place->path, "\n\r"))
		return err_set(err, ERR_REFUSED,
		               "a data directory with a line break in its path "
		               "cannot be configured");
	place->exists = lstat(place->path, &status) == 0;
	if (!place->exists && errno != ENOENT)
		return err_sys(err, "could not look at \"%s\"", place->path);
	if (place->exists && S_ISLNK(status.st_mode)) {
		err_set(err, ERR_REFUSED, "\"%s\" is a symbolic link", place->path);
		err_hint(err, "Name the directory that it points to.");
		return false;
	}
	if (place->exists && !S_ISDIR(status.st_mode))
		return err_set(err, ERR_REFUSED, "\"%s\" is no directory", place->path);
	place->clone = !place->own || !same_path(place->path, place->own);
	if (!refuse_overlap(place->path, place->repository, "the repository", err) ||
	    !refuse_overlap(place->path, place->state, "the state folder", err) ||
	    (place->clone && place->own &&
	     !refuse_overlap(place->path, place->own, "the cluster's own data directory", err)))
		return false;
	place->empty = true;
	if (!place->exists)
		return true;
	if (!look_owner(place->path, &status, err) || !look_inside(place, err))
		return false;
	/* A server in the directory of a resumed restore is its own: it is followed. */
	if (restore_place_in_use(place->path, &pid) && !place->placed) {
		err_set(err, ERR_REFUSED, "a PostgreSQL server runs in \"%s\" (process %ld)",
		        place->path, (long)pid);
		err_hint(err, "Stop it first.");
		return false;
	}
	return true;
}

bool restore_drafts_remove(const char *pgdata, struct err *err)
{
	struct strs names = {0};
	bool good = file_list(pgdata, &names, err);

	for (size_t i = 0; good && i < names.count; i++) {
		AUTO_FREE char *path = path_join(pgdata, names.item[i]);

		if (durable_is_draft(names.item[i]))
			good = durable_unlink(path, err);
	}
	strs_release(&names);
	return good;
}

void restore_place_release(struct restore_place *place)
{
	free(place->path);
	place->path = NULL;
	strs_release(&place->notes);
}

/* ---- tablespaces ---- */

static const char *mapped_to(const struct strs *mapped, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < mapped->count; i++)
		if (strncmp(mapped->item[i], name, length) == 0 && mapped->item[i][length] == '=')
			return mapped->item[i] + length + 1;
	return NULL;
}

static bool mapped_exist(const struct manifest_head *head, const struct strs *mapped,
                         struct err *err)
{
	for (size_t i = 0; i < mapped->count; i++) {
		size_t length = strcspn(mapped->item[i], "=");
		bool known = false;

		for (size_t k = 0; k < head->tablespaces; k++)
			known |= strlen(head->tablespace[k].name) == length &&
			         strncmp(head->tablespace[k].name, mapped->item[i], length) == 0;
		if (!known)
			return err_set(err, ERR_USAGE, "backup %s has no tablespace \"%.*s\"",
			               head->id, (int)length, mapped->item[i]);
	}
	return true;
}

bool restore_tablespaces(struct restore_plan *plan, const struct manifest_head *head,
                         const struct strs *mapped, struct err *err)
{
	if (!mapped_exist(head, mapped, err))
		return false;
	plan->tablespace = xcalloc(head->tablespaces + 1, sizeof(plan->tablespace[0]));
	for (size_t i = 0; i < head->tablespaces; i++) {
		const struct manifest_tablespace *from = &head->tablespace[i];
		const char *path = mapped_to(mapped, from->name);

		if (!path && plan->clone) {
			err_set(err, ERR_REFUSED,
			        "tablespace \"%s\" lies in \"%s\", which belongs to the original "
			        "cluster",
			        from->name, from->path);
			err_hint(err, "Say where it goes in this copy: --tablespace %s=DIRECTORY.",
			         from->name);
			return false;
		}
		path = path ? path : from->path;
		if (!path_is_absolute(path) || strpbrk(path, "\n\r"))
			return err_set(err, ERR_USAGE,
			               "tablespace \"%s\" needs an absolute path, not \"%s\"",
			               from->name, path);
		plan->tablespace[plan->tablespaces++] =
		        (struct restore_tablespace){.oid = from->oid,
		                                    .name = xstrdup(from->name),
		                                    .original = xstrdup(from->path),
		                                    .path = xstrdup(path)};
	}
	return true;
}

/* ---- room ---- */

/* The deepest folder of path that exists. */
static char *existing(const char *path)
{
	AUTO_FREE char *at = xstrdup(path);
	struct stat status;

	while (stat(at, &status) != 0 && strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
		char *above = path_folder(at);

		free(at);
		at = above;
	}
	return STEAL(at);
}

static bool may_write_into(const char *path, struct err *err)
{
	AUTO_FREE char *folder = existing(path);

	if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	err_sys(err, "nothing may be written in \"%s\"", folder);
	err->code = ERR_REFUSED;
	return false;
}

struct disk {
	dev_t device;
	uint64_t need, free;
	char *path;
};

static bool disk_add(struct disk *disks, size_t *count, const char *path, uint64_t need,
                     struct err *err)
{
	AUTO_FREE char *folder = existing(path);
	struct statvfs space;
	struct stat status;
	size_t i = 0;

	if (stat(folder, &status) != 0 || statvfs(folder, &space) != 0)
		return err_sys(err, "could not look at the disk of \"%s\"", path);
	while (i < *count && disks[i].device != status.st_dev)
		i++;
	if (i == *count)
		disks[(*count)++] = (struct disk){.device = status.st_dev,
		                                  .free = (uint64_t)space.f_bavail * space.f_frsize,
		                                  .path = STEAL(folder)};
	disks[i].need += need;
	return true;
}

static bool disks_check(const struct disk *disks, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		char need[UNITS_TEXT_BYTES], have[UNITS_TEXT_BYTES];

		if (disks[i].free >= disks[i].need)
			continue;
		units_size(disks[i].need, need);
		units_size(disks[i].free, have);
		err_set(err, ERR_REFUSED,
		        "the disk of \"%s\" is too small: %s are needed, %s are free",
		        disks[i].path, need, have);
		err_hint(err, "Make room there, or restore to another disk: --pgdata, --tablespace "
		              "or --link-pgwal.");
		return false;
	}
	return true;
}

static bool folder_for_tablespace(const struct restore_room *room,
                                  const struct restore_tablespace *space, struct err *err)
{
	char version[PG_VERSION_FOLDER_BYTES];
	const struct pg_version *known = pg_version_of_major(room->plan->major);
	AUTO_FREE char *inside = NULL;
	struct stat status;

	if (!known)
		return err_set(err, ERR_REFUSED, "PostgreSQL %u is not known", room->plan->major);
	if (lies_in(space->path, room->plan->pgdata)) {
		err_set(err, ERR_REFUSED,
		        "tablespace \"%s\" cannot go into the data directory, to \"%s\"",
		        space->name, space->path);
		err_hint(err,
		         "PostgreSQL warns of such a place, since whoever copies the directory "
		         "copies it twice. Say where it goes: --tablespace %s=DIRECTORY.",
		         space->name);
		return false;
	}
	pg_version_folder(known, version);
	inside = path_join(space->path, version);
	if (lstat(inside, &status) == 0 && !room->in_place && !room->resume) {
		err_set(err, ERR_REFUSED, "the folder \"%s\" for tablespace \"%s\" is in use",
		        inside, space->name);
		err_hint(err, "Choose another one with --tablespace %s=DIRECTORY, or move it away.",
		         space->name);
		return false;
	}
	return may_write_into(space->path, err);
}

bool restore_room_check(const struct restore_room *room, struct err *err)
{
	const struct restore_plan *plan = room->plan;
	struct disk *disks = xcalloc(plan->tablespaces + 2, sizeof(*disks));
	uint64_t wal = (uint64_t)SPARE_SEGMENTS * plan->segment_bytes;
	size_t count = 0;
	bool good = may_write_into(plan->pgdata, err);

	for (size_t i = 0; good && i < plan->tablespaces; i++) {
		for (size_t k = 0; good && k < i; k++)
			if (strcmp(plan->tablespace[i].path, plan->tablespace[k].path) == 0)
				good = err_set(err, ERR_USAGE,
				               "two tablespaces cannot go to \"%s\"",
				               plan->tablespace[i].path);
		good = good && folder_for_tablespace(room, &plan->tablespace[i], err);
	}
	if (good && room->link_pgwal && !room->resume && !room->in_place) {
		struct strs names = {0};

		if (file_list(room->link_pgwal, &names, err))
			good = names.count == 0 ||
			       err_set(err, ERR_REFUSED, "folder \"%s\" for pg_wal is not empty",
			               room->link_pgwal);
		else
			good = err->code == ERR_NOTFOUND;
		if (good)
			err_clear(err);
		strs_release(&names);
	}
	/* What is there already makes room as it is replaced, so it is not counted again. */
	if (good && !room->in_place && !room->resume) {
		good = disk_add(disks, &count, plan->pgdata, room->main_bytes, err) &&
		       disk_add(disks, &count, room->link_pgwal ? room->link_pgwal : plan->pgdata,
		                wal, err);
		for (size_t i = 0; good && room->tablespace_bytes && i < plan->tablespaces; i++)
			good = disk_add(disks, &count, plan->tablespace[i].path,
			                room->tablespace_bytes[i], err);
		good = good && disks_check(disks, count, err);
	}
	for (size_t i = 0; i < count; i++)
		free(disks[i].path);
	free(disks);
	return good;
}

/* What was there stays as it is. */
static bool folder_make(const struct restore_room *room, const char *path, struct err *err)
{
	bool fresh = access(path, F_OK) != 0;

	if (!durable_mkdir(path, 0700, err))
		return false;
	return !fresh || !room->group_access || chmod(path, 0750) == 0 ||
	       err_sys(err, "could not set the mode of \"%s\"", path);
}

bool restore_room_make(const struct restore_room *room, struct err *err)
{
	const struct restore_plan *plan = room->plan;

	if (!folder_make(room, plan->pgdata, err))
		return false;
	for (size_t i = 0; i < plan->tablespaces; i++)
		if (!folder_make(room, plan->tablespace[i].path, err))
			return false;
	return !room->link_pgwal || folder_make(room, room->link_pgwal, err);
}
