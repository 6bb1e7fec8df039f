/* patience.h — a call that takes long, told to whoever waits for it. */
#ifndef STORE_PATIENCE_PRIVATE_H
#define STORE_PATIENCE_PRIVATE_H

#include "store/driver.h"

/* How long a call of the store may take whose caller did not say. */
int64_t patience_deadline_ms(const struct store *store);
/* The call begins, ends (before its attempt is freed); an attempt ended in err (may be none). */
void patience_begin(struct store_call *call);
void patience_end(struct store_call *call);
void patience_note(struct store *store, const struct err *err);

#endif
