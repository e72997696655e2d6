/* SPDX-License-Identifier: MIT */
/*
 * Dump: frames that are held in memory as a recording, made plain at once. Where the stream changed
 * among them, more than one file.
 * Threads: any. Blocks as long as the disk does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

struct frame;

struct dump {
    const char *pattern, *name; /* as in naming.h */
    const struct frame *const *frames;
    size_t count;
    _Atomic int64_t *deadline_us; /* given up then; what is synced stays; may change meanwhile */
    /* Each file's path, when its first frames are on disk. */
    void (*opened)(void *arg, const char *path);
    void *arg;
};

/* 0: all of them are on disk. Else why not, with a line. */
int dump_write(const struct dump *dump, struct err *err);
