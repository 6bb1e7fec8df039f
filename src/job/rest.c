/*
 * rest.c — what may wait lets a recovery go first.
 *
 *   START -> done
 *     ^  '-> NAPPING, while a recovery catches up
 *     +---------'
 *
 * Processes of one host meet at a file in the state folder: who recovers touches it, who rests for
 * that sees that its time is another one than before. Times are compared with each other, never
 * with a clock, so neither a file that was left behind nor a clock that jumps makes anybody rest
 * for more than HASTE_MS. Whatever fails there costs the recovery a little speed, and nobody else
 * anything.
 */
#include "job/rest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#include "base/poison.h"

enum { LOOK_MS = 200 };

static void hurry(struct haste *haste, int64_t now_ms)
{
	if (now_ms >= haste->until_ms)
		haste->begun_ms = now_ms;
	haste->until_ms = now_ms + HASTE_MS;
}

static int64_t stamp(const struct stat *status)
{
	return S_ISREG(status->st_mode)
	               ? status->st_mtim.tv_sec * US_PER_S + status->st_mtim.tv_nsec / 1000
	               : 0;
}

/* What we told ourselves is no news. */
static void tell(struct haste *haste, int64_t now_ms)
{
	AUTO_FD int fd = -1;
	struct stat status;

	if (!haste->file || (haste->told && now_ms - haste->told_ms < HASTE_TELL_MS))
		return;
	haste->told = true;
	haste->told_ms = now_ms;
	fd = open(haste->file, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && futimens(fd, NULL) == 0 && fstat(fd, &status) == 0)
		haste->stamp_us = stamp(&status);
}

static void look(struct haste *haste, int64_t now_ms)
{
	struct stat status;
	bool first = !haste->looked;
	int64_t before_us = haste->stamp_us;

	if (!haste->file || (haste->looked && now_ms - haste->looked_ms < HASTE_TELL_MS))
		return;
	haste->looked = true;
	haste->looked_ms = now_ms;
	haste->stamp_us = stat(haste->file, &status) == 0 ? stamp(&status) : 0;
	if (!first && haste->stamp_us && haste->stamp_us != before_us)
		hurry(haste, now_ms);
}

void haste_share(struct haste *haste, const char *state)
{
	haste->file = path_join(state, "recovering");
}

void haste_release(struct haste *haste)
{
	free(haste->file);
	*haste = (struct haste){0};
}

void haste_note(struct haste *haste, int64_t now_ms)
{
	if (!haste)
		return;
	hurry(haste, now_ms);
	tell(haste, now_ms);
}

bool haste_rests(struct haste *haste, int64_t now_ms)
{
	if (!haste)
		return false;
	look(haste, now_ms);
	return now_ms < haste->until_ms &&
	       (now_ms - haste->begun_ms) % (HASTE_REST_MS + HASTE_WORK_MS) < HASTE_REST_MS;
}

static void rest_step(struct op *op)
{
	struct rest *rest = container_of(op, struct rest, op);

	if (op->cancelled)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	if (!haste_rests(rest->haste, loop_now_ms(op->loop)))
		return op_done(op);
	nap_start(op, &rest->nap, LOOK_MS);
	op_wait(op, 1);
}

static const struct op_type rest_type = {.name = "rest", .step = rest_step};

void rest_start(struct op *parent, struct rest *rest)
{
	op_start(parent, &rest->op, &rest_type);
}
