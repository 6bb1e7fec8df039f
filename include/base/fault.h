/*
 * fault.h — places where tests make things go wrong. Nothing of it is in a release build.
 *
 * SEAWALL_FAULT=kill:N ends the process (SIGKILL) at the N-th point passed, fail:N makes the N-th
 * call fail with EIO (fail:N:ERRNO: with that errno), count:FILE writes the number of points passed
 * to FILE at exit, delay:MS makes each store call wait before it begins (a put of a backup is
 * called "store-put-backup" then). list:FILE adds a line to FILE for each point passed: the place
 * it was passed at. Points of one place are alike: the same call, from the same lines, about the
 * same kind of file or object (numbers and random ids are
 * "#"). kill:N@PLACE ends the process at the N-th point of that place. SEAWALL_FAULT_ONLY=PREFIX
 * limits them to points whose name begins so. hang:FOLDER makes every job of a repository in FOLDER
 * wait as long as the file FOLDER.hangs exists, as a file system does whose server is gone.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef SEAWALL_FAULTS
/* True: the caller must behave as if the call failed with errno (set to EIO, or to what the plan
 * says). */
bool fault_point(const char *name);
/* The same; about is the path or the name that the call is for. */
bool fault_point_at(const char *name, const char *about);
/* For tests inside the process: fail the n-th point from now on (0: none); returns points passed so
 * far. */
void fault_plan_fail(unsigned n);
/* The same, with this errno. */
void fault_plan_fail_as(unsigned n, int code);
unsigned fault_count(void);
/* How long the caller must wait before it does what the point stands for. */
unsigned fault_delay_ms(const char *name);
/* For tests inside the process: from now on nobody rests long before another try. */
void fault_hurry(bool hurry);
/* How long to rest that would rest for ms. */
int64_t fault_rest_ms(int64_t ms);
/* Comes back when the folder of a repository can be used. On a worker. */
void fault_hang(const char *folder);
#else
static inline bool fault_point(const char *name)
{
	(void)name;
	return false;
}
static inline bool fault_point_at(const char *name, const char *about)
{
	(void)name;
	(void)about;
	return false;
}
static inline unsigned fault_delay_ms(const char *name)
{
	(void)name;
	return 0;
}
static inline int64_t fault_rest_ms(int64_t ms)
{
	return ms;
}
static inline void fault_hang(const char *folder)
{
	(void)folder;
}
#endif

#endif
