/* SPDX-License-Identifier: MIT */
/*
 * One table of options yields the command line (GNU long options), the INI file, --help, validation,
 * --check-config and what SIGHUP may change. Each feature brings its own part of the table and its
 * own config struct; a program is the list of its parts.
 *
 * Precedence: what was set while running > command line > file > default. Sizes and rates take k M G (powers of 1000 for rates,
 * 1024 for sizes), times take us ms s m h (seconds when bare).
 *
 * Life: options_new/options_free. The config structs are the caller's and must outlive it; strings
 * and lists in them belong to the options object. Threads: main only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

enum option_type {
    OPTION_FLAG,   /* bool; --name, --name=yes|no */
    OPTION_ONOFF,  /* bool; --name on|off */
    OPTION_INT,    /* int64_t */
    OPTION_SIZE,   /* int64_t, bytes, powers of 1024 */
    OPTION_RATE,   /* int64_t, bits per second, powers of 1000 */
    OPTION_TIME,   /* int64_t, microseconds */
    OPTION_STRING, /* const char *, NULL when not given and without default */
    OPTION_CHOICE, /* int, index into choices */
    OPTION_LIST,   /* struct option_list; repeatable */
};

struct option_list {
    const char **item;
    size_t count;
};

enum option_flags {
    OPTION_LIVE = 1, /* may change while the program runs: by SIGHUP, or option_live.h */
    OPTION_CLI = 2,  /* command line only, not a key of the file */
};

struct option_def {
    const char *name; /* without dashes; also the INI key */
    char letter;      /* short form or 0 */
    enum option_type type;
    size_t offset;              /* in the part's config struct */
    const char *value;          /* default, as a user would type it; NULL = zero/none */
    int64_t min, max;           /* for numbers (both 0: no limit), inclusive */
    const char *const *choices; /* NULL-terminated, for OPTION_CHOICE */
    unsigned flags;
    const char *arg;  /* name of the value in --help; NULL for flags */
    const char *help; /* one line */
};

/* A group of options: a section of the INI file and a heading of --help. */
struct option_part {
    const char *section;
    const struct option_def *defs;
    size_t count;
    void *config;
};

#define OPTION_COUNT(defs) (sizeof(defs) / sizeof((defs)[0]))

struct options;

/* `usage` is the text behind the program's name in --help. Sets every config to its defaults. */
struct options *options_new(const char *program, const char *version, const char *usage,
                            const struct option_part *parts, size_t count);
void options_free(struct options *o);

enum options_result {
    OPTIONS_RUN,  /* go on */
    OPTIONS_DONE, /* --help, --version or --check-config has printed: exit 0 */
};

/*
 * Parse the command line and the file it names (--config). `check` (may be NULL) judges the whole
 * after parsing (combinations, files that must exist) and fills err. Returns an options_result, or
 * a negative errno with err->text = one line for the user that begins with the program's name
 * (exit 2). -v and --log-level set the log's level.
 */
int options_load(struct options *o, int argc, char **argv, int (*check)(void *arg, struct err *err),
                 void *arg, struct err *err);

/*
 * Read the file again. Live options take their new value at once; `changed` hears the name of each
 * option whose value changed and whether it is live. On error (`check` is asked again) nothing has
 * changed. Replaced strings and lists stay readable until options_free.
 */
int options_reload(struct options *o, void (*changed)(void *arg, const char *name, bool live),
                   void *arg, struct err *err);

/* options_reload, with all there is to say about it in the log. True: it was done. */
bool options_reload_logged(struct options *o);

/* Was this option given on the command line or in the file? */
bool options_given(const struct options *o, const char *name);

/* Parse a file's text as options_load would; for the fuzzer and tests. On error nothing changed. */
int options_parse_ini(struct options *o, const char *text, struct err *err);
