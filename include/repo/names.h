/*
 * names.h — the names of all objects of a repository (doc/format.md, "Layout"). Pure.
 *
 * prefix is "<cluster>/<generation>" (generation_open), or "<cluster>". Every name sorts in the
 * order of time or LSN. A function fills out[NAME_BYTES]; names are short enough to fit by
 * construction (cluster names are limited), which is asserted.
 */
#ifndef REPO_NAMES_H
#define REPO_NAMES_H

#include "base/err.h"
#include "codec/sealed.h"
#include "pg/segment.h"
#include "store/store.h"

enum {
	NAME_BYTES = 400,      /* below STORE_NAME_MAX and SEALED_NAME_MAX */
	NAME_CLUSTER_MAX = 64, /* characters of a cluster's name */
	NAME_GENERATION_MAX =
	        64 + 48, /* bytes of "<cluster>/<system identifier>-<major>-<n>" with NUL */
	NAME_BACKUP_ID_BYTES = 22, /* "YYYYMMDDTHHMMSSZ-xxxx" and NUL */
	NAME_PACK_DIGITS = 6,
};

#define NAME_REPOSITORY "seawall.json"
#define NAME_CLAIMS     "claim/" /* the store layer's own (src/store/claim.c) */

/* [a-z0-9_-], starting with a letter, at most NAME_CLUSTER_MAX; not "claim", "probe", "keys",
 * "lease". */
bool name_cluster_valid(const char *cluster);

/* What is sealed into an object: the name without "<cluster>/" for what lies in a cluster's folder,
 * else all of it. */
const char *name_sealed(const char *name);
/* Which kind of object a name is of, to a store that may keep one kind elsewhere. */
enum store_kind name_store_kind(const char *name);

void name_cluster(char out[NAME_BYTES], const char *cluster); /* <cluster>/cluster */
void name_generation(char out[NAME_GENERATION_MAX], const char *cluster, uint64_t system_identifier,
                     uint32_t major, uint32_t n);
bool name_generation_parse(const char *generation, uint64_t *ret_system_identifier,
                           uint32_t *ret_major, uint32_t *ret_n); /* without "<cluster>/" */
void name_system(char out[NAME_BYTES], const char *prefix);       /* <prefix>/system */
void name_history(char out[NAME_BYTES], const char *prefix, uint32_t tli);
void name_history_folder(char out[NAME_BYTES], const char *prefix); /* <prefix>/timeline/ */
/* <prefix>/timeline/<TLI>.owner/<n> */
void name_owner(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint32_t n);
/* Strict: only what name_owner() would print again. */
bool name_owner_parse(const char *name, const char *prefix, uint32_t *ret_tli, uint32_t *ret_n);
/* A segment, .backup or .history; WALNAME_PARTIAL only with a digest (else NULL). */
void name_wal(char out[NAME_BYTES], const char *prefix, const struct walname *wal,
              const struct digest *digest);
/* The same of a segment by its number; tli is not 0. */
void name_wal_segment(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint64_t segno,
                      uint32_t segment_bytes);
void name_wal_folder(char out[NAME_BYTES], const char *prefix); /* <prefix>/wal/ */
void name_wal_timeline(char out[NAME_BYTES], const char *prefix,
                       uint32_t tli); /* <prefix>/wal/<TLI>/ */
void name_wal_high(char out[NAME_BYTES], const char *prefix, uint32_t tli,
                   uint32_t high); /* <prefix>/wal/<TLI>/<high>/ */
/* <prefix>/index/<TLI>/<level>/<first>-<last>.<n>, and the folders above. */
struct name_index {
	uint32_t tli, level, n;
	uint64_t first, last; /* segment numbers */
};
void name_index(char out[NAME_BYTES], const char *prefix, const struct name_index *piece,
                uint32_t segment_bytes);
void name_index_folder(char out[NAME_BYTES], const char *prefix); /* <prefix>/index/ */
void name_index_level(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint32_t level);
/* Strict: only what name_index() would print again. */
bool name_index_parse(const char *name, const char *prefix, uint32_t segment_bytes,
                      struct name_index *ret);
/* <prefix>/lost/<TLI>/<first>-<last>, segments as in the index (repo/lost.h); level and n are 0. */
void name_lost(char out[NAME_BYTES], const char *prefix, const struct name_index *range,
               uint32_t segment_bytes);
void name_lost_folder(char out[NAME_BYTES], const char *prefix); /* <prefix>/lost/ */
/* Strict: only what name_lost() would print again. */
bool name_lost_parse(const char *name, const char *prefix, uint32_t segment_bytes,
                     struct name_index *ret);
/* <prefix>/lost/<TLI>/<segment>.<n>.<word>, the segment as in the index: what is known of one that
 * is archived (repo/harm.h). */
enum harm_word { HARM_GOOD, HARM_DAMAGED, HARM_ACCEPTED };
struct name_harm {
	uint32_t tli, n; /* n: from 1; of several the highest counts */
	uint64_t segno;
	enum harm_word word;
};
void name_harm(char out[NAME_BYTES], const char *prefix, const struct name_harm *mark,
               uint32_t segment_bytes);
/* What all marks of a segment begin with. */
void name_harm_segment(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint64_t segno,
                       uint32_t segment_bytes);
/* Strict: only what name_harm() would print again. */
bool name_harm_parse(const char *name, const char *prefix, uint32_t segment_bytes,
                     struct name_harm *ret);
const char *harm_word_text(enum harm_word word);
void name_relnames(char out[NAME_BYTES], const char *prefix,
                   lsn position); /* <prefix>/names/<LSN> */
void name_relnames_folder(char out[NAME_BYTES], const char *prefix);
bool name_relnames_parse(const char *name, const char *prefix, lsn *ret);
void name_pack(char out[NAME_BYTES], const char *prefix, const char *backup_id, uint32_t number);
void name_backup(char out[NAME_BYTES], const char *prefix, const char *backup_id);
void name_backup_folder(char out[NAME_BYTES], const char *prefix); /* <prefix>/backup/ */
/* The folder of all that was set aside, ending in "/". */
void name_conflict_folder(char out[NAME_BYTES], const char *prefix);
void name_conflict(char out[NAME_BYTES], const char *prefix, const char *wal,
                   const struct digest *digest);
void name_note(char out[NAME_BYTES], const char *prefix, int64_t time_us, const char *kind,
               uint32_t random);
void name_probe(char out[NAME_BYTES], uint32_t n);
void name_key(char out[NAME_BYTES], uint64_t id, uint32_t n); /* keys/<id>/<n> */
void name_key_marker(char out[NAME_BYTES], uint32_t n);       /* keys/plain/<n> */
bool name_key_parse(const char *name, uint64_t *ret_id, uint32_t *ret_n);
bool name_key_marker_parse(const char *name, uint32_t *ret_n);

/* The last component of a listed name as a WAL file's name (segment, .backup or .history), or of
 * ".../<segment>.partial/<digest>". False for parts of big objects and everything else. */
bool name_wal_parse(const char *name, struct walname *ret);

/* A new backup id: time for people, random for uniqueness. */
void backup_id_make(char out[NAME_BACKUP_ID_BYTES], int64_t now_us, uint16_t random);
bool backup_id_valid(const char *id);
/* "…/backup/<id>" -> id; false for parts and everything else. */
bool name_backup_parse(const char *name, char ret_id[NAME_BACKUP_ID_BYTES]);

#endif
