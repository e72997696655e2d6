/* SPDX-License-Identifier: MIT */
#include "option_internal.h"

#include <errno.h>
#include <string.h>

/* Where we are on the command line. */
struct cursor {
    struct options *o;
    char **next; /* ends with NULL */
    struct err *err;
};

static int unknown_option(struct cursor *c, const char *arg, const char *name)
{
    char quoted[OPTION_QUOTE_SIZE];
    const char *nearest = option_nearest(c->o, name);
    option_quote(arg, quoted);
    if (nearest)
        return err_set(c->err, -EINVAL, "%s: unknown option, did you mean --%s?", quoted, nearest);
    return err_set(c->err, -EINVAL, "%s: unknown option, --help lists all there are", quoted);
}

/* One option; `value` NULL: not attached, so the next argument, or none for a flag. */
static int take_option(struct cursor *c, size_t slot, const char *value)
{
    const struct option_def *def = c->o->slots[slot].def;
    char where[64];
    snprintf(where, sizeof(where), "--%s", def->name);
    if (!value && def->type == OPTION_FLAG)
        value = "yes";
    if (!value && !*c->next) {
        char allowed[256];
        return err_set(c->err, -EINVAL, "%s: needs a value: %s", where,
                       option_value_allowed(def, allowed, sizeof(allowed)));
    }
    if (!value)
        value = *c->next++;
    return option_give(c->o, c->o->cli, slot, value, where, c->err);
}

static int take_long(struct cursor *c, const char *arg)
{
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    size_t slot = option_find(c->o, name, len);
    if (slot == OPTION_NONE) {
        char bare[64];
        snprintf(bare, sizeof(bare), "%.*s", len < sizeof(bare) ? (int)len : (int)sizeof(bare) - 1,
                 name);
        return unknown_option(c, arg, bare);
    }
    return take_option(c, slot, name[len] == '=' ? name + len + 1 : NULL);
}

static size_t find_letter(const struct options *o, char letter)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->slots[i].def->letter == letter)
            return i;
    }
    return OPTION_NONE;
}

/* -v, bundled -vh, and -xVALUE for one that takes a value. */
static int take_short(struct cursor *c, const char *arg)
{
    for (const char *p = arg + 1; *p; p++) {
        size_t slot = find_letter(c->o, *p);
        if (slot == OPTION_NONE)
            return unknown_option(c, arg, arg + 1);
        bool flag = c->o->slots[slot].def->type == OPTION_FLAG;
        int ret = take_option(c, slot, flag || !p[1] ? NULL : p + 1);
        if (ret < 0 || !flag)
            return ret;
    }
    return 0;
}

static int take_argument(struct cursor *c, const char *arg, bool options_ended)
{
    char quoted[OPTION_QUOTE_SIZE];
    if (!options_ended && arg[0] == '-' && arg[1] == '-')
        return take_long(c, arg);
    if (!options_ended && arg[0] == '-' && arg[1])
        return take_short(c, arg);
    return err_set(c->err, -EINVAL, "%s: unexpected argument, every option begins with --",
                   option_quote(arg, quoted));
}

static bool was_given(const struct options *o, const char *name)
{
    return o->cli[option_find(o, name, strlen(name))].count > 0;
}

int option_cli_parse(struct options *o, int argc, char **argv, struct err *err)
{
    struct cursor c = { .o = o, .next = argc > 0 ? argv + 1 : argv, .err = err };
    bool options_ended = false;
    while (*c.next) {
        const char *arg = *c.next++;
        if (!options_ended && strcmp(arg, "--") == 0) {
            options_ended = true;
            continue;
        }
        int ret = take_argument(&c, arg, options_ended);
        if (ret < 0)
            return ret;
        if (was_given(o, "help") || was_given(o, "version"))
            return 0;
    }
    return 0;
}
