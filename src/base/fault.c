/*
 * fault.c — places where tests make things go wrong.
 *
 * The plan is read from the environment before main() runs, so no thread can pass a point earlier.
 * The counter is one atomic for the whole process: with several threads each number is still met
 * exactly once. A plan that cannot be read ends the process, else a test would prove nothing.
 */
#include "base/fault.h"

#ifdef SEAWALL_FAULTS

#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include "base/poison.h"

static atomic_uint passed;
static atomic_uint fail_at; /* 0: never */
static unsigned kill_at;
static unsigned delay_ms;
static const char *only;
static const char *count_path;

static void write_count(void)
{
	int fd = open(count_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	dprintf(fd, "%u\n", fault_count());
	close(fd);
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
	} else if (str_starts(plan, "kill:") && str_u32(plan + 5, &number) && number > 0) {
		kill_at = number;
	} else if (str_starts(plan, "fail:") && str_u32(plan + 5, &number) && number > 0) {
		atomic_store(&fail_at, number);
	} else if (str_starts(plan, "delay:") && str_u32(plan + 6, &number) && number > 0) {
		delay_ms = number;
	} else {
		dprintf(STDERR_FILENO,
		        "SEAWALL_FAULT is not kill:N, fail:N, count:FILE or delay:MS: \"%s\"\n",
		        plan);
		_exit(2);
	}
}

bool fault_point(const char *name)
{
	unsigned number;

	if (only && !str_starts(name, only))
		return false;
	number = atomic_fetch_add(&passed, 1) + 1;
	if (number == kill_at) {
		kill(getpid(), SIGKILL);
		for (;;)
			pause(); /* another thread may have been the one that was hit first */
	}
	if (number != atomic_load(&fail_at))
		return false;
	errno = EIO;
	return true;
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

#endif
