/*
 * zone.c — TZif files and the POSIX rule at their end.
 *
 * A zone is a list of moments from which on an offset holds, and a rule for the time after the last
 * of them ("CET-1CEST,M3.5.0,M10.5.0/3"). From local time to a moment there is no function in a
 * zone: every offset that the zone ever uses is tried, and those that hold at the moment they lead
 * to are the answers. One is good, two is the hour that came twice, none is the hour that did not
 * come.
 */
#include "base/zone.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/search.h"
#include "base/str.h"
#include <ctype.h>
#include <string.h>
#include "base/poison.h"

#define ZONE_FOLDER "/usr/share/zoneinfo"
enum {
	ZONE_TRANSITIONS_MAX = 10000,
	ZONE_TYPES_MAX = 256,
	ZONE_OFFSET_MAX_S = 26 * 3600, /* RFC 9636: beyond is not to be expected */
	DAY_S = 86400,
	OFFSETS_MAX = ZONE_TYPES_MAX + 2,
};

enum rule_kind { RULE_MONTH, RULE_JULIAN, RULE_DAY };
struct rule {
	enum rule_kind kind;
	int month, week, day;
	int32_t time_s;
};
struct posix {
	bool there, has_dst;
	int32_t std, dst; /* seconds east */
	struct rule begin, end;
};
struct zone {
	size_t transitions;
	int64_t *at;
	uint8_t *type;
	size_t types;
	int32_t offset[ZONE_TYPES_MAX];
	struct posix posix;
};

/* ---- the rule at the end ---- */

static bool digits(const char **at, int max, int *ret)
{
	int value = 0;
	const char *p = *at;

	while (isdigit((unsigned char)*p)) {
		value = value * 10 + (*p++ - '0');
		if (value > max)
			return false;
	}
	if (p == *at)
		return false;
	*at = p;
	*ret = value;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool hms(const char **at, int hours_max, int32_t *ret)
{
	int sign = 1, h, m = 0, s = 0;

	if (**at == '-' || **at == '+')
		sign = *(*at)++ == '-' ? -1 : 1;
	if (!digits(at, hours_max, &h))
		return false;
	if (**at == ':') {
		(*at)++;
		if (!digits(at, 59, &m))
			return false;
		if (**at == ':') {
			(*at)++;
			if (!digits(at, 59, &s))
				return false;
		}
	}
	*ret = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool abbreviation(const char **at)
{
	const char *p = *at;

	if (*p == '<') {
		for (p++; isalnum((unsigned char)*p) || *p == '+' || *p == '-'; p++)
			;
		if (*p++ != '>')
			return false;
	} else {
		while (isalpha((unsigned char)*p))
			p++;
		if (p - *at < 3)
			return false;
	}
	*at = p;
	return true;
}

static bool rule_parse(const char **at, struct rule *ret)
{
	const char *p = *at;

	*ret = (struct rule){.time_s = 2 * 3600};
	if (*p == 'M') {
		p++;
		if (!digits(&p, 12, &ret->month) || ret->month < 1 || *p++ != '.' ||
		    !digits(&p, 5, &ret->week) || ret->week < 1 || *p++ != '.' ||
		    !digits(&p, 6, &ret->day))
			return false;
		ret->kind = RULE_MONTH;
	} else if (*p == 'J') {
		p++;
		if (!digits(&p, 365, &ret->day) || ret->day < 1)
			return false;
		ret->kind = RULE_JULIAN;
	} else {
		if (!digits(&p, 365, &ret->day))
			return false;
		ret->kind = RULE_DAY;
	}
	if (*p == '/') {
		p++;
		if (!hms(&p, 167, &ret->time_s))
			return false;
	}
	*at = p;
	return true;
}

static bool posix_parse(const char *text, struct posix *ret)
{
	const char *p = text;
	int32_t west;

	*ret = (struct posix){0};
	if (!abbreviation(&p) || !hms(&p, 24, &west))
		return false;
	ret->std = -west;
	if (*p) {
		ret->has_dst = true;
		ret->dst = ret->std + 3600;
		if (!abbreviation(&p))
			return false;
		if (*p && *p != ',') {
			if (!hms(&p, 24, &west))
				return false;
			ret->dst = -west;
		}
		if (*p++ != ',' || !rule_parse(&p, &ret->begin) || *p++ != ',' ||
		    !rule_parse(&p, &ret->end) || *p)
			return false;
	}
	ret->there = true;
	return true;
}

static bool leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Seconds since 1970 by the local clock that is shown before the change. */
static int64_t rule_local_s(const struct rule *rule, int year)
{
	int64_t days;

	if (rule->kind == RULE_MONTH) {
		int64_t first = clock_days(year, rule->month, 1);
		int64_t next = rule->month == 12 ? clock_days(year + 1, 1, 1)
		                                 : clock_days(year, rule->month + 1, 1);
		int weekday = (int)(((first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */

		days = first + (rule->day - weekday + 7) % 7 + 7 * (rule->week - 1);
		while (days >= next)
			days -= 7;
	} else {
		days = clock_days(year, 1, 1) + rule->day - (rule->kind == RULE_JULIAN);
		if (rule->kind == RULE_JULIAN && leap(year) && rule->day >= 60)
			days++;
	}
	return days * DAY_S + rule->time_s;
}

static int32_t posix_offset(const struct posix *posix, int64_t unix_s)
{
	int year, month, day;
	int64_t begin, end;

	if (!posix->has_dst)
		return posix->std;
	clock_civil((unix_s + posix->std) / DAY_S - ((unix_s + posix->std) % DAY_S < 0), &year,
	            &month, &day);
	begin = rule_local_s(&posix->begin, year) - posix->std;
	end = rule_local_s(&posix->end, year) - posix->dst;
	if (begin < end)
		return unix_s >= begin && unix_s < end ? posix->dst : posix->std;
	return unix_s >= end && unix_s < begin ? posix->std : posix->dst;
}

/* ---- the file ---- */

static uint32_t big_u32(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static int64_t big_time(struct cursor *c, size_t bytes)
{
	uint64_t high = bytes == 8 ? big_u32(c) : 0;
	uint32_t low = big_u32(c);

	return bytes == 8 ? (int64_t)(high << 32 | low) : (int64_t)(int32_t)low;
}

struct head {
	uint8_t version;
	uint32_t isut, isstd, leaps, times, types, chars;
};

static bool head_read(struct cursor *c, struct head *ret)
{
	const uint8_t *p = cursor_take(c, 20);

	if (!p || memcmp(p, "TZif", 4) != 0)
		return false;
	ret->version = p[4];
	ret->isut = big_u32(c);
	ret->isstd = big_u32(c);
	ret->leaps = big_u32(c);
	ret->times = big_u32(c);
	ret->types = big_u32(c);
	ret->chars = big_u32(c);
	return !c->bad && ret->times <= ZONE_TRANSITIONS_MAX && ret->types >= 1 &&
	       ret->types <= ZONE_TYPES_MAX && ret->chars <= 1024 && ret->leaps <= 10000 &&
	       ret->isut <= ret->types && ret->isstd <= ret->types;
}

static bool body_read(struct cursor *c, const struct head *head, size_t time_bytes,
                      struct zone *zone)
{
	const uint8_t *types;

	zone->at = xcalloc(head->times + 1, sizeof(*zone->at));
	zone->type = xcalloc(head->times + 1, 1);
	zone->transitions = head->times;
	zone->types = head->types;
	for (size_t i = 0; i < head->times; i++) {
		zone->at[i] = big_time(c, time_bytes);
		if (i > 0 && zone->at[i] <= zone->at[i - 1])
			return false;
	}
	types = cursor_take(c, head->times);
	for (size_t i = 0; types && i < head->times; i++) {
		if (types[i] >= head->types)
			return false;
		zone->type[i] = types[i];
	}
	for (size_t i = 0; i < head->types; i++) {
		zone->offset[i] = (int32_t)big_u32(c);
		if (zone->offset[i] > ZONE_OFFSET_MAX_S || zone->offset[i] < -ZONE_OFFSET_MAX_S)
			return false;
		cursor_take(c, 2);
	}
	cursor_take(c, head->chars);
	cursor_take(c, (size_t)head->leaps * (time_bytes + 4));
	cursor_take(c, head->isstd);
	cursor_take(c, head->isut);
	return !c->bad;
}

static bool footer_read(struct cursor *c, struct zone *zone)
{
	char text[256];
	const uint8_t *newline;
	size_t length;

	if (c->left == 0 || *c->at != '\n')
		return false;
	cursor_take(c, 1);
	newline = memchr(c->at, '\n', c->left);
	length = newline ? (size_t)(newline - c->at) : 0;
	if (!newline || length >= sizeof(text))
		return false;
	memcpy(text, c->at, length);
	text[length] = 0;
	return length == 0 || posix_parse(text, &zone->posix);
}

static bool decode(const void *bytes, size_t length, struct zone *zone)
{
	struct cursor c = cursor_of(bytes, length);
	struct head head;
	size_t skip;

	if (!head_read(&c, &head))
		return false;
	if (head.version == 0)
		return body_read(&c, &head, 4, zone);
	skip = (size_t)head.times * 5 + (size_t)head.types * 6 + head.chars +
	       (size_t)head.leaps * 8 + head.isstd + head.isut;
	cursor_take(&c, skip);
	return !c.bad && head_read(&c, &head) && body_read(&c, &head, 8, zone) &&
	       footer_read(&c, zone);
}

bool zone_decode(const void *bytes, size_t length, struct zone **ret, struct err *err)
{
	struct zone *zone = xcalloc(1, sizeof(*zone));

	if (!decode(bytes, length, zone)) {
		zone_free(zone);
		return err_set(err, ERR_DAMAGED, "it is no time zone file");
	}
	*ret = zone;
	return true;
}

void zone_free(struct zone *zone)
{
	if (!zone)
		return;
	free(zone->at);
	free(zone->type);
	free(zone);
}

static bool name_valid(const char *name)
{
	if (!*name || strlen(name) >= ZONE_NAME_BYTES || *name == '/' || *name == '.' ||
	    strstr(name, "//") || strstr(name, "/."))
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("/_+-.", *p))
			return false;
	return true;
}

bool zone_load(const char *name, struct zone **ret, struct err *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_BUF struct buf buf;
	struct posix posix;

	buf_init(&buf, ZONE_FILE_BYTES_MAX);
	if (strcmp(name, "UTC") == 0 || posix_parse(name, &posix)) {
		*ret = xcalloc(1, sizeof(**ret));
		(*ret)->types = 1;
		if (strcmp(name, "UTC") != 0)
			(*ret)->posix = posix;
		return true;
	}
	if (!name_valid(name))
		return err_set(err, ERR_NOTFOUND, "\"%.60s\" is no time zone", name);
	path = xasprintf(ZONE_FOLDER "/%s", name);
	if (!file_read_all(path, &buf, err)) {
		if (err->code != ERR_NOTFOUND)
			return err_wrap(err, "could not read time zone \"%s\"", name);
		err_clear(err);
		err_set(err, ERR_NOTFOUND, "there is no time zone \"%s\" in " ZONE_FOLDER, name);
		err_hint(err, "Write an offset such as +01, or install the package tzdata.");
		return false;
	}
	if (!zone_decode(buf.data, buf.length, ret, err))
		return err_wrap(err, "could not read time zone file \"%s\"", path);
	return true;
}

struct transition_wanted {
	const struct zone *zone;
	int64_t unix_s;
};

static bool transition_over(const void *context, size_t i)
{
	const struct transition_wanted *wanted = context;

	return wanted->zone->at[i] <= wanted->unix_s;
}

int32_t zone_offset(const struct zone *zone, int64_t unix_s)
{
	struct transition_wanted wanted = {zone, unix_s};
	size_t over = search_sorted(zone->transitions, transition_over, &wanted);

	if (over == zone->transitions && zone->posix.there)
		return posix_offset(&zone->posix, unix_s);
	return zone->offset[over ? zone->type[over - 1] : 0];
}

/* ---- from text ---- */

struct written { /* a local time and what stands behind it */
	int64_t local_s;
	int32_t fraction_us;
	bool dated, offset_known;
	int32_t offset_s;
	const char *zone; /* rest of the text, or "" */
	const char *text; /* all of it */
};

static bool bad(struct err *err, const char *text)
{
	err_set(err, ERR_USAGE, "\"%.100s\" is no time", text);
	err_hint(err,
	         "Write it as 2026-11-20 14:02:00+01 or as 2026-11-20 14:02:00 Europe/Berlin.");
	return false;
}

static bool exactly(const char **at, int count, int *ret)
{
	*ret = 0;
	for (int i = 0; i < count; i++) {
		if (!isdigit((unsigned char)**at))
			return false;
		*ret = *ret * 10 + (*(*at)++ - '0');
	}
	return !isdigit((unsigned char)**at);
}

static bool date_parse(const char **at, int64_t *ret_days)
{
	int year, month, day, back_year, back_month, back_day;

	if (!exactly(at, 4, &year) || *(*at)++ != '-' || !exactly(at, 2, &month) ||
	    *(*at)++ != '-' || !exactly(at, 2, &day) || month < 1 || month > 12 || day < 1)
		return false;
	*ret_days = clock_days(year, month, day);
	clock_civil(*ret_days, &back_year, &back_month, &back_day);
	return back_day == day && back_month == month; /* no February 30 */
}

static bool clock_parse(const char **at, int64_t *ret_s, int32_t *ret_fraction_us)
{
	int h, m, s = 0;

	*ret_fraction_us = 0;
	if (!exactly(at, 2, &h) || *(*at)++ != ':' || !exactly(at, 2, &m) || h > 23 || m > 59)
		return false;
	if (**at == ':') {
		(*at)++;
		if (!exactly(at, 2, &s) || s > 59)
			return false;
		if (**at == '.') {
			int32_t unit = 100000;

			(*at)++;
			if (!isdigit((unsigned char)**at))
				return false;
			for (; isdigit((unsigned char)**at); (*at)++, unit /= 10) {
				if (unit == 0)
					return false; /* finer than PostgreSQL's clock */
				*ret_fraction_us += unit * (**at - '0');
			}
		}
	}
	*ret_s = h * 3600 + m * 60 + s;
	return true;
}

/* "+01", "+0130", "+01:30", "-03:30:30" */
static bool offset_parse(const char *text, int32_t *ret)
{
	const char *p = text + 1;
	int32_t value;
	int h, m;

	if (isdigit((unsigned char)p[0]) && isdigit((unsigned char)p[1]) &&
	    isdigit((unsigned char)p[2])) {
		h = (p[0] - '0') * 10 + (p[1] - '0');
		p += 2;
		if (!exactly(&p, 2, &m) || m > 59)
			return false;
		value = h * 3600 + m * 60;
	} else if (!isdigit((unsigned char)*p) || !hms(&p, 15, &value)) {
		return false;
	}
	*ret = *text == '-' ? -value : value;
	return *p == 0 && value < 16 * 3600;
}

static bool written_parse(const char *text, struct written *ret)
{
	const char *p = text;
	int64_t days = 0, seconds;

	*ret = (struct written){.zone = "", .text = text};
	while (*p == ' ')
		p++;
	if (strlen(p) >= 5 && p[4] == '-') {
		if (!date_parse(&p, &days) || (*p != ' ' && *p != 'T' && *p != 't'))
			return false;
		ret->dated = true;
		while (*p == ' ' || *p == 'T' || *p == 't')
			p++;
	}
	if (!clock_parse(&p, &seconds, &ret->fraction_us))
		return false;
	ret->local_s = days * DAY_S + seconds;
	while (*p == ' ')
		p++;
	if (strcmp(p, "Z") == 0 || strcmp(p, "z") == 0 || strcasecmp(p, "UTC") == 0) {
		ret->offset_known = true;
		return true;
	}
	if (*p == '+' || *p == '-') {
		ret->offset_known = true;
		return offset_parse(p, &ret->offset_s);
	}
	ret->zone = p;
	return *p == 0 || isalpha((unsigned char)*p);
}

/* IST is India, Israel and Ireland; CST is Chicago, Cuba and China. */
static bool is_abbreviation(const char *zone)
{
	size_t length = strlen(zone);

	for (const char *p = zone; *p; p++)
		if (!isupper((unsigned char)*p) && !isdigit((unsigned char)*p))
			return length <= 4 && !strchr(zone, '/');
	return true;
}

static size_t offsets_of(const struct zone *zone, int32_t out[OFFSETS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < zone->types + 2; i++) {
		int32_t offset = i < zone->types    ? zone->offset[i]
		                 : i == zone->types ? zone->posix.std
		                                    : zone->posix.dst;
		bool known = i >= zone->types && !zone->posix.there;

		for (size_t k = 0; k < count; k++)
			known |= out[k] == offset;
		if (!known)
			out[count++] = offset;
	}
	return count;
}

static bool local_refuse(const struct zone *zone, const struct written *written,
                         const int64_t moment[2], struct err *err)
{
	bool twice = moment[0] != moment[1];
	int64_t a = moment[0], b = moment[1];
	struct zone fixed[2] = {{.types = 1}, {.types = 1}};
	char one[ZONE_TEXT_BYTES], other[ZONE_TEXT_BYTES];

	if (!twice) { /* read with the offset before the jump, and with that after it */
		a = written->local_s - zone_offset(zone, written->local_s - DAY_S);
		b = written->local_s - zone_offset(zone, written->local_s + DAY_S);
	}
	fixed[0].offset[0] = (int32_t)(written->local_s - a);
	fixed[1].offset[0] = (int32_t)(written->local_s - b);
	zone_text(a * US_PER_S + written->fraction_us, &fixed[0], one);
	zone_text(b * US_PER_S + written->fraction_us, &fixed[1], other);
	err_set(err, ERR_USAGE,
	        twice ? "\"%.100s\" came twice in %s, because the clocks were set back"
	              : "\"%.100s\" never was in %s, because the clocks were set forward",
	        written->text, written->zone);
	err_hint(err, "Write which one is meant: \"%s\" or \"%s\".", one, other);
	return false;
}

static bool local_to_utc(const struct zone *zone, const struct written *written, int64_t *ret_s,
                         struct err *err)
{
	int32_t offset[OFFSETS_MAX];
	size_t count = offsets_of(zone, offset), found = 0;
	int64_t moment[2] = {0, 0};

	for (size_t i = 0; i < count; i++) {
		int64_t at = written->local_s - offset[i];

		if (zone_offset(zone, at) == offset[i] && found < 2)
			moment[found++] = at;
	}
	if (found != 1)
		return local_refuse(zone, written, moment, err);
	*ret_s = moment[0];
	return true;
}

static bool zone_choose(const struct written *written, const char *text, const char *fallback,
                        struct zone **ret, struct err *err)
{
	const char *name = *written->zone ? written->zone : fallback;

	if (!name || !*name) {
		err_set(err, ERR_USAGE,
		        "the time \"%.100s\" has no zone, and that of the cluster is not known",
		        text);
		err_hint(err, "Write its offset: \"%.100s+00\" is UTC.", text);
		return false;
	}
	if (*written->zone && is_abbreviation(written->zone)) {
		err_set(err, ERR_USAGE,
		        "the abbreviation \"%s\" in \"%.100s\" stands for several time zones",
		        written->zone, text);
		err_hint(err, "Write an offset such as +01, or a name such as Europe/Berlin.");
		return false;
	}
	if (!zone_load(name, ret, err))
		return err_wrap_as(err, ERR_USAGE, "could not read the time \"%.100s\"", text);
	return true;
}

bool zone_parse_time(const char *text, const char *fallback, int64_t now_us, int64_t *ret_us,
                     struct err *err)
{
	struct written written;
	struct zone *zone = NULL;
	int64_t unix_s, now_s = now_us / US_PER_S;
	bool good;

	if (!written_parse(text, &written))
		return bad(err, text);
	if (!written.offset_known && !zone_choose(&written, text, fallback, &zone, err))
		return false;
	if (!written.dated) {
		int64_t local = now_s + (zone ? zone_offset(zone, now_s) : written.offset_s);

		written.local_s += local / DAY_S * DAY_S;
	}
	good = true;
	if (!*written.zone && fallback)
		written.zone = fallback;
	if (written.offset_known)
		unix_s = written.local_s - written.offset_s;
	else
		good = local_to_utc(zone, &written, &unix_s, err);
	zone_free(zone);
	if (good)
		*ret_us = unix_s * US_PER_S + written.fraction_us;
	return good;
}

void zone_text(int64_t unix_us, const struct zone *zone, char out[ZONE_TEXT_BYTES])
{
	int64_t unix_s = unix_us / US_PER_S - (unix_us % US_PER_S < 0);
	int32_t offset = zone ? zone_offset(zone, unix_s) : 0, size = offset < 0 ? -offset : offset;
	char local[TIME_TEXT_BYTES], tail[24];
	char *end;

	clock_text_utc(unix_us + offset * US_PER_S, local);
	end = strrchr(local, '+'); /* "+00" */
	if (end)
		*end = 0;
	if (size % 60)
		snprintf(tail, sizeof(tail), "%02d:%02d:%02d", size / 3600, size / 60 % 60,
		         size % 60);
	else if (size % 3600)
		snprintf(tail, sizeof(tail), "%02d:%02d", size / 3600, size / 60 % 60);
	else
		snprintf(tail, sizeof(tail), "%02d", size / 3600);
	snprintf(out, ZONE_TEXT_BYTES, "%s%c%s", local, offset < 0 ? '-' : '+', tail);
}
