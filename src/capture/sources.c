/* SPDX-License-Identifier: MIT */
#include "capture/source.h"

const struct source_backend *const source_backends[] = {
    &source_libcamera, &source_v4l2, &source_command, &source_input, &source_test, NULL,
};

const char *const source_names[] = {
    "auto", "libcamera", "v4l2", "command", "input", "test", NULL
};
