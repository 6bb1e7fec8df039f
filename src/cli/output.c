/*
 * output.c — what a command prints: a write that fails is an error of the command.
 */
#include <errno.h>
#include <unistd.h>
#include "base/file.h"
#include "command.h"
#include "base/poison.h"

bool print(const char *text, struct err *err)
{
	if (file_write_full(STDOUT_FILENO, text, strlen(text)))
		return true;
	return err_sys(err, "could not write to standard output");
}

bool printf_out(struct err *err, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return print(text, err);
}
