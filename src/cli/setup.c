/*
 * setup.c — see setup.h. Three readers take the text apart, and each has its own signs: the quotes
 * of postgresql.conf, the "%" of archive_command, and the shell.
 */
#include <limits.h>
#include <unistd.h>
#include "base/file.h"
#include "base/place.h"
#include "setup.h"
#include "base/poison.h"

/* The path of seawall-wal beside this program; NULL: this program's own path is not known. */
static char *hook_path(void)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	AUTO_FREE char *folder = NULL;

	if (length < 0)
		return NULL;
	self[length] = '\0';
	folder = path_folder(self);
	return path_join(folder, "seawall-wal");
}

bool setup_hook_is_there(void)
{
	AUTO_FREE char *path = hook_path();

	return path && access(path, X_OK) == 0;
}

/* A word for the shell inside of archive_command. */
static void add_word(struct buf *out, const char *word)
{
	static const char plain[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=+,@";
	AUTO_FREE char *quoted = word[strspn(word, plain)] ? str_shell(word) : xstrdup(word);

	if (out->length)
		buf_addc(out, ' ');
	for (const char *at = quoted; *at; at++) {
		buf_addc(out, *at);
		if (*at == '%' || *at == '\'')
			buf_addc(out, *at); /* "%%" for PostgreSQL, "''" in its file */
	}
}

char *setup_archive_command(const struct config *config, struct err *err)
{
	AUTO_FREE char *path = hook_path();
	struct buf out;

	if (!path) {
		err_sys(err, "could not find the path of this program");
		return NULL;
	}
	buf_init(&out, 4 * PATH_MAX);
	add_word(&out, path);
	/* PostgreSQL's environment has no SEAWALL_CONFIG. */
	if (config->path && strcmp(config->path, PLACE_CONFIG) != 0) {
		add_word(&out, "--config");
		add_word(&out, config->path);
	}
	buf_addstr(&out, " push %p");
	return buf_steal(&out);
}
