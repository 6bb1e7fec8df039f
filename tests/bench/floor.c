/*
 * floor.c — the least that archiving can cost: each file is read once, hashed once, compressed by
 * lz4 level 1, written, synced and named, by as many processes as asked for.
 *
 *	floor PROCESSES TARGET < PATHS
 *
 * XXH3-128 is the hash: what the sealed objects use. The folder is synced for each file.
 */
#include <fcntl.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

enum { FRAME_BYTES = 128 * 1024, FILES_MAX = 4096, PATH_BYTES = 512, OBJECT_BYTES = 20 << 20 };

static char paths[FILES_MAX][PATH_BYTES];

static void fail(const char *what, const char *path)
{
	perror(what);
	fprintf(stderr, "floor: \"%s\"\n", path);
	exit(1);
}

static size_t squeeze(const char *path, char *object)
{
	static char frame[FRAME_BYTES];
	XXH3_state_t *hash = XXH3_createState();
	size_t length = 16;
	ssize_t got;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || !hash)
		fail("open", path);
	XXH3_128bits_reset(hash);
	while ((got = read(fd, frame, FRAME_BYTES)) > 0) {
		XXH3_128bits_update(hash, frame, (size_t)got);
		length += (size_t)LZ4_compress_default(frame, object + length, (int)got,
		                                       LZ4_COMPRESSBOUND(FRAME_BYTES));
	}
	if (got < 0)
		fail("read", path);
	XXH128_hash_t digest = XXH3_128bits_digest(hash);
	memcpy(object, &digest, sizeof(digest));
	XXH3_freeState(hash);
	close(fd);
	return length;
}

static void store(const char *target, const char *path, const char *object, size_t length)
{
	const char *name = strrchr(path, '/') + 1;
	char draft[2 * PATH_BYTES], final[2 * PATH_BYTES];
	int fd, folder;

	snprintf(draft, sizeof(draft), "%s/%s.draft", target, name);
	snprintf(final, sizeof(final), "%s/%s", target, name);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, object, length) != (ssize_t)length || fsync(fd) != 0)
		fail("write", draft);
	close(fd);
	folder = open(target, O_RDONLY | O_DIRECTORY);
	if (rename(draft, final) != 0 || folder < 0 || fsync(folder) != 0)
		fail("rename", final);
	close(folder);
}

int main(int argc, char **argv)
{
	int processes = argc == 3 ? atoi(argv[1]) : 0, files = 0, failed = 0, status;

	if (processes < 1)
		fail("usage: floor PROCESSES TARGET", "");
	while (files < FILES_MAX && scanf("%511s", paths[files]) == 1)
		files++;
	for (int process = 0; process < processes; process++) {
		char *object;

		if (fork() != 0)
			continue;
		object = malloc(OBJECT_BYTES);
		if (!object)
			fail("malloc", "");
		for (int i = process; i < files; i += processes)
			store(argv[2], paths[i], object, squeeze(paths[i], object));
		return 0;
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
