/*
 * walcheck.c — walks WAL segment files and prints what it saw, for tests that compare it with
 * pg_waldump.
 *
 *	walcheck [--tail] [--quiet] [--blocks | --decode] FILE…
 *
 * Files are named as PostgreSQL names them and walked in the order given; consecutive ones are
 * one walk. One line for each record of interest (not with --quiet), then a summary of key=value
 * lines. With --blocks a line for every record instead: what it touches and what it says; with
 * --decode they are only counted. Exit 0: valid; 7: damaged or refused, with the reason on standard
 *error.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/segment.h"
#include "pg/waldecode.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

static struct {
	uint64_t records, blocks, images, inserted, updated, deleted;
	uint64_t image[4], image_bytes[4], hole_bytes[4]; /* by enum wal_image */
	uint64_t event[WALEVENT_UNKNOWN_CHANGE + 1];
	uint64_t subxids, files, statistics, invalidations, prepared, origins, inits;
} decoded;
static bool decoded_print;

/* As pg_waldump prints a block reference. */
static void block_print(const struct wal_block *block)
{
	static const char *const fork[] = {"", " fork fsm", " fork vm", " fork init"};

	printf(" #%u: rel %u/%u/%u%s blk %u%s", block->id, block->relation.tablespace,
	       block->relation.database, block->relation.file, fork[block->fork], block->number,
	       block->image ? " FPW" : "");
}

static void event_print(const struct walevent *event)
{
	printf(" | %s", walevent_name(event->kind));
	switch (event->kind) {
	case WALEVENT_COMMIT:
	case WALEVENT_ABORT:
		printf(" %u subxids %u files %u", event->xid, event->subxids.count,
		       event->files.count);
		break;
	case WALEVENT_FILE_CREATE:
	case WALEVENT_FILE_TRUNCATE:
		printf(" %u/%u/%u fork %u to %u", event->relation.tablespace,
		       event->relation.database, event->relation.file, event->fork,
		       event->length_blocks);
		break;
	case WALEVENT_ROWS:
		printf(" +%u ~%u -%u", event->inserted, event->updated, event->deleted);
		break;
	case WALEVENT_DATABASE_CREATE:
	case WALEVENT_DATABASE_DROP:
		printf(" %u", event->database);
		break;
	default:
		break;
	}
	printf(" %s\n", event->text);
}

static void blocks_sum(const struct wal_decoded *record)
{
	for (unsigned i = 0; i < record->blocks; i++) {
		const struct wal_block *block = &record->block[i];

		decoded.inits += block->init;
		decoded.image[block->compression] += block->image;
		decoded.image_bytes[block->compression] += block->image_bytes;
		decoded.hole_bytes[block->compression] += block->hole_bytes;
	}
}

static void event_sum(const struct walevent *event)
{
	decoded.event[event->kind]++;
	if (event->kind != WALEVENT_COMMIT && event->kind != WALEVENT_ABORT)
		return;
	decoded.subxids += event->subxids.count;
	decoded.files += event->files.count;
	decoded.statistics += event->dropped_statistics;
	decoded.invalidations += event->invalidations;
	decoded.prepared += event->prepared;
}

static void decoded_each(void *context, const struct wal_decoded *record)
{
	bool *unclear = context;
	struct walevent event;

	decoded.records++;
	decoded.blocks += record->blocks;
	decoded.images += record->images;
	decoded.origins += record->origin != 0;
	blocks_sum(record);
	if (!walevent_of(record, &event)) {
		fprintf(stderr, "record at " LSN_FORMAT " has an unknown layout\n",
		        LSN_ARGS(record->start));
		*unclear = true;
		return;
	}
	event_sum(&event);
	decoded.inserted += event.inserted;
	decoded.updated += event.updated;
	decoded.deleted += event.deleted;
	if (!decoded_print)
		return;
	printf(LSN_FORMAT " %u %u", LSN_ARGS(record->start), record->manager, record->xid);
	for (unsigned i = 0; i < record->blocks; i++)
		block_print(&record->block[i]);
	event_print(&event);
}

static void totals_print(void)
{
	printf("decoded=%llu\nblocks=%llu\nimages=%llu\ninserted=%llu\nupdated=%llu\ndeleted=%"
	       "llu\n",
	       (unsigned long long)decoded.records, (unsigned long long)decoded.blocks,
	       (unsigned long long)decoded.images, (unsigned long long)decoded.inserted,
	       (unsigned long long)decoded.updated, (unsigned long long)decoded.deleted);
	printf("subxids=%llu\nfiles=%llu\nstatistics=%llu\ninvalidations=%llu\nprepared=%llu\n"
	       "origins=%llu\ninits=%llu\n",
	       (unsigned long long)decoded.subxids, (unsigned long long)decoded.files,
	       (unsigned long long)decoded.statistics, (unsigned long long)decoded.invalidations,
	       (unsigned long long)decoded.prepared, (unsigned long long)decoded.origins,
	       (unsigned long long)decoded.inits);
	for (unsigned i = 0; i < ARRAY_LENGTH(decoded.image); i++) {
		static const char *const method[] = {"plain", "pglz", "lz4", "zstd"};

		printf("images_%s=%llu\nimage_bytes_%s=%llu\nhole_bytes_%s=%llu\n", method[i],
		       (unsigned long long)decoded.image[i], method[i],
		       (unsigned long long)decoded.image_bytes[i], method[i],
		       (unsigned long long)decoded.hole_bytes[i]);
	}
	for (unsigned i = 1; i < ARRAY_LENGTH(decoded.event); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s", walevent_name((enum walevent_kind)i));
		for (char *at = name; *at; at++)
			*at = *at == ' ' ? '_' : *at;
		printf("event_%s=%llu\n", name, (unsigned long long)decoded.event[i]);
	}
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

/* False with status and message printed, if any. */
static bool files_walk(struct walwalk *walk, char **path, int count)
{
	struct err err = {0};
	char text[ERR_TEXT_MAX + ERR_HINT_MAX];

	for (int i = 0; i < count && !walk->seen.ended; i++)
		if (!file_walk(walk, path[i], &err)) {
			err_lines(&err, text, sizeof(text));
			fputs(text, stderr);
			return false;
		}
	return true;
}

int main(int argc, char **argv)
{
	struct walwalk_options options = {.each = record_print};
	struct waldecode decode;
	struct walwalk walk;
	struct stat status;
	bool decodes = false, unclear = false, good;
	int first = 1;

	for (; first < argc && str_starts(argv[first], "--"); first++) {
		options.tail |= strcmp(argv[first], "--tail") == 0;
		quiet |= strcmp(argv[first], "--tail") != 0;
		decoded_print |= strcmp(argv[first], "--blocks") == 0;
		decodes |= decoded_print || strcmp(argv[first], "--decode") == 0;
	}
	if (first == argc || stat(argv[first], &status) ||
	    !segment_bytes_valid((uint64_t)status.st_size)) {
		fprintf(stderr,
		        "usage: walcheck [--tail] [--quiet] [--blocks | --decode] SEGMENT...\n");
		return EXIT_USAGE;
	}
	options.segment_bytes = (uint32_t)status.st_size;
	waldecode_init(&decode, decoded_each, &unclear);
	if (decodes)
		options.sink = &decode.sink;
	walwalk_init(&walk, &options);
	good = files_walk(&walk, argv + first, argc - first);
	waldecode_release(&decode);
	if (!good || unclear)
		return EXIT_DAMAGED;
	seen_print(&walk.seen);
	if (decodes)
		totals_print();
	return 0;
}
