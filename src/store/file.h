/* file.h — what file.c and file_list.c share. */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "loop/work.h"
#include "store/driver.h"

enum { FILE_PATH_MAX = 4096 };

/* Fills the page of list from the folder that root_fd is. Blocking, on a worker. */
MUST_USE bool file_list_page(int root_fd, struct store_list *list, struct work *work,
                             struct err *err);
/* errno as an error of a store: no rights and read-only are ERR_STORE, a server of files that does
 * not answer is ERR_NETWORK, not there is ERR_NOTFOUND. Returns false. */
bool file_error(struct err *err, const char *what, const char *name);

#endif
