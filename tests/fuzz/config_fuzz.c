/*
 * config_fuzz.c — the configuration file. What is refused names file and a reason; what is accepted
 * keeps the promises that everybody relies on, and differs from itself in nothing.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

static void check_paths(const struct config *config)
{
	assert(config->server.socket[0] == '/' && strlen(config->server.socket) <= 107);
	assert(config->server.state[0] == '/');
	for (size_t i = 0; i < config->repositories; i++) {
		const char *folder = config_url_folder(config->repository[i].url);

		assert(config_name_valid(config->repository[i].name));
		if (!folder)
			assert(strncmp(config->repository[i].url, "s3://", 5) == 0);
		else
			assert(folder[0] == '/' && !strstr(folder, "/../"));
	}
	for (size_t i = 0; i < config->clusters; i++) {
		assert(config_name_valid(config->cluster[i].name));
		assert(!config->cluster[i].pgdata || config->cluster[i].pgdata[0] == '/');
		assert(config->cluster[i].repository);
	}
}

static void check_config(struct config *config)
{
	struct strs changes = {0};

	assert(config->repositories > 0 && config->clusters > 0);
	assert(config->server.memory >= UINT64_C(32) << 20);
	assert(config->server.workers <= 8);
	check_paths(config);
	assert(!config_diff(config, config, &changes));
	assert(changes.count == 0);
	strs_release(&changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	struct config *config;
	struct err err = {0};
	char path[64];

	assert(fd >= 0);
	assert(write(fd, data, length) == (ssize_t)length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config = config_load(path, &err);
	if (config)
		check_config(config);
	else
		assert(err_is(&err) && strstr(err.text, path));
	config_free(config);
	close(fd);
	return 0;
}
