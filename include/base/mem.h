/*
 * mem.h — memory that is there, small macros, and locals that clean up after themselves.
 *
 * Running out of memory ends the process with one line (the big buffers are taken at start, so what
 * is asked for here is small); a supervised restart must be safe anyway.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_USE        __attribute__((warn_unused_result))
#define PRINTF(f, a)    __attribute__((format(printf, f, a)))
#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))

#define container_of(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The status with which running out of memory ends the process: 4, or what the command's own table
 * says (`wal push` 1, `wal fetch` 255). Set once, before threads start. */
void mem_set_exit(int status);

/* Never NULL; zero-filled where the name says calloc. */
void *xmalloc(size_t bytes);
void *xcalloc(size_t count, size_t bytes);
void *xrealloc(void *old, size_t bytes);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t length);
char *xasprintf(const char *format, ...) PRINTF(1, 2);
char *xvasprintf(const char *format, va_list args) PRINTF(1, 0);

/* A local that is freed, or closed, at the closing brace; STEAL moves the ownership out. */
#define AUTO_FREE __attribute__((cleanup(auto_free_)))
#define AUTO_FD   __attribute__((cleanup(auto_fd_)))
#define STEAL(p)                                                                                   \
	({                                                                                         \
		__typeof__(p) stolen_ = (p);                                                       \
		(p) = NULL;                                                                        \
		stolen_;                                                                           \
	})
#define STEAL_FD(fd)                                                                               \
	({                                                                                         \
		int stolen_ = (fd);                                                                \
		(fd) = -1;                                                                         \
		stolen_;                                                                           \
	})
void auto_free_(void *pointer_to_pointer);
void auto_fd_(int *fd);

#endif
