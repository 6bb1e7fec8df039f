/* page.h — data pages of relations: their checksum, and whether a copy is good. */
#ifndef PG_PAGE_H
#define PG_PAGE_H

#include "pg/lsn.h"

enum { PAGE_BYTES = 8192 };

enum page_verdict {
	PAGE_OK,
	PAGE_NEW,     /* all zero: never initialised */
	PAGE_SKIPPED, /* its LSN is at or above the backup's start: replay will write it again */
	PAGE_ODD,     /* says it is new (pd_upper = 0) and is not all zero: the server passes it, we
	                 mention it */
	PAGE_BAD,     /* wrong checksum; read it again before believing it */
};

/* block is the number in the whole relation fork: file segment * 131072 + index. Any alignment. */
uint16_t page_checksum(const void *page, uint32_t block);
/* start: of the backup; LSN_MAX judges every page. Only for clusters with checksums. */
enum page_verdict page_judge(const void *page, uint32_t block, lsn start);
lsn page_lsn(const void *page);
bool page_is_zero(const void *page);

#endif
