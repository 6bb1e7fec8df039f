/*
 * archive.c — PostgreSQL's archiver without PostgreSQL: the command for one file after the other.
 *
 *	archive DATA COMMAND one|all < NAMES
 *
 * As pgarch.c does it: system(3) in the data directory, %p and %f replaced, .ready renamed to .done
 * after success. With "one" a file becomes ready only when it is its turn, so that nobody can work
 * ahead, and there is a pause before each. Prints the microseconds of each call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

enum { COMMAND_BYTES = 8192, NAME_BYTES = 64, PAUSE_MS = 100 };

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void expand(const char *command, const char *name, char *out)
{
	char *end = out + COMMAND_BYTES - NAME_BYTES - 16;

	for (; *command && out < end; command++) {
		if (command[0] == '%' && command[1] == 'p') {
			out += sprintf(out, "pg_wal/%s", name);
			command++;
		} else if (command[0] == '%' && command[1] == 'f') {
			out += sprintf(out, "%s", name);
			command++;
		} else {
			*out++ = *command;
		}
	}
	*out = '\0';
}

static void fail(const char *what, const char *name)
{
	fprintf(stderr, "archive: %s \"%s\"\n", what, name);
	exit(1);
}

static void make_ready(const char *ready)
{
	struct timespec pause = {.tv_nsec = PAUSE_MS * 1000 * 1000};
	int fd = open(ready, O_WRONLY | O_CREAT, 0600);

	if (fd < 0)
		fail("could not make", ready);
	close(fd);
	nanosleep(&pause, NULL);
}

static void run(const char *command, const char *name, int one)
{
	char line[COMMAND_BYTES], ready[NAME_BYTES * 2], done[NAME_BYTES * 2];
	double begun;

	expand(command, name, line);
	snprintf(ready, sizeof(ready), "pg_wal/archive_status/%s.ready", name);
	snprintf(done, sizeof(done), "pg_wal/archive_status/%s.done", name);
	if (one)
		make_ready(ready);
	begun = now_us();
	if (system(line) != 0)
		fail("the command failed for", name);
	printf("%.1f\n", now_us() - begun);
	if (rename(ready, done) != 0)
		fail("could not rename", ready);
}

int main(int argc, char **argv)
{
	char name[NAME_BYTES];

	if (argc != 4 || chdir(argv[1]) != 0)
		fail("usage: archive DATA COMMAND one|all", argc > 1 ? argv[1] : "");
	while (scanf("%63s", name) == 1)
		run(argv[2], name, strcmp(argv[3], "one") == 0);
	return 0;
}
