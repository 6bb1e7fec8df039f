/*
 * turn.c — see turn.h.
 */
#include "turn.h"

#include "base/log.h"

#include "base/poison.h"

_Static_assert(SITE_CHAIN_MAX <= 32, "a bit for each");

static unsigned bit_of(const struct turn *turn, const struct site *wanted)
{
	unsigned place = 0;

	for (const struct site *site = turn->first; site != wanted; site = site->next)
		place++;
	return 1U << place;
}

/* Those that hold anything were opened when they were listed. */
static bool may_ask(const struct turn *turn, const struct site *site)
{
	return site->repo && site->repo->opened && !(turn->asked & bit_of(turn, site));
}

static struct site *pick(const struct turn *turn, struct site *prefer)
{
	if (prefer && may_ask(turn, prefer) && site_try(prefer))
		return prefer;
	for (struct site *site = turn->first; site; site = site->next)
		if (may_ask(turn, site) && site_try(site))
			return site;
	if (prefer && may_ask(turn, prefer))
		return prefer;
	for (struct site *site = turn->first; site; site = site->next)
		if (may_ask(turn, site))
			return site;
	return NULL;
}

void turn_begin(struct turn *turn, struct site *first, struct site *prefer)
{
	*turn = (struct turn){.first = first};
	turn->at = pick(turn, prefer ? prefer : first);
	turn->asked = bit_of(turn, turn->at);
}

int64_t turn_stall_ms(const struct turn *turn)
{
	return turn->patient ? 0 : site_stall_ms(turn->first);
}

/* An answer that says nothing about the object outweighs "damaged", and that "not there". */
static unsigned weight(const struct err *err)
{
	if (!err_is(err))
		return 0;
	return err->code == ERR_NOTFOUND ? 1 : err->code == ERR_DAMAGED ? 2 : 3;
}

/* Whoever was silent, when nobody else has it. */
static struct site *pick_silent(struct turn *turn)
{
	for (struct site *site = turn->first; site; site = site->next)
		if (turn->silent & bit_of(turn, site)) {
			turn->silent &= ~bit_of(turn, site);
			turn->patient = true;
			return site;
		}
	return NULL;
}

bool turn_next(struct turn *turn, const struct err *why)
{
	struct site *next;

	if (weight(why) >= weight(&turn->why))
		turn->why = *why;
	if (why->code == ERR_CANCELLED)
		return false;
	if (turn_stall_ms(turn) > 0 && err_code_retry(why->code))
		turn->silent |= bit_of(turn, turn->at);
	if (turn->first->next)
		site_note(turn->at, why);
	next = turn->patient ? NULL : pick(turn, NULL);
	if (!next)
		next = pick_silent(turn);
	if (!next)
		return false;
	log_err(LOG_WARNING, why,
	        next == turn->at ? ", asking it again" : ", reading it from another repository");
	turn->at = next;
	turn->asked |= bit_of(turn, next);
	return true;
}

void turn_end(struct turn *turn)
{
	if (turn->first->next)
		site_note(turn->at, NULL);
}
