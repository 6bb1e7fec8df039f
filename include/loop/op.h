/*
 * op.h — the one noun for everything that takes time: an operation, a state and one step function.
 *
 * An operation embeds the operations that it waits for; the tree of structs is the tree of work and
 * of ownership. Callbacks from outside only wake an operation; the loop steps what is ready before
 *it sleeps, so nothing is ever re-entered and a start function never completes before it returns.
 *
 * There is exactly one end, for success, failure and cancel. Cancelling asks; the end still comes,
 * and only then may the memory be used again. All functions here are for the loop thread only.
 *
 *	struct push {
 *		struct op op;
 *		struct work read;             children are fields
 *	};
 *	static void push_step(struct op *op)
 *	{
 *		struct push *push = container_of(op, struct push, op);
 *
 *		switch ((enum push_state)op->state) {
 *		case PUSH_START:
 *			work_start(op, &push->read, push_read);
 *			return op_wait(op, PUSH_READING);
 *		case PUSH_READING:
 *			if (op_failed(&push->read.op))
 *				return op_fail(op, &push->read.op.err, "could not read file \"%s\"",
 *push->path); return op_done(op);
 *		}
 *	}
 */
#ifndef LOOP_OP_H
#define LOOP_OP_H

#include "base/err.h"

struct loop;
struct op;

struct op_type {
	const char *name;
	void (*step)(struct op *op);          /* at start, then each time all children are done */
	void (*cancel)(struct op *op);        /* leaves only: ask the outside to stop early */
	const char *(*state_name)(int state); /* for traces; may be NULL */
};

/*
 * The states of an operation and their names, from one list:
 *
 *	#define PUSH_STATES(X) X(PUSH_START) X(PUSH_QUEUED) X(PUSH_SENDING)
 *	OP_STATES(push_state, PUSH_STATES)
 *
 * makes enum push_state, and push_state_name for op_type.state_name: "SENDING", without the first
 * word. In a header only OP_STATES_ENUM, and OP_STATES_NAME in the one file that needs it.
 */
#define OP_STATE_ITEM(state)      state,
#define OP_STATE_TEXT(state)      #state,
#define OP_STATES_ENUM(tag, LIST) enum tag { LIST(OP_STATE_ITEM) };
#define OP_STATES_NAME(tag, LIST)                                                                  \
	static const char *tag##_name(int state)                                                   \
	{                                                                                          \
		static const char *const names[] = {LIST(OP_STATE_TEXT)};                          \
		return op_state_text(names, ARRAY_LENGTH(names), state);                           \
	}
#define OP_STATES(tag, LIST) OP_STATES_ENUM(tag, LIST) OP_STATES_NAME(tag, LIST)
/* "?" for a number that is no state. */
const char *op_state_text(const char *const *names, size_t count, int state);

struct op {
	const struct op_type *type;
	struct loop *loop;
	struct op *parent, *child_list, *sibling_next, *sibling_prev, *ready_next;
	unsigned children;
	int state;
	bool ready, done, cancelled;
	struct err err;
	void (*on_done)(struct op *op); /* roots only; may free the operation */
};

/* Starts a child of parent; its first step comes before the loop sleeps again. op is reset. */
void op_start(struct op *parent, struct op *op, const struct op_type *type);
/* Starts an operation without parent; on_done is called once, at its end, from the loop. */
void op_start_root(struct loop *loop, struct op *op, const struct op_type *type,
                   void (*on_done)(struct op *op));

/* Ends of a step: wait in a state for the children (a leaf: for op_wake), or end. */
void op_wait(struct op *op, int state);
void op_done(struct op *op);
/* Ends with the cause's code, wrapped in a sentence; without children only. */
void op_fail(struct op *op, const struct err *cause, const char *format, ...) PRINTF(3, 4);
/* Ends with the operation's own err, which must be set. */
void op_fail_own(struct op *op);
/* Ends with a fresh error. */
void op_fail_as(struct op *op, enum err_code code, const char *format, ...) PRINTF(3, 4);

/* Makes the operation step again before the loop sleeps; safe to call twice. */
void op_wake(struct op *op);
/* Asks op and all below it to end early (ERR_CANCELLED where that is possible). The end still
 * comes. */
void op_cancel(struct op *op);

/* Whether a child ended in failure. Asserts that it ended. */
bool op_failed(const struct op *op);
/* Whether a child that was started has not ended yet; false for one that never started
 * (zero-filled). */
static inline bool op_running(const struct op *op)
{
	return op->type && !op->done;
}

#endif
