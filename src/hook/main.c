/*
 * main.c — seawall-wal: the program that PostgreSQL runs as archive_command and restore_command.
 *
 * It asks the server; without one it runs `seawall wal push|fetch` as a child that never outlives
 * it. Every way out passes through the two exit rules of hook_exit: push never above 125, fetch
 * never 1 unless the file is proven absent. So it does not become the fallback by exec alone: a
 * missing library (127) or the out-of-memory killer would have the last word then.
 */
#include "hook/hook.h"
#include "base/file.h"
#include "base/place.h"
#include "base/str.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/poison.h"

enum { FALLBACK_ARGS_MAX = 16, HOOK_CHILD_FAILED = 199 };

static const char help[] =
        "seawall-wal is what PostgreSQL runs to archive its WAL and to get it back.\n"
        "\n"
        "Usage:\n"
        "  seawall-wal [OPTION]... push PATH        store a file of pg_wal\n"
        "  seawall-wal [OPTION]... fetch NAME PATH  bring the archived file NAME to PATH\n"
        "\n"
        "Options:\n"
        "  --config FILE   the configuration (default: $SEAWALL_CONFIG, then " PLACE_CONFIG ")\n"
        "  --socket PATH   the server's socket (default: the one of the configuration)\n"
        "  --cluster NAME  fetch: the cluster to fetch for (default: that of the data directory)\n"
        "  --restore FILE  fetch: the plan of the restore that asks\n"
        "  --help, --version\n"
        "\n"
        "Exit status:\n"
        "  push:  0 the file is safe, 1 anything else\n"
        "  fetch: 0 delivered, 1 proven absent, 255 unknown, damaged or foreign; with "
        "standby.signal\n"
        "         unknown is 1\n"
        "\n"
        "Example (postgresql.conf):\n"
        "  archive_command = 'seawall-wal push %p'\n"
        "  restore_command = 'seawall-wal fetch %f %p'\n";

struct args {
	enum hook_verb verb;
	const char *config, *socket, *cluster, *restore;
	const char *name, *path;
};

/* Lines for PostgreSQL's log, each with our name in front, in one write so that they stay together.
 */
static void say(const char *lines)
{
	AUTO_BUF struct buf out;

	buf_init(&out, 2 * HOOK_TEXT_BYTES_MAX);
	while (*lines) {
		size_t length = strcspn(lines, "\n");

		buf_addstr(&out, "seawall-wal: ");
		for (size_t i = 0; i < length; i++) {
			unsigned char c = (unsigned char)lines[i];

			buf_addc(&out, c < 0x20 || c == 0x7f ? '?' : (char)c);
		}
		buf_addc(&out, '\n');
		lines += length + (lines[length] == '\n');
	}
	/* Nobody is left to hear that the log cannot be written. */
	if (out.length > 0 && !file_write_full(STDERR_FILENO, out.data, out.length))
		return;
}

static void say_err(const struct err *err)
{
	char lines[ERR_TEXT_MAX + ERR_HINT_MAX + 64];

	err_lines(err, lines, sizeof(lines));
	say(lines);
}

/* --- arguments --- */

/* A wrong command line is judged before the verb is known for sure. 1 would end a recovery short,
 * while 255 only restarts the archiver: so 1 needs a clear "push". */
static int usage_exit(int argc, char **argv)
{
	bool push = false, fetch = false;

	for (int i = 1; i < argc; i++) {
		push |= strcmp(argv[i], "push") == 0;
		fetch |= strcmp(argv[i], "fetch") == 0;
	}
	return hook_exit(push && !fetch ? HOOK_PUSH : HOOK_FETCH, HOOK_UNKNOWN, false);
}

static bool read_options(struct args *args, int argc, char **argv, struct err *err)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"socket", required_argument, NULL, 's'},
	        {"cluster", required_argument, NULL, 'n'},
	        {"restore", required_argument, NULL, 'r'},
	        {NULL, 0, NULL, 0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'c')
			args->config = optarg;
		else if (c == 's')
			args->socket = optarg;
		else if (c == 'n')
			args->cluster = optarg;
		else if (c == 'r')
			args->restore = optarg;
		else
			return err_set(err, ERR_USAGE,
			               c == ':' ? "option \"%s\" needs a value"
			                        : "unknown option \"%s\"",
			               argv[optind - 1]);
	}
	return true;
}

static bool read_args(struct args *args, int argc, char **argv, struct err *err)
{
	const char *verb;

	if (!read_options(args, argc, argv, err))
		return false;
	argc -= optind;
	argv += optind;
	verb = argc > 0 ? argv[0] : "";
	if (strcmp(verb, "push") == 0 && argc == 2) {
		args->verb = HOOK_PUSH;
		args->path = argv[1];
	} else if (strcmp(verb, "fetch") == 0 && argc == 3) {
		args->verb = HOOK_FETCH;
		args->name = argv[1];
		args->path = argv[2];
	} else {
		return err_set(err, ERR_USAGE, "expected \"push PATH\" or \"fetch NAME PATH\"");
	}
	if (!*args->path || (args->name && (!*args->name || strchr(args->name, '/'))))
		return err_set(err, ERR_USAGE, "a name or path is empty, or the name has a \"/\"");
	return true;
}

/* --- without a server --- */

/* `seawall` beside this very program, never through PATH: PostgreSQL's environment is not ours. */
static char *fallback_program(struct err *err)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	AUTO_FREE
	char *folder = NULL;

	if (length < 0) {
		err_sys(err, "could not find this program's own folder");
		return NULL;
	}
	self[length] = '\0';
	folder = path_folder(self);
	return path_join(folder, "seawall");
}

/* In the child: SIGTERM from the kernel when the parent dies, then the program. */
static void become(const char *program, const char *const *argv, pid_t parent)
{
	struct err err = {0};

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
		_exit(HOOK_CHILD_FAILED);
	/* execv takes no const for historical reasons; it does not write. */
	execv(program, (char *const *)(uintptr_t)argv);
	err_sys(&err, "could not run \"%s\"", program);
	err_hint(&err, "Start the server (seawall serve), or install both programs in one folder.");
	say_err(&err);
	_exit(HOOK_CHILD_FAILED);
}

/* What the fallback's end means: only the statuses of its own are believed. */
static enum hook_result judge_child(const struct args *args, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)
		raise(SIGTERM); /* we are being stopped, too */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return args->verb == HOOK_PUSH ? HOOK_STORED : HOOK_DELIVERED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		return args->verb == HOOK_PUSH ? HOOK_FAILED : HOOK_ABSENT;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 255)
		return HOOK_FAILED;
	return HOOK_UNKNOWN;
}

static enum hook_result run_child(const struct args *args, const char *program,
                                  const char *const *argv, struct err *err)
{
	pid_t parent = getpid(), child = fork();
	enum hook_result result;
	int status;

	if (child < 0) {
		err_sys(err, "could not make a process for \"%s\"", program);
		return HOOK_UNKNOWN;
	}
	if (child == 0)
		become(program, argv, parent);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR) {
			err_sys(err, "could not wait for \"%s\"", program);
			return HOOK_UNKNOWN;
		}
	result = judge_child(args, status);
	if (result == HOOK_UNKNOWN && WIFSIGNALED(status))
		err_set(err, ERR_INTERNAL, "\"%s\" was ended by signal %d", program,
		        WTERMSIG(status));
	else if (result == HOOK_UNKNOWN && WEXITSTATUS(status) != HOOK_CHILD_FAILED)
		err_set(err, ERR_INTERNAL, "\"%s\" ended with status %d", program,
		        WEXITSTATUS(status));
	return result;
}

/* `seawall wal push|fetch`: the same without a server. */
static enum hook_result fallback(const struct args *args, struct err *err)
{
	AUTO_FREE
	char *program = fallback_program(err);
	/* A path is never to be taken for an option. */
	AUTO_FREE
	char *path = xasprintf("%s%s", args->path[0] == '-' ? "./" : "", args->path);
	const char *argv[FALLBACK_ARGS_MAX] = {program};
	size_t n = 1;

	if (!program)
		return HOOK_UNKNOWN;
	if (args->config) {
		argv[n++] = "--config";
		argv[n++] = args->config;
	}
	argv[n++] = "wal";
	argv[n++] = args->verb == HOOK_PUSH ? "push" : "fetch";
	if (args->cluster) {
		argv[n++] = "--cluster";
		argv[n++] = args->cluster;
	}
	if (args->restore) {
		argv[n++] = "--restore";
		argv[n++] = args->restore;
	}
	if (args->verb == HOOK_FETCH)
		argv[n++] = args->name;
	argv[n++] = path;
	return run_child(args, program, argv, err);
}

/* --- with a server --- */

/* The socket to ask: the one named, else the restore's own, else the configured one. */
static bool find_socket(const struct args *args, char **ret_socket, struct err *err)
{
	AUTO_FREE
	char *socket = NULL;
	struct place place;

	if (args->socket) {
		if (!place_socket_check(args->socket, err))
			return false;
		socket = xstrdup(args->socket);
	} else if (args->verb == HOOK_FETCH && args->restore &&
	           !hook_restore_socket(args->restore, &socket, err)) {
		return false;
	}
	if (!socket) {
		if (!place_find(args->config, &place, err))
			return false;
		socket = STEAL(place.socket);
		place_release(&place);
	}
	*ret_socket = STEAL(socket);
	return true;
}

/* "delivered" is looked at before it is believed: PostgreSQL would take a missing file for the end.
 */
static bool is_delivered(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_sys(err, "the server says that it delivered file \"%s\"", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_DAMAGED, "what was delivered as \"%s\" is no regular file",
		               path);
	return true;
}

static void say_answer(const struct hook_request *request, const struct hook_answer *answer)
{
	say(buf_text(&answer->text));
	if (err_is(&answer->err))
		say_err(&answer->err);
	if (answer->result == HOOK_LATE && request->verb == HOOK_PUSH)
		say("the server goes on with it; PostgreSQL will ask again");
	else if (answer->result == HOOK_FAILED && answer->text.length == 0)
		say("the server failed and did not say why");
	else if (answer->result == HOOK_NO_SERVER && err_is(&answer->err))
		say("going on without the server");
	else if (answer->result == HOOK_HUNG)
		say("going on without the server, which seems to hang");
}

/* Asks the server, or runs the fallback. */
static enum hook_result ask(const struct args *args, const struct hook_request *request)
{
	struct hook_answer answer;
	enum hook_result result;
	struct err err = {0};

	hook_ask(request, &answer);
	say_answer(request, &answer);
	result = answer.result;
	hook_answer_release(&answer);
	if (result == HOOK_NO_SERVER || result == HOOK_HUNG)
		result = fallback(args, &err);
	else if (result == HOOK_DELIVERED && !is_delivered(request->path, &err))
		result = HOOK_FAILED;
	if (err_is(&err))
		say_err(&err);
	return result;
}

static int run(const struct args *args)
{
	AUTO_FREE
	char *socket = NULL;
	AUTO_FREE
	char *path = NULL;
	AUTO_FREE
	char *data = NULL;
	AUTO_FREE
	char *plan = NULL;
	AUTO_FREE
	char *plan_folder = NULL;
	struct hook_request request = {.verb = args->verb};
	enum hook_result result = HOOK_UNKNOWN;
	struct err err = {0};
	bool standby = false;

	if (!hook_locate(args->path, &path, &data, &err)) {
		say_err(&err);
		return hook_exit(args->verb, HOOK_UNKNOWN, false);
	}
	standby = args->verb == HOOK_FETCH && hook_is_standby(data);
	if (!find_socket(args, &socket, &err) ||
	    (args->restore && !hook_locate(args->restore, &plan, &plan_folder, &err))) {
		say_err(&err);
	} else {
		request.socket = socket;
		request.data = data;
		request.path = path;
		request.name = args->name;
		request.cluster = args->cluster;
		request.restore = plan;
		hook_limits(&request, standby);
		result = ask(args, &request);
	}
	if (standby && hook_exit(args->verb, result, false) != hook_exit(args->verb, result, true))
		say("warning: it is not known whether the file exists; the standby will ask again");
	return hook_exit(args->verb, result, standby);
}

/* Whatever our parent did to its signals: SIGTERM ends us, and a closed log does not. */
static void set_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int main(int argc, char **argv)
{
	struct args args = {0};
	struct err err = {0};

	/* Alone only: a hook whose command line has --help in it must not look like success. */
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(help, stdout) < 0 || fflush(stdout) != 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("seawall-wal %s\n", SEAWALL_VERSION) < 0 || fflush(stdout) != 0;
	set_signals();
	mem_set_exit(usage_exit(argc, argv));
	if (read_args(&args, argc, argv, &err))
		return run(&args);
	err_hint(&err, "Try \"seawall-wal --help\".");
	say_err(&err);
	return usage_exit(argc, argv);
}
