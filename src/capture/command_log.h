/* SPDX-License-Identifier: MIT */
/*
 * What a program says on its stderr, as lines of our log under its name. The first lines of each start
 * are what a person needs when it fails: info. After them programs report each frame: debug, but for
 * lines that speak of an error, which are warnings, and all with a limit.
 * Life: zeroed, `name` borrowed. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "pcs/log.h"

#define COMMAND_LINE 300 /* bytes of a line; the rest of it is left out */

struct command_log {
    const char *name;
    char line[COMMAND_LINE + 1];
    size_t used;
    unsigned lines;              /* logged since it started */
    char last[COMMAND_LINE + 1]; /* the newest line; "" = none */
    struct log_limit warnings, details;
};

void command_log_feed(struct command_log *log, const char *text, size_t size);
/* Its output has ended: an unfinished line is one. */
void command_log_end(struct command_log *log);
