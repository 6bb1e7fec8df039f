/*
 * look.c — what status shows of the repositories, looked up once a minute and after each job, so
 * that status itself waits for nothing.
 *
 *   START -> for each cluster: LISTING -> done
 */
#include "internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include "base/poison.h"

enum { SAVE_EVERY = 10, SOON_MS = 15 * 1000 };

struct look {
	struct op op;
	struct server *server;
	size_t next;
	bool unsure; /* a repository did not answer: again soon */
	bool again;  /* asked for meanwhile: again at once */
	struct backups backups;
};

static char *space_path(const struct server *server, size_t number)
{
	return xasprintf("%s/space-%s", server->config->server.state,
	                 server->config->repository[number].name);
}

static void look_space(struct server *server)
{
	int64_t now_s = clock_now_us() / US_PER_S;

	for (size_t i = 0; i < server->config->repositories; i++) {
		struct repo *repo = server->runtime->repo[i];
		struct space *space = &server->space[i];
		AUTO_FREE char *path = space_path(server, i);
		struct err err = {.code = ERR_NONE};
		uint64_t free_bytes, total_bytes;
		unsigned before = space->samples;

		if (!repo || !store_space(repo->store, &free_bytes, &total_bytes))
			continue;
		if (!space->known)
			space_load(space, path, now_s);
		space_add(space, now_s, free_bytes, total_bytes);
		/* a forecast that is lost is no loss: a failure is not told */
		if (space->samples != before && space->samples % SAVE_EVERY == 1)
			(void)!space_save(space, path, &err);
	}
}

/* Once: what keeps servers from each other's objects in a repository, when that is not the store.
 */
static void look_writers(struct server *server)
{
	for (size_t i = 0; i < server->config->repositories; i++) {
		const struct repo *repo = server->runtime->repo[i];
		char text[FEATURES_TEXT_BYTES];

		if (!repo || !repo->opened || server->writers_told[i])
			continue;
		server->writers_told[i] = true;
		if (*features_advice(&repo->features) == '\0')
			continue;
		features_say(&repo->features, text);
		log_warning("repository \"%s\": %s (hint: %s)", server->config->repository[i].name,
		            text, features_advice(&repo->features));
	}
}

/* The last of all repositories. */
static const struct manifest_head *look_last(const struct backups *backups)
{
	const struct heads *elsewhere = &backups->presence.elsewhere;
	const struct manifest_head *last =
	        backups->heads ? &backups->head[backups->heads - 1] : NULL;

	for (size_t i = 0; i < elsewhere->count; i++)
		if (!last || manifest_head_order(&elsewhere->head[i], last) > 0)
			last = &elsewhere->head[i];
	return last;
}

static void look_take(struct look *look)
{
	struct member *member = &look->server->member[look->next];
	const struct backups *backups = &look->backups;
	const struct manifest_head *last;

	if (op_failed(&backups->op)) {
		/* told once, not every minute */
		if (strcmp(member->look_error.text, backups->op.err.text) != 0 &&
		    backups->op.err.code != ERR_CANCELLED)
			log_err(LOG_WARNING, &backups->op.err, ", will try again");
		member->look_error = backups->op.err;
		return;
	}
	if (err_is(&member->look_error))
		log_info("the repository of cluster \"%s\" can be read again",
		         member->site->cluster);
	err_clear(&member->look_error);
	member->looked = true;
	for (unsigned i = 0; i < backups->presence.places; i++)
		look->unsure = look->unsure || !backups->presence.place[i].known;
	member->backups = backups->catalog.backups;
	last = look_last(backups);
	if (!last)
		return;
	snprintf(member->last_backup, sizeof(member->last_backup), "%s", last->id);
	member->last_backup_us = last->ended_us;
	presence_text(&backups->presence, member->last_backup, member->last_backup_in);
	presence_lacking(&backups->presence, member->last_backup, member->last_backup_lacked);
}

static void look_step(struct op *op)
{
	struct look *look = container_of(op, struct look, op);

	if (op->state == 1) {
		look_take(look);
		backups_release(&look->backups);
		look->next++;
	}
	if (op->cancelled || look->next == look->server->config->clusters) {
		look_space(look->server);
		look_writers(look->server);
		return op_done(op);
	}
	look->backups = (struct backups){
	        .runtime = look->server->runtime, .cluster = look->next, .heads_max = 1};
	backups_start(op, &look->backups);
	op_wait(op, 1);
}

static const struct op_type look_type = {.name = "look", .step = look_step};

static void look_done(struct op *op)
{
	struct look *look = container_of(op, struct look, op);
	struct server *server = look->server;
	bool again = look->again && !op->cancelled;

	server->look = NULL;
	if (again)
		look_start(server);
	else if (look->unsure && !op->cancelled)
		timer_set(&server->look_timer, SOON_MS);
	free(look);
}

void look_start(struct server *server)
{
	struct look *look;

	if (server->look)
		server->look->again = true; /* it may have seen what was before */
	if (server->look || server->draining)
		return;
	look = xcalloc(1, sizeof(*look));
	look->server = server;
	server->look = look;
	op_start_root(server->runtime->loop, &look->op, &look_type, look_done);
}

void look_cancel(struct server *server)
{
	if (server->look)
		op_cancel(&server->look->op);
}
