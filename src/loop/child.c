/*
 * child.c — child processes: posix_spawn's job done with vfork-safe calls, output through a pipe,
 * end by SIGCHLD.
 *
 *   START -> RUNNING -> done        ends when the process is reaped and its output read to the end,
 * or CHILD_DRAIN_MS after the reaping (a grandchild may keep the pipe open)
 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/poison.h"

extern char **environ;

enum { CHILD_DRAIN_MS = 200, CHILD_ENV_MAX = 512 };
enum child_state { CHILD_START, CHILD_RUNNING, CHILD_DRAINED };

static void child_close_pipe(struct child *child)
{
	fd_watch_release(&child->pipe_watch);
	if (child->pipe_fd >= 0)
		close(child->pipe_fd);
	child->pipe_fd = -1;
}

static void child_readable(struct fd_watch *watch, int events)
{
	struct child *child = container_of(watch, struct child, pipe_watch);
	char bytes[4096];
	ssize_t got = read(child->pipe_fd, bytes, sizeof(bytes));

	(void)events;
	if (got > 0) {
		buf_add(&child->output, bytes,
		        MIN((size_t)got, child->output.max - child->output.length));
		return;
	}
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	fd_watch_set(watch, -1, 0);
	child_close_pipe(child);
	if (child->exited)
		op_wake(&child->op);
}

static void child_reap(struct child *child, int status)
{
	child->exited = true;
	child->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	if (child->pipe_fd >= 0 && !child->timed_out)
		timer_set(&child->timer, CHILD_DRAIN_MS);
	else
		op_wake(&child->op);
}

static void on_child_signal(struct ev_loop *ev, struct ev_signal *watcher, int events)
{
	struct loop *loop = watcher->data;

	(void)ev;
	(void)events;
	for (struct child **at = &loop->children; *at;) {
		struct child *child = *at;
		int status;

		if (waitpid(child->pid, &status, WNOHANG) == child->pid) {
			*at = child->next;
			child_reap(child, status);
		} else {
			at = &child->next;
		}
	}
}

static void child_signal(struct child *child, int signal_number)
{
	if (!child->exited && child->pid > 0)
		kill(child->own_group ? -child->pid : child->pid, signal_number);
}

static void child_timer(struct timer *timer)
{
	struct child *child = container_of(timer, struct child, timer);

	if (child->exited) {
		child->op.state = CHILD_DRAINED;
		op_wake(&child->op);
	} else if (child->op.cancelled || child->timed_out) {
		child_signal(child, SIGKILL);
	} else {
		child->timed_out = true;
		child_signal(child, SIGTERM);
		timer_set(timer, CHILD_KILL_AFTER_MS);
	}
}

static bool child_spawn(struct child *child, int out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	const char *env[CHILD_ENV_MAX + 1];
	unsigned n = 0;
	int status;

	for (unsigned i = 0; child->env_add && child->env_add[i] && n < CHILD_ENV_MAX; i++)
		env[n++] = child->env_add[i];
	for (unsigned i = 0; environ[i] && n < CHILD_ENV_MAX; i++)
		env[n++] = environ[i];
	env[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0) {
		posix_spawn_file_actions_adddup2(&actions, out, 1);
		posix_spawn_file_actions_adddup2(&actions, out, 2);
	}
	if (child->folder)
		posix_spawn_file_actions_addchdir_np(&actions, child->folder);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
	                         POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
	                                 (child->own_group ? POSIX_SPAWN_SETPGROUP : 0));
	status = posix_spawnp(&child->pid, child->argv[0], &actions, &attributes,
	                      (char *const *)(uintptr_t)child->argv, (char *const *)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (status == 0)
		return true;
	errno = status;
	child->pid = 0;
	return err_sys(&child->op.err, "could not run program \"%s\"", child->argv[0]);
}

static bool child_begin(struct child *child)
{
	struct loop *loop = child->op.loop;
	int ends[2] = {-1, -1};
	bool begun;

	if (!ev_is_active(&loop->child_signal)) {
		ev_signal_init(&loop->child_signal, on_child_signal, SIGCHLD);
		loop->child_signal.data = loop;
		ev_signal_start(loop->ev, &loop->child_signal);
		ev_unref(loop->ev);
	}
	if (!child->own_output && pipe2(ends, O_CLOEXEC) != 0)
		return err_sys(&child->op.err, "could not make a pipe");
	begun = child_spawn(child, ends[1]);
	if (ends[1] >= 0)
		close(ends[1]);
	if (!begun) {
		if (ends[0] >= 0)
			close(ends[0]);
		return false;
	}
	child->next = loop->children;
	loop->children = child;
	if (ends[0] >= 0) {
		child->pipe_fd = ends[0];
		fd_watch_init(&child->pipe_watch, loop, child_readable);
		fd_watch_set(&child->pipe_watch, ends[0], WATCH_READ);
	}
	timer_init(&child->timer, loop, child_timer);
	if (child->timeout_ms > 0)
		timer_set(&child->timer, child->timeout_ms);
	return true;
}

static void child_step(struct op *op)
{
	struct child *child = container_of(op, struct child, op);

	if (op->state == CHILD_START) {
		if (op->cancelled)
			return op_fail_as(op, ERR_CANCELLED, "cancelled");
		if (!child_begin(child))
			return op_fail_own(op);
		return op_wait(op, CHILD_RUNNING);
	}
	if (!child->exited)
		return; /* woken early: the end comes by SIGCHLD */
	timer_release(&child->timer);
	child_close_pipe(child);
	if (child->timed_out)
		return op_fail_as(op, ERR_TIMEOUT, "program \"%s\" did not end within %lld ms",
		                  child->argv[0], (long long)child->timeout_ms);
	if (op->cancelled)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	op_done(op);
}

static void child_cancel(struct op *op)
{
	struct child *child = container_of(op, struct child, op);

	if (op->state == CHILD_START)
		return;
	child_signal(child, SIGTERM);
	if (!child->exited)
		timer_set(&child->timer, CHILD_KILL_AFTER_MS);
}

static const struct op_type child_type = {
        .name = "child", .step = child_step, .cancel = child_cancel};

void child_start(struct op *parent, struct child *child)
{
	buf_init(&child->output, CHILD_OUTPUT_MAX);
	child->exit_status = 0;
	child->pid = 0;
	child->pipe_fd = -1;
	child->pipe_watch = (struct fd_watch){0};
	child->timer = (struct timer){0};
	child->exited = child->timed_out = false;
	op_start(parent, &child->op, &child_type);
}

void child_release(struct child *child)
{
	buf_release(&child->output);
}
