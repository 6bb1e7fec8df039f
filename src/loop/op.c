/*
 * op.c — operations: a ready list, a count of children, one end.
 *
 * The ready list is run by the loop before each sleep (loop.c). A cancelled parent is stepped once
 * more when its last child has ended; it looks at op->cancelled or at the child's ERR_CANCELLED
 * there.
 */
#include "internal.h"

#include <assert.h>
#include <stdarg.h>

#include "base/log.h"
#include "base/poison.h"

static const char *op_state_name(const struct op *op)
{
	return op->type->state_name ? op->type->state_name(op->state) : "?";
}

static void op_reset(struct op *op, struct loop *loop, const struct op_type *type)
{
	*op = (struct op){.type = type, .loop = loop};
}

const char *op_state_text(const char *const *names, size_t count, int state)
{
	const char *word;

	if (state < 0 || (size_t)state >= count)
		return "?";
	word = strchr(names[state], '_');
	return word ? word + 1 : names[state];
}

void op_start(struct op *parent, struct op *op, const struct op_type *type)
{
	assert(!parent->done);
	op_reset(op, parent->loop, type);
	op->parent = parent;
	op->sibling_next = parent->child_list;
	if (parent->child_list)
		parent->child_list->sibling_prev = op;
	parent->child_list = op;
	parent->children++;
	if (parent->cancelled)
		op->cancelled = true;
	op_wake(op);
}

void op_start_root(struct loop *loop, struct op *op, const struct op_type *type,
                   void (*on_done)(struct op *op))
{
	op_reset(op, loop, type);
	op->on_done = on_done;
	loop->roots++;
	op_wake(op);
}

void op_wake(struct op *op)
{
	assert(!op->done);
	if (op->ready)
		return;
	op->ready = true;
	op->ready_next = NULL;
	*op->loop->ready_tail = op;
	op->loop->ready_tail = &op->ready_next;
}

void op_wait(struct op *op, int state)
{
	op->state = state;
	if (log_on(LOG_DEBUG))
		log_line(LOG_DEBUG, "trace: %s %p -> %s", op->type->name, (void *)op,
		         op_state_name(op));
	if (op->children == 0 && !op->type->cancel)
		op_wake(op); /* nothing to wait for */
}

static void child_remove(struct op *parent, struct op *op)
{
	if (op->sibling_prev)
		op->sibling_prev->sibling_next = op->sibling_next;
	else
		parent->child_list = op->sibling_next;
	if (op->sibling_next)
		op->sibling_next->sibling_prev = op->sibling_prev;
	assert(parent->children > 0);
	if (--parent->children == 0)
		op_wake(parent);
}

void op_done(struct op *op)
{
	assert(!op->done && op->children == 0 && !op->ready);
	op->done = true;
	if (op->parent) {
		child_remove(op->parent, op);
		return;
	}
	op->loop->roots--;
	if (op->on_done)
		op->on_done(op);
}

void op_fail(struct op *op, const struct err *cause, const char *format, ...)
{
	AUTO_FREE
	char *sentence = NULL;
	va_list args;

	assert(err_is(cause));
	va_start(args, format);
	sentence = xvasprintf(format, args);
	va_end(args);
	if (cause != &op->err)
		op->err = *cause;
	err_wrap(&op->err, "%s", sentence);
	op_done(op);
}

void op_fail_own(struct op *op)
{
	assert(err_is(&op->err));
	op_done(op);
}

void op_fail_as(struct op *op, enum err_code code, const char *format, ...)
{
	AUTO_FREE
	char *sentence = NULL;
	va_list args;

	va_start(args, format);
	sentence = xvasprintf(format, args);
	va_end(args);
	err_clear(&op->err);
	err_set(&op->err, code, "%s", sentence);
	op_done(op);
}

void op_cancel(struct op *op)
{
	if (!op->type || op->done || op->cancelled)
		return;
	op->cancelled = true;
	for (struct op *child = op->child_list; child; child = child->sibling_next)
		op_cancel(child);
	if (op->type->cancel)
		op->type->cancel(op);
}

bool op_failed(const struct op *op)
{
	assert(op->done);
	return err_is(&op->err);
}
