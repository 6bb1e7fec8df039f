/* gate.c — places, tickets and who comes first. The rules stand in gate.h. */
#include "loop/gate.h"

#include <assert.h>
#include <limits.h>

#include "base/poison.h"

enum ticket_state { TICKET_START, TICKET_QUEUED };

void gate_init(struct gate *gate, unsigned places, unsigned reserve)
{
	*gate = (struct gate){.places = places};
	if (reserve == UINT_MAX)
		reserve = places > 1 ? MAX(places / 4, 1U) : 0;
	gate->reserve = MIN(reserve, places);
	for (unsigned i = 0; i < GATE_CLASSES; i++)
		gate->tail[i] = &gate->head[i];
}

/* How many places may be taken in all when one of this class comes in. */
static unsigned gate_limit(const struct gate *gate, enum gate_class class)
{
	return class <= GATE_WAL ? gate->places : gate->places - gate->reserve;
}

static void gate_admit(struct gate *gate)
{
	for (unsigned class = 0; class < GATE_CLASSES; class ++) {
		while (gate->head[class]) {
			struct ticket *ticket = gate->head[class];

			if (gate->taken + ticket->places > gate_limit(gate, class))
				return; /* nobody behind it overtakes */
			gate->head[class] = ticket->queue_next;
			if (!gate->head[class])
				gate->tail[class] = &gate->head[class];
			gate->taken += ticket->places;
			ticket->inside = true;
			op_wake(&ticket->op);
		}
	}
}

static void ticket_withdraw(struct ticket *ticket)
{
	struct gate *gate = ticket->gate;

	for (struct ticket **at = &gate->head[ticket->class]; *at; at = &(*at)->queue_next)
		if (*at == ticket) {
			*at = ticket->queue_next;
			if (!*at)
				gate->tail[ticket->class] = at;
			return;
		}
}

static void ticket_step(struct op *op)
{
	struct ticket *ticket = container_of(op, struct ticket, op);

	if (op->state == TICKET_START && !op->cancelled) {
		ticket->queue_next = NULL;
		*ticket->gate->tail[ticket->class] = ticket;
		ticket->gate->tail[ticket->class] = &ticket->queue_next;
		op_wait(op, TICKET_QUEUED);
		return gate_admit(ticket->gate);
	}
	if (ticket->inside)
		return op_done(op);
	if (op->state == TICKET_QUEUED) {
		ticket_withdraw(ticket);
		gate_admit(ticket->gate); /* it may have stood in the way of others */
	}
	op_fail_as(op, ERR_CANCELLED, "cancelled while waiting for its turn");
}

static void ticket_cancel(struct op *op)
{
	op_wake(op);
}

static const struct op_type ticket_type = {
        .name = "ticket", .step = ticket_step, .cancel = ticket_cancel};

void gate_enter(struct op *parent, struct ticket *ticket, struct gate *gate, enum gate_class class,
                unsigned places)
{
	*ticket = (struct ticket){.gate = gate,
	                          .class = class,
	                          .places = MIN(places, MAX(gate_limit(gate, class), 1U))};
	op_start(parent, &ticket->op, &ticket_type);
}

void gate_leave(struct ticket *ticket)
{
	gate_shrink(ticket, 0);
}

void gate_shrink(struct ticket *ticket, unsigned keep)
{
	if (!ticket->inside || keep >= ticket->places)
		return;
	assert(ticket->gate->taken >= ticket->places - keep);
	ticket->gate->taken -= ticket->places - keep;
	ticket->places = keep;
	ticket->inside = keep > 0;
	gate_admit(ticket->gate);
}

bool gate_pressed(const struct gate *gate, enum gate_class class)
{
	for (unsigned i = 0; i <= class; i++)
		if (gate->head[i])
			return true;
	return false;
}
