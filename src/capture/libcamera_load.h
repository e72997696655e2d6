/* SPDX-License-Identifier: MIT */
/*
 * Loading the libcamera module (libcamera_api.h says why it is one): source-libcamera.so, beside the
 * program in a build tree, else in the installation's library folder.
 * Life: loaded at first need, it stays till the end; asking again costs little. Threads: any.
 */
#pragma once

#include "pcs/err.h"

struct libcamera_api;

/* NULL: this build has no libcamera (err->code -ENOTSUP), or it cannot be loaded. */
const struct libcamera_api *libcamera_load(struct err *err);
