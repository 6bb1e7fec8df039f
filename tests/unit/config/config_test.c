/*
 * config_test.c — the configuration file: what is accepted, and every way of being wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "config/config.h"

#define GOOD_REPOSITORY "[repository local]\nurl = file:///srv/wal\n"
#define GOOD            "[server]\nstate = /srv/state\n" GOOD_REPOSITORY "[cluster main]\npgdata = /srv/pg\n"

static char folder[] = "/tmp/seawall-config.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/seawall.conf", folder);
	return 0;
}

static int drop_folder(void **state)
{
	struct err err = {0};

	(void)state;
	return file_remove_tree(folder, &err) ? 0 : -1;
}

static void write_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static struct config *load(const char *text)
{
	struct err err = {0};
	struct config *config;

	write_file(text, 0600);
	config = config_load(path, &err);
	if (!config)
		fail_msg("%s", err.text);
	return config;
}

static void reads_a_whole_file(void **state)
{
	struct config *config =
	        load("# comment\n[server]\nsocket = /srv/s.sock\nhttp = 127.0.0.1:7413\n"
	             "state = /srv/state/\nmemory = 1GB\nworkers = 3\nlog = json\n"
	             "log_level = debug\n\n[repository local]\nurl = file:///srv/wal\n"
	             "wal_compression = none\npack_compression = zstd:7\n"
	             "[cluster main]\npgdata = /srv/pg\nconnect = port=5433 user=a b\n"
	             "repositories = local\npg_bin = /usr/lib/postgresql/15/bin\n");

	(void)state;
	assert_string_equal(config->path, path);
	assert_string_equal(config->server.socket, "/srv/s.sock");
	assert_string_equal(config->server.http, "127.0.0.1:7413");
	assert_string_equal(config->server.state, "/srv/state");
	assert_true(config->server.memory == UINT64_C(1) << 30);
	assert_int_equal(config->server.workers, 3);
	assert_int_equal(config->server.log, LOG_JSON);
	assert_int_equal(config->server.log_level, LOG_DEBUG);
	assert_int_equal(config->repositories, 1);
	assert_string_equal(config->repository[0].name, "local");
	assert_string_equal(config->repository[0].url, "file:///srv/wal");
	assert_int_equal(config->repository[0].wal_compression.kind, SEALED_NONE);
	assert_int_equal(config->repository[0].pack_compression.level, 7);
	assert_int_equal(config->clusters, 1);
	assert_string_equal(config->cluster[0].connect, "port=5433 user=a b");
	assert_ptr_equal(config->cluster[0].repository, &config->repository[0]);
	config_free(config);
}

static void fills_in_the_defaults(void **state)
{
	struct config *config = load(GOOD);

	(void)state;
	assert_string_equal(config->server.socket, "/srv/state/seawall.sock");
	assert_null(config->server.http);
	assert_true(config->server.memory == UINT64_C(96) << 20);
	assert_int_equal(config->server.workers, 0);
	assert_int_equal(config->server.log, LOG_TEXT);
	assert_int_equal(config->server.log_level, LOG_INFO);
	assert_int_equal(config->repository[0].wal_compression.kind, SEALED_LZ4);
	assert_int_equal(config->repository[0].pack_compression.kind, SEALED_ZSTD);
	assert_string_equal(config->cluster[0].repositories.item[0], "local");
	config_free(config);
}

static void without_a_file_one_cluster_is_embedded(void **state)
{
	struct err err = {0};
	struct config *config;

	(void)state;
	if (access("/etc/seawall/seawall.conf", F_OK) == 0)
		skip();
	unsetenv("SEAWALL_CONFIG");
	config = config_load(NULL, &err);
	assert_non_null(config);
	assert_null(config->path);
	assert_int_equal(config->repositories, 1);
	assert_int_equal(config->clusters, 1);
	assert_string_equal(config->cluster[0].name, "main");
	assert_null(config->cluster[0].pgdata);
	assert_non_null(strstr(config->repository[0].url, "/repository"));
	assert_true(str_ends(config->server.socket, "/state/seawall.sock"));
	config_free(config);
}

struct bad {
	const char *text, *sentence, *hint; /* parts of them */
};

static void refuse_all(const struct bad *bad, size_t count, mode_t mode)
{
	for (size_t i = 0; i < count; i++) {
		struct err err = {0};
		struct config *config;

		write_file(bad[i].text, mode);
		config = config_load(path, &err);
		if (config)
			fail_msg("accepted:\n%s", bad[i].text);
		assert_int_equal(err.code, ERR_CONFIG);
		if (!strstr(err.text, bad[i].sentence) || !strstr(err.hint, bad[i].hint))
			fail_msg("\"%s\" hint \"%s\", expected \"%s\" hint \"%s\"", err.text,
			         err.hint, bad[i].sentence, bad[i].hint);
		if (!strstr(err.text, path))
			fail_msg("no file name in \"%s\"", err.text);
	}
}

static void refuses_lines_that_are_none(void **state)
{
	static const struct bad bad[] = {
	        {"[server]\n socket = /x\n", "line 2: the line is indented", ""},
	        {"[server]\nsocket\n", "line 2: the line is neither", ""},
	        {"[server\n", "line 1: the section has no closing bracket", ""},
	        {"socket = /x\n", "line 1: the setting stands before the first", ""},
	        {"[server]\n= 3\n", "line 2: there is no key", ""},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void refuses_unknown_sections_and_settings(void **state)
{
	static const struct bad bad[] = {
	        {"[servr]\n", "line 1: section [servr] is unknown", "Did you mean [server]?"},
	        {"[repo local]\n", "line 1: section [repo local] is unknown", "Sections are"},
	        {"[clusters main]\n", "section [clusters main] is unknown", "[cluster NAME]"},
	        {"[server main]\n", "section [server main] is unknown", "[server]"},
	        {"[cluster]\n", "section [cluster] has no name", "[cluster NAME]"},
	        {"[cluster a b]\n", "has a name that is not allowed", "Names have"},
	        {"[cluster ../x]\n", "has a name that is not allowed", "Names have"},
	        {"[cluster keys]\n", "has a name that is not allowed", "keys"},
	        {"[server]\nmemmory = 1GB\n", "line 2: setting \"memmory\" is unknown",
	         "Did you mean \"memory\"?"},
	        {"[server]\npgdata = /x\n", "setting \"pgdata\" is unknown in section [server]",
	         "Section [server] has"},
	        {"\n[cluster main]\nqqqqqqqq = 1\n", "line 3: setting", "\"pgdata\""},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void says_what_is_not_in_this_version(void **state)
{
	static const struct bad bad[] = {
#define X(section, name)                                                                           \
	{#section[0] == 's' ? "[server]\n" #name " = 1\n" : "[" #section " x]\n" #name " = 1\n",   \
	 "line 2: \"" #name "\" is not in this version", ""},
	        OPTIONS_LATER(X)
#undef X
	                {"[repository s]\nurl = sftp://host/prefix\n",
	                 "line 2: a repository at \"sftp://\" is not in this version", ""},
	        {GOOD "repositories = local, other\n", "there is no section [repository other]",
	         ""},
	        {GOOD "repositories = local, local\n", "\"local\" is twice in \"repositories\"",
	         ""},
	        {GOOD "repositories = a, b, c, d, e\n",
	         "there are more than 4 names in \"repositories\"", ""},
	        {GOOD "ack = 2\n", "\"ack = 2\" is not possible with 1 repository",
	         "Allowed is all, any, or a number from 1 to 1."},
	        {GOOD "ack = most\n", "\"ack = most\" is not possible with 1 repository", ""},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void refuses_what_is_given_twice(void **state)
{
	static const struct bad bad[] = {
	        {"[server]\nlog = text\nlog = json\n",
	         "line 3: \"log\" is given twice, first in line 2", ""},
	        {"[server]\n\n[server]\n",
	         "line 3: section [server] is given twice, first in line 1", ""},
	        {"[cluster a]\n[cluster b]\n[cluster  a]\n",
	         "line 3: section [cluster a] is given twice", ""},
	        {"[repository a]\n[repository a]\n",
	         "line 2: section [repository a] is given twice", ""},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void refuses_values_and_says_what_is_allowed(void **state)
{
	static const struct bad bad[] = {
	        {"[server]\nmemory = 96 apples\n", "line 2: \"memory\" cannot be \"96 apples\"",
	         "B, kB, MB, GB or TB, from 32 MB to 64 GB"},
	        {"[server]\nmemory = 1mb\n", "cannot be \"1mb\"", "from 32 MB"},
	        {"[server]\nmemory = 31MB\n", "cannot be \"31MB\"", "from 32 MB"},
	        {"[server]\nmemory = 65GB\n", "cannot be \"65GB\"", "to 64 GB"},
	        {"[server]\nmemory = 99999999999999999999GB\n", "cannot be", "to 64 GB"},
	        {"[server]\nmemory = -1MB\n", "cannot be \"-1MB\"", "from 32 MB"},
	        {"[server]\nworkers = 0\n", "cannot be \"0\"", "from 1 to 8"},
	        {"[server]\nworkers = 9\n", "cannot be \"9\"", "from 1 to 8"},
	        {"[server]\nworkers = 2.5\n", "cannot be \"2.5\"", "from 1 to 8"},
	        {"[server]\nlog = xml\n", "cannot be \"xml\"", "text | json"},
	        {"[server]\nlog = |\n", "cannot be \"|\"", "text | json"},
	        {"[server]\nlog_level = inf\n", "cannot be \"inf\"", "warning"},
	        {"[server]\nlog =\n", "\"log\" has no value", "text | json"},
	        {"[server]\nstate = state\n", "cannot be \"state\"", "absolute path"},
	        {"[server]\nstate = /srv/../etc\n", "cannot be \"/srv/../etc\"", "absolute path"},
	        {"[server]\nhttp = 7413\n", "cannot be \"7413\"", "ADDRESS:PORT"},
	        {"[server]\nhttp = 0.0.0.0:7413\n", "cannot be", "loopback"},
	        {"[server]\nhttp = 127.0.0.1:70000\n", "cannot be", "loopback"},
	        {"[server]\nhttp = 127.0.0.1:0\n", "cannot be", "loopback"},
	        {"[repository x]\nurl = /srv/wal\n", "cannot be \"/srv/wal\"", "file:///FOLDER"},
	        {"[repository x]\nurl = file://srv/wal\n", "cannot be", "file:///FOLDER"},
	        {"[repository x]\nwal_compression = gzip\n", "cannot be \"gzip\"", "lz4"},
	        {"[repository x]\npack_compression = zstd:20\n", "cannot be \"zstd:20\"",
	         "1 to 19"},
	        {"[cluster x]\npgdata = main\n", "cannot be \"main\"", "absolute path"},
	        {"[cluster x]\nconnect = a\tb\xff\n", "control characters", ""},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void refuses_settings_that_do_not_fit_together(void **state)
{
	static const struct bad bad[] = {
	        {"", "there is no section [repository NAME]", "[repository local]"},
	        {"[server]\n" GOOD_REPOSITORY, "there is no section [cluster NAME]",
	         "[cluster main]"},
	        {"[repository a]\n[cluster main]\n",
	         "line 1: section [repository a] has no \"url\"", "url = "},
	        {"[server]\nstate = /srv/s\n[repository a]\nurl = file:///srv/s/r\n[cluster m]\n",
	         "line 4: repository \"a\" lies inside the state folder \"/srv/s\"",
	         "may be deleted"},
	        {"[server]\nstate = /srv/s\n[repository a]\nurl = file:///srv/s\n[cluster m]\n",
	         "line 4: repository \"a\" lies inside the state folder", "may be deleted"},
	        {"[server]\nstate = /srv/s/t\n[repository a]\nurl = file:///srv/s\n[cluster m]\n",
	         "line 4: the state folder \"/srv/s/t\" lies inside repository \"a\"", ""},
	        {"[server]\nstate = /srv/s\n[repository a]\nurl = file:///pg/wal\n[cluster "
	         "m]\npgdata "
	         "= /pg\n",
	         "line 4: repository \"a\" lies inside the data directory \"/pg\"", ""},
	        {"[server]\nstate = /pg/s\n" GOOD_REPOSITORY "[cluster m]\npgdata = /pg\n",
	         "line 6: the state folder \"/pg/s\" lies inside the data directory", ""},
	        {GOOD "[cluster b]\npgdata = /srv/pg\n",
	         "line 8: clusters \"main\" and \"b\" have the same data directory", ""},
	        {GOOD "repositories = locla\n", "line 7: there is no section [repository locla]",
	         "Did you mean \"local\"?"},
	        {GOOD "[repository b]\nurl = file:///srv/b\n",
	         "line 5: section [cluster main] has no \"repositories\"", "repositories = local"},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void a_link_does_not_hide_a_repository_in_the_state(void **state)
{
	char text[512], link[128], target[128];
	struct err err = {0};

	(void)state;
	snprintf(target, sizeof(target), "%s/state", folder);
	snprintf(link, sizeof(link), "%s/link", folder);
	assert_int_equal(mkdir(target, 0700), 0);
	assert_int_equal(symlink(target, link), 0);
	snprintf(text, sizeof(text),
	         "[server]\nstate = %s\n[repository a]\nurl = file://%s/new/r\n[cluster m]\n",
	         target, link);
	write_file(text, 0600);
	assert_null(config_load(path, &err));
	assert_non_null(strstr(err.text, "lies inside the state folder"));
}

static void a_socket_path_that_does_not_fit_is_refused(void **state)
{
	char text[512], deep[160];
	struct err err = {0};

	(void)state;
	memset(deep, 'x', sizeof(deep) - 1);
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	snprintf(text, sizeof(text), "[server]\nstate = %s\n" GOOD_REPOSITORY "[cluster m]\n",
	         deep);
	write_file(text, 0600);
	assert_null(config_load(path, &err));
	assert_non_null(strstr(err.text, "longer than 107 bytes"));
	assert_non_null(strstr(err.hint, "socket"));
}

static void a_password_must_not_be_readable_by_everybody(void **state)
{
	static const struct bad bad[] = {
	        {GOOD "connect = user=a password=b\n", "line 7: \"connect\" holds a password",
	         "chmod"},
	        {GOOD "connect = user=a password = b\n", "line 7: \"connect\" holds a password",
	         "chmod"},
	        {GOOD "connect = postgresql://a:b@h/d\n", "line 7: \"connect\" holds a password",
	         "chmod"},
	};
	struct err err = {0};
	struct config *config;

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0644);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		write_file(bad[i].text, 0640);
		config = config_load(path, &err);
		assert_non_null(config);
		config_free(config);
	}
	write_file(GOOD "connect = host=h:1 user=a@b passfile=/x\n", 0644);
	config = config_load(path, &err);
	assert_non_null(config);
	config_free(config);
}

static void a_missing_file_that_was_named_is_an_error(void **state)
{
	struct err err = {0};

	(void)state;
	assert_null(config_load("/nonexistent/seawall.conf", &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent/seawall.conf"));
	err_clear(&err);
	assert_null(config_load("/tmp", &err));
	assert_int_equal(err.code, ERR_CONFIG);
}

static void finds_clusters_by_name(void **state)
{
	struct config *config = load(GOOD "[cluster other]\n");
	const struct config_cluster *cluster;
	struct err err = {0};

	(void)state;
	assert_true(config_find_cluster(config, "other", &cluster, &err));
	assert_string_equal(cluster->name, "other");
	assert_false(config_find_cluster(config, NULL, &cluster, &err));
	assert_int_equal(err.code, ERR_USAGE);
	err_clear(&err);
	assert_false(config_find_cluster(config, "mian", &cluster, &err));
	assert_string_equal(err.hint, "Did you mean \"main\"?");
	config_free(config);
}

static void says_what_a_reload_changes(void **state)
{
	struct config *old = load(GOOD "connect = user=a\n");
	struct config *new = load(
	        "[server]\nstate = /srv/state\nlog_level = debug\nmemory = 128MB\n" GOOD_REPOSITORY
	        "[cluster main]\npgdata = /srv/pg\nconnect = user=b\n[cluster x]\n");
	struct strs changes = {0};

	(void)state;
	assert_true(config_diff(old, new, &changes));
	assert_int_equal(changes.count, 4);
	assert_string_equal(changes.item[0],
	                    "\"memory\" in section [server] changed from \"96MB\" to "
	                    "\"128MB\", which needs a restart");
	assert_string_equal(changes.item[1],
	                    "\"log_level\" in section [server] changed from \"info\" to \"debug\"");
	assert_null(strstr(changes.item[2], "user="));
	assert_string_equal(changes.item[3],
	                    "section [cluster x] was added, which needs a restart");
	config_reload(old, new);
	assert_int_equal(old->server.log_level, LOG_DEBUG);
	assert_true(old->server.memory == UINT64_C(96) << 20);
	strs_release(&changes);
	assert_true(config_diff(new, old, &changes));
	strs_release(&changes);
	assert_false(config_diff(old, old, &changes));
	assert_int_equal(changes.count, 0);
	config_free(old);
	config_free(new);
}

static void refuses_what_is_no_limit_of_a_repository(void **state)
{
	static const struct bad bad[] = {
	        {"[repository r]\nurl = s3://bucket\nupload_limit = 4MB\n",
	         "line 3: \"upload_limit\" cannot be \"4MB\"", "from 5.0 MB to 1.0 TB"},
	        {"[repository r]\nurl = s3://bucket\ndownload_limit = 2TB\n",
	         "line 3: \"download_limit\" cannot be \"2TB\"", "from 5.0 MB to 1.0 TB"},
	        {"[repository r]\nurl = s3://bucket\nupload_limit = 50 apples\n",
	         "line 3: \"upload_limit\" cannot be", ""},
	        {"[repository r]\nurl = file:///srv/r\nupload_limit = 50MB\n[cluster c]\n",
	         "\"upload_limit\" is for a repository at s3:// only", ""},
	};

	(void)state;
	refuse_all(bad, ARRAY_LENGTH(bad), 0600);
}

static void a_reload_changes_the_limits_of_the_repository_of_that_name(void **state)
{
#define AT_S3(name, more) "[repository " name "]\nurl = s3://bucket/" name "\n" more
	struct config *old = load("[server]\nstate = /srv/state\n" AT_S3("near", "") AT_S3(
	        "far", "upload_limit = 50MB\n") "[cluster main]\nrepositories = near, far\n");
	struct config *new = load("[server]\nstate = /srv/state\n" AT_S3("far", "") AT_S3(
	        "near", "upload_limit = 5MB\ndownload_limit = 1GB\n"
	                "region = moon-1\n") "[cluster main]\nrepositories = near, far\n");
	struct strs changes = {0};

	(void)state;
	assert_int_equal(old->repository[0].upload_limit, 0);
	assert_int_equal(old->repository[1].upload_limit, UINT64_C(50) << 20);
	config_reload(old, new);
	assert_string_equal(old->repository[0].name, "near");
	assert_int_equal(old->repository[0].upload_limit, UINT64_C(5) << 20);
	assert_int_equal(old->repository[0].download_limit, UINT64_C(1) << 30);
	assert_null(old->repository[0].region);
	assert_int_equal(old->repository[1].upload_limit, 0);
	assert_true(config_diff(old, new, &changes));
	assert_int_equal(changes.count, 1);
	assert_non_null(strstr(changes.item[0], "\"region\""));
	strs_release(&changes);
	config_free(old);
	config_free(new);
}

static void the_sample_is_a_file_that_can_be_read(void **state)
{
	const struct config_sample sample = {.state = "/srv/state",
	                                     .socket = "/srv/s.sock",
	                                     .url = "file:///srv/r",
	                                     .pgdata = "/srv/pg"};
	struct config *config;
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	config_sample(&sample, &out);
	config = load(buf_text(&out));
	assert_string_equal(config->server.state, "/srv/state");
	assert_string_equal(config->server.socket, "/srv/s.sock");
	assert_string_equal(config->repository[0].url, "file:///srv/r");
	assert_string_equal(config->cluster[0].pgdata, "/srv/pg");
	config_free(config);
	buf_release(&out);
}

static void suggests_what_was_meant(void **state)
{
	static const char *const names[] = {"backup", "restore", "status", "show"};

	(void)state;
	assert_string_equal(config_suggest("bakcup", names, 4), "backup");
	assert_string_equal(config_suggest("restor", names, 4), "restore");
	assert_string_equal(config_suggest("stauts", names, 4), "status");
	assert_null(config_suggest("promote", names, 4));
	assert_null(config_suggest("", names, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reads_a_whole_file),
	        cmocka_unit_test(fills_in_the_defaults),
	        cmocka_unit_test(without_a_file_one_cluster_is_embedded),
	        cmocka_unit_test(refuses_lines_that_are_none),
	        cmocka_unit_test(refuses_unknown_sections_and_settings),
	        cmocka_unit_test(says_what_is_not_in_this_version),
	        cmocka_unit_test(refuses_what_is_given_twice),
	        cmocka_unit_test(refuses_values_and_says_what_is_allowed),
	        cmocka_unit_test(refuses_settings_that_do_not_fit_together),
	        cmocka_unit_test(a_link_does_not_hide_a_repository_in_the_state),
	        cmocka_unit_test(a_socket_path_that_does_not_fit_is_refused),
	        cmocka_unit_test(a_password_must_not_be_readable_by_everybody),
	        cmocka_unit_test(a_missing_file_that_was_named_is_an_error),
	        cmocka_unit_test(finds_clusters_by_name),
	        cmocka_unit_test(says_what_a_reload_changes),
	        cmocka_unit_test(refuses_what_is_no_limit_of_a_repository),
	        cmocka_unit_test(a_reload_changes_the_limits_of_the_repository_of_that_name),
	        cmocka_unit_test(the_sample_is_a_file_that_can_be_read),
	        cmocka_unit_test(suggests_what_was_meant),
	};

	return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
