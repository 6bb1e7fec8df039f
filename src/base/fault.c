/*
 * fault.c — places where tests make things go wrong.
 *
 * The plan is read from the environment before main() runs, so no thread can pass a point earlier.
 * The counter is one atomic for the whole process: with several threads each number is still met
 * exactly once. A plan that cannot be read ends the process, else a test would prove nothing.
 *
 * A restore passes thousands of points, nearly all of them alike. So that a test can meet each kind
 * of point instead, a point has a place: its name, what it is about, and the calls that led to it,
 * as offsets in the program (addr2line knows them). The list is written line by line, each with one
 * write(), since the process may be one that never ends by itself.
 */
#include "base/fault.h"

#ifdef SEAWALL_FAULTS

#include "base/str.h"
#include <ctype.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include "base/poison.h"

enum {
	PLACE_BYTES = 512,
	PLACE_PARTS = 4,   /* the last ones of a path; the rest says where the test is */
	CALLS = 4,         /* that led to a point */
	CALLS_OF_OURS = 4, /* add_calls, place_of, fault_hit, fault_point */
};

static atomic_uint passed;
static atomic_uint fail_at; /* 0: never */
static atomic_int fail_errno = EIO;
static unsigned kill_at;
static const char *kill_place; /* NULL: all points count */
static atomic_uint passed_there;
static int list_fd = -1;
static unsigned delay_ms;
static const char *only;
static const char *hang_folder;
static const char *count_path;

static void write_count(void)
{
	int fd = open(count_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	dprintf(fd, "%u\n", fault_count());
	close(fd);
}

static bool read_kill(const char *text)
{
	char number[16];
	uint32_t n = 0;

	kill_place = strchr(text, '@');
	snprintf(number, sizeof(number), "%.*s", (int)strcspn(text, "@"), text);
	if (!str_u32(number, &n) || n == 0 || (kill_place && !*++kill_place))
		return false;
	kill_at = n;
	return true;
}

static bool read_fail(const char *text)
{
	const char *as = strchr(text, ':');
	char number[16];
	uint32_t n = 0, code = EIO;

	snprintf(number, sizeof(number), "%.*s", (int)strcspn(text, ":"), text);
	if (!str_u32(number, &n) || n == 0 || (as && (!str_u32(as + 1, &code) || code == 0)))
		return false;
	fault_plan_fail_as(n, (int)code);
	return true;
}

static bool read_list(const char *path)
{
	list_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return list_fd >= 0;
}

__attribute__((constructor)) static void read_plan(void)
{
	const char *plan = getenv("SEAWALL_FAULT");
	uint32_t number = 0;

	only = getenv("SEAWALL_FAULT_ONLY");
	if (!plan || !*plan)
		return;
	if (str_starts(plan, "count:") && plan[6]) {
		count_path = plan + 6;
		atexit(write_count);
	} else if (str_starts(plan, "kill:") && read_kill(plan + 5)) {
		return;
	} else if (str_starts(plan, "list:") && read_list(plan + 5)) {
		return;
	} else if (str_starts(plan, "fail:") && read_fail(plan + 5)) {
		return;
	} else if (str_starts(plan, "hang:/")) {
		hang_folder = plan + 5;
	} else if (str_starts(plan, "delay:") && str_u32(plan + 6, &number) && number > 0) {
		delay_ms = number;
	} else {
		dprintf(STDERR_FILENO,
		        "SEAWALL_FAULT is not kill:N[@PLACE], fail:N[:ERRNO], list:FILE, "
		        "count:FILE, "
		        "hang:FOLDER or delay:MS: \"%s\"\n",
		        plan);
		_exit(2);
	}
}

/* ---- places ---- */

static const char *last_parts(const char *about)
{
	const char *at = about + strlen(about);
	unsigned slashes = 0;

	while (at > about && (at[-1] != '/' || ++slashes < PLACE_PARTS))
		at--;
	return at;
}

/* Adds a path or a name; a number, also a hexadecimal one, becomes '#'. */
static size_t add_about(char *out, size_t used, const char *about)
{
	const char *at = last_parts(about);

	while (*at && used + 2 < PLACE_BYTES) {
		size_t length = strspn(at, "0123456789abcdefABCDEF");
		bool digits = strcspn(at, "0123456789") < length;
		bool alone = (at == about || !isalnum((unsigned char)at[-1])) &&
		             !isalnum((unsigned char)at[length]);

		if (length > 0 && (digits || alone)) {
			out[used++] = '#';
			at += length;
			continue;
		}
		length = MIN(MAX(length, (size_t)1), PLACE_BYTES - 1 - used);
		memcpy(out + used, at, length);
		used += length;
		at += length;
	}
	out[used] = '\0';
	return used;
}

/* Calls of libraries are left out: they lie elsewhere in each process. */
static void add_calls(char *out, size_t used)
{
	extern const char __executable_start[], etext[]; /* from the linker */
	void *call[CALLS_OF_OURS + CALLS];
	int calls = backtrace(call, CALLS_OF_OURS + CALLS);

	for (int i = CALLS_OF_OURS; i < calls && used < PLACE_BYTES; i++) {
		uintptr_t at = (uintptr_t)call[i];

		if (at >= (uintptr_t)__executable_start && at < (uintptr_t)etext)
			used += (size_t)snprintf(out + used, PLACE_BYTES - used, " %zx",
			                         (size_t)(at - (uintptr_t)__executable_start));
	}
}

static void place_of(const char *name, const char *about, char out[PLACE_BYTES])
{
	snprintf(out, PLACE_BYTES, "%s ", name);
	add_calls(out, add_about(out, strlen(out), about));
}

static void end_here(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause(); /* another thread may have been the one that was hit first */
}

/* Not inlined: it is one of the calls that place_of() leaves out. */
__attribute__((noinline)) static bool fault_hit(const char *name, const char *about)
{
	unsigned number;
	char place[PLACE_BYTES];

	if (only && !str_starts(name, only))
		return false;
	number = atomic_fetch_add(&passed, 1) + 1;
	if (kill_place || list_fd >= 0)
		place_of(name, about, place);
	if (list_fd >= 0)
		dprintf(list_fd, "%s\n", place);
	if (kill_place)
		number =
		        strcmp(place, kill_place) == 0 ? atomic_fetch_add(&passed_there, 1) + 1 : 0;
	if (kill_at && number == kill_at)
		end_here();
	if (!number || number != atomic_load(&fail_at))
		return false;
	errno = atomic_load(&fail_errno);
	return true;
}

bool fault_point(const char *name)
{
	bool hit = fault_hit(name, "");

	return hit;
}

bool fault_point_at(const char *name, const char *about)
{
	bool hit = fault_hit(name, about ? about : "");

	return hit;
}

void fault_plan_fail_as(unsigned n, int code)
{
	atomic_store(&fail_errno, code);
	fault_plan_fail(n);
}

void fault_plan_fail(unsigned n)
{
	atomic_store(&fail_at, n ? atomic_load(&passed) + n : 0);
}

unsigned fault_count(void)
{
	return atomic_load(&passed);
}

unsigned fault_delay_ms(const char *name)
{
	return only && !str_starts(name, only) ? 0 : delay_ms;
}

static atomic_bool hurries;

void fault_hurry(bool hurry)
{
	atomic_store(&hurries, hurry);
}

int64_t fault_rest_ms(int64_t ms)
{
	return atomic_load(&hurries) && ms > 1 ? 1 : ms;
}

void fault_hang(const char *folder)
{
	const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
	char mark[PATH_MAX];

	if (!hang_folder || strcmp(folder, hang_folder) != 0)
		return;
	snprintf(mark, sizeof(mark), "%s.hangs", hang_folder);
	while (access(mark, F_OK) == 0)
		nanosleep(&moment, NULL);
}

#endif
