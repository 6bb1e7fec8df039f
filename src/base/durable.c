/*
 * durable.c — the one module that makes files durable.
 *
 *   draft_open -> draft_write … -> fsync file -> rename, or link and unlink -> fsync folder
 *
 * A reader sees the old file, or none, or the whole new one: the name appears only after the bytes
 * are on disk, and success is said only after the name is. Killed anywhere before the rename it
 * leaves a draft, which durable_is_draft() knows by its name; killed after it, the whole file.
 *
 * A sync that failed is never tried again on the same descriptor: the kernel may have thrown the
 * dirty pages away and would then say "done". The draft is dropped and made anew by the caller.
 *
 * Each call that matters stands between two fault points, "durable-X" and "durable-X-done". A fault
 * at the second is an answer that was lost: the call took effect and the caller must not believe
 * so.
 */
#include "base/durable.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/str.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* What the draft's name takes from the target's: dots, pid, number and ending need the
	   rest. */
	DRAFT_NAME_MAX = 200,
	/* A killed process whose pid came back may have left as many drafts of the same name. */
	DRAFT_TRIES_MAX = 10000,
	TREE_DEPTH_MAX = 64,
};

/* True when the call and both fault points around it succeed; else errno says why. */
#define POINT(name, about, call)                                                                   \
	(!fault_point_at("durable-" name, about) && (call) &&                                      \
	 !fault_point_at("durable-" name "-done", about))

static bool sync_tree(const char *path, unsigned depth, struct err *err);

static void draft_release(struct draft *draft)
{
	if (draft->path && draft->fd >= 0)
		close(draft->fd);
	free(draft->path);
	free(draft->beside);
	*draft = (struct draft){.fd = -1};
}

static char *draft_name(const char *path)
{
	static atomic_uint number;
	AUTO_FREE
	char *folder = path_folder(path);
	AUTO_FREE
	char *name = xasprintf(".%.*s.%ld.%u.draft", DRAFT_NAME_MAX, path_name(path),
	                       (long)getpid(), atomic_fetch_add(&number, 1));

	return path_join(folder, name);
}

bool draft_open(struct draft *draft, const char *path, mode_t mode, struct err *err)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;

	*draft = (struct draft){.fd = -1, .path = xstrdup(path)};
	for (unsigned i = 0; i < DRAFT_TRIES_MAX; i++) {
		draft->beside = draft_name(path);
		if (POINT("open", path,
		          (draft->fd = open(draft->beside, flags, 0600 | (mode & 0777))) >= 0))
			return true;
		if (errno != EEXIST)
			break;
		free(STEAL(draft->beside));
	}
	err_sys(err, "could not create file \"%s\"", path);
	draft_drop(draft);
	return false;
}

bool durable_group_reads(const char *folder)
{
	struct stat status;

	return stat(folder, &status) == 0 && (status.st_mode & 0777) == 0750;
}

bool draft_open_inside(struct draft *draft, const char *path, struct err *err)
{
	AUTO_FREE
	char *folder = path_folder(path);

	if (!draft_open(draft, path, 0, err))
		return false;
	if (!durable_group_reads(folder) || POINT("mode", path, fchmod(draft->fd, 0640) == 0))
		return true;
	err_sys(err, "could not set the mode of file \"%s\"", path);
	draft_drop(draft);
	return false;
}

bool draft_write(struct draft *draft, const void *bytes, size_t length, struct err *err)
{
	if (!POINT("write", draft->path, file_write_full(draft->fd, bytes, length)))
		return err_sys(err, "could not write file \"%s\"", draft->path);
	return true;
}

void draft_drop(struct draft *draft)
{
	/* Not durable and not checked: what stays is a draft, and those are removed at start. */
	if (draft->path && draft->beside && draft->fd >= 0)
		unlink(draft->beside);
	draft_release(draft);
}

static bool sync_folder_of(const char *path, struct err *err)
{
	AUTO_FREE
	char *folder = path_folder(path);

	return durable_sync_dir(folder, err);
}

/* The bytes are on disk and no error was held back until close(). */
static bool draft_settle(struct draft *draft, struct err *err)
{
	if (!POINT("sync", draft->path, fsync(draft->fd) == 0))
		return err_sys(err, "could not sync file \"%s\"", draft->path);
	return true;
}

bool draft_place(struct draft *draft, struct err *err)
{
	if (!draft_settle(draft, err)) {
		draft_drop(draft);
		return false;
	}
	if (!POINT("rename", draft->path, rename(draft->beside, draft->path) == 0)) {
		err_sys(err, "could not rename a new file to \"%s\"", draft->path);
		draft_drop(draft);
		return false;
	}
	draft_release(draft);
	return true;
}

bool draft_publish(struct draft *draft, struct err *err)
{
	AUTO_FREE char *path = xstrdup(draft->path);

	return draft_place(draft, err) && sync_folder_of(path, err);
}

static bool link_unsupported(int number)
{
	return number == EPERM || number == EOPNOTSUPP || number == EMLINK || number == ENOSYS;
}

/* Gives the draft its name if that is free; false with errno. */
static bool publish_name(const struct draft *draft)
{
	if (POINT("link", draft->path, link(draft->beside, draft->path) == 0))
		return true;
	if (!link_unsupported(errno))
		return false;
	return POINT("rename-new", draft->path,
	             renameat2(AT_FDCWD, draft->beside, AT_FDCWD, draft->path, RENAME_NOREPLACE) ==
	                     0);
}

bool draft_publish_new(struct draft *draft, struct err *err)
{
	AUTO_FREE
	char *path = xstrdup(draft->path);
	bool named;
	int failed;

	if (!draft_settle(draft, err)) {
		draft_drop(draft);
		return false;
	}
	named = publish_name(draft);
	failed = errno;
	/* After a link the draft's name goes; after renameat2() there is none. One that stays is
	 * harmless. */
	if (!fault_point_at("durable-unlink-draft", path)) {
		unlink(draft->beside);
		(void)fault_point_at("durable-unlink-draft-done", path);
	}
	draft_release(draft);
	if (!named && failed != EEXIST) {
		errno = failed;
		return err_sys(err, "could not link a new file to \"%s\"", path);
	}
	/* Also when it was there: who made it may have been killed before this very sync. */
	if (!sync_folder_of(path, err))
		return false;
	if (!named)
		return err_set(err, ERR_EXISTS, "file \"%s\" exists already", path);
	return true;
}

static bool write_whole(struct draft *draft, const void *bytes, size_t length, struct err *err)
{
	if (!draft_write(draft, bytes, length, err)) {
		draft_drop(draft);
		return false;
	}
	return draft_publish(draft, err);
}

bool durable_write(const char *path, mode_t mode, const void *bytes, size_t length, struct err *err)
{
	struct draft draft;

	return draft_open(&draft, path, mode, err) && write_whole(&draft, bytes, length, err);
}

bool durable_write_inside(const char *path, const void *bytes, size_t length, struct err *err)
{
	struct draft draft;

	return draft_open_inside(&draft, path, err) && write_whole(&draft, bytes, length, err);
}

bool durable_move(const char *from, const char *to, struct err *err)
{
	if (!POINT("rename", to, rename(from, to) == 0))
		return err_sys(err, "could not rename \"%s\" to \"%s\"", from, to);
	return true;
}

bool durable_rename(const char *from, const char *to, struct err *err)
{
	AUTO_FREE
	char *from_folder = path_folder(from);
	AUTO_FREE
	char *to_folder = path_folder(to);

	if (!durable_move(from, to, err))
		return false;
	/* The new name first: in between, two names are better than none. */
	if (!durable_sync_dir(to_folder, err))
		return false;
	return strcmp(from_folder, to_folder) == 0 || durable_sync_dir(from_folder, err);
}

bool durable_unlink(const char *path, struct err *err)
{
	if (!POINT("unlink", path, unlink(path) == 0 || errno == ENOENT))
		return err_sys(err, "could not remove file \"%s\"", path);
	if (sync_folder_of(path, err))
		return true;
	if (err->code != ERR_NOTFOUND)
		return false;
	err_clear(err); /* the folder is not there either */
	return true;
}

bool durable_sync_fd(int fd, const char *path, struct err *err)
{
	if (!POINT("sync", path, fsync(fd) == 0))
		return err_sys(err, "could not sync file \"%s\"", path);
	return true;
}

bool durable_sync_file(const char *path, struct err *err)
{
	AUTO_FD
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "could not open file \"%s\"", path);
	return durable_sync_fd(fd, path, err);
}

/* Some file systems cannot sync a folder and need not: they say EINVAL or EBADF, as PostgreSQL
 * knows. */
static bool sync_dir_fd(int fd)
{
	return fsync(fd) == 0 || errno == EINVAL || errno == EBADF;
}

bool durable_sync_dir(const char *path, struct err *err)
{
	AUTO_FD
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "could not open folder \"%s\"", path);
	if (!POINT("sync-dir", path, sync_dir_fd(fd)))
		return err_sys(err, "could not sync folder \"%s\"", path);
	return true;
}

static bool sync_entry(const char *folder, const char *name, unsigned depth, struct err *err)
{
	AUTO_FREE
	char *path = path_join(folder, name);
	struct stat status;

	if (lstat(path, &status) != 0)
		return err_sys(err, "could not look at \"%s\"", path);
	if (S_ISDIR(status.st_mode))
		return sync_tree(path, depth + 1, err);
	return !S_ISREG(status.st_mode) || durable_sync_file(path, err);
}

/* All files and folders in it and below, one by one; links are not followed. */
static bool sync_tree(const char *path, unsigned depth, struct err *err)
{
	DIR *dir = NULL;
	bool good = true;

	errno = ELOOP;
	if (depth >= TREE_DEPTH_MAX || !(dir = opendir(path)))
		return err_sys(err, "could not open folder \"%s\"", path);
	while (good) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			good = sync_entry(path, entry->d_name, depth, err);
	}
	if (good && errno != 0)
		good = err_sys(err, "could not read folder \"%s\"", path);
	closedir(dir);
	return good && durable_sync_dir(path, err);
}

bool durable_sync_filesystem(const char *path, struct err *err)
{
	AUTO_FD
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "could not open \"%s\"", path);
	if (POINT("sync-filesystem", path, syncfs(fd) == 0))
		return true;
	if (errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL || errno == EPERM)
		return sync_tree(path, 0, err);
	err_sys(err, "could not sync the file system of \"%s\"", path);
	err_hint(err,
	         "The disk lost something that was written. Look at its health (dmesg) and begin "
	         "anew in an empty directory: what is there now may be wrong.");
	return false;
}

/* One folder whose parent exists. */
static bool make_one(const char *path, mode_t mode, struct err *err)
{
	struct stat st;

	if (!POINT("mkdir", path, mkdir(path, mode) == 0)) {
		if (errno != EEXIST)
			return err_sys(err, "could not create folder \"%s\"", path);
		if (stat(path, &st) != 0)
			return err_sys(err, "could not look at \"%s\"", path);
		if (!S_ISDIR(st.st_mode))
			return err_set(err, ERR_EXISTS, "\"%s\" exists and is not a folder", path);
		return true;
	}
	return sync_folder_of(path, err);
}

/* From the first folder that begins at `first` in path. */
static bool make_from(const char *path, size_t first, mode_t mode, struct err *err)
{
	AUTO_FREE
	char *copy = xstrdup(path);
	struct stat st;

	for (char *slash = copy + first; (slash = strchr(slash, '/')) != NULL;) {
		*slash = '\0';
		if (stat(copy, &st) != 0 && !make_one(copy, mode, err))
			return false;
		*slash = '/';
		slash += strspn(slash, "/");
	}
	/* "a/b/": the loop has made it; its parent is not what path_folder() would say. */
	return str_ends(copy, "/") || make_one(copy, mode, err);
}

bool durable_mkdir(const char *path, mode_t mode, struct err *err)
{
	return make_from(path, strspn(path, "/"), mode, err);
}

bool durable_mkdir_below(const char *root, const char *path, mode_t mode, struct err *err)
{
	size_t length = strlen(root), between;

	assert(strncmp(path, root, length) == 0);
	between = strspn(path + length, "/");
	return !path[length + between] || make_from(path, length + between, mode, err);
}

bool durable_is_draft(const char *name)
{
	size_t length = strlen(name);
	const char *at = name + length - strlen(".draft");

	if (name[0] != '.' || !str_ends(name, ".draft"))
		return false;
	for (int numbers = 0; numbers < 2; numbers++) {
		const char *end = at;

		while (at > name && at[-1] >= '0' && at[-1] <= '9')
			at--;
		if (at == end || at == name || *--at != '.')
			return false;
	}
	return at > name + 1; /* something is left of the target's name */
}
