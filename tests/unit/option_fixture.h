/* SPDX-License-Identifier: MIT */
/*
 * A program's options for the tests of the option table: one of each kind, in three parts of which the
 * last shares its section with the common options.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/option.h"

struct push {
    int64_t port, count, buffer, bitrate, max_latency;
    int codec;
    bool loop, adaptive;
    const char *host, *device;
    struct option_list publish;
};

struct run {
    const char *name;
    int64_t frames;
};

struct fixture {
    struct push push;
    struct run run;
    struct options *o;
    struct err err;
    char output[8192]; /* of the last load */
};

struct fixture *fixture_new(void);
void fixture_free(struct fixture *f);
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* options_load with stdout in f->output. */
int load_checked(struct fixture *f, const char **argv, int (*check)(void *arg, struct err *err));
#define load(f, ...) load_checked(f, (const char *[]){ "tester", ##__VA_ARGS__, NULL }, NULL)

/* A `check` that refuses the number 13; `arg` is the fixture. */
int check_unlucky(void *arg, struct err *err);

/* A file with this text; remove_file frees its name too. */
char *write_file(const char *text);
void rewrite_file(const char *path, const char *text);
void remove_file(char *path);

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
