/*
 * version.c — one row per major: src/include/access/xlog_internal.h, catalog/pg_control.h and
 * catalog/catversion.h of each.
 */
#include "pg/version.h"

#include <stdio.h>

#include "base/poison.h"

static const struct pg_version versions[] = {
        {13, 0xD106, 1300, 202007201}, {14, 0xD10D, 1300, 202107181}, {15, 0xD110, 1300, 202209061},
        {16, 0xD113, 1300, 202307071}, {17, 0xD116, 1700, 202406281}, {18, 0xD118, 1800, 202506291},
};

const struct pg_version *pg_version_of_major(unsigned major)
{
	for (size_t i = 0; i < ARRAY_LENGTH(versions); i++)
		if (versions[i].major == major)
			return &versions[i];
	return NULL;
}

const struct pg_version *pg_version_of_magic(uint16_t page_magic)
{
	for (size_t i = 0; i < ARRAY_LENGTH(versions); i++)
		if (versions[i].page_magic == page_magic)
			return &versions[i];
	return NULL;
}

const struct pg_version *pg_version_of_control(uint32_t control_version, uint32_t catalog_version)
{
	for (size_t i = 0; i < ARRAY_LENGTH(versions); i++)
		if (versions[i].control_version == control_version &&
		    versions[i].catalog_version == catalog_version)
			return &versions[i];
	return NULL;
}

void pg_version_folder(const struct pg_version *version, char out[PG_VERSION_FOLDER_BYTES])
{
	snprintf(out, PG_VERSION_FOLDER_BYTES, "PG_%u_%u", version->major,
	         version->catalog_version);
}
