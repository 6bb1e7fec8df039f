/*
 * file.c — reading and writing files without losing half of it.
 *
 * The kernel may do less than it was asked; every function here goes on until it is done. Nothing
 * here makes anything durable: that is durable.c.
 */
#include "base/file.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "base/poison.h"

enum {
	READ_CHUNK_BYTES = 64 * 1024,
	TREE_DEPTH_MAX = 128, /* one descriptor and one stack frame each */
};

ssize_t file_read_full(int fd, void *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = read(fd, (char *)bytes + done, length - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

ssize_t file_pread_full(int fd, void *bytes, size_t length, uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got =
		        pread(fd, (char *)bytes + done, length - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* After a write: how far it got; false when the file can take no more. */
static bool advance(ssize_t put, size_t *done)
{
	if (put < 0)
		return errno == EINTR;
	if (put == 0) {
		errno = EIO; /* no error and no progress would be an endless loop */
		return false;
	}
	*done += (size_t)put;
	return true;
}

bool file_write_full(int fd, const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		if (!advance(write(fd, (const char *)bytes + done, length - done), &done))
			return false;
	}
	return true;
}

bool file_pwrite_full(int fd, const void *bytes, size_t length, uint64_t offset)
{
	for (size_t done = 0; done < length;) {
		ssize_t put = pwrite(fd, (const char *)bytes + done, length - done,
		                     (off_t)(offset + done));

		if (!advance(put, &done))
			return false;
	}
	return true;
}

bool file_read_all(const char *path, struct buf *buf, struct err *err)
{
	AUTO_FREE
	char *chunk = NULL;
	AUTO_FD
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "could not open file \"%s\"", path);
	chunk = xmalloc(READ_CHUNK_BYTES);
	for (;;) {
		ssize_t got = file_read_full(fd, chunk, READ_CHUNK_BYTES);

		if (got < 0)
			return err_sys(err, "could not read file \"%s\"", path);
		if (got > 0 && !buf_add(buf, chunk, (size_t)got))
			return err_set(err, ERR_IO,
			               "file \"%s\" is larger than the %zu bytes allowed", path,
			               buf->max);
		if (got < READ_CHUNK_BYTES)
			break;
	}
	buf_add(buf, "", 0); /* an empty file too is an empty text, not NULL */
	return true;
}

char *path_join(const char *folder, const char *name)
{
	if (!*folder)
		return xstrdup(name);
	return xasprintf("%s%s%s", folder, str_ends(folder, "/") ? "" : "/", name);
}

char *path_folder(const char *path)
{
	size_t length = (size_t)(path_name(path) - path);

	if (length == 0)
		return xstrdup(".");
	while (length > 1 && path[length - 1] == '/')
		length--;
	return xstrndup(path, length);
}

const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool path_is_absolute(const char *path)
{
	return path[0] == '/';
}

/* The names in an open folder; false with errno. The descriptor is taken. */
static bool list_fd(int fd, struct strs *ret)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int failed;

	if (!dir) {
		failed = errno;
		close(fd);
		errno = failed;
		return false;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strs_add(ret, entry->d_name);
	}
	failed = errno;
	closedir(dir);
	errno = failed;
	return failed == 0;
}

bool file_list(const char *folder, struct strs *ret, struct err *err)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "could not open folder \"%s\"", folder);
	if (!list_fd(fd, ret))
		return err_sys(err, "could not read folder \"%s\"", folder);
	return true;
}

static bool remove_at(int folder, const char *name, unsigned depth);

/* Everything in the folder that fd is open on; false with errno. */
static bool empty_folder(int fd, unsigned depth)
{
	struct strs names = {0};
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = again >= 0 && list_fd(again, &names);

	for (size_t i = 0; ok && i < names.count; i++)
		ok = remove_at(fd, names.item[i], depth);
	strs_release(&names);
	return ok;
}

/* A name that is no folder goes at once; a folder is emptied through its own descriptor, which was
 * opened without following a link, so nobody can lead us elsewhere by swapping names. */
static bool remove_at(int folder, const char *name, unsigned depth)
{
	AUTO_FD
	int fd = -1;

	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR)
		return false;
	if (depth == TREE_DEPTH_MAX) {
		errno = ELOOP;
		return false;
	}
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	return empty_folder(fd, depth + 1) &&
	       (unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

bool file_remove_tree(const char *path, struct err *err)
{
	AUTO_FREE
	char *bare = xstrdup(path);

	/* "link/" would be followed. */
	for (size_t length = strlen(bare); length > 1 && bare[length - 1] == '/'; length--)
		bare[length - 1] = '\0';
	if (!remove_at(AT_FDCWD, bare, 0))
		return err_sys(err, "could not remove \"%s\"", path);
	return true;
}
