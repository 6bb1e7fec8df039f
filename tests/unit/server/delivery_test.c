/* The route of fetch for one restore: who may ask, and its end while somebody asks. */
#include "server/delivery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "net/http.h"
#include "repo/plan.h"
#include "repo/repo.h"

struct world {
	char folder[64], data[96], other[96], socket[96];
	struct loop *loop;
	struct blocks *blocks;
	struct gate transfers;
	struct http *http;
	struct site site;
	struct restore_plan plan;
	struct delivery *delivery;
	struct op op;
	struct http_request request;
	char url[512];
};

static void make_folder(const char *above, const char *name, char out[96])
{
	char wal[128];

	snprintf(out, 96, "%s/%s", above, name);
	snprintf(wal, sizeof(wal), "%s/pg_wal", out);
	assert_int_equal(mkdir(out, 0700), 0);
	assert_int_equal(mkdir(wal, 0700), 0);
}

static void world_begin(struct world *world)
{
	struct err err = {.code = ERR_NONE};
	struct store *store = NULL;

	*world = (struct world){.folder = "/tmp/seawall-deliver.XXXXXX"};
	assert_non_null(mkdtemp(world->folder));
	make_folder(world->folder, "data", world->data);
	make_folder(world->folder, "other", world->other);
	snprintf(world->socket, sizeof(world->socket), "%s/sock", world->folder);
	world->loop = loop_new(&(struct loop_options){.workers = 1});
	world->blocks = blocks_new(world->loop, 40u << 20);
	gate_init(&world->transfers, 4, UINT_MAX);
	world->http = http_new(world->loop, 4);
	assert_true(store_open(world->loop,
	                       &(struct store_options){.url = "mem:delivery", .create = true},
	                       &store, &err));
	world->site = (struct site){.loop = world->loop,
	                            .acks = 1,
	                            .blocks = world->blocks,
	                            .transfers = &world->transfers,
	                            .repo = repo_new(store, world->blocks),
	                            .cluster = "main",
	                            .workers = 1};
	snprintf(world->plan.id, sizeof(world->plan.id), "%s", "r1");
	world->delivery = delivery_start(&(struct delivery_options){.site = &world->site,
	                                                            .plan = &world->plan,
	                                                            .folder = world->data,
	                                                            .socket = world->socket,
	                                                            .ahead_max = 2},
	                                 &err);
	assert_non_null(world->delivery);
}

static void world_end(struct world *world)
{
	struct err err = {.code = ERR_NONE};

	delivery_stop(world->delivery);
	loop_run(world->loop);
	assert_int_equal(loop_operations(world->loop), 0);
	assert_int_not_equal(access(world->socket, F_OK), 0);
	http_free(world->http);
	repo_free(world->site.repo);
	blocks_free(world->blocks);
	loop_free(world->loop);
	assert_true(file_remove_tree(world->folder, &err));
}

static void client_step(struct op *op)
{
	struct world *world = container_of(op, struct world, op);

	if (op->state == 0) {
		http_start(op, &world->request, world->http);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type client_type = {.name = "client", .step = client_step};

/* The result in the answer's header, "" when there is none; the caller releases the request. */
static const char *ask(struct world *world, const char *data, const char *rest, int64_t whole_ms)
{
	const char *result;

	snprintf(world->url, sizeof(world->url), "http://x/v1/wal/fetch?data=%s%s", data, rest);
	world->request = (struct http_request){.url = world->url,
	                                       .method = "POST",
	                                       .unix_socket = world->socket,
	                                       .whole_ms = whole_ms};
	loop_run_op(world->loop, &world->op, &client_type);
	result = http_header(&world->request, "Seawall-Result");
	return result ? result : "";
}

static void only_the_directory_that_is_restored_is_served(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	assert_string_equal(ask(&world, world.other, "&path=pg_wal/X&name=00000002.history", 0),
	                    "failed");
	assert_non_null(strstr(buf_text(&world.request.answer), "is not the one that is being"));
	http_release(&world.request);
	assert_string_equal(ask(&world, world.data, "&path=base/X&name=00000002.history", 0),
	                    "failed");
	http_release(&world.request);
	assert_string_equal(ask(&world, world.data, "&path=pg_wal/X", 0), "failed");
	assert_int_equal(world.request.status, 400);
	http_release(&world.request);
	world_end(&world);
}

static void it_ends_while_a_question_is_open(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	/* no pg_control: the fetcher can only try again, so the client leaves first */
	assert_string_equal(ask(&world, world.data,
	                        "&path=pg_wal/X&name=000000010000000000000001&wait=60", 100),
	                    "");
	http_release(&world.request);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(only_the_directory_that_is_restored_is_served),
	        cmocka_unit_test(it_ends_while_a_question_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
