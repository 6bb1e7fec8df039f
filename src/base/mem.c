/*
 * mem.c — memory that is there.
 *
 * What is asked for here is small: when even that is missing, no later step could do better, so the
 * process ends. It ends by _exit(): handlers and destructors may want memory too.
 */
#include "base/mem.h"
#include <errno.h>
#include "base/poison.h"

static int oom_status = 4;

void mem_set_exit(int status)
{
	oom_status = status;
}

static _Noreturn void out_of_memory(void)
{
	static const char line[] = "seawall: out of memory\n";
	ssize_t written = write(STDERR_FILENO, line, sizeof(line) - 1);

	(void)written; /* nobody is left to be told */
	_exit(oom_status);
}

static void *checked(void *memory)
{
	if (!memory)
		out_of_memory();
	return memory;
}

void *xmalloc(size_t bytes)
{
	return checked(malloc(bytes ? bytes : 1));
}

void *xcalloc(size_t count, size_t bytes)
{
	return checked(count && bytes ? calloc(count, bytes) : calloc(1, 1));
}

void *xrealloc(void *old, size_t bytes)
{
	return checked(realloc(old, bytes ? bytes : 1));
}

char *xstrdup(const char *text)
{
	return checked(strdup(text));
}

char *xstrndup(const char *text, size_t length)
{
	return checked(strndup(text, length));
}

char *xvasprintf(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		out_of_memory();
	return text;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return text;
}

void auto_free_(void *pointer_to_pointer)
{
	void *memory;

	/* Any pointer type comes here: copied, not cast, for the aliasing rules. */
	memcpy(&memory, pointer_to_pointer, sizeof(memory));
	free(memory);
}

void auto_fd_(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}
