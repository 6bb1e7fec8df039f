/*
 * lock.c — the state folder and the lock in it, which keeps two servers of one configuration apart
 * also where their sockets could not (both start at the same moment). The folder may be deleted
 * while the server runs: then there is no lock any more, and both are made again.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/file.h"
#include "base/str.h"
#include "server/server.h"

#include "base/poison.h"

enum { PROCESS_TEXT_BYTES = 16 };

static char *lock_path(const struct server *server)
{
	return path_join(server->config->server.state, "lock");
}

static bool lock_is_taken(int fd, const char *state, struct err *err)
{
	char process[PROCESS_TEXT_BYTES] = "";
	ssize_t length = file_pread_full(fd, process, sizeof(process) - 1, 0);

	process[length > 0 ? length : 0] = '\0';
	str_clean(process);
	err_set(err, ERR_REFUSED, "another seawall uses the state folder \"%s\" (process %s)",
	        state, *process ? str_trim(process) : "unknown");
	err_hint(err, "One server for each configuration: stop that one first.");
	return false;
}

bool lock_take(struct server *server, struct err *err)
{
	const char *state = server->config->server.state;
	AUTO_FREE char *path = lock_path(server);
	AUTO_FD int fd = -1;
	char process[PROCESS_TEXT_BYTES];
	struct stat file;
	int length = snprintf(process, sizeof(process), "%d\n", (int)getpid());

	if (!durable_mkdir(state, 0700, err))
		return false;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, "could not open file \"%s\"", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? lock_is_taken(fd, state, err)
		                            : err_sys(err, "could not lock file \"%s\"", path);
	if (ftruncate(fd, 0) != 0 || !file_pwrite_full(fd, process, (size_t)length, 0) ||
	    fstat(fd, &file) != 0)
		return err_sys(err, "could not write file \"%s\"", path);
	server->lock_device = file.st_dev;
	server->lock_inode = file.st_ino;
	server->lock_fd = STEAL_FD(fd);
	return true;
}

/* The folder, or the nearest one above it that is there, takes new files. */
static bool folder_could_be_written(const char *folder, struct err *err)
{
	AUTO_FREE char *at = xstrdup(folder);

	while (access(at, F_OK) != 0 && errno == ENOENT && strcmp(at, "/") != 0) {
		char *above = path_folder(at);

		free(at);
		at = above;
	}
	return access(at, W_OK | X_OK) == 0 || err_sys(err, "could not write in folder \"%s\"", at);
}

bool server_could_run(const struct config *config, struct err *err)
{
	const char *state = config->server.state;
	AUTO_FREE char *path = path_join(state, "lock");
	AUTO_FREE char *socket_folder = path_folder(config->server.socket);
	AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno != ENOENT)
		return err_sys(err, "could not open file \"%s\"", path);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) /* closing it lets go of it again */
		return errno == EWOULDBLOCK ? lock_is_taken(fd, state, err)
		                            : err_sys(err, "could not lock file \"%s\"", path);
	return folder_could_be_written(state, err) && folder_could_be_written(socket_folder, err);
}

bool lock_intact(const struct server *server)
{
	AUTO_FREE char *path = lock_path(server);
	struct stat file;

	return stat(path, &file) == 0 && file.st_dev == server->lock_device &&
	       file.st_ino == server->lock_inode;
}

void lock_release(struct server *server)
{
	if (server->lock_fd >= 0)
		close(server->lock_fd);
	server->lock_fd = -1;
}
