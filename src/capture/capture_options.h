/* SPDX-License-Identifier: MIT */
/*
 * What the options of capture.h say about the sources: for the capture stage itself.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>

struct capture_config;

int capture_backend_index(
    const char *name); /* in source_backends; -1: there is none of that name */
/* Does one of its own options name source `i`? */
bool capture_is_implied(int i, const void *const *backend_configs);
unsigned capture_wished_transform(const struct capture_config *config); /* enum format_transform */
