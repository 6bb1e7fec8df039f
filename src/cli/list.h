/* list.h — the commands, in the order of help: one line for each. */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include "command.h"

#define COMMANDS(X)                                                                                \
	X(init)                                                                                    \
	X(check)                                                                                   \
	X(serve)                                                                                   \
	X(status)                                                                                  \
	X(backup)                                                                                  \
	X(restore)                                                                                 \
	X(list)                                                                                    \
	X(show)                                                                                    \
	X(copy)                                                                                    \
	X(find)                                                                                    \
	X(wal_push)                                                                                \
	X(wal_fetch)                                                                               \
	X(wal_list)                                                                                \
	X(wal_index)                                                                               \
	X(cat)                                                                                     \
	X(verify)                                                                                  \
	X(adopt)                                                                                   \
	X(key_list)                                                                                \
	X(key_add)                                                                                 \
	X(key_rotate)                                                                              \
	X(help)                                                                                    \
	X(doc)

#define COMMANDS_LATER(X)                                                                          \
	X("wal verify")                                                                            \
	X("expire")                                                                                \
	X("drill")                                                                                 \
	X("standby")                                                                               \
	X("extract")                                                                               \
	X("promote")                                                                               \
	X("failback")

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X

#endif
