/*
 * gate.h — everything that is limited waits here, in order of importance, visibly.
 *
 * A gate has places. A ticket asks for some of them and gets them all at once or waits. Higher
 * classes go first; within a class first come, first served; a big request at the head is not
 * overtaken by smaller ones of its class or below. A quarter of the places (at least what `reserve`
 * says) belongs to WAL: lower classes cannot take them, so nothing can starve archiving.
 */
#ifndef LOOP_GATE_H
#define LOOP_GATE_H

#include "loop/op.h"

enum gate_class { GATE_RESTORE, GATE_WAL, GATE_BACKUP, GATE_VERIFY, GATE_CLASSES };

struct ticket;
struct gate {
	unsigned places, taken;
	unsigned reserve; /* of them kept for GATE_RESTORE and GATE_WAL */
	struct ticket *head[GATE_CLASSES], **tail[GATE_CLASSES];
};

struct ticket {
	struct op op;
	struct gate *gate;
	enum gate_class class;
	unsigned places; /* asked; while inside: held */
	bool inside;
	struct ticket *queue_next;
};

/* reserve: UINT_MAX means a quarter, at least one when there is more than one place. */
void gate_init(struct gate *gate, unsigned places, unsigned reserve);
/* Ends when the places are ours (ticket->inside), or in ERR_CANCELLED. places is cut to what the
 * class can ever get. */
void gate_enter(struct op *parent, struct ticket *ticket, struct gate *gate, enum gate_class class,
                unsigned places);
/* Gives back all places; does nothing when not inside. */
void gate_leave(struct ticket *ticket);
/* Gives back all but `keep` places. */
void gate_shrink(struct ticket *ticket, unsigned keep);
/* Whether somebody of this class or above waits. */
bool gate_pressed(const struct gate *gate, enum gate_class class);

#endif
