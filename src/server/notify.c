/* notify.c — sd_notify(3) in twenty lines: one datagram to $NOTIFY_SOCKET, when there is one. */
#include "internal.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/poison.h"

void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	AUTO_FD int fd = -1;

	if (length < 2 || length >= sizeof(address.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0) /* whether anybody listens is not our concern */
		(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}
