/*
 * site.c — a cluster at one of its repositories: opened when it is wanted, and whether it can be
 * reached.
 *
 *   START -> OPENING -> done
 */
#include "site_hint.h"

#include "base/clock.h"
#include "base/log.h"
#include "loop/loop.h"

#include "base/poison.h"

enum { READY_START, READY_OPENING };

static void ready_step(struct op *op)
{
	struct site_ready *ready = container_of(op, struct site_ready, op);
	struct site *site = ready->site;

	if (op->state == READY_START) {
		if (!site->repo && site->open_place && !site->open_place(site, &op->err)) {
			site_note(site, &op->err);
			return op_fail_own(op);
		}
		if (site->repo->opened)
			return op_done(op);
		ready->open.repo = site->repo;
		ready->open.stall_ms = ready->stall_ms;
		repo_open_start(op, &ready->open);
		return op_wait(op, READY_OPENING);
	}
	if (op_failed(&ready->open.op)) {
		op->err = ready->open.op.err;
		site_note(site, &op->err);
		return op_fail_own(op);
	}
	op_done(op);
}

static const struct op_type ready_type = {.name = "site-ready", .step = ready_step};

void site_ready_start(struct op *parent, struct site_ready *ready, struct site *site)
{
	*ready = (struct site_ready){.site = site};
	op_start(parent, &ready->op, &ready_type);
}

/* What says nothing about the place: it answered, or nobody listened. */
static bool is_answer(const struct err *err)
{
	return err->code == ERR_NOTFOUND || err->code == ERR_EXISTS || err->code == ERR_DAMAGED ||
	       err->code == ERR_REFUSED || err->code == ERR_CANCELLED;
}

/* A process that asks once has nothing else to do but to wait for it. */
static int64_t away_ms(const struct site *site)
{
	return site->hints && err_code_retry(site->away.code) ? SITE_PROBE_MS : SITE_AWAY_MS;
}

void site_note(struct site *site, const struct err *err)
{
	if (err && err->code == ERR_CANCELLED)
		return;
	if (!err || is_answer(err)) {
		if (site->away_until_ms)
			log_info("repository \"%s\" of cluster \"%s\" answers again",
			         site->repository, site->cluster);
		if (site->away_until_ms)
			site_hint_forget(site);
		site->away_until_ms = 0;
		err_clear(&site->away);
		return;
	}
	if (!site->away_until_ms && site->next)
		log_err(LOG_WARNING, err, ", going on with the other repositories");
	if (!site->away_until_ms)
		site->away_since_us = clock_now_us();
	site->away = *err;
	site->away_until_ms = MAX(site->away_until_ms, loop_now_ms(site->loop) + away_ms(site));
	site_hint_tell(site);
}

bool site_is_away(const struct site *site)
{
	return site->away_until_ms && loop_now_ms(site->loop) < site->away_until_ms;
}

bool site_try(struct site *site)
{
	site_hint_take(site);
	if (site_is_away(site))
		return false;
	if (site->away_until_ms) {
		site->away_until_ms = loop_now_ms(site->loop) + SITE_PROBE_MS;
		site_hint_tell(site);
	}
	return true;
}

void site_saw(struct site *site, uint64_t system_identifier, uint32_t n)
{
	if (site->seen_system_identifier != system_identifier)
		site->seen_n = 0;
	site->seen_system_identifier = system_identifier;
	site->seen_n = MAX(site->seen_n, n);
}

struct site *site_first(struct site *site)
{
	return site->first ? site->first : site;
}

uint32_t site_newest(const struct site *site, uint64_t system_identifier)
{
	uint32_t newest = 0;

	for (site = site->first ? site->first : site; site; site = site->next)
		if (site->seen_system_identifier == system_identifier)
			newest = MAX(newest, site->seen_n);
	return newest;
}

int64_t site_stall_ms(const struct site *first)
{
	return first->next ? SITE_STALL_MS : 0;
}
