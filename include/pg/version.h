/* version.h — the PostgreSQL majors that Seawall knows, and how each calls itself on disk. */
#ifndef PG_VERSION_H
#define PG_VERSION_H

#include "base/mem.h"

enum { PG_MAJOR_MIN = 13, PG_MAJOR_MAX = 18, PG_VERSION_FOLDER_BYTES = 24 };

struct pg_version {
	unsigned major;
	uint16_t page_magic;      /* of WAL pages */
	uint32_t control_version; /* pg_control_version */
	uint32_t catalog_version; /* catalog_version_no */
};

/* NULL: none of them. */
const struct pg_version *pg_version_of_major(unsigned major);
const struct pg_version *pg_version_of_magic(uint16_t page_magic);
const struct pg_version *pg_version_of_control(uint32_t control_version, uint32_t catalog_version);
/* The folder inside a tablespace: "PG_15_202209061". */
void pg_version_folder(const struct pg_version *version, char out[PG_VERSION_FOLDER_BYTES]);

#endif
