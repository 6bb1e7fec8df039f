/*
 * walspeed.c — how fast WAL is read: segments in memory, walked on one core.
 *
 *	walspeed ROUNDS SEGMENT…
 *
 * Three ways, in turn, ROUNDS times: prove (page headers, chain, all CRCs), decode (the block
 * references of every record too), tell (its event too: all that the index asks for). Prints the
 * median of each in MB/s of CPU time, and the same for one CRC-32C over all bytes: no proof is
 * faster than that.
 */
#include "base/file.h"
#include "base/str.h"
#include "pg/crc32c.h"
#include "pg/segment.h"
#include "pg/waldecode.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/poison.h"

enum { PIECE_BYTES = 128 << 10, ROUNDS_MAX = 101, SEGMENTS_MAX = 1024 };
enum way { WAY_CRC, WAY_PROVE, WAY_DECODE, WAY_TELL, WAYS };

static struct segment_file {
	uint8_t *bytes;
	struct walname name;
} segment[SEGMENTS_MAX];
static size_t segments;
static uint32_t segment_bytes;
static uint64_t records, blocks, rows; /* so that nothing is left out */

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void count(void *context, const struct wal_decoded *record)
{
	struct walevent event;

	records++;
	blocks += record->blocks;
	if (*(const enum way *)context != WAY_TELL)
		return;
	if (!walevent_of(record, &event))
		abort();
	rows += event.inserted + event.updated + event.deleted;
}

static void segment_feed(struct walwalk *walk, const struct segment_file *file)
{
	struct err err = {0};
	bool good = walwalk_begin(walk, file->name.tli, walname_segno(&file->name, segment_bytes),
	                          &err);

	for (uint32_t at = 0; good && at < segment_bytes; at += PIECE_BYTES)
		good = walwalk_feed(walk, file->bytes + at, PIECE_BYTES, &err);
	if (good && walwalk_end(walk, &err))
		return;
	fprintf(stderr, "%s\n", err.text);
	exit(1);
}

static double round_mbs(enum way way)
{
	struct waldecode decode;
	struct walwalk_options options = {.segment_bytes = segment_bytes};
	struct walwalk walk;
	double begun = cpu_s();

	waldecode_init(&decode, count, &way);
	if (way >= WAY_DECODE)
		options.sink = &decode.sink;
	walwalk_init(&walk, &options);
	for (size_t i = 0; i < segments; i++)
		if (way == WAY_CRC)
			records += crc32c(CRC32C_EMPTY, segment[i].bytes, segment_bytes);
		else
			segment_feed(&walk, &segment[i]);
	waldecode_release(&decode);
	return (double)segment_bytes * (double)segments / 1e6 / (cpu_s() - begun);
}

static bool segment_load(const char *path, struct err *err)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct segment_file *file = &segment[segments++];

	file->bytes = xmalloc(segment_bytes);
	return (fd >= 0 && walname_parse(path_name(path), &file->name) &&
	        file_read_full(fd, file->bytes, segment_bytes) == (ssize_t)segment_bytes) ||
	       err_set(err, ERR_IO, "could not read segment \"%s\"", path);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const char *const name[WAYS] = {"crc", "prove", "decode", "tell"};
	static double mbs[WAYS][ROUNDS_MAX];
	int rounds = argc > 2 ? MIN((int)strtol(argv[1], NULL, 10), (int)ROUNDS_MAX) : 0;
	struct err err = {0};
	struct stat status;

	if (rounds < 1 || argc - 2 > SEGMENTS_MAX || stat(argv[2], &status) != 0 ||
	    !segment_bytes_valid((uint64_t)status.st_size)) {
		fprintf(stderr, "usage: walspeed ROUNDS SEGMENT...\n");
		return 2;
	}
	segment_bytes = (uint32_t)status.st_size;
	for (int i = 2; i < argc; i++)
		if (!segment_load(argv[i], &err)) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
	for (int round = 0; round < rounds; round++)
		for (int way = 0; way < WAYS; way++)
			mbs[way][round] = round_mbs((enum way)way);
	for (int way = 0; way < WAYS; way++) {
		qsort(mbs[way], (size_t)rounds, sizeof(double), compare);
		printf("%s_mbs=%.0f\n", name[way], mbs[way][rounds / 2]);
	}
	for (size_t i = 0; i < segments; i++)
		free(segment[i].bytes);
	printf("megabytes=%.0f\n", (double)segment_bytes * (double)segments / 1e6);
	return 0;
}
