/* folder.h — a data directory made by hand: pg_control, pg_wal, archive_status; for stories without
 * a server. */
#ifndef TESTS_FAULT_FOLDER_H
#define TESTS_FAULT_FOLDER_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/control.h"
#include "unit/pg/walcraft.h"

static inline void folder_write(const char *folder, const char *name, const void *bytes,
                                size_t length)
{
	char *path = path_join(folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert(fd >= 0 && file_write_full(fd, bytes, length));
	close(fd);
	free(path);
}

/* pg_control of a version 15 cluster with segments of CRAFT_SEGMENT_BYTES (offsets:
 * src/include/catalog/pg_control.h). */
static inline void folder_control(const char *folder, uint64_t system_identifier)
{
	uint8_t bytes[CONTROL_BYTES] = {0};
	double float_check = 1234567.0;

	put_u64(bytes, system_identifier);
	put_u32(bytes + 8, 1300);
	put_u32(bytes + 12, 202209061);
	put_u32(bytes + 16, CONTROL_IN_PRODUCTION);
	put_u64(bytes + 32, CRAFT_SEGMENT_BYTES + 40);
	put_u64(bytes + 40, CRAFT_SEGMENT_BYTES + 40);
	put_u32(bytes + 48, 1);
	put_u32(bytes + 52, 1);
	put_u32(bytes + 204, 8);
	memcpy(bytes + 208, &float_check, 8);
	put_u32(bytes + 216, 8192);
	put_u32(bytes + 220, 131072);
	put_u32(bytes + 224, 8192);
	put_u32(bytes + 228, CRAFT_SEGMENT_BYTES);
	put_u32(bytes + 232, 64);
	put_u32(bytes + 236, 32);
	put_u32(bytes + 240, 1996);
	put_u32(bytes + 244, 2048);
	bytes[248] = 1;
	put_u32(bytes + 252, 1);
	put_u32(bytes + 288, crc32c_portable(0, bytes, 288));
	folder_write(folder, "global/pg_control", bytes, sizeof(bytes));
}

/* In memory where that can be: nothing here is about a disk. */
static inline char *folder_make(void)
{
	const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char *folder = path_join(parent, "seawall-fault-XXXXXX");

	if (!mkdtemp(folder))
		abort();
	return folder;
}

static inline char *folder_new(uint64_t system_identifier)
{
	char *folder = folder_make();
	static const char *const folders[] = {"global", "pg_wal", "pg_wal/archive_status"};

	for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
		char *path = path_join(folder, folders[i]);

		if (mkdir(path, 0700) != 0)
			abort();
		free(path);
	}
	folder_control(folder, system_identifier);
	return folder;
}

/* A file in pg_wal that PostgreSQL wants archived. */
static inline void folder_ready(const char *folder, const char *name, const void *bytes,
                                size_t length)
{
	char path[256];

	snprintf(path, sizeof(path), "pg_wal/%s", name);
	folder_write(folder, path, bytes, length);
	snprintf(path, sizeof(path), "pg_wal/archive_status/%s.ready", name);
	folder_write(folder, path, "", 0);
}

static inline void folder_free(char *folder)
{
	struct err err = {0};

	if (!file_remove_tree(folder, &err))
		abort();
	free(folder);
}

#endif
