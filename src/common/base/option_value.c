/* SPDX-License-Identifier: MIT */
#include "option_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "pcs/text.h"

struct unit {
    const char *suffix;
    int64_t factor;
};

/* Ascending, so that the last one that divides a value is the one to print it with. */
static const struct unit plain_units[] = { { "", 1 }, { NULL } };
static const struct unit size_units[] = {
    { "", 1 },           { "k", 1024 },         { "M", 1024 << 10 },
    { "G", 1024 << 20 }, { "T", 1024LL << 30 }, { NULL }
};
static const struct unit rate_units[] = {
    { "", 1 }, { "k", 1000 }, { "M", 1000000 }, { "G", 1000000000 }, { NULL }
};
static const struct unit time_units[] = { { "us", 1 },      { "ms", 1000 },    { "", 1000000 },
                                          { "s", 1000000 }, { "m", 60000000 }, { "h", 3600000000 },
                                          { NULL } };

static const struct kind {
    size_t size; /* of its field */
    const struct unit *units;
    const char *example;
} kinds[] = {
    [OPTION_FLAG] = { sizeof(bool) },
    [OPTION_ONOFF] = { sizeof(bool) },
    [OPTION_INT] = { sizeof(int64_t), plain_units, "" },
    [OPTION_SIZE] = { sizeof(int64_t), size_units, " (a size like 64M)" },
    [OPTION_RATE] = { sizeof(int64_t), rate_units, " (a rate like 4M)" },
    [OPTION_TIME] = { sizeof(int64_t), time_units, " (a time like 500ms, 30s, 5m)" },
    [OPTION_STRING] = { sizeof(const char *) },
    [OPTION_CHOICE] = { sizeof(int) },
    [OPTION_LIST] = { sizeof(struct option_list) },
};

bool option_is_bool(const struct option_def *def)
{
    return def->type == OPTION_FLAG || def->type == OPTION_ONOFF;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Behind the digits of a fraction: as millionths, which is all that a microsecond needs. */
static const char *parse_fraction(const char *p, int64_t *millionths)
{
    int64_t weight = 100000;
    for (; is_digit(*p); p++) {
        *millionths += (*p - '0') * weight;
        weight /= 10;
    }
    return p;
}

static int find_unit(const struct unit *units, const char *suffix, int64_t *factor)
{
    /* 64m is 64M, but 5M is not five minutes. */
    bool any_case = units == size_units || units == rate_units;
    for (const struct unit *u = units; u->suffix; u++) {
        if (any_case ? strcasecmp(u->suffix, suffix) == 0 : strcmp(u->suffix, suffix) == 0) {
            *factor = u->factor;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_number(const struct unit *units, const char *text, int64_t *out)
{
    bool negative = *text == '-';
    const char *p = text + negative;
    if (!is_digit(*p))
        return -EINVAL;
    int64_t value = 0, millionths = 0, factor;
    for (; is_digit(*p); p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *p - '0', &value))
            return -EINVAL;
    }
    if (*p == '.' && is_digit(p[1]) && units != plain_units)
        p = parse_fraction(p + 1, &millionths);
    if (find_unit(units, p, &factor) < 0)
        return -EINVAL;
    /* millionths < 10^6 and factor <= 2^40: no overflow in the second term. */
    if (__builtin_mul_overflow(value, factor, &value) ||
        __builtin_add_overflow(value, millionths * factor / 1000000, &value))
        return -EINVAL;
    *out = negative ? -value : value;
    return 0;
}

static int64_t highest(const struct option_def *def)
{
    return def->min == 0 && def->max == 0 ? INT64_MAX : def->max;
}

static int parse_ranged(const struct option_def *def, const char *text, int64_t *out)
{
    int64_t value;
    if (parse_number(kinds[def->type].units, text, &value) < 0)
        return -EINVAL;
    if (value < def->min || value > highest(def))
        return -EINVAL;
    *out = value;
    return 0;
}

static int parse_bool(const char *text, bool *out)
{
    static const char *const words[] = { "no", "yes", "off", "on", "false", "true" };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_choice(const struct option_def *def, const char *text, int *out)
{
    for (int i = 0; def->choices[i]; i++) {
        if (strcmp(text, def->choices[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return -EINVAL;
}

int option_value_parse(const struct option_def *def, const char *text, void *field)
{
    switch (def->type) {
    case OPTION_FLAG:
    case OPTION_ONOFF:
        return parse_bool(text, field);
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_TIME:
        return parse_ranged(def, text, field);
    case OPTION_CHOICE:
        return parse_choice(def, text, field);
    case OPTION_STRING:
        *(const char **)field = text;
        return 0;
    case OPTION_LIST:
        return 0;
    }
    return -EINVAL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(const struct option_list *a, const struct option_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!same_text(a->item[i], b->item[i]))
            return false;
    }
    return true;
}

bool option_value_same(const struct option_def *def, const void *a, const void *b)
{
    if (def->type == OPTION_STRING)
        return same_text(*(const char *const *)a, *(const char *const *)b);
    if (def->type == OPTION_LIST)
        return same_list(a, b);
    return memcmp(a, b, kinds[def->type].size) == 0;
}

void option_value_copy(const struct option_def *def, void *to, const void *from)
{
    memcpy(to, from, kinds[def->type].size);
}

static const char *number_text(const struct unit *units, int64_t value, char *buf, size_t size)
{
    const struct unit *best = units;
    for (const struct unit *u = units; u->suffix; u++) {
        if (value % u->factor == 0)
            best = u;
    }
    if (value == 0)
        snprintf(buf, size, "0");
    else
        snprintf(buf, size, "%" PRId64 "%s", value / best->factor, best->suffix);
    return buf;
}

const char *option_value_text(const struct option_def *def, const void *field, char *buf,
                              size_t size)
{
    switch (def->type) {
    case OPTION_FLAG:
        return *(const bool *)field ? "yes" : "no";
    case OPTION_ONOFF:
        return *(const bool *)field ? "on" : "off";
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_TIME:
        return number_text(kinds[def->type].units, *(const int64_t *)field, buf, size);
    case OPTION_CHOICE:
        return def->choices[*(const int *)field];
    case OPTION_STRING:
        return *(const char *const *)field;
    case OPTION_LIST:
        break;
    }
    return NULL;
}

static void append(char *buf, size_t size, const char *text)
{
    size_t used = strlen(buf);
    snprintf(buf + used, size - used, "%s", text);
}

static void allowed_choices(const struct option_def *def, char *buf, size_t size)
{
    for (int i = 0; def->choices[i]; i++) {
        if (i > 0)
            append(buf, size, def->choices[i + 1] ? ", " : " or ");
        append(buf, size, def->choices[i]);
    }
}

static void allowed_number(const struct option_def *def, char *buf, size_t size)
{
    const struct kind *kind = &kinds[def->type];
    char low[32], high[32];
    number_text(kind->units, def->min, low, sizeof(low));
    number_text(kind->units, highest(def), high, sizeof(high));
    if (highest(def) >= INT64_MAX / 4) /* as good as none */
        snprintf(buf, size, "%s or more%s", low, kind->example);
    else
        snprintf(buf, size, "%s to %s%s", low, high, kind->example);
}

char *option_value_allowed(const struct option_def *def, char *buf, size_t size)
{
    buf[0] = '\0';
    if (kinds[def->type].units)
        allowed_number(def, buf, size);
    else if (def->type == OPTION_CHOICE)
        allowed_choices(def, buf, size);
    else if (option_is_bool(def))
        append(buf, size, def->type == OPTION_ONOFF ? "on or off" : "yes or no");
    else
        append(buf, size, "any text");
    return buf;
}

char *option_quote(const char *text, char buf[OPTION_QUOTE_SIZE])
{
    static const char more[] = "…'";
    size_t room = OPTION_QUOTE_SIZE - sizeof(more), len = strlen(text), n = len;
    if (len + 1 > room) {
        n = room - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) /* not inside a character */
            n--;
    }
    buf[0] = '\'';
    memcpy(buf + 1, text, n);
    text_clean(buf + 1, n);
    strcpy(buf + 1 + n, n < len ? more : "'");
    return buf;
}
