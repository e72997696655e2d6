/* SPDX-License-Identifier: MIT */
/*
 * What all outputs that wait for visitors share: where they listen, how many they let in, and who may.
 * The options' part "serve". Threads: read-only after start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/option.h"

struct serve_config {
    bool all;            /* --serve: every one of them at its usual place */
    const char *address; /* to listen on; never NULL */
    int64_t max_clients; /* for each of them */
    const char *token;   /* "auto": one is made; "none"; NULL: none on loopback, elsewhere auto */
    struct option_list origins;     /* of other sites whose pages may ask for things */
    const char *tls_cert, *tls_key; /* PEM files; NULL = plain */
};
