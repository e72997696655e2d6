/* SPDX-License-Identifier: MIT */
/*
 * The option table. The input up to its first NUL is an INI file, what follows are arguments, each
 * ended by a NUL. Whatever was taken must be printed such that it reads back as the same, and every
 * refusal is one printable line.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/option_internal.h"

#define MAX_ARGS 32

struct config {
    bool flag, onoff;
    int64_t number, size, rate, time;
    const char *text;
    int choice;
    struct option_list list;
};

#define AT(field) .offset = offsetof(struct config, field)
static const char *const choices[] = { "one", "two", "three", NULL };
static const struct option_def defs[] = {
    { .name = "flag", .letter = 'f', .type = OPTION_FLAG, AT(flag), .help = "a" },
    { .name = "onoff", .type = OPTION_ONOFF, AT(onoff), .value = "on", .help = "b" },
    { .name = "number",
      .letter = 'n',
      .type = OPTION_INT,
      AT(number),
      .min = -7,
      .max = 65535,
      .help = "c" },
    { .name = "size", .type = OPTION_SIZE, AT(size), .value = "64M", .help = "d" },
    { .name = "rate", .type = OPTION_RATE, AT(rate), .help = "e" },
    { .name = "time", .type = OPTION_TIME, AT(time), .help = "f" },
    { .name = "text", .letter = 't', .type = OPTION_STRING, AT(text), .help = "g" },
    { .name = "choice", .type = OPTION_CHOICE, AT(choice), .choices = choices, .help = "h" },
    { .name = "list", .type = OPTION_LIST, AT(list), .help = "i" },
};

static struct options *make(struct config *config)
{
    const struct option_part part = { "part", defs, OPTION_COUNT(defs), config };
    struct options *o = options_new("fuzz", "1", "", &part, 1);
    assert(o);
    return o;
}

static void expect_line(const struct err *err)
{
    assert(err->text[0]);
    assert(!strchr(err->text, '\n'));
}

static char *print(const struct options *o)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert(out);
    option_print_config(o, out);
    fclose(out);
    return text;
}

static void expect_round_trip(const struct options *o)
{
    struct config config;
    struct options *again = make(&config);
    struct err err = { 0 };
    char *first = print(o);
    int ret = options_parse_ini(again, first, &err);
    assert(ret == 0);
    char *second = print(again);
    assert(strcmp(first, second) == 0);
    free(first);
    free(second);
    options_free(again);
}

static void try_ini(const char *text)
{
    struct config config;
    struct options *o = make(&config);
    struct err err = { 0 };
    if (options_parse_ini(o, text, &err) < 0)
        expect_line(&err);
    expect_round_trip(o);
    options_free(o);
}

/* Not --config: it would open any file of this machine. */
static int split(char *bytes, const char *end, const char *args[MAX_ARGS + 2])
{
    int count = 0;
    args[count++] = "fuzz";
    for (char *p = bytes; p < end && count <= MAX_ARGS; p += strlen(p) + 1) {
        if (strncmp(p, "--config", 8) != 0)
            args[count++] = p;
    }
    args[count] = NULL;
    return count;
}

static void try_arguments(char *bytes, const char *end)
{
    const char *args[MAX_ARGS + 2];
    struct config config;
    struct options *o = make(&config);
    struct err err = { 0 };
    int count = split(bytes, end, args);
    int ret = options_load(o, count, (char **)args, NULL, NULL, &err);
    if (ret < 0)
        expect_line(&err);
    else
        expect_round_trip(o);
    options_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *quiet; /* for --help and --check-config */
    if (!quiet)
        quiet = freopen("/dev/null", "w", stdout);
    char *text = calloc(1, size + 1);
    assert(text && quiet);
    memcpy(text, data, size);
    size_t ini = strlen(text);
    try_ini(text);
    if (ini < size)
        try_arguments(text + ini + 1, text + size);
    free(text);
    return 0;
}
