/*
 * bind.c — listening sockets.
 *
 * A Unix socket's file outlives its server. Whether somebody serves it is asked of the kernel: a
 * connect that is refused means nobody, and the file is replaced; anything else means somebody. Two
 * servers that start at the same time are kept apart by the lock on the state folder (lock.c),
 * which is taken first.
 */
#include "bind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/durable.h"
#include "base/str.h"

#include "base/poison.h"

enum { BACKLOG = 64, HOST_BYTES = 64 };

bool peer_of(int fd, uid_t *ret_user, pid_t *ret_process)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || length != sizeof(peer))
		return false;
	if (ret_user)
		*ret_user = peer.uid;
	if (ret_process)
		*ret_process = peer.pid;
	return true;
}

bool bound_is_at(const struct bound *bound, const char *path)
{
	struct stat file;

	return lstat(path, &file) == 0 && file.st_dev == bound->device &&
	       file.st_ino == bound->inode;
}

static bool unix_address(const char *path, struct sockaddr_un *ret, struct err *err)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return err_set(err, ERR_CONFIG,
		               "the path of socket \"%s\" is longer than %zu bytes", path,
		               sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, strlen(path));
	return true;
}

/* Makes way for a new socket: true when there is no file, or nobody serves it. */
static bool unix_clear(const char *path, const struct sockaddr_un *address, struct err *err)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat file;
	pid_t process = 0;

	if (lstat(path, &file) != 0)
		return errno == ENOENT || err_sys(err, "could not look at socket \"%s\"", path);
	if (!S_ISSOCK(file.st_mode))
		return err_set(err, ERR_CONFIG, "\"%s\" is there already and is no socket", path);
	if (fd < 0)
		return err_sys(err, "could not make a socket");
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
		(void)peer_of(fd, NULL, &process);
		err_set(err, ERR_REFUSED, "another seawall serves socket \"%s\" (process %d)", path,
		        (int)process);
		err_hint(err, "One server for each configuration: stop that one first.");
		return false;
	}
	if (errno == ENOENT)
		return true;
	if (errno == EAGAIN)
		return err_set(err, ERR_REFUSED, "another seawall serves socket \"%s\" and is busy",
		               path);
	if (errno != ECONNREFUSED)
		return err_sys(err, "could not find out who serves socket \"%s\"", path);
	return durable_unlink(path, err);
}

bool bind_unix(const char *path, struct bound *ret, struct err *err)
{
	AUTO_FD int fd = -1;
	struct sockaddr_un address;
	struct stat file;

	if (!unix_address(path, &address, err) || !unix_clear(path, &address, err))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, "could not make a socket");
	/* Closed from its first moment: Linux makes the file with the mode of the socket. The umask
	 * is the whole process's, and workers make folders meanwhile. */
	if (fchmod(fd, 0600) != 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return err_sys(err, "could not bind socket \"%s\"", path);
	if (listen(fd, BACKLOG) != 0 || lstat(path, &file) != 0)
		return err_sys(err, "could not listen on socket \"%s\"", path);
	*ret = (struct bound){.device = file.st_dev, .inode = file.st_ino};
	ret->fd = STEAL_FD(fd);
	return true;
}

/* "127.0.0.1:7413" or "[::1]:7413" */
static bool tcp_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_BYTES];
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
	uint32_t port;
	size_t length;

	*ret = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
	if (!colon || !str_u32(colon + 1, &port) || port > UINT16_MAX)
		return false;
	length = (size_t)(colon - text);
	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (strcmp(host, "[::1]") == 0) {
		six->sin6_family = AF_INET6;
		six->sin6_addr = in6addr_loopback;
		six->sin6_port = htons((uint16_t)port);
		*ret_length = sizeof(*six);
		return true;
	}
	if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
	              &four->sin_addr) != 1 ||
	    ntohl(four->sin_addr.s_addr) >> 24 != 127)
		return false;
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	*ret_length = sizeof(*four);
	return true;
}

bool bind_tcp(const char *address, struct bound *ret, struct err *err)
{
	AUTO_FD int fd = -1;
	struct sockaddr_storage where;
	socklen_t length;
	int on = 1;

	if (!tcp_address(address, &where, &length))
		return err_set(err, ERR_CONFIG,
		               "\"%s\" is not a loopback address and port, like 127.0.0.1:7413",
		               address);
	fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return err_sys(err, "could not make a socket for \"%s\"", address);
	if (bind(fd, (struct sockaddr *)&where, length) != 0 || listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&where, &length) != 0)
		return err_sys(err, "could not listen on \"%s\"", address);
	*ret = (struct bound){.fd = -1};
	ret->port = ntohs(where.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&where)->sin6_port
	                                              : ((struct sockaddr_in *)&where)->sin_port);
	ret->fd = STEAL_FD(fd);
	return true;
}
