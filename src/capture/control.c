/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pcs/log.h"

void control_key(const char *name, char key[CONTROL_NAME_SIZE])
{
    size_t used = 0;
    bool gap = false;
    for (; *name && used + 2 < CONTROL_NAME_SIZE; name++) {
        if (!isalnum((unsigned char)*name)) {
            gap = used > 0;
            continue;
        }
        if (gap) {
            key[used++] = '_';
            gap = false;
        }
        key[used++] = (char)tolower((unsigned char)*name);
    }
    key[used] = 0;
}

static const char *next_letter(const char *s)
{
    while (*s && !isalnum((unsigned char)*s)) {
        s++;
    }
    return s;
}

bool control_same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = next_letter(a);
        b = next_letter(b);
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return false;
        }
        if (!*a) {
            return true;
        }
    }
}

int control_split(const char *setting, char name[CONTROL_NAME_SIZE], const char **value,
                  struct err *err)
{
    const char *equals = strchr(setting, '=');
    size_t length = equals ? (size_t)(equals - setting) : 0;
    if (length == 0 || length >= CONTROL_NAME_SIZE) {
        return err_set(err, -EINVAL, "--control %s: say NAME=VALUE", setting);
    }
    memcpy(name, setting, length);
    name[length] = 0;
    *value = equals + 1;
    return 0;
}

static bool parse_bool(const char *text, double *out)
{
    static const char *const words[][2] = {
        { "0", "1" }, { "no", "yes" }, { "off", "on" }, { "false", "true" }
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int k = 0; k < 2; k++) {
            if (strcasecmp(text, words[i][k]) == 0) {
                *out = k;
                return true;
            }
        }
    }
    return false;
}

static bool parse_number(const char *text, double *out)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value)) {
        return false;
    }
    *out = value;
    return true;
}

static int parse_choice(const struct control *control, const char *text, double *out,
                        struct err *err)
{
    char list[300] = "";
    double number;
    bool is_number = parse_number(text, &number);
    for (size_t i = 0; i < control->choice_count; i++) {
        const struct control_choice *c = &control->choices[i];
        if ((is_number && number == (double)c->value) || control_same_name(text, c->name)) {
            *out = (double)c->value;
            return 0;
        }
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof list - used, "%s%lld=%s", i ? ", " : "",
                       (long long)c->value, c->name);
    }
    return err_set(err, -EINVAL, "control %s: %s is none of %s", control->name, text, list);
}

static int parse_in_range(const struct control *control, const char *text, double *out,
                          struct err *err)
{
    double value;
    bool whole = control->kind == CONTROL_INT;
    if (!parse_number(text, &value) || (whole && value != floor(value))) {
        return err_set(err, -EINVAL, "control %s: %s is no %s", control->name, text,
                       whole ? "whole number" : "number");
    }
    bool limited = control->min != 0 || control->max != 0;
    if (limited && (value < control->min || value > control->max)) {
        return err_set(err, -EINVAL, "control %s: %s is not within %.16g to %.16g", control->name,
                       text, control->min, control->max);
    }
    double steps = control->step > 0 ? (value - control->min) / control->step : 0;
    if (fabs(steps - round(steps)) > 1e-6) {
        return err_set(err, -EINVAL, "control %s: %s is not on a step of %.16g from %.16g",
                       control->name, text, control->step, control->min);
    }
    *out = value;
    return 0;
}

int control_parse(const struct control *control, const char *text, double *out, struct err *err)
{
    switch (control->kind) {
    case CONTROL_BUTTON:
        *out = 1;
        return 0;
    case CONTROL_BOOL:
        return parse_bool(text, out) ? 0
                                     : err_set(err, -EINVAL, "control %s: %s is neither yes nor no",
                                               control->name, text);
    case CONTROL_MENU:
        return parse_choice(control, text, out, err);
    case CONTROL_INT:
    case CONTROL_FLOAT:
        return parse_in_range(control, text, out, err);
    case CONTROL_TEXT:
        break;
    }
    return err_set(err, -EINVAL, "control %s: not a number", control->name);
}

static const char *kind_name(enum control_kind kind)
{
    static const char *const names[] = { "int", "bool", "menu", "float", "text", "button" };
    return names[kind];
}

/* Whole numbers in full, whatever their size. */
static void print_number(FILE *out, const char *before, double value)
{
    bool whole = value == floor(value) && fabs(value) < 1e19;
    (void)fprintf(out, whole ? "%s%.0f" : "%s%.16g", before, value);
}

static void print_range(FILE *out, const struct control *c)
{
    bool number = c->kind == CONTROL_INT || c->kind == CONTROL_FLOAT;
    if (number && (c->min != 0 || c->max != 0)) {
        print_number(out, " ", c->min);
        print_number(out, " to ", c->max);
    }
    if (number && c->step > 0 && c->step != 1) {
        print_number(out, " step ", c->step);
    }
    for (size_t i = 0; i < c->choice_count; i++) {
        (void)fprintf(out, "%s%lld=%s", i ? ", " : " ", (long long)c->choices[i].value,
                      c->choices[i].name);
    }
}

void control_print(FILE *out, const char *indent, const struct control *c)
{
    (void)fprintf(out, "%s%s (%s)", indent, c->name, kind_name(c->kind));
    print_range(out, c);
    if (*c->initial) {
        (void)fprintf(out, ", default %s", c->initial);
    }
    if (*c->value) {
        (void)fprintf(out, ", now %s", c->value);
    }
    (void)fprintf(out, "%s%s\n", c->read_only ? ", read only" : "",
                  c->inactive ? ", switched off by another control" : "");
}

static int apply_one(const char *setting, struct source *source,
                     int (*set)(struct source *source, const char *name, const char *value,
                                struct err *err),
                     struct err *err)
{
    char name[CONTROL_NAME_SIZE];
    const char *value;
    int code = control_split(setting, name, &value, err);
    return code < 0 ? code : set(source, name, value, err);
}

/* Anything else (a USB transfer that failed, a camera in use) is about the moment. */
static bool is_final(int code)
{
    return code == -EINVAL || code == -ENOENT || code == -ERANGE || code == -EACCES;
}

int control_apply(const struct control_settings *settings, struct source *source,
                  int (*set)(struct source *source, const char *name, const char *value,
                             struct err *err),
                  struct err *err)
{
    for (size_t i = 0; i < settings->count; i++) {
        struct err why = { 0 };
        int code = apply_one(settings->item[i], source, set, &why);
        if (code < 0 && settings->strict) {
            return err_set(err, is_final(code) ? -EINVAL : code, "%s", why.text);
        }
        if (code < 0) {
            log_warn("%s", why.text);
        }
    }
    return 0;
}
