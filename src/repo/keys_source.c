/*
 * keys_source.c — a wrapping key from its file or command, straight into locked memory.
 *
 * No buffered reading and no child operation of the loop here: their buffers are ordinary memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "repo/keys.h"

#include "base/poison.h"

extern char **environ;

enum { COMMAND_MS = 60 * 1000, COMMAND_LOOK_MS = 5 };
#define COMMAND_VARIABLE "SEAWALL_KEY_COMMAND"

static bool file_read_key(struct wrapper *wrapper, const char *path, struct err *err)
{
	AUTO_FREE char *what = xasprintf("file \"%s\"", path);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	ssize_t length;

	if (fd < 0 || fstat(fd, &status) != 0) {
		err_sys(err, "could not open key file \"%s\"", path);
		err_wrap_as(err, ERR_CONFIG, "could not read the key");
		return false;
	}
	if (S_ISREG(status.st_mode) && status.st_mode & S_IRWXO) {
		err_set(err, ERR_CONFIG, "everybody may read or change key file \"%s\"", path);
		err_hint(err, "chmod o= %s", path);
		return false;
	}
	length = file_read_full(fd, wrapper_room(wrapper), WRAPPER_TEXT_MAX + 1);
	if (length < 0) {
		err_sys(err, "could not read key file \"%s\"", path);
		return err_wrap_as(err, ERR_CONFIG, "could not read the key");
	}
	return wrapper_filled(wrapper, (size_t)length, what, err);
}

/* A command may hold the key, or what leads to it, and everybody sees the arguments of a process:
 * the shell gets it from its environment, and its children have it in neither. */
static const char script[] = "eval \"unset " COMMAND_VARIABLE "\n$" COMMAND_VARIABLE "\"";

/* Ours, and the command as its first; one piece of memory. */
static char **environ_with(const char *command)
{
	static const char name[] = COMMAND_VARIABLE "=";
	size_t count = 0, length = strlen(command), used = 0;
	char **env, *text;

	while (environ[count])
		count++;
	env = xmalloc((count + 2) * sizeof(*env) + sizeof(name) + length);
	text = (char *)(env + count + 2);
	memcpy(text, name, sizeof(name) - 1);
	memcpy(text + sizeof(name) - 1, command, length + 1);
	env[used++] = text;
	for (size_t i = 0; i < count; i++)
		if (!str_starts(environ[i], name))
			env[used++] = environ[i];
	env[used] = NULL;
	return env;
}

/* Its standard output into a pipe; standard error stays ours, so that its own words are in the
 * log. */
static bool command_spawn(const char *command, pid_t *ret_pid, int *ret_fd, struct err *err)
{
	char *const argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
	AUTO_FREE char **env = environ_with(command);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int pipes[2], failed;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return err_sys(err, "could not make a pipe");
	sigemptyset(&none);
	sigfillset(&defaults);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
	                                              POSIX_SPAWN_SETPGROUP);
	failed = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(pipes[1]);
	*ret_fd = pipes[0];
	if (failed == 0)
		return true;
	errno = failed;
	err_sys(err, "could not run /bin/sh");
	close(pipes[0]);
	return false;
}

/* Until the end of the output; -1: out of time, or more than fits. */
static ssize_t command_read(int fd, char *room, int64_t deadline_ms)
{
	size_t length = 0;

	while (length <= WRAPPER_TEXT_MAX) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int64_t left_ms = deadline_ms - clock_mono_us() / 1000;
		ssize_t got;

		if (left_ms <= 0 || poll(&poll_fd, 1, (int)left_ms) == 0)
			return -1;
		got = read(fd, room + length, WRAPPER_TEXT_MAX + 1 - length);
		if (got == 0)
			return (ssize_t)length;
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -1;
		length += got > 0 ? (size_t)got : 0;
	}
	return (ssize_t)length;
}

/* False: it was ended, since it did not end by itself, with or without having closed its output. */
static bool command_wait(pid_t pid, int64_t deadline_ms, pid_t *ret_got, int *ret_status)
{
	bool late = false;

	for (;;) {
		*ret_got = waitpid(pid, ret_status, late ? 0 : WNOHANG);
		if (*ret_got == pid || (*ret_got < 0 && errno != EINTR))
			return !late;
		if (!late && clock_mono_us() / 1000 >= deadline_ms) {
			kill(-pid, SIGKILL);
			late = true;
		} else if (!late) {
			poll(NULL, 0, COMMAND_LOOK_MS);
		}
	}
}

/* The command may hold secrets of its own: it is in no message. */
static bool command_run(struct wrapper *wrapper, const struct key_source *source, struct err *err)
{
	int64_t limit_ms = source->limit_ms ? source->limit_ms : COMMAND_MS;
	int64_t deadline_ms = clock_mono_us() / 1000 + limit_ms;
	AUTO_FD int fd = -1;
	ssize_t length;
	int status = -1;
	pid_t pid, got;
	bool ended;

	if (!command_spawn(source->what, &pid, &fd, err))
		return err_wrap_as(err, ERR_CONFIG, "could not run \"key_command\"");
	length = command_read(fd, wrapper_room(wrapper), deadline_ms);
	if (length < 0 || length > WRAPPER_TEXT_MAX)
		kill(-pid, SIGKILL);
	ended = command_wait(pid, deadline_ms, &got, &status);
	if (length < 0 || !ended) {
		err_set(err, ERR_CONFIG, "\"key_command\" did not end within %lld s",
		        (long long)limit_ms / 1000);
	} else if (got == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
		err_set(err, ERR_CONFIG, "\"key_command\" failed with exit status %d",
		        WEXITSTATUS(status));
		err_hint(err, "Run it as this user: it has to print the key and nothing else.");
	} else if (got == pid && WIFSIGNALED(status) && length <= WRAPPER_TEXT_MAX) {
		err_set(err, ERR_CONFIG, "\"key_command\" was ended by signal %d",
		        WTERMSIG(status));
	} else {
		return wrapper_filled(wrapper, (size_t)length, "the output of \"key_command\"",
		                      err);
	}
	return false;
}

struct wrapper *key_source_read(const struct key_source *source, struct err *err)
{
	bool phrase = source->kind == KEY_SOURCE_PASSPHRASE_FILE;
	struct wrapper *wrapper = wrapper_new(phrase ? WRAP_PASSPHRASE : WRAP_KEY, err);
	bool done;

	if (!wrapper)
		return NULL;
	done = source->kind == KEY_SOURCE_COMMAND ? command_run(wrapper, source, err)
	                                          : file_read_key(wrapper, source->what, err);
	if (done)
		return wrapper;
	wrapper_free(wrapper);
	return NULL;
}
