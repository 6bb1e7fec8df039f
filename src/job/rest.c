/*
 * rest.c — what may wait lets a recovery go first.
 *
 *   START -> done
 *     ^  '-> NAPPING, while a recovery catches up
 *     +---------'
 */
#include "job/rest.h"

#include "base/poison.h"

enum { LOOK_MS = 200 };

void haste_note(struct haste *haste, int64_t now_ms)
{
	if (!haste)
		return;
	if (now_ms >= haste->until_ms)
		haste->begun_ms = now_ms;
	haste->until_ms = now_ms + HASTE_MS;
}

bool haste_rests(const struct haste *haste, int64_t now_ms)
{
	return haste && now_ms < haste->until_ms &&
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
