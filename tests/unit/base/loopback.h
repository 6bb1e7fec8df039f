/* loopback.h — a peer of a test's own: a port that was free, a thread that serves it, and its end.
 */
#ifndef UNIT_BASE_LOOPBACK_H
#define UNIT_BASE_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct loopback {
	int listener, stop[2];
	unsigned port;
	pthread_t thread;
};

static inline int loopback_listen(unsigned *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static inline void loopback_open(struct loopback *loopback)
{
	loopback->listener = loopback_listen(&loopback->port);
	assert_int_equal(pipe(loopback->stop), 0);
}

/* Signals, a child's end among them, are the loop's and not this thread's. */
static inline void loopback_serve(struct loopback *loopback, void *(*serve)(void *), void *context)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	assert_int_equal(pthread_create(&loopback->thread, NULL, serve, context), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The next connection; -1: stopped. */
static inline int loopback_accept(const struct loopback *loopback)
{
	struct pollfd polls[] = {{.fd = loopback->listener, .events = POLLIN},
	                         {.fd = loopback->stop[0], .events = POLLIN}};

	poll(polls, 2, -1);
	return polls[1].revents ? -1 : accept(loopback->listener, NULL, NULL);
}

/* From then on what it saw may be looked at. */
static inline void loopback_stop(struct loopback *loopback)
{
	assert_int_equal(write(loopback->stop[1], "x", 1), 1);
	pthread_join(loopback->thread, NULL);
}

static inline void loopback_close(struct loopback *loopback)
{
	close(loopback->listener);
	close(loopback->stop[0]);
	close(loopback->stop[1]);
}

#endif
