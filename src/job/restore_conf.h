/* restore_conf.h — lines of postgresql.conf and postgresql.auto.conf for a recovery. Pure, over
 * texts. Private to this layer. */
#ifndef JOB_RESTORE_CONF_H
#define JOB_RESTORE_CONF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "pg/control.h"
#include "repo/plan.h"

enum {
	CONF_BYTES_MAX = 4 << 20,
	/* 13 to 15 cut the command, with %f and %p filled in, at this length. */
	CONF_COMMAND_BYTES_MAX = 1022,
};

/* Appends 'value' as the server's configuration reader wants it. */
void conf_quote(const char *value, struct buf *out);
/* The name that a line sets, in lower case; false: a comment, an include, nothing. */
bool conf_line_name(const char *line, size_t length, char *out, size_t out_bytes);
/* Whether it is one of a recovery: recovery_target…, restore_command, primary_conninfo … */
bool conf_is_recovery(const char *name);
/* text without the lines of recovery settings and without our own block for them; all: also without
 * that of what stays. ret_removed: how many lines. */
void conf_strip(const char *text, bool all, struct buf *out, unsigned *ret_removed);
#define CONF_COMMENT "# by seawall restore: "
/* text with the lines that set one of names (ends with NULL) made comments. */
void conf_comment_out(const char *text, const char *const *names, struct buf *out,
                      unsigned *ret_count);
/* The last value that text gives to name; false: none. */
bool conf_value(const char *text, const char *name, char *out, size_t out_bytes);
/* "NAME=VALUE" of --option: a name that is one, and none that a restore sets itself. */
MUST_USE bool conf_option_check(const char *option, struct err *err);

/* Adds lines to our block of what ends with the recovery. */
void conf_add(const struct buf *lines, struct buf *text);

struct conf_command {
	const char *program;                 /* of the hook, absolute */
	const char *config, *cluster, *plan; /* config may be NULL */
	unsigned major;
};
/* The restore_command itself, not yet quoted as a setting. */
MUST_USE bool conf_restore_command(const struct conf_command *command, struct buf *out,
                                   struct err *err);

/* Settings in which config_text has less than floor, one line each. */
void conf_floors(const struct pg_parameters *floor, const char *config_text, struct buf *out);

struct conf_recovery {
	const struct restore_plan *plan;
	const char *restore_command;
	const char *action; /* "pause", "promote", "shutdown" */
	const struct pg_parameters *floor;
	const char *config_text; /* postgresql.conf and auto.conf, one after the other */
	unsigned port;           /* 0: none */
	const struct strs *option;
};
/* Our block for postgresql.auto.conf, in two parts: what ends with the recovery, and what stays. */
void conf_recovery(const struct conf_recovery *recovery, struct buf *out);

#endif
