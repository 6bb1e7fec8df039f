/* fuzz.h — what a harness tests/fuzz/NAME_fuzz.c defines; replay.c and libFuzzer call it. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#endif
