/*
 * runtime.c — from the configuration to what the stories take: values only.
 */
#include <limits.h>
#include <unistd.h>
#include "base/log.h"
#include "server/runtime.h"
#include "base/poison.h"

/* The path may end in " (deleted)" after an upgrade; restore_command needs the new program then. */
static char *program_path(struct err *err)
{
	static const char deleted[] = " (deleted)";
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length < 0) {
		err_sys(err, "could not find the path of this program");
		return NULL;
	}
	path[length] = '\0';
	if (str_ends(path, deleted))
		path[length - (ssize_t)strlen(deleted)] = '\0';
	return xstrdup(path);
}

static bool site_open_place(struct site *site, struct err *err)
{
	return runtime_open_place(site->context, site, false, err);
}

static void site_fill(struct runtime *runtime, size_t number, unsigned place, struct site *ret)
{
	const struct config *config = runtime->config;
	const struct config_cluster *cluster = &config->cluster[number];
	const struct config_repository *repository = cluster->place[place];

	*ret = (struct site){
	        .loop = runtime->loop,
	        .blocks = runtime->blocks,
	        .transfers = &runtime->transfers[repository - config->repository],
	        .repository = repository->name,
	        .acks = cluster->acks,
	        .open_place = site_open_place,
	        .context = runtime,
	        .cluster = cluster->name,
	        .pgdata = cluster->pgdata,
	        .connect = cluster->connect,
	        .pg_bin = cluster->pg_bin,
	        .state = config->server.state,
	        .config_path = config->path,
	        .program = runtime->program,
	        .wal_compression = repository->wal_compression,
	        .pack_compression = repository->pack_compression,
	        .workers = loop_workers(runtime->loop),
	        .haste = &runtime->haste,
	};
}

static void site_make(struct runtime *runtime, size_t number)
{
	struct site *site = &runtime->site[number];

	struct site *first = site;

	site_fill(runtime, number, 0, site);
	for (unsigned i = 1; i < runtime->config->cluster[number].places; i++) {
		site->next = xcalloc(1, sizeof(*site));
		site = site->next;
		site_fill(runtime, number, i, site);
		site->first = first;
	}
}

bool runtime_init(struct runtime *runtime, const struct config *config, struct err *err)
{
	const struct loop_options options = {.workers = config->server.workers,
	                                     .worker_end = codec_thread_end};

	*runtime = (struct runtime){.config = config, .program = program_path(err)};
	if (!runtime->program)
		return false;
	runtime->loop = loop_new(&options);
	runtime->blocks = blocks_new(runtime->loop, config->server.memory);
	runtime->transfers = xcalloc(config->repositories, sizeof(*runtime->transfers));
	for (size_t i = 0; i < config->repositories; i++)
		gate_init(&runtime->transfers[i], RUNTIME_TRANSFERS, UINT_MAX);
	haste_share(&runtime->haste, config->server.state);
	runtime->repo = xcalloc(config->repositories, sizeof(struct repo *));
	runtime->site = xcalloc(config->clusters, sizeof(*runtime->site));
	for (size_t i = 0; i < config->clusters; i++)
		site_make(runtime, i);
	return true;
}

void runtime_release(struct runtime *runtime)
{
	for (size_t i = 0; runtime->repo && i < runtime->config->repositories; i++)
		repo_free(runtime->repo[i]);
	for (size_t i = 0; runtime->site && i < runtime->config->clusters; i++)
		for (struct site *site = runtime->site[i].next, *next; site; site = next) {
			next = site->next;
			free(site);
		}
	blocks_free(runtime->blocks);
	loop_free(runtime->loop);
	haste_release(&runtime->haste);
	free(runtime->transfers);
	free(runtime->repo);
	free(runtime->site);
	free(runtime->program);
	*runtime = (struct runtime){0};
}

static size_t repository_number(const struct runtime *runtime, const char *name)
{
	size_t number = 0;

	while (strcmp(runtime->config->repository[number].name, name) != 0)
		number++;
	return number;
}

/* All clusters of one repository share its place. */
static void sites_get_repo(struct runtime *runtime, size_t number)
{
	const struct config *config = runtime->config;

	for (size_t i = 0; i < config->clusters; i++)
		for (struct site *site = &runtime->site[i]; site; site = site->next)
			if (strcmp(site->repository, config->repository[number].name) == 0)
				site->repo = runtime->repo[number];
}

struct key_source runtime_key_source(const struct config_repository *repository)
{
	if (repository->key_file)
		return (struct key_source){KEY_SOURCE_FILE, repository->key_file};
	if (repository->key_passphrase_file)
		return (struct key_source){KEY_SOURCE_PASSPHRASE_FILE,
		                           repository->key_passphrase_file};
	if (repository->key_command)
		return (struct key_source){KEY_SOURCE_COMMAND, repository->key_command};
	return (struct key_source){.kind = KEY_SOURCE_NONE};
}

static struct store_s3 s3_options(const struct config_repository *repository)
{
	static const char *const sse[] = {
	        [SSE_NONE] = NULL, [SSE_AES256] = "AES256", [SSE_KMS] = "aws:kms"};
	static const char *const lock[] = {[OBJECT_LOCK_NONE] = NULL,
	                                   [OBJECT_LOCK_GOVERNANCE] = "GOVERNANCE",
	                                   [OBJECT_LOCK_COMPLIANCE] = "COMPLIANCE"};

	return (struct store_s3){
	        .region = repository->region,
	        .endpoint = repository->endpoint,
	        .ca_file = repository->ca_file,
	        .virtual_host = repository->url_style == URL_STYLE_VIRTUAL,
	        .path_style = repository->url_style == URL_STYLE_PATH,
	        .access_key = repository->access_key,
	        .secret_key_file = repository->secret_key_file,
	        .credentials_file = repository->credentials_file,
	        .profile = repository->profile,
	        .storage_class = {[STORE_OTHER] = repository->storage_class,
	                          [STORE_WAL] = repository->wal_storage_class
	                                                ? repository->wal_storage_class
	                                                : repository->storage_class,
	                          [STORE_PACK] = repository->pack_storage_class
	                                                 ? repository->pack_storage_class
	                                                 : repository->storage_class},
	        .sse = sse[repository->sse],
	        .sse_key = repository->sse_key,
	        .lock_mode = lock[repository->object_lock],
	        .lock_days = repository->object_lock_days,
	};
}

void runtime_reload(struct runtime *runtime)
{
	for (size_t i = 0; i < runtime->config->repositories; i++) {
		const struct config_repository *repository = &runtime->config->repository[i];
		struct key_source source = runtime_key_source(repository);

		if (!runtime->repo[i])
			continue;
		store_limit(runtime->repo[i]->store, repository->upload_limit,
		            repository->download_limit);
		repo_set_key_source(runtime->repo[i], &source);
	}
}

/* To a person who waits for a command. */
static void tell(void *context, const char *sentence)
{
	(void)context;
	log_warning("%s", sentence);
}

/* Server, hooks and commands of one configuration are one writer. */
static char *writer_name(const struct runtime *runtime)
{
	char host[HOST_NAME_MAX + 1] = "";

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	return xasprintf("host \"%s\" with the state folder \"%s\"", host,
	                 runtime->config->server.state);
}

bool runtime_open_place(struct runtime *runtime, struct site *site, bool create, struct err *err)
{
	size_t number = repository_number(runtime, site->repository);
	const struct config_repository *repository = &runtime->config->repository[number];
	const struct store_options options = {.url = repository->url,
	                                      .label = repository->name,
	                                      .create = create,
	                                      .s3 = s3_options(repository),
	                                      .pretend = runtime->pretend};
	const struct store_patience patience = {
	        .first_ms = runtime->impatient ? STORE_PATIENCE_MS : 0,
	        .say = runtime->person ? tell : NULL,
	};
	AUTO_FREE char *writer = NULL;
	struct key_source source = runtime_key_source(repository);
	struct store *store;

	if (runtime->repo[number])
		return true;
	if (!store_open(runtime->loop, &options, &store, err))
		return false;
	store_set_patience(store, &patience);
	store_limit(store, repository->upload_limit, repository->download_limit);
	writer = writer_name(runtime);
	store_set_writer(store, writer, runtime->take_over);
	runtime->repo[number] = repo_new(store, runtime->blocks);
	repo_set_key_source(runtime->repo[number], &source);
	sites_get_repo(runtime, number);
	return true;
}

/* repo_open_start wants a parent: the smallest operation that has one child. */
struct opening {
	struct op op;
	struct repo_open open;
	struct repo *repo;
};
enum { OPENING_START, OPENING_READING };

static void opening_step(struct op *op)
{
	struct opening *opening = container_of(op, struct opening, op);

	if (op->state == OPENING_START) {
		opening->open.repo = opening->repo;
		repo_open_start(op, &opening->open);
		return op_wait(op, OPENING_READING);
	}
	if (op_failed(&opening->open.op)) {
		op->err = opening->open.op.err;
		return op_fail_own(op);
	}
	op_done(op);
}

static const struct op_type opening_type = {.name = "open repository", .step = opening_step};

bool runtime_open_site(struct runtime *runtime, struct site *site, struct err *err)
{
	struct opening opening = {0};

	if (!runtime_open_place(runtime, site, false, err))
		return false;
	opening.repo = site->repo;
	if (opening.repo->opened)
		return true;
	loop_run_op(runtime->loop, &opening.op, &opening_type);
	if (!err_is(&opening.op.err))
		return true;
	*err = opening.op.err;
	return false;
}

/* The two change places; who points to one of them finds the other there. */
static void sites_swap(struct site *a, struct site *b)
{
	struct site copy = *a, *a_next = a->next, *b_next = b->next;

	*a = *b;
	*b = copy;
	a->next = a_next;
	b->next = b_next;
}

bool runtime_open(struct runtime *runtime, size_t cluster, struct err *err)
{
	struct site *first = &runtime->site[cluster];
	struct err other = {0};

	if (runtime_open_site(runtime, first, err))
		return true;
	for (struct site *site = first->next; site; site = site->next) {
		if (!runtime_open_site(runtime, site, &other))
			continue;
		log_err(LOG_WARNING, err, ", using the next repository");
		err_clear(err);
		sites_swap(first, site);
		return true;
	}
	return false;
}

bool runtime_prefer(struct runtime *runtime, size_t cluster, const char *repository,
                    struct err *err)
{
	struct site *first = &runtime->site[cluster], *site = first;

	while (site && strcmp(site->repository, repository) != 0)
		site = site->next;
	if (!site)
		return err_set(err, ERR_USAGE, "cluster \"%s\" has no repository \"%s\"",
		               first->cluster, repository);
	if (!runtime_open_site(runtime, site, err))
		return false;
	if (site != first)
		sites_swap(first, site);
	return true;
}

bool runtime_without(struct runtime *runtime, size_t cluster, const char *repository,
                     struct err *err)
{
	struct site *first = &runtime->site[cluster], *before = first, *lost;

	for (lost = first; lost && strcmp(lost->repository, repository) != 0; lost = lost->next)
		before = lost;
	if (!lost)
		return err_set(err, ERR_USAGE, "cluster \"%s\" has no repository \"%s\"",
		               first->cluster, repository);
	if (!first->next)
		return err_set(err, ERR_USAGE,
		               "\"%s\" is the only repository of cluster \"%s\": "
		               "nothing can be restored without it",
		               repository, first->cluster);
	if (lost == first) {
		sites_swap(first, first->next);
		before = first;
		lost = first->next;
	}
	before->next = lost->next;
	free(lost);
	return true;
}
