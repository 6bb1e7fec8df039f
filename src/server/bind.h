/* bind.h — listening sockets: the Unix one that is also the lock, and the loopback TCP one. */
#ifndef SERVER_BIND_H
#define SERVER_BIND_H

#include "base/err.h"

struct bound {
	int fd; /* listening, non-blocking */
	dev_t device;
	ino_t inode;
	unsigned port;
};

MUST_USE bool bind_unix(const char *path, struct bound *ret, struct err *err);
MUST_USE bool bind_tcp(const char *address, struct bound *ret, struct err *err);
/* Whether the file at path is the socket that was bound. */
bool bound_is_at(const struct bound *bound, const char *path);
/* The user of the process that connected to or serves a Unix socket, and its number. */
bool peer_of(int fd, uid_t *ret_user, pid_t *ret_process);

#endif
