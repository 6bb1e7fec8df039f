/*
 * diff.c — what a changed file changes: which settings a running server takes over, and which need
 * a restart.
 *
 * Compared are the texts as written, so "96MB" and "98304kB" differ; nobody is surprised by that.
 */
#include "internal.h"
#include "base/poison.h"

static const char *shown(const struct option *option, const char *text, bool secret)
{
	if (!text)
		return option->initial ? option->initial : "nothing";
	return secret ? "(not shown)" : text;
}

static bool same_text(const struct option *option, const char *a, const char *b)
{
	if (!(option->flags & OPTION_DERIVED)) {
		a = a ? a : option->initial;
		b = b ? b : option->initial;
	}
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool diff_section(const struct section *old, const struct section *new, struct strs *ret)
{
	char title[CONFIG_NAME_MAX + 32];
	bool restart = false;

	section_title(new, title);
	for (size_t i = 0; i < new->options; i++) {
		const struct option *option = &new->option[i];
		const char *before = old->source->text[i], *after = new->source->text[i];
		bool reload = option->flags & OPTION_RELOAD, secret = option->flags & OPTION_SECRET;
		AUTO_FREE
		char *line = NULL;

		if (same_text(option, before, after))
			continue;
		line = xasprintf("\"%s\" in section %s changed from \"%s\" to \"%s\"%s",
		                 option->name, title, shown(option, before, secret),
		                 shown(option, after, secret),
		                 reload ? "" : ", which needs a restart");
		strs_add(ret, line);
		restart = restart || !reload;
	}
	return restart;
}

static void note_section(const char *kind, const char *name, const char *what, struct strs *ret)
{
	AUTO_FREE
	char *line = xasprintf("section [%s %s] was %s, which needs a restart", kind, name, what);

	strs_add(ret, line);
}

typedef struct section section_of(struct config *config, size_t number);

/* Pairs the named sections of one kind. */
static bool diff_named(struct config *const config[2], const size_t count[2], section_of *of,
                       struct strs *ret)
{
	bool restart = false;

	for (size_t i = 0; i < count[1]; i++) {
		struct section new = of(config[1], i);
		size_t j = 0;

		while (j < count[0] && strcmp(of(config[0], j).name, new.name) != 0)
			j++;
		if (j < count[0]) {
			struct section old = of(config[0], j);

			restart |= diff_section(&old, &new, ret);
			continue;
		}
		note_section(new.kind, new.name, "added", ret);
		restart = true;
	}
	for (size_t j = 0; j < count[0]; j++) {
		struct section old = of(config[0], j);
		size_t i = 0;

		while (i < count[1] && strcmp(of(config[1], i).name, old.name) != 0)
			i++;
		if (i == count[1]) {
			note_section(old.kind, old.name, "removed", ret);
			restart = true;
		}
	}
	return restart;
}

bool config_diff(const struct config *old, const struct config *new, struct strs *ret)
{
	/* The views are of writable structs; nothing here writes. */
	struct config *const config[2] = {(struct config *)old, (struct config *)new};
	struct section before = section_server(config[0]), after = section_server(config[1]);
	bool restart = diff_section(&before, &after, ret);

	restart |= diff_named(config, (const size_t[2]){old->repositories, new->repositories},
	                      section_repository, ret);
	restart |= diff_named(config, (const size_t[2]){old->clusters, new->clusters},
	                      section_cluster, ret);
	return restart;
}

static size_t field_bytes(enum option_type type)
{
	switch (type) {
	case OPTION_CHOICE:
		return sizeof(int);
	case OPTION_COUNT:
		return sizeof(unsigned);
	case OPTION_SIZE:
		return sizeof(uint64_t);
	default:
		return 0;
	}
}

/* A text has users who hold it: of those that a reload changes, runtime_reload tells them. */
static bool is_text(enum option_type type)
{
	return type == OPTION_PATH || type == OPTION_STRING;
}

static void reload_text(char **to, const char *from)
{
	free(*to);
	*to = from ? xstrdup(from) : NULL;
}

static void reload_section(const struct section *to, const struct section *from)
{
	for (size_t i = 0; i < to->options; i++) {
		const struct option *option = &to->option[i];
		size_t offset = option->offset, bytes = field_bytes(option->type);

		if (!(option->flags & OPTION_RELOAD) || (bytes == 0 && !is_text(option->type)))
			continue;
		if (is_text(option->type))
			reload_text((char **)(void *)((char *)to->fields + offset),
			            *(char **)(void *)((char *)from->fields + offset));
		else
			memcpy((char *)to->fields + offset, (char *)from->fields + offset, bytes);
		free(to->source->text[i]);
		to->source->text[i] = from->source->text[i] ? xstrdup(from->source->text[i]) : NULL;
	}
}

void config_reload(struct config *old, const struct config *new)
{
	struct config *fresh = (struct config *)new; /* nothing here writes into it */
	struct section to = section_server(old), from = section_server(fresh);

	reload_section(&to, &from);
	for (size_t i = 0; i < old->repositories; i++)
		for (size_t j = 0; j < new->repositories; j++) {
			if (strcmp(old->repository[i].name, new->repository[j].name) != 0)
				continue;
			to = section_repository(old, i);
			from = section_repository(fresh, j);
			reload_section(&to, &from);
		}
}
