/* SPDX-License-Identifier: MIT */
/*
 * Which camera program to run, and with which words: what the user named, or the first of rpicam-vid,
 * libcamera-vid and raspivid that is installed; these also get the wishes for size, rate, codec and
 * flips in their own words.
 * Life: zeroed → make → finish. Threads: any; it looks at the file system.
 */
#pragma once

#include <stdbool.h>

#include "command_words.h"
#include "pcs/err.h"

struct source_wish;

struct command_config {
    const char *cmd;  /* NULL: one of the three */
    const char *args; /* NULL: the usual ones */
};

struct command_line {
    struct command_words words; /* the first is the program as it was named */
    char path[4096];            /* … and where it is */
    const char *name;           /* … its last part; in words */
    unsigned transform;         /* of the wish, what the program is told to do */
};

/* Only looks at quotes. 0 or -EINVAL. */
int command_line_check(const struct command_config *config, struct err *err);
/* Is one of the three installed? */
bool command_line_any(void);
/* 0; -EINVAL: not installed, not to be run, or badly quoted; -ENOMEM. */
int command_line_make(struct command_line *line, const struct command_config *config,
                      const struct source_wish *wish, struct err *err);
/* All of it for people, quoted only by spaces. */
void command_line_describe(const struct command_line *line, char *text, size_t size);
void command_line_finish(struct command_line *line);
