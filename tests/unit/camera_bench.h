/* SPDX-License-Identifier: MIT */
/*
 * What the tests of capture share: a folder for their files, clips made by ffmpeg from the test
 * picture, and the switches of the emulated camera (tests/fake/README.md).
 * Life: bench_init/bench_finish around each test. Threads: main only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/frame.h"
#include "pcs/marker.h"

#define BENCH_DEVICE "/dev/video-fake"

struct bench {
    char dir[64];
    int fds; /* open at bench_init */
    struct stop *stop;
};

void bench_init(struct bench *b);   /* also takes back all settings of the camera */
void bench_finish(struct bench *b); /* fails the test when file descriptors leaked */
int bench_fds(void);                /* open now */

/* A path in the folder; valid until the fourth next call. */
const char *bench_path(const struct bench *b, const char *name);

/* `frames` of the test picture, numbered from 1, made by ffmpeg into bench_path(name); `args` are its
 * output options. */
const char *bench_clip(const struct bench *b, const char *name, int width, int height, int frames,
                       const char *args);

/* Settings of the emulated camera for its next open, and commands for now. */
void bench_camera_is(const char *variable, const char *value);
void bench_camera(const struct bench *b, const char *command);

/* The marker in a raw frame of any format; false when it has none. */
bool bench_marker(const struct frame *frame, struct marker *out);
