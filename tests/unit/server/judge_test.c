/* Whose file it is: directories are the same when the kernel says so, whatever their names. */
#include "server/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

struct world {
	char folder[64];
	char path[6][128];
};

enum { DATA, OTHER, WAL, LINK, OTHER_WAL, FAR };

static void world_begin(struct world *world)
{
	static const char *const names[] = {"data", "other", "far", "link", "other/pg_wal", ""};

	strcpy(world->folder, "/tmp/seawall-judge.XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	for (size_t i = 0; i < 6; i++)
		snprintf(world->path[i], sizeof(world->path[i]), "%s/%s", world->folder, names[i]);
	assert_int_equal(mkdir(world->path[DATA], 0700), 0);
	assert_int_equal(mkdir(world->path[OTHER], 0700), 0);
	assert_int_equal(mkdir(world->path[WAL], 0700), 0);
	assert_int_equal(mkdir(world->path[OTHER_WAL], 0700), 0);
	assert_int_equal(symlink(world->path[DATA], world->path[LINK]), 0);
	/* data/pg_wal is a symbolic link to far */
	snprintf(world->path[FAR], sizeof(world->path[FAR]), "%s/data/pg_wal", world->folder);
	assert_int_equal(symlink(world->path[WAL], world->path[FAR]), 0);
}

static void world_end(struct world *world)
{
	struct err err = {.code = ERR_NONE};

	assert_true(file_remove_tree(world->folder, &err));
}

static int whose(const struct world *world, const char *data, const char *path, enum err_code code)
{
	const char *const pgdata[] = {"/nonexistent", NULL, world->path[DATA]};
	struct judge judge = {.data = data, .path = path, .pgdata = pgdata, .clusters = 3};
	struct err err = {.code = ERR_NONE};
	bool good = judge_run(&judge, &err);

	assert_int_equal(err.code, code);
	assert_int_equal(good, code == ERR_NONE);
	free(judge.file);
	return judge.cluster;
}

static void a_linked_pg_wal_and_a_linked_directory_are_the_same_ones(void **state)
{
	struct world world;
	char path[256];

	(void)state;
	world_begin(&world);
	assert_int_equal(whose(&world, world.path[DATA], "pg_wal/x", ERR_NONE), 2);
	assert_int_equal(whose(&world, world.path[LINK], "pg_wal/x", ERR_NONE), 2);
	snprintf(path, sizeof(path), "%s/x", world.path[WAL]);
	assert_int_equal(whose(&world, world.path[DATA], path, ERR_NONE), 2);
	world_end(&world);
}

static void a_directory_of_no_cluster_is_nobodys(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	assert_int_equal(whose(&world, world.path[OTHER], "pg_wal/x", ERR_NONE), JUDGE_NOBODY);
	world_end(&world);
}

static void what_lies_elsewhere_is_refused(void **state)
{
	struct world world;
	char path[256];

	(void)state;
	world_begin(&world);
	snprintf(path, sizeof(path), "%s/x", world.path[OTHER_WAL]);
	whose(&world, world.path[DATA], path, ERR_REFUSED);
	whose(&world, world.path[DATA], "x", ERR_REFUSED);
	whose(&world, world.path[DATA], "pg_wal/../pg_wal/x", ERR_REFUSED);
	whose(&world, world.path[DATA], "pg_wal/", ERR_REFUSED);
	whose(&world, world.path[DATA], "", ERR_REFUSED);
	whose(&world, "data", "pg_wal/x", ERR_REFUSED);
	whose(&world, world.path[DATA], "pg_wal/sub/x", ERR_NOTFOUND);
	whose(&world, "/nonexistent", "pg_wal/x", ERR_NOTFOUND);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_linked_pg_wal_and_a_linked_directory_are_the_same_ones),
	        cmocka_unit_test(a_directory_of_no_cluster_is_nobodys),
	        cmocka_unit_test(what_lies_elsewhere_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
