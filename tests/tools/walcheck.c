/*
 * walcheck.c — walks WAL segment files and prints what it saw, for tests that compare it with
 * pg_waldump.
 *
 *	walcheck [--tail] [--quiet] FILE…
 *
 * Files are named as PostgreSQL names them and walked in the order given; consecutive ones are
 * one walk. One line for each record of interest (not with --quiet), then a summary of key=value
 * lines. Exit 0: valid; 7: damaged or refused, with the reason on standard error.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/segment.h"
#include "pg/walwalk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/poison.h"

enum { EXIT_USAGE = 2, EXIT_DAMAGED = 7, PIECE_BYTES = 128 << 10 };

static bool quiet;

static void record_print(void *context, const struct walrecord *record)
{
	static const char *const kind[] = {
	        [WALRECORD_COMMIT] = "COMMIT",
	        [WALRECORD_ABORT] = "ABORT",
	        [WALRECORD_RESTORE_POINT] = "RESTORE_POINT",
	        [WALRECORD_CREATE_TABLESPACE] = "CREATE_TABLESPACE",
	        [WALRECORD_CHECKPOINT] = "CHECKPOINT",
	        [WALRECORD_END_OF_RECOVERY] = "END_OF_RECOVERY",
	        [WALRECORD_BACKUP_END] = "BACKUP_END",
	        [WALRECORD_SWITCH] = "SWITCH",
	        [WALRECORD_PARAMETER_CHANGE] = "PARAMETER_CHANGE",
	};
	char time[TIME_TEXT_BYTES] = "-";

	(void)context;
	if (quiet)
		return;
	if (record->time_us)
		clock_text_utc(record->time_us, time);
	printf("%s start=" LSN_FORMAT " end=" LSN_FORMAT " tli=%u xid=%u prepared=%d time=\"%s\" "
	       "new_tli=%u previous_tli=%u other=" LSN_FORMAT " tablespace=%u text=\"%s\"\n",
	       kind[record->kind], LSN_ARGS(record->start), LSN_ARGS(record->end), record->tli,
	       record->xid, record->prepared, time, record->new_tli, record->previous_tli,
	       LSN_ARGS(record->other), record->tablespace, record->text);
}

static bool file_walk(struct walwalk *walk, const char *path, struct err *err)
{
	AUTO_FD
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_FREE
	uint8_t *piece = xmalloc(PIECE_BYTES);
	struct walname name;
	ssize_t got;

	if (fd < 0)
		return err_sys(err, "could not open file \"%s\"", path);
	if (!walname_parse(path_name(path), &name) ||
	    !walname_fits(&name, walk->options.segment_bytes))
		return err_set(err, ERR_USAGE, "\"%s\" is not named like a segment", path);
	if (!walwalk_begin(walk, name.tli, walname_segno(&name, walk->options.segment_bytes), err))
		return false;
	while ((got = file_read_full(fd, piece, PIECE_BYTES)) > 0)
		if (!walwalk_feed(walk, piece, (size_t)got, err))
			return err_wrap(err, "file \"%s\" is not valid", path);
	if (got < 0)
		return err_sys(err, "could not read file \"%s\"", path);
	if (!walwalk_end(walk, err))
		return err_wrap(err, "file \"%s\" is not valid", path);
	return true;
}

static void seen_print(const struct walwalk_seen *seen)
{
	char commit[TIME_TEXT_BYTES] = "-";

	if (seen->commits)
		clock_text_utc(seen->last_commit_us, commit);
	printf("major=%u\nsystem_identifier=%llu\nrecords=%llu\nfirst_start=" LSN_FORMAT
	       "\nlast_start=" LSN_FORMAT "\nlast_end=" LSN_FORMAT "\nlast_tli=%u\n",
	       seen->major, (unsigned long long)seen->system_identifier,
	       (unsigned long long)seen->records, LSN_ARGS(seen->first_start),
	       LSN_ARGS(seen->last_start), LSN_ARGS(seen->last_end), seen->last_tli);
	printf("open=%d\nopen_start=" LSN_FORMAT "\nopen_left_bytes=%u\nswitched=%d\n"
	       "commits=%llu\naborts=%llu\nlast_commit=" LSN_FORMAT "\nlast_commit_time=%s\n",
	       seen->open, LSN_ARGS(seen->open_start), seen->open_left_bytes, seen->switched,
	       (unsigned long long)seen->commits, (unsigned long long)seen->aborts,
	       LSN_ARGS(seen->last_commit_start), commit);
	printf("skipped_bytes=%llu\nended=%d\nend_lsn=" LSN_FORMAT
	       "\nend_reason=%s\ndirty_lsn=" LSN_FORMAT "\n",
	       (unsigned long long)seen->skipped_bytes, seen->ended, LSN_ARGS(seen->end_lsn),
	       seen->end_reason, LSN_ARGS(seen->dirty_lsn));
}

int main(int argc, char **argv)
{
	struct walwalk_options options = {.each = record_print};
	struct err err = {0};
	struct walwalk walk;
	struct stat status;
	char text[ERR_TEXT_MAX + ERR_HINT_MAX];
	int first = 1;

	for (; first < argc && str_starts(argv[first], "--"); first++) {
		options.tail |= str_starts(argv[first], "--tail");
		quiet |= str_starts(argv[first], "--quiet");
	}
	if (first == argc || stat(argv[first], &status) ||
	    !segment_bytes_valid((uint64_t)status.st_size)) {
		fprintf(stderr, "usage: walcheck [--tail] [--quiet] SEGMENT...\n");
		return EXIT_USAGE;
	}
	options.segment_bytes = (uint32_t)status.st_size;
	walwalk_init(&walk, &options);
	for (int i = first; i < argc && !walk.seen.ended; i++)
		if (!file_walk(&walk, argv[i], &err)) {
			err_lines(&err, text, sizeof(text));
			fputs(text, stderr);
			return EXIT_DAMAGED;
		}
	seen_print(&walk.seen);
	return 0;
}
