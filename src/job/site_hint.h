/* site_hint.h — that a repository is silent, told by one process of a host to those after it.
 * Private to this layer. */
#ifndef JOB_SITE_HINT_H
#define JOB_SITE_HINT_H

#include "job/site.h"

/* What others told, if anything, is taken for this process's own knowledge; once. */
void site_hint_take(struct site *site);
/* It is away (site->away) until then, or somebody begins to find out. */
void site_hint_tell(const struct site *site);
/* It answers. */
void site_hint_forget(const struct site *site);

#endif
