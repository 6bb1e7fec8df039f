/*
 * poison.h — dangerous words do not compile. Each source file of src includes this last.
 * The durable-file module is the only one that does without.
 */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* With -D_FORTIFY_SOURCE clang gets these as macros, and a macro cannot be poisoned. */
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime localtime ctime asctime atoi atol  \
        atof
#pragma GCC poison rename renameat fsync fdatasync syncfs gets tmpnam mktemp system popen

#endif
