/*
 * A whole server in this process, and its client on the same loop: views, refusals of the WAL
 * routes, reload, the state folder deleted, a second server, the end by a signal.
 */
#include "server/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "codec/json.h"
#include "loop/nap.h"
#include "net/http.h"
#include "unit/base/loopback.h"

struct world {
	char folder[64], config[96], socket[96];
	struct config *settings;
	struct runtime runtime;
	struct http *http;
	struct op op; /* the client's story */
	const struct step *step;
	struct http_request request;
	struct nap nap;
	char url[512];
	unsigned tries;
};

/* One request and what must come of it; or an act instead of a request. */
struct step {
	const char *method, *path; /* "@" in it: the folder */
	unsigned status;
	const char *result, *text; /* Seawall-Result; in the body */
	void (*act)(struct world *world);
	bool until; /* again and again until the status is there (it has a deadline) */
};

static void write_file(const char *path, const char *format, const char *folder)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (const char *at = format; *at; at++)
		if (*at == '@')
			fputs(folder, file);
		else
			fputc(*at, file);
	fclose(file);
}

static const char settings[] = "socket = @/state/s.sock\nstate = @/state\n"
                               "memory = 40MB\nworkers = 1\n"
                               "[repository local]\nurl = file://@/repository\n"
                               "[cluster main]\npgdata = @/data\n";

static void world_begin_with(struct world *world, const char *more)
{
	struct err err = {.code = ERR_NONE};
	char path[128], text[1024];
	static const char *const folders[] = {"data", "data/pg_wal", "data/base", "other",
	                                      "other/pg_wal"};

	*world = (struct world){.folder = "/tmp/seawall-serve.XXXXXX"};
	assert_non_null(mkdtemp(world->folder));
	for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", world->folder, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(world->config, sizeof(world->config), "%s/conf", world->folder);
	snprintf(world->socket, sizeof(world->socket), "%s/state/s.sock", world->folder);
	snprintf(text, sizeof(text), "%s%s", more, settings);
	write_file(world->config, text, world->folder);
	world->settings = config_load(world->config, &err);
	assert_non_null(world->settings);
	assert_true(runtime_init(&world->runtime, world->settings, &err));
	world->http = http_new(world->runtime.loop, 4);
}

static void world_begin(struct world *world)
{
	world_begin_with(world, "[server]\n");
}

static void world_end(struct world *world)
{
	struct err err = {.code = ERR_NONE};

	http_free(world->http);
	runtime_release(&world->runtime);
	config_free(world->settings);
	assert_true(file_remove_tree(world->folder, &err));
}

static void client_ask(struct world *world)
{
	size_t length = (size_t)snprintf(world->url, sizeof(world->url), "http://seawall");

	for (const char *at = world->step->path; *at; at++)
		length += (size_t)snprintf(world->url + length, sizeof(world->url) - length,
		                           *at == '@' ? "%s" : "%.1s",
		                           *at == '@' ? world->folder : at);
	world->request = (struct http_request){.url = world->url,
	                                       .unix_socket = world->socket,
	                                       .method = world->step->method,
	                                       .whole_ms = 20000};
	http_start(&world->op, &world->request, world->http);
	op_wait(&world->op, 1);
}

static void client_next(struct world *world)
{
	while (world->step->act) {
		world->step->act(world);
		world->step++;
	}
	if (!world->step->method)
		return op_done(&world->op);
	world->tries = 0;
	client_ask(world);
}

static void client_judge(struct world *world)
{
	const struct step *step = world->step;
	const char *result = http_header(&world->request, "Seawall-Result");
	const char *body = buf_text(&world->request.answer);

	if (world->request.status != step->status || (step->text && !strstr(body, step->text)))
		print_message("%s: %u %s\n%s%s\n", world->url, world->request.status,
		              result ? result : "-", body, world->request.op.err.text);
	assert_int_equal(world->request.status, step->status);
	if (step->result)
		assert_string_equal(result, step->result);
	else
		assert_null(result);
	if (step->text)
		assert_non_null(strstr(body, step->text));
}

static void client_step(struct op *op)
{
	struct world *world = container_of(op, struct world, op);

	if (op->state == 0)
		return client_next(world);
	if (op->state == 2)
		return client_ask(world);
	if (world->step->until && world->request.status != world->step->status &&
	    world->tries++ < 400) {
		http_release(&world->request);
		nap_start(op, &world->nap, 50);
		return op_wait(op, 2);
	}
	client_judge(world);
	http_release(&world->request);
	world->step++;
	client_next(world);
}

static const struct op_type client_type = {.name = "client", .step = client_step};

/* The steps end with a signal that stops the server. */
static void run(struct world *world, const struct step *steps)
{
	struct err err = {.code = ERR_NONE};
	struct server_options options = {.runtime = &world->runtime,
	                                 .config = world->settings,
	                                 .config_given = world->config};

	world->step = steps;
	op_start_root(world->runtime.loop, &world->op, &client_type, NULL);
	assert_true(server_run(&options, &err));
	assert_true(world->op.done);
	assert_int_not_equal(access(world->socket, F_OK), 0);
}

static void act_stop(struct world *world)
{
	(void)world;
	assert_int_equal(raise(SIGTERM), 0);
}

static void act_reload(struct world *world)
{
	FILE *file = fopen(world->config, "a");

	assert_non_null(file);
	fputs("[server more]\n", file);
	fclose(file);
	assert_int_equal(raise(SIGHUP), 0); /* refused, and the server goes on */
}

static void act_delete_state(struct world *world)
{
	char path[128];
	struct err err = {.code = ERR_NONE};

	snprintf(path, sizeof(path), "%s/state", world->folder);
	assert_true(file_remove_tree(path, &err));
}

static void act_second_server(struct world *world)
{
	struct err err = {.code = ERR_NONE};
	struct server_options options = {.runtime = &world->runtime,
	                                 .config = world->settings,
	                                 .config_given = world->config};

	assert_false(server_run(&options, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "another seawall"));
}

static void views_answer_and_unknown_things_are_404(void **state)
{
	struct world world;
	static const struct step steps[] = {
	        {"GET", "/v1/status", 200, NULL, "\"clusters\""},
	        {"GET", "/v1/jobs", 200, NULL, "\"jobs\": []"},
	        {"GET", "/v1/jobs/7", 404, NULL, "no job"},
	        {"POST", "/v1/jobs/x/cancel", 404, NULL, "no job"},
	        {"GET", "/v1/clusters/none/backups", 404, NULL, "no cluster"},
	        {"GET", "/v1/clusters/main/backups", 502, NULL,
	         "repository"}, /* only init makes one */
	        {.act = act_stop},
	        {NULL},
	};

	(void)state;
	world_begin(&world);
	run(&world, steps);
	world_end(&world);
}

static void a_push_that_is_not_of_the_cluster_is_refused(void **state)
{
	struct world world;
	static const struct step steps[] = {
	        {"POST", "/v1/wal/push", 400, "failed", "data, path"},
	        {"POST", "/v1/wal/push?data=@/data&path=pg_wal/x&wait=100", 400, "failed", "60 s"},
	        {"POST", "/v1/wal/push?data=data&path=pg_wal/x", 409, "failed", "absolute"},
	        {"POST", "/v1/wal/push?data=@/data&path=base/x", 409, "failed", "does not lie"},
	        {"POST", "/v1/wal/push?data=@/data&path=pg_wal/../base/x", 409, "failed",
	         "not allowed"},
	        {"POST", "/v1/wal/push?data=@/data&path=@/other/pg_wal/x", 409, "failed",
	         "does not lie"},
	        {"POST", "/v1/wal/push?data=@/other&path=pg_wal/x", 409, "failed",
	         "not that of a configured cluster"},
	        {"POST", "/v1/wal/push?data=@/none&path=pg_wal/x", 500, "failed", "No such file"},
	        /* all is well but the repository, which is not there */
	        {"POST", "/v1/wal/push?data=@/data&path=pg_wal/000000010000000000000001", 502,
	         "failed", "repository"},
	        {"POST",
	         "/v1/wal/fetch?data=@/data&path=pg_wal/x&name=000000010000000000000001&wait=0",
	         503, "working", NULL},
	        {"POST", "/v1/wal/fetch?data=@/data&path=pg_wal/x&name=x&cluster=none", 409,
	         "failed", "not configured"},
	        {.act = act_stop},
	        {NULL},
	};

	(void)state;
	world_begin(&world);
	run(&world, steps);
	world_end(&world);
}

static void a_deleted_state_folder_and_a_bad_reload_do_not_end_it(void **state)
{
	struct world world;
	static const struct step steps[] = {
	        {"GET", "/v1/jobs", 200, NULL, NULL},
	        {.act = act_reload},
	        {"GET", "/v1/jobs", 200, NULL, NULL},
	        {.act = act_delete_state},
	        {"GET", "/v1/jobs", 200, NULL, NULL, .until = true},
	        {.act = act_stop},
	        {NULL},
	};

	(void)state;
	world_begin(&world);
	run(&world, steps);
	world_end(&world);
}

static void a_second_server_is_refused_and_the_first_goes_on(void **state)
{
	struct world world;
	static const struct step steps[] = {
	        {"GET", "/v1/jobs", 200, NULL, NULL},
	        {.act = act_second_server},
	        {"GET", "/v1/jobs", 200, NULL, NULL},
	        {.act = act_stop},
	        {NULL},
	};

	(void)state;
	world_begin(&world);
	run(&world, steps);
	world_end(&world);
}

static void a_port_in_use_is_a_problem_that_status_shows(void **state)
{
	struct world world;
	unsigned port;
	int fd = loopback_listen(&port);
	char more[64];
	static const struct step steps[] = {
	        {"GET", "/v1/status", 200, NULL, "Address already in use"},
	        {.act = act_stop},
	        {NULL},
	};

	(void)state;
	snprintf(more, sizeof(more), "[server]\nhttp = 127.0.0.1:%u\n", port);
	world_begin_with(&world, more);
	run(&world, steps);
	world_end(&world);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(views_answer_and_unknown_things_are_404),
	        cmocka_unit_test(a_push_that_is_not_of_the_cluster_is_refused),
	        cmocka_unit_test(a_deleted_state_folder_and_a_bad_reload_do_not_end_it),
	        cmocka_unit_test(a_second_server_is_refused_and_the_first_goes_on),
	        cmocka_unit_test(a_port_in_use_is_a_problem_that_status_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
