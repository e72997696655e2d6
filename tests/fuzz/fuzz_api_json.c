/* SPDX-License-Identifier: MIT */
/*
 * Bodies that the API is sent, through to the options: what is taken is printable text in bounds, what is
 * refused is one printable line, and a change is made whole or not at all.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "app/api_json.h"
#include "pcs/option_live.h"

struct config {
    bool onoff;
    int64_t number, rate, time;
    const char *text;
    int choice;
    struct option_list list;
};

#define AT(field) .offset = offsetof(struct config, field), .flags = OPTION_LIVE
static const char *const choices[] = { "one", "two", NULL };
static const struct option_def defs[] = {
    { .name = "b", .type = OPTION_ONOFF, AT(onoff), .value = "on" },
    { .name = "n", .type = OPTION_INT, AT(number), .min = -7, .max = 65535 },
    { .name = "r", .type = OPTION_RATE, AT(rate), .value = "4M" },
    { .name = "t", .type = OPTION_TIME, AT(time) },
    { .name = "s", .type = OPTION_STRING, AT(text) },
    { .name = "c", .type = OPTION_CHOICE, AT(choice), .choices = choices },
    { .name = "l", .type = OPTION_LIST, AT(list) },
};

static void expect_line(const struct err *err)
{
    assert(err->text[0]);
    assert(!strchr(err->text, '\n'));
}

/* As api_settings.c does, without asking for types: options take any text. */
static size_t read_changes(const struct cJSON *o, struct option_change *changes, const char **texts,
                           char (*numbers)[40])
{
    const struct cJSON *v;
    size_t n = 0;
    cJSON_ArrayForEach(v, o)
    {
        texts[n] = api_json_text(v, numbers[n]);
        changes[n] = (struct option_change){ v->string, texts[n] ? &texts[n] : NULL, 1 };
        n++;
    }
    assert(n <= API_JSON_MEMBERS);
    return n;
}

static void try_options(const struct cJSON *o)
{
    static const struct option_part none = { "part", defs, OPTION_COUNT(defs), NULL };
    struct option_change changes[API_JSON_MEMBERS];
    const char *texts[API_JSON_MEMBERS];
    static char numbers[API_JSON_MEMBERS][40];
    struct config config, before;
    struct option_part part = none;
    part.config = &config;
    memset(&config, 0, sizeof config);
    struct options *options = options_new("fuzz", "1", "", &part, 1);
    assert(options);
    size_t count = read_changes(o, changes, texts, numbers), failed;
    for (int twice = 0; twice < 2; twice++) {
        struct err err = { 0 };
        memcpy(&before, &config, sizeof config);
        if (options_set_live(options, changes, count, &failed, &err) < 0) {
            expect_line(&err);
            assert(failed <= count);
            assert(memcmp(&before, &config, sizeof config) == 0);
        } else {
            assert(config.number >= -7 && config.number <= 65535);
            assert(config.choice == 0 || config.choice == 1);
        }
    }
    options_free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct cJSON *o = NULL;
    struct err err = { 0 };
    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (api_json_parse(text, size, &o, &err) < 0) {
        assert(!o);
        expect_line(&err);
    } else {
        try_options(o);
        cJSON_Delete(o);
    }
    free(text);
    return 0;
}
