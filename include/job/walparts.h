/*
 * walparts.h — what pushed segments left for the index (repo/walscan.h), until the indexer comes.
 *
 * A cache in the memory of the server, of limited size: what is not in it (it was full, the process
 * is a new one, somebody else archived the segment) is read again. On the loop only.
 */
#ifndef JOB_WALPARTS_H
#define JOB_WALPARTS_H

#include "repo/names.h"
#include "repo/walscan.h"

enum { WALPARTS_BYTES_MAX = 6 << 20 };

struct walparts;
/* on_plenty: it is half full; NULL: nobody asks. */
struct walparts *walparts_new(void (*on_plenty)(void *context), void *context);
void walparts_free(struct walparts *parts); /* NULL: nothing */
/* Takes the part over. The segment is in the repository, with this content. */
void walparts_put(struct walparts *parts, const char *generation, uint32_t tli, uint64_t segno,
                  struct walpart *part);
/* The caller's from now on; NULL: it is not there. parts may be NULL. */
struct walpart *walparts_take(struct walparts *parts, const char *generation, uint32_t tli,
                              uint64_t segno);
/* The generation that the last push went to; "": none yet. parts may be NULL. */
const char *walparts_generation(const struct walparts *parts);
/* Those that were there at the mark will not be asked for any more. */
uint64_t walparts_mark(const struct walparts *parts);
void walparts_drop(struct walparts *parts, uint64_t mark);

#endif
