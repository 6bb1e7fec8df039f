/*
 * restore_sight.c — what can be seen of a server without asking it: its lock file, pg_control, the
 * WAL file that it replayed last, its log. For workers.
 */
#include "restore_internal.h"
#include "base/bytes.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

enum {
	LOCK_BYTES_MAX = 8192,
	LOCK_LINES = 8,
	LOG_TAIL_BYTES = 64 * 1024,
	LOG_LINES_MAX = 12,
	WAL_PAGE_BYTES = 8192,
};

bool restore_process_lives(pid_t pid)
{
	char path[64], text[512] = "";
	AUTO_FD int fd = -1;
	const char *state;

	if (pid <= 0 || (kill(pid, 0) != 0 && errno != EPERM))
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || file_read_full(fd, text, sizeof(text) - 1) <= 0)
		return false;
	state = strrchr(text, ')');
	return !state || state[1] != ' ' || (state[2] != 'Z' && state[2] != 'X');
}

static void read_lock(struct server_sight *sight)
{
	AUTO_FREE char *path = path_join(sight->pgdata, "postmaster.pid");
	AUTO_BUF struct buf text;
	struct err ignored = {0};
	char *line[LOCK_LINES] = {0};
	uint64_t pid;
	unsigned lines = 0;

	buf_init(&text, LOCK_BYTES_MAX);
	if (!file_read_all(path, &text, &ignored) || text.length == 0)
		return;
	for (char *at = text.data; at && *at && lines < LOCK_LINES; lines++) {
		char *newline = strchr(at, '\n');

		line[lines] = at;
		if (newline)
			*newline++ = 0;
		at = newline;
	}
	if (!line[0] || !str_u64(line[0], &pid) || pid > INT_MAX)
		return;
	sight->pid = (pid_t)pid;
	if (lines > 4 && (!str_u32(line[3], &sight->port) ||
	                  !str_copy(sight->socket_folder, sizeof(sight->socket_folder), line[4])))
		sight->port = 0;
	if (lines > 7 && !str_copy(sight->status, sizeof(sight->status), str_trim(line[7])))
		sight->status[0] = 0;
}

static void read_page(struct server_sight *sight, const struct restore_plan *plan)
{
	lsn at = sight->page_of - 1, page = at - at % WAL_PAGE_BYTES;
	uint64_t segno = lsn_segno(at, plan->segment_bytes);
	uint32_t tli = history_tli_of_segment(&plan->path, segno, plan->segment_bytes);
	char name[SEGMENT_NAME_BYTES];
	AUTO_FREE char *path = NULL;
	AUTO_FD int fd = -1;
	uint8_t header[16];

	segment_name(tli, segno, plan->segment_bytes, name);
	path = xasprintf("%s/pg_wal/%s", sight->pgdata, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* Behind a switch of the segment all pages are zero, without headers. */
	for (; fd >= 0; page -= WAL_PAGE_BYTES) {
		uint64_t address;

		if (file_pread_full(fd, header, sizeof(header), page % plan->segment_bytes) !=
		    (ssize_t)sizeof(header))
			break;
		address = get_u64(header + 8);
		if (address == page) {
			sight->page_tli = get_u32(header + 4);
			sight->page_at = page;
		}
		if (address != 0 || page % plan->segment_bytes == 0)
			break;
	}
	for (size_t i = 0; i < plan->path.count; i++) {
		AUTO_FREE char *other = NULL;

		if (plan->path.entry[i].tli == tli)
			continue;
		segment_name(plan->path.entry[i].tli, segno, plan->segment_bytes, name);
		other = xasprintf("%s/pg_wal/%s", sight->pgdata, name);
		sight->parent_copy |= access(other, F_OK) == 0;
	}
}

void restore_sight(struct restore_follow *follow)
{
	const struct restore_plan *plan = &follow->restore->plan;
	lsn page_of = follow->sight.page_of;
	struct server_sight *sight = &follow->sight;
	struct err ignored = {0};

	*sight = (struct server_sight){
	        .pgdata = plan->pgdata, .expected = follow->pid, .page_of = page_of};
	read_lock(sight);
	sight->running = restore_process_lives(sight->expected ? sight->expected : sight->pid);
	sight->control_known = control_read(plan->pgdata, &sight->control, &ignored);
	if (page_of)
		read_page(sight, plan);
}

/* ---- the end, when it was promoted already ---- */

/* Whether the timeline that PostgreSQL began comes by the plan's path. */
static bool history_fits(const struct restore_plan *plan, const struct history *history)
{
	if (history->count != plan->path.count + 1 ||
	    history->entry[history->count - 1].tli != plan->path.tli)
		return false;
	for (size_t i = 0; i < plan->path.count; i++)
		if (history->entry[i].tli != plan->path.entry[i].tli ||
		    history->entry[i].switch_lsn != plan->path.entry[i].switch_lsn)
			return false;
	return true;
}

bool restore_sight_end(struct restore *restore, struct err *err)
{
	const struct restore_plan *plan = &restore->plan;
	AUTO_FREE char *path = xasprintf("%s/pg_wal/%08X.history", plan->pgdata, restore->new_tli);
	struct history history = {0};
	AUTO_BUF struct buf text;

	buf_init(&text, HISTORY_BYTES_MAX);
	if (!file_read_all(path, &text, err) ||
	    !history_parse(restore->new_tli, buf_text(&text), text.length, &history, err))
		return err_wrap(err, "could not read where timeline %u begins", restore->new_tli);
	if (history_fits(plan, &history)) {
		restore->reached_lsn = history.entry[history.count - 1].switch_lsn;
		restore->reached_tli = history_tli_at(&plan->path, restore->reached_lsn - 1);
	} else {
		err_set(err, ERR_FAILED,
		        "the server is on timeline %u, which does not come from the end of the "
		        "plan, on timeline %u",
		        restore->new_tli, plan->path.tli);
	}
	history_release(&history);
	return !err_is(err);
}

/* ---- the log ---- */

/* With logging_collector, the file that "current_logfiles" names. */
static char *collected_log(const char *pgdata)
{
	AUTO_FREE char *path = path_join(pgdata, "current_logfiles");
	AUTO_BUF struct buf text;
	struct err ignored = {0};
	char *name;

	buf_init(&text, LOCK_BYTES_MAX);
	if (!file_read_all(path, &text, &ignored) || !str_starts(buf_text(&text), "stderr "))
		return NULL;
	name = text.data + strlen("stderr ");
	name[strcspn(name, "\n")] = 0;
	return path_is_absolute(name) ? xstrdup(name) : path_join(pgdata, name);
}

static void read_tail(const char *path, uint64_t from, struct buf *out)
{
	AUTO_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat status;
	uint64_t size;
	char *room;
	ssize_t got;

	if (fd < 0 || fstat(fd, &status) != 0)
		return;
	size = (uint64_t)status.st_size;
	if (size > LOG_TAIL_BYTES)
		from = MAX(from, size - LOG_TAIL_BYTES);
	if (from >= size)
		return;
	room = buf_reserve(out, size - from);
	if (!room)
		return;
	got = file_pread_full(fd, room, size - from, from);
	out->length += got > 0 ? (size_t)got : 0;
}

static void line_add(const char *line[LOG_LINES_MAX], unsigned *count, const char *text)
{
	if (*count == LOG_LINES_MAX)
		memmove(line, line + 1, --*count * sizeof(line[0]));
	line[(*count)++] = text;
}

void restore_log_tail(const struct restore_follow *follow, struct buf *out, bool *ret_target_missed)
{
	AUTO_FREE char *collected = collected_log(follow->restore->plan.pgdata);
	AUTO_BUF struct buf text;
	const char *line[LOG_LINES_MAX];
	unsigned count = 0;

	buf_init(&text, 2 * LOG_TAIL_BYTES);
	read_tail(follow->log, follow->log_from, &text);
	read_tail(collected, 0, &text);
	*ret_target_missed = strstr(buf_text(&text), "recovery ended before configured recovery "
	                                             "target was reached") != NULL;
	for (char *at = text.data, *next, *before = NULL; at && *at; before = at, at = next) {
		bool fatal;

		next = strchr(at, '\n');
		if (next)
			*next++ = 0;
		fatal = strstr(at, "FATAL:") || strstr(at, "PANIC:");
		/* What is wrong with a setting stands in the line before. */
		if (fatal && before && (count == 0 || line[count - 1] != before))
			line_add(line, &count, before);
		if (fatal || strstr(at, "ERROR:") || strstr(at, "DETAIL:") || strstr(at, "HINT:") ||
		    strstr(at, "seawall-wal:"))
			line_add(line, &count, at);
	}
	for (unsigned i = 0; i < count; i++)
		buf_addf(out, "  %s\n", line[i]);
}
