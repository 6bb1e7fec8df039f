/*
 * names.c — building and reading object names. The layout is that of doc/format.md.
 */
#include "repo/names.h"

#include <assert.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/keys.h"

#include "base/poison.h"

static void PRINTF(2, 3) name_format(char out[NAME_BYTES], const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(out, NAME_BYTES, format, args);
	va_end(args);
	assert(length > 0 && length < NAME_BYTES);
}

bool name_cluster_valid(const char *cluster)
{
	static const char *const reserved[] = {"claim", "probe", "keys", "lease"};
	size_t length = strlen(cluster);

	for (size_t i = 0; i < ARRAY_LENGTH(reserved); i++)
		if (strcmp(cluster, reserved[i]) == 0)
			return false;
	if (length == 0 || length > NAME_CLUSTER_MAX || cluster[0] < 'a' || cluster[0] > 'z')
		return false;
	return strspn(cluster, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

const char *name_sealed(const char *name)
{
	static const char *const outside[] = {NAME_REPOSITORY, "probe/", "keys/", "lease/"};
	const char *slash = strchr(name, '/');

	for (size_t i = 0; i < ARRAY_LENGTH(outside); i++)
		if (str_starts(name, outside[i]))
			return name;
	return slash ? slash + 1 : name;
}

enum store_kind name_store_kind(const char *name)
{
	const char *in_cluster = name_sealed(name), *slash = strchr(in_cluster, '/');

	if (in_cluster == name || !slash)
		return STORE_OTHER;
	if (str_starts(slash, "/wal/"))
		return STORE_WAL;
	return str_starts(slash, "/pack/") ? STORE_PACK : STORE_OTHER;
}

void name_cluster(char out[NAME_BYTES], const char *cluster)
{
	name_format(out, "%s/cluster", cluster);
}

void name_generation(char out[NAME_GENERATION_MAX], const char *cluster, uint64_t system_identifier,
                     uint32_t major, uint32_t n)
{
	int length = snprintf(out, NAME_GENERATION_MAX, "%s/%" PRIu64 "-%" PRIu32 "-%" PRIu32,
	                      cluster, system_identifier, major, n);

	assert(length > 0 && length < NAME_GENERATION_MAX);
}

bool name_generation_parse(const char *generation, uint64_t *ret_system_identifier,
                           uint32_t *ret_major, uint32_t *ret_n)
{
	AUTO_FREE
	char *copy = xstrdup(generation);
	char *major = strchr(copy, '-');
	char *n = major ? strchr(major + 1, '-') : NULL;

	if (!n)
		return false;
	*major++ = '\0';
	*n++ = '\0';
	return str_u64(copy, ret_system_identifier) && str_u32(major, ret_major) &&
	       str_u32(n, ret_n);
}

void name_system(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/system", prefix);
}

void name_history(char out[NAME_BYTES], const char *prefix, uint32_t tli)
{
	name_format(out, "%s/timeline/%08" PRIX32 ".history", prefix, tli);
}

void name_owner(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint32_t n)
{
	name_format(out, "%s/timeline/%08" PRIX32 ".owner/%06" PRIu32, prefix, tli, n);
}

bool name_owner_parse(const char *name, const char *prefix, uint32_t *ret_tli, uint32_t *ret_n)
{
	static const char folder[] = "/timeline/", owner[] = ".owner/";
	const char *at = name + strlen(prefix) + strlen(folder);
	char again[NAME_BYTES];
	uint64_t tli;

	if (!str_starts(name, prefix) || !str_starts(name + strlen(prefix), folder) ||
	    !str_hex(at, 8, true, &tli) || tli == 0 || !str_starts(at + 8, owner) ||
	    !str_u32(at + 8 + strlen(owner), ret_n))
		return false;
	*ret_tli = (uint32_t)tli;
	name_owner(again, prefix, *ret_tli, *ret_n);
	return strcmp(again, name) == 0;
}

void name_history_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/timeline/", prefix);
}

void name_wal(char out[NAME_BYTES], const char *prefix, const struct walname *wal,
              const struct digest *digest)
{
	char name[WALNAME_BYTES], hex[2 * SEALED_DIGEST_BYTES + 1];

	if (wal->kind == WALNAME_HISTORY)
		return name_history(out, prefix, wal->tli);
	walname_format(wal, name);
	assert((wal->kind == WALNAME_PARTIAL) == (digest != NULL));
	if (digest) {
		digest_text(digest, hex);
		name_format(out, "%s/wal/%08" PRIX32 "/%08" PRIX32 "/%s/%s", prefix, wal->tli,
		            wal->log, name, hex);
	} else {
		name_format(out, "%s/wal/%08" PRIX32 "/%08" PRIX32 "/%s", prefix, wal->tli,
		            wal->log, name);
	}
}

void name_wal_segment(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint64_t segno,
                      uint32_t segment_bytes)
{
	char name[SEGMENT_NAME_BYTES];

	segment_name(tli, segno, segment_bytes, name);
	name_format(out, "%s/wal/%.8s/%.8s/%s", prefix, name, name + 8, name);
}

void name_wal_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/wal/", prefix);
}

void name_wal_timeline(char out[NAME_BYTES], const char *prefix, uint32_t tli)
{
	name_format(out, "%s/wal/%08" PRIX32 "/", prefix, tli);
}

void name_wal_high(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint32_t high)
{
	name_format(out, "%s/wal/%08" PRIX32 "/%08" PRIX32 "/", prefix, tli, high);
}

void name_index_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/index/", prefix);
}

void name_index_level(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint32_t level)
{
	name_format(out, "%s/index/%08" PRIX32 "/%" PRIu32 "/", prefix, tli, level);
}

void name_index(char out[NAME_BYTES], const char *prefix, const struct name_index *piece,
                uint32_t segment_bytes)
{
	char first[SEGMENT_NAME_BYTES], last[SEGMENT_NAME_BYTES], folder[NAME_BYTES];

	segment_name(piece->tli, piece->first, segment_bytes, first);
	segment_name(piece->tli, piece->last, segment_bytes, last);
	name_index_level(folder, prefix, piece->tli, piece->level);
	name_format(out, "%s%s-%s.%06" PRIu32, folder, first + 8, last + 8, piece->n);
}

/* 16 hex digits, as in the name of a segment. */
static bool segment_digits(const char *text, uint32_t tli, uint32_t segment_bytes, uint64_t *ret)
{
	char name[SEGMENT_NAME_BYTES];
	uint32_t ignored;

	snprintf(name, sizeof(name), "%08" PRIX32 "%.16s", tli, text);
	return segment_parse(name, segment_bytes, &ignored, ret);
}

bool name_index_parse(const char *name, const char *prefix, uint32_t segment_bytes,
                      struct name_index *ret)
{
	static const char folder[] = "/index/";
	const char *at = name + strlen(prefix) + strlen(folder);
	char again[NAME_BYTES];
	uint64_t tli;

	*ret = (struct name_index){0};
	if (!str_starts(name, prefix) || !str_starts(name + strlen(prefix), folder) ||
	    strlen(at) < 8 + 3 + 16 + 1 + 16 + 1 + 6 || !str_hex(at, 8, true, &tli) || tli == 0 ||
	    at[9] < '0' || at[9] > '9')
		return false;
	ret->tli = (uint32_t)tli;
	ret->level = (uint32_t)(at[9] - '0');
	at += 11;
	if (!segment_digits(at, ret->tli, segment_bytes, &ret->first) ||
	    !segment_digits(at + 17, ret->tli, segment_bytes, &ret->last) ||
	    ret->first > ret->last || !str_u32(at + 34, &ret->n))
		return false;
	name_index(again, prefix, ret, segment_bytes);
	return strcmp(again, name) == 0;
}

void name_lost_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/lost/", prefix);
}

void name_lost(char out[NAME_BYTES], const char *prefix, const struct name_index *range,
               uint32_t segment_bytes)
{
	char from[SEGMENT_NAME_BYTES], to[SEGMENT_NAME_BYTES];

	segment_name(range->tli, range->first, segment_bytes, from);
	segment_name(range->tli, range->last, segment_bytes, to);
	name_format(out, "%s/lost/%08" PRIX32 "/%s-%s", prefix, range->tli, from + 8, to + 8);
}

bool name_lost_parse(const char *name, const char *prefix, uint32_t segment_bytes,
                     struct name_index *ret)
{
	static const char folder[] = "/lost/";
	const char *at = name + strlen(prefix) + strlen(folder);
	char again[NAME_BYTES];
	uint64_t tli;

	*ret = (struct name_index){0};
	if (!str_starts(name, prefix) || !str_starts(name + strlen(prefix), folder) ||
	    strlen(at) != 8 + 1 + 16 + 1 + 16 || !str_hex(at, 8, true, &tli) || tli == 0)
		return false;
	ret->tli = (uint32_t)tli;
	if (!segment_digits(at + 9, ret->tli, segment_bytes, &ret->first) ||
	    !segment_digits(at + 26, ret->tli, segment_bytes, &ret->last) || ret->first > ret->last)
		return false;
	name_lost(again, prefix, ret, segment_bytes);
	return strcmp(again, name) == 0;
}

const char *harm_word_text(enum harm_word word)
{
	static const char *const words[] = {"good", "damaged", "accepted"};

	return words[word];
}

void name_harm_segment(char out[NAME_BYTES], const char *prefix, uint32_t tli, uint64_t segno,
                       uint32_t segment_bytes)
{
	char text[SEGMENT_NAME_BYTES];

	segment_name(tli, segno, segment_bytes, text);
	name_format(out, "%s/lost/%08" PRIX32 "/%s.", prefix, tli, text + 8);
}

void name_harm(char out[NAME_BYTES], const char *prefix, const struct name_harm *mark,
               uint32_t segment_bytes)
{
	char begin[NAME_BYTES];

	name_harm_segment(begin, prefix, mark->tli, mark->segno, segment_bytes);
	name_format(out, "%s%06" PRIu32 ".%s", begin, mark->n, harm_word_text(mark->word));
}

bool name_harm_parse(const char *name, const char *prefix, uint32_t segment_bytes,
                     struct name_harm *ret)
{
	static const char folder[] = "/lost/";
	const char *at = name + strlen(prefix) + strlen(folder);
	char again[NAME_BYTES], number[12] = "";
	uint64_t tli;

	*ret = (struct name_harm){0};
	if (!str_starts(name, prefix) || !str_starts(name + strlen(prefix), folder) ||
	    strlen(at) < 8 + 1 + 16 + 1 + 6 + 1 || !str_hex(at, 8, true, &tli) || tli == 0)
		return false;
	ret->tli = (uint32_t)tli;
	at += 9;
	if (!segment_digits(at, ret->tli, segment_bytes, &ret->segno))
		return false;
	at += 17;
	if (strspn(at, "0123456789") >= sizeof(number))
		return false;
	memcpy(number, at, strspn(at, "0123456789"));
	if (!str_u32(number, &ret->n))
		return false;
	for (ret->word = HARM_GOOD; ret->word <= HARM_ACCEPTED; ret->word++) {
		name_harm(again, prefix, ret, segment_bytes);
		if (strcmp(again, name) == 0)
			return ret->n > 0;
	}
	return false;
}

void name_relnames(char out[NAME_BYTES], const char *prefix, lsn position)
{
	name_format(out, "%s/names/%016" PRIX64, prefix, position);
}

void name_relnames_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/names/", prefix);
}

bool name_relnames_parse(const char *name, const char *prefix, lsn *ret)
{
	const char *last = strrchr(name, '/');
	char again[NAME_BYTES];

	if (!last || !str_hex(last + 1, 16, true, ret))
		return false;
	name_relnames(again, prefix, *ret);
	return strcmp(again, name) == 0;
}

void name_pack(char out[NAME_BYTES], const char *prefix, const char *backup_id, uint32_t number)
{
	name_format(out, "%s/pack/%s/%0*" PRIu32, prefix, backup_id, NAME_PACK_DIGITS, number);
}

void name_backup(char out[NAME_BYTES], const char *prefix, const char *backup_id)
{
	name_format(out, "%s/backup/%s", prefix, backup_id);
}

void name_backup_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/backup/", prefix);
}

void name_conflict_folder(char out[NAME_BYTES], const char *prefix)
{
	name_format(out, "%s/conflict/", prefix);
}

void name_conflict(char out[NAME_BYTES], const char *prefix, const char *wal,
                   const struct digest *digest)
{
	char hex[2 * SEALED_DIGEST_BYTES + 1];

	digest_text(digest, hex);
	name_format(out, "%s/conflict/%s/%s", prefix, wal, hex);
}

void name_note(char out[NAME_BYTES], const char *prefix, int64_t time_us, const char *kind,
               uint32_t random)
{
	char time[TIME_TEXT_BYTES];

	clock_compact(time_us, time);
	name_format(out, "%s/note/%s-%s-%08" PRIx32, prefix, time, kind, random);
}

void name_probe(char out[NAME_BYTES], uint32_t n)
{
	name_format(out, "probe/%06" PRIu32, n);
}

static const char key_marker[] = "keys/plain/", keys_prefix[] = "keys/";

void name_key(char out[NAME_BYTES], uint64_t id, uint32_t n)
{
	char text[KEY_ID_BYTES];

	key_id_text(id, text);
	name_format(out, "%s%s/%06" PRIu32, keys_prefix, text, n);
}

void name_key_marker(char out[NAME_BYTES], uint32_t n)
{
	name_format(out, "%s%06" PRIu32, key_marker, n);
}

bool name_key_parse(const char *name, uint64_t *ret_id, uint32_t *ret_n)
{
	char id[KEY_ID_BYTES], again[NAME_BYTES];

	if (!str_starts(name, keys_prefix) || strlen(name) < strlen(keys_prefix) + KEY_ID_BYTES + 1)
		return false;
	memcpy(id, name + strlen(keys_prefix), KEY_ID_BYTES - 1);
	id[KEY_ID_BYTES - 1] = '\0';
	if (!key_id_parse(id, ret_id) || !str_u32(name + strlen(keys_prefix) + KEY_ID_BYTES, ret_n))
		return false;
	name_key(again, *ret_id, *ret_n);
	return strcmp(again, name) == 0;
}

bool name_key_marker_parse(const char *name, uint32_t *ret_n)
{
	char again[NAME_BYTES];

	if (!str_starts(name, key_marker) || !str_u32(name + strlen(key_marker), ret_n))
		return false;
	name_key_marker(again, *ret_n);
	return strcmp(again, name) == 0;
}

bool name_wal_parse(const char *name, struct walname *ret)
{
	const char *last = strrchr(name, '/');
	const char *partial = strstr(name, ".partial/");
	char text[WALNAME_BYTES];
	uint8_t digest[SEALED_DIGEST_BYTES];

	if (!partial)
		return walname_parse(last ? last + 1 : name, ret) && ret->kind != WALNAME_PARTIAL;
	if (last != partial + strlen(".partial") || strlen(last + 1) != 2 * SEALED_DIGEST_BYTES ||
	    !str_hex_to(last + 1, digest, sizeof(digest)))
		return false;
	for (last = partial; last > name && last[-1] != '/'; last--)
		;
	if ((size_t)(partial - last) + strlen(".partial") >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s.partial", (int)(partial - last), last);
	return walname_parse(text, ret);
}

void backup_id_make(char out[NAME_BACKUP_ID_BYTES], int64_t now_us, uint16_t random)
{
	char time[TIME_TEXT_BYTES];
	int length;

	clock_compact(now_us, time);
	length = snprintf(out, NAME_BACKUP_ID_BYTES, "%.16s-%04x", time, random);
	assert(length == NAME_BACKUP_ID_BYTES - 1);
}

bool backup_id_valid(const char *id)
{
	static const char shape[] = "ddddddddTddddddZ-xxxx";

	if (strlen(id) != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		const char *allowed = shape[i] == 'd'   ? "0123456789"
		                      : shape[i] == 'x' ? "0123456789abcdef"
		                                        : NULL;

		if (allowed ? !strchr(allowed, id[i]) : id[i] != shape[i])
			return false;
	}
	return true;
}

bool name_backup_parse(const char *name, char ret_id[NAME_BACKUP_ID_BYTES])
{
	const char *last = strrchr(name, '/');
	static const char folder[] = "/backup";

	if (!last || (size_t)(last - name) < sizeof(folder) - 1 ||
	    strncmp(last - (sizeof(folder) - 1), folder, sizeof(folder) - 1) != 0 ||
	    !backup_id_valid(last + 1))
		return false;
	return str_copy(ret_id, NAME_BACKUP_ID_BYTES, last + 1);
}
