/*
 * keys_look.c — what changes below keys/ while a repository is in use.
 *
 *   look    START -> TURN -> LOADING -> done
 *   guard   START -> [LOOKING] -> done
 *
 * A repository may become encrypted while others store in it, and it may get a new data key. Who
 * stores what is not encrypted has looked a short time ago; who says that it is stored knows that
 * this look was fresh when it was there (keys.h). Durations only, on a clock that goes on while the
 * machine sleeps: no two hosts compare their clocks.
 */
#include "repo/keys.h"

#include "base/clock.h"
#include "internal.h"

#include "base/poison.h"

/* ---- look ---- */

enum look_state { LOOK_START, LOOK_TURN, LOOK_LOADING };

static void look_end(struct keys_look *look, const struct err *cause)
{
	gate_leave(&look->ticket);
	if (!cause)
		return op_done(&look->op);
	look->op.err = *cause;
	op_fail_own(&look->op);
}

static void look_step(struct op *op)
{
	struct keys_look *look = container_of(op, struct keys_look, op);
	struct err err = {0};

	switch ((enum look_state)op->state) {
	case LOOK_START:
		look->begun_us = clock_boot_us();
		gate_enter(op, &look->ticket, &look->repo->opening, GATE_RESTORE, 1);
		return op_wait(op, LOOK_TURN);

	case LOOK_TURN:
		if (op_failed(&look->ticket.op))
			return look_end(look, &look->ticket.op.err);
		if (look->repo->looked_us >= look->begun_us) /* another one did */
			return look_end(look, NULL);
		look->load = xcalloc(1, sizeof(*look->load));
		look->load->repo = look->repo;
		look->load->again = look->load->none_is_fine = true;
		keys_load_start(op, look->load);
		return op_wait(op, LOOK_LOADING);

	case LOOK_LOADING:
		err = look->load->op.err;
		keys_load_release(look->load);
		free(STEAL(look->load));
		return look_end(look, err_is(&err) ? &err : NULL);
	}
}

static const struct op_type look_type = {.name = "keys look", .step = look_step};

void keys_look_start(struct op *parent, struct keys_look *look)
{
	op_start(parent, &look->op, &look_type);
}

/* ---- guard ---- */

static bool looked_within(const struct repo *repo, int64_t ms)
{
	return repo->looked_us > 0 && clock_boot_us() - repo->looked_us <= ms * 1000;
}

bool keys_look_due(const struct repo *repo)
{
	return !looked_within(repo, KEYS_LOOK_MS);
}

bool keys_look_helps(const struct repo *repo)
{
	if (!repo->opened)
		return false;
	return !(repo->lags || err_is(&repo->shut)) || !looked_within(repo, KEYS_AGAIN_MS);
}

bool keys_guard_idle(const struct repo *repo, bool stored)
{
	if (!repo->opened) /* who makes it, and nobody else */
		return true;
	if (repo->keys)
		return !stored && repo->looked_us > 0;
	return !err_is(&repo->shut) && looked_within(repo, KEYS_FRESH_MS);
}

enum guard_state { GUARD_START, GUARD_LOOKING };

static void guard_fail(struct keys_guard *guard, const struct err *cause)
{
	guard->op.err = *cause;
	op_fail_own(&guard->op);
}

/* The newest look says how it is. */
static void guard_judge(struct keys_guard *guard)
{
	const struct repo *repo = guard->repo;
	struct err err = {0};

	if (err_is(&repo->shut))
		return guard_fail(guard, &repo->shut);
	if (!repo->keys || !guard->stored)
		return op_done(&guard->op);
	err_set(&err, ERR_REFUSED,
	        "repository \"%s\" was encrypted while this was being stored, unencrypted",
	        store_label(repo->store));
	err_hint(&err, "It is tried again, or try it again: then it is encrypted.");
	guard_fail(guard, &err);
}

static void guard_step(struct op *op)
{
	struct keys_guard *guard = container_of(op, struct keys_guard, op);
	struct repo *repo = guard->repo;

	if (op->state == GUARD_START) {
		if (keys_guard_idle(repo, guard->stored))
			return op_done(op);
		if ((err_is(&repo->shut) && looked_within(repo, KEYS_AGAIN_MS)) ||
		    (repo->keys && repo->looked_us > 0))
			return guard_judge(guard);
		guard->look = (struct keys_look){.repo = repo};
		keys_look_start(op, &guard->look);
		return op_wait(op, GUARD_LOOKING);
	}
	/* Who can encrypt needs no look: it only may bring a newer data key. */
	if (op_failed(&guard->look.op) && (!repo->keys || guard->look.op.err.code == ERR_CANCELLED))
		return guard_fail(guard, &guard->look.op.err);
	guard_judge(guard);
}

static const struct op_type guard_type = {.name = "keys guard", .step = guard_step};

void keys_guard_start(struct op *parent, struct keys_guard *guard)
{
	op_start(parent, &guard->op, &guard_type);
}

struct keys_state keys_state(const struct repo *repo)
{
	struct keys_state state = {.known = true, .shut = err_is(&repo->shut), .lags = repo->lags};
	struct key_about newest;

	if (repo->keys && keyring_newest(repo->keys, &newest))
		state.key = newest.id;
	return state;
}
