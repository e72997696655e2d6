/* SPDX-License-Identifier: MIT */
/*
 * What both directions need of libjpeg-turbo's own API: its errors as a jump to one place, its
 * warnings judged, and its per-picture memory kept from picture to picture, so that it allocates
 * nothing in steady state.
 *
 * Why not the TurboJPEG wrapper: it takes a caller's buffer only when that has the worst-case size (6 MB
 * for 1080p), allocates for every picture, and cannot tell a cut picture from one with odd padding.
 *
 * Life: jpeg_lib_init before jpeg_create_…; jpeg_lib_finish after jpeg_destroy. Threads: one at a time.
 */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

struct arena_block;

struct jpeg_lib {
    struct jpeg_error_mgr err;
    jmp_buf escape; /* where an error goes: set it before calling the library */
    bool damaged;   /* a warning says that picture content is lost */

    struct arena_block *first, *current; /* memory of one picture */
    struct jpeg_memory_mgr own;          /* the library's own functions */
};

/* Fills lib->err; the caller sets `cinfo->err` to it and `cinfo->client_data` to lib. */
void jpeg_lib_init(struct jpeg_lib *lib);
/* Put the arena in place of the library's per-picture memory; after jpeg_create_…. */
void jpeg_lib_keep_memory(struct jpeg_lib *lib, j_common_ptr cinfo);
void jpeg_lib_finish(struct jpeg_lib *lib);
