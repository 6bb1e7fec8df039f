/*
 * replay.c — runs one fuzz harness over files, each a test of its own, and prints TAP.
 *
 * The suite runs the saved corpora with it (any compiler, under ASan); `make fuzz-NAME` links the
 * same harness with libFuzzer instead to look for new ones. A crash ends the program before its
 * plan is fulfilled: a failure.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

/* Input of exactly its own size on the heap, so that reading one byte past it is seen. */
static uint8_t *file_read(const char *path, size_t *ret_length)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long length;

	if (!file)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0 &&
	    (data = malloc((size_t)length + !length))) {
		rewind(file);
		*ret_length = fread(data, 1, (size_t)length, file);
	}
	fclose(file);
	return data;
}

int main(int argc, char **argv)
{
	int status = 0;

	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++) {
		size_t length = 0;
		uint8_t *data = file_read(argv[i], &length);

		if (data)
			LLVMFuzzerTestOneInput(data, length);
		else
			status = 1;
		printf("%sok %d - %s%s%s\n", data ? "" : "not ", i, argv[i], data ? "" : ": ",
		       data ? "" : strerror(errno));
		fflush(stdout);
		free(data);
	}
	return status;
}
