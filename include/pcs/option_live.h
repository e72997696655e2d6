/* SPDX-License-Identifier: MIT */
/*
 * Live options, looked at and set by the program itself, for somebody who steers it from outside.
 * Life: the options'. Threads: main only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "pcs/err.h"
#include "pcs/option.h"

struct option_view {
    const struct option_def *def;
    const char *section;
    const void *value; /* of def's type */
    char allowed[200]; /* "1 to 100", as the messages say it */
    bool set;          /* by options_set_live */
};
void options_each_live(const struct options *o,
                       void (*each)(void *arg, const struct option_view *view), void *arg);

/* A new value as a user would type it, several for a list. NULL: what command line and file say. */
struct option_change {
    const char *name;
    const char *const *text;
    size_t count;
};
/*
 * All of them or none, until the program ends, until it is taken back, or until the file says something new
 * of this option. Never written to the file. The config structs have the new values when it returns 0, and
 * a replaced string is readable until the next call: hand them on before. Else *failed is the index of the
 * culprit (`count`: all together were refused), the text is for the user, and the code: -ENOENT no such
 * option, -EPERM it needs a restart, -EINVAL not with this value, -ENOSPC too many lists were set already.
 */
int options_set_live(struct options *o, const struct option_change *changes, size_t count,
                     size_t *failed, struct err *err);
