/* SPDX-License-Identifier: MIT */
/*
 * What the option_*.c files share. Every text that was given is validated where it is read (so that
 * the message can name the place) and kept by source; the effective value follows from the sources.
 * Life and threads: as pcs/option.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pcs/option.h"

struct kept_text;
struct kept_items;
struct live_texts;

/* Room for the value of any option. */
union option_field {
    bool flag;
    int64_t number;
    int choice;
    const char *text;
    struct option_list list;
};

struct option_slot {
    const struct option_def *def;
    const char *section;
    void *field; /* in the part's config struct; the program may make something else of it */
    union option_field running; /* what we last wrote there */
    struct live_texts *live;    /* that options_set_live gave; NULL = none */
};

/* The options that every program has. */
struct option_common {
    bool help, version, verbose, check_config;
    const char *config;
    int log_level;
};

struct options {
    const char *program, *version, *usage;
    struct option_slot *slots;
    size_t count;
    /* Per slot, the texts one source gave; of scalars only the last. */
    struct option_list *cli, *file;
    struct option_common common;
    /* Texts and arrays that configs may point to; freed only with the options, because a thread may
     * still read a value that a reload replaced. Equal texts are kept once. */
    struct kept_text *texts;
    struct kept_items *items;
    /* Live texts that were replaced: for good by a reload, and lists; the others until the next time. */
    struct live_texts *kept_live, *replaced_live;
    size_t kept_live_size;
    int (*check)(void *arg, struct err *err);
    void *check_arg;
};

/* option_value.c: texts to values and back. A "field" is where a value of def's type lives. */
int option_value_parse(const struct option_def *def, const char *text,
                       void *field); /* 0, -EINVAL */
bool option_value_same(const struct option_def *def, const void *a, const void *b);
void option_value_copy(const struct option_def *def, void *to, const void *from);
/* What a user may type, "1 to 65535". Returns buf. */
char *option_value_allowed(const struct option_def *def, char *buf, size_t size);
/* The value as a user would type it; not for lists. Borrows from field or writes to buf. */
const char *option_value_text(const struct option_def *def, const void *field, char *buf,
                              size_t size);
bool option_is_bool(const struct option_def *def);

#define OPTION_QUOTE_SIZE 80
/* 'text' on one line, cut where too long, for messages. Returns buf. */
char *option_quote(const char *text, char buf[OPTION_QUOTE_SIZE]);

/* option.c */
#define OPTION_NONE SIZE_MAX
size_t option_find(const struct options *o, const char *name, size_t len); /* slot or OPTION_NONE */
const char *option_nearest(const struct options *o, const char *name); /* did you mean; NULL: no */
/* Keep a text that was given for a slot, after validating it. `where` begins the message. */
int option_give(struct options *o, struct option_list *source, size_t slot, const char *text,
                const char *where, struct err *err);

/* The value of a slot by precedence; a list borrows the array of its source. */
void option_effective(const struct options *o, const struct option_list *file, size_t slot,
                      union option_field *out);
int option_judge(struct options *o, struct err *err); /* the program's check of the whole */
/* 0, or -EINVAL with a message that begins with `where`. */
int option_check_text(const struct option_def *def, const char *text, const char *where,
                      struct err *err);

/* option_live.c. On a reload (`file` is the fresh one) the newer word counts. */
bool option_live_counts(const struct options *o, const struct option_list *file, size_t slot,
                        struct option_list *out);
void option_live_reloaded(struct options *o,
                          const struct option_list *file); /* before o->file is */
void option_live_free(struct options *o);

/* option_cli.c: fills o->cli; stops early at --help and --version. */
int option_cli_parse(struct options *o, int argc, char **argv, struct err *err);

/* option_file.c: fill `source` from an INI text (`name` is for messages) or file. */
int option_file_parse(struct options *o, struct option_list *source, const char *name,
                      const char *text, struct err *err);
int option_file_read(struct options *o, struct option_list *source, const char *path,
                     struct err *err);

/* option_print.c */
void option_print_help(const struct options *o, FILE *out);
void option_print_config(const struct options *o, FILE *out);
