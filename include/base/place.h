/*
 * place.h — where things are when nobody says so. Server, command line and hook must find the very
 * same places, so all of them ask here; $HOME and XDG are never looked at, since PostgreSQL's
 * environment and a person's differ.
 */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include "base/err.h"

#define PLACE_CONFIG "/etc/seawall/seawall.conf"
#define PLACE_BASE   "/var/lib/seawall"

enum { PLACE_SOCKET_BYTES_MAX = 107 }; /* sockaddr_un.sun_path without its NUL */

/* What every program needs before it can talk to the server. All strings are owned, place_release
 * frees. */
struct place {
	char *config; /* NULL: there is no file, the embedded default holds */
	char *state;  /* NULL: not given, and not needed since the socket is */
	char *socket;
};

/* "/var/lib/seawall" if this (effective) user may write there, else "<home in the password
 * database>/seawall". The caller frees. NULL with ERR_CONFIG when the user has no home. */
MUST_USE char *place_base_folder(struct err *err);
/* The file that holds: given (--config), else $SEAWALL_CONFIG, else /etc/seawall/seawall.conf if it
 * exists, else NULL: the embedded default. The first two are not looked up. The caller frees. */
char *place_config_path(const char *given);
/* base/state, base/repository, state/seawall.sock. The caller frees. */
char *place_state(const char *base);
char *place_repository(const char *base);
char *place_socket(const char *state);
/* A socket's path fits and is absolute, as the kernel and a changing working directory need it. */
MUST_USE bool place_socket_check(const char *path, struct err *err);

/* `socket` and `state` of [server], or their defaults; nothing else of the file is judged here.
 * A named file that does not exist is ERR_CONFIG. */
MUST_USE bool place_find(const char *given_config, struct place *ret, struct err *err);
void place_release(struct place *place);

#endif
