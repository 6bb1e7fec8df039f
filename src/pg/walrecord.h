/* walrecord.h — what the few records mean that the walker tells about (A.7 to A.9 of the format).
 */
#ifndef PG_WALRECORD_H
#define PG_WALRECORD_H

#include "pg/walwalk.h"

enum {
	RECORD_HEADER_BYTES = 24,
	RECORD_CRC_OFFSET = 20,
};

/* Of walwalk.state; drawn in walwalk.c. */
enum walk_state { WALK_HEADER, WALK_BODY, WALK_SKIP, WALK_PAD, WALK_ZERO, WALK_FAILED };

/* Whether the record's body has to be kept: it is of interest, or the walker itself reads it. */
bool walrecord_is_wanted(const uint8_t header[RECORD_HEADER_BYTES]);
bool walrecord_is_switch(const uint8_t header[RECORD_HEADER_BYTES]);
bool walrecord_is_overwrite(const uint8_t header[RECORD_HEADER_BYTES]);
/* Whether the resource manager exists in this major. */
bool walrecord_manager_known(const uint8_t header[RECORD_HEADER_BYTES], unsigned major);

/* Start for each wanted record; the body's bytes in order; then the xid stands in finder->xid. */
void walrecord_finder_init(struct walrecord_finder *finder, const uint8_t header[24],
                           unsigned major);
void walrecord_finder_feed(struct walrecord_finder *finder, const uint8_t *bytes, size_t length);

/* Everything but start, end and tli. parameters is room that ret may point to, as it points into
 * head. False: the record is not laid out as it should be. */
bool walrecord_decode(const struct walwalk *walk, struct walrecord *ret,
                      struct pg_parameters *parameters);
/* The payload of XLOG_OVERWRITE_CONTRECORD: start of the abandoned record. */
bool walrecord_overwritten(const struct walwalk *walk, lsn *ret);

#endif
