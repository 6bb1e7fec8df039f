/* file.h — reading and writing files without losing half of it. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Until length bytes or the end of the file; -1 with errno. EINTR is not seen. */
ssize_t file_read_full(int fd, void *bytes, size_t length);
ssize_t file_pread_full(int fd, void *bytes, size_t length, uint64_t offset);
bool file_write_full(int fd, const void *bytes, size_t length);
bool file_pwrite_full(int fd, const void *bytes, size_t length, uint64_t offset);
/* The whole file into buf; larger than buf's limit is an error. A missing file is ERR_NOTFOUND. */
MUST_USE bool file_read_all(const char *path, struct buf *buf, struct err *err);
/* "a/b" from folder and name; caller frees. */
char *path_join(const char *folder, const char *name);
/* The folder of path ("." without one); caller frees. */
char *path_folder(const char *path);
const char *path_name(const char *path);
bool path_is_absolute(const char *path);
/* The names in a folder without "." and "..", unsorted. */
struct strs;
MUST_USE bool file_list(const char *folder, struct strs *ret, struct err *err);
/* Removes a file or a whole tree below path; never follows a symbolic link. Not there is success.
 */
MUST_USE bool file_remove_tree(const char *path, struct err *err);

#endif
