/*
 * conffile.h — which other files PostgreSQL's configuration files lead to.
 *
 * Settings (postgresql.conf and what it includes): include, include_if_exists, include_dir. Rules
 * (pg_hba.conf, pg_ident.conf): the same since PostgreSQL 16, and @FILE for lists of names. Paths
 * are relative to the folder of the file that names them.
 */
#ifndef PG_CONFFILE_H
#define PG_CONFFILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
	CONFFILE_PATH_MAX = 1024,         /* with NUL */
	CONFFILE_BYTES_MAX = 1024 * 1024, /* larger files are not looked into */
	CONFFILE_DEPTH_MAX = 10,          /* as PostgreSQL */
	CONFFILE_FILES_MAX = 1000,
};

enum conffile_kind { CONFFILE_SETTINGS, CONFFILE_RULES };
enum conffile_what { CONFFILE_FILE, CONFFILE_IF_EXISTS, CONFFILE_FOLDER };

struct conffile_ref {
	enum conffile_what what;
	size_t line;       /* where its line begins in the text */
	size_t at, length; /* the path as it is written, with its quotes */
	char path[CONFFILE_PATH_MAX];
};
typedef void conffile_each(void *context, const struct conffile_ref *ref);
/* Each place of the text that names another file, in order. */
void conffile_refs(const char *text, enum conffile_kind kind, conffile_each *each, void *context);
/* Absolute, without "." and ".."; the caller frees. folder: that of the file in which the path is
 * written. */
char *conffile_resolve(const char *folder, const char *path);
/* The files of an include_dir, absolute and sorted: names that end in .conf and do not begin with a
 * point. Blocks. */
void conffile_folder(const char *folder, struct strs *out);
/* The file itself and all that it leads to, absolute, each once; in missing those that cannot be
 * read and do not say if_exists. Blocks. */
void conffile_collect(const char *path, enum conffile_kind kind, struct strs *out,
                      struct strs *missing);
/* The settings of the file with all that it includes at their place, so that of a name that is
 * there twice the last one counts. An include that cannot be read is none. Blocks. */
MUST_USE bool conffile_expand(const char *path, struct buf *out, struct err *err);

#endif
