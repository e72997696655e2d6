/* SPDX-License-Identifier: MIT */
#include "jpeg_lib.h"

#include <stdlib.h>
#include <string.h>

#include <jerror.h>

/* libjpeg-turbo's SIMD code reads and writes whole vectors (jmemmgr.c, ALIGN_SIZE). */
#define ALIGN       64
#define BLOCK_BYTES ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    uint8_t *bytes;
};

static struct jpeg_lib *lib_of(j_common_ptr cinfo)
{
    return cinfo->client_data;
}

static void escape_error(j_common_ptr cinfo)
{
    struct jpeg_lib *lib = lib_of(cinfo);
    longjmp(lib->escape, 1);
}

/* Which warnings (level -1) mean that a viewer would see damage. Padding in front of a marker, a
 * missing EOI behind the last block and strange APPn segments do not. */
static void judge_warning(j_common_ptr cinfo, int level)
{
    int code = cinfo->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_JPEG_EOF &&
        code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) {
        lib_of(cinfo)->damaged = true;
    }
}

static void print_nothing(j_common_ptr cinfo)
{
    (void)cinfo; /* the library would write to stderr */
}

void jpeg_lib_init(struct jpeg_lib *lib)
{
    memset(lib, 0, sizeof *lib);
    (void)jpeg_std_error(&lib->err);
    lib->err.error_exit = escape_error;
    lib->err.emit_message = judge_warning;
    lib->err.output_message = print_nothing;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static struct arena_block *new_block(size_t size)
{
    struct arena_block *block = malloc(sizeof *block);
    void *bytes = NULL;
    if (!block || posix_memalign(&bytes, ALIGN, size)) {
        free(block);
        return NULL;
    }
    *block = (struct arena_block){ .size = size, .bytes = bytes };
    return block;
}

/* Blocks before `current` are full for this picture, the ones behind it unused. */
static void *arena_get(struct jpeg_lib *lib, size_t n)
{
    n = round_up(n, ALIGN);
    struct arena_block **at = lib->current ? &lib->current : &lib->first;
    while (*at && (*at)->size - (*at)->used < n) {
        at = &(*at)->next;
    }
    if (!*at) {
        *at = new_block(n > BLOCK_BYTES ? n : BLOCK_BYTES);
    }
    if (!*at) {
        return NULL;
    }
    lib->current = *at;
    void *p = lib->current->bytes + lib->current->used;
    lib->current->used += n;
    return p;
}

static void arena_reset(struct jpeg_lib *lib)
{
    for (struct arena_block *b = lib->first; b; b = b->next) {
        b->used = 0;
    }
    lib->current = lib->first;
}

static void *picture_get(j_common_ptr cinfo, size_t n)
{
    void *p = arena_get(lib_of(cinfo), n);
    if (!p) {
        ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
    }
    return p;
}

static void *alloc_small(j_common_ptr cinfo, int pool, size_t n)
{
    return pool == JPOOL_IMAGE ? picture_get(cinfo, n)
                               : lib_of(cinfo)->own.alloc_small(cinfo, pool, n);
}

static void *alloc_large(j_common_ptr cinfo, int pool, size_t n)
{
    return pool == JPOOL_IMAGE ? picture_get(cinfo, n)
                               : lib_of(cinfo)->own.alloc_large(cinfo, pool, n);
}

static JSAMPARRAY alloc_sarray(j_common_ptr cinfo, int pool, JDIMENSION samples, JDIMENSION rows)
{
    if (pool != JPOOL_IMAGE) {
        return lib_of(cinfo)->own.alloc_sarray(cinfo, pool, samples, rows);
    }
    size_t stride = round_up(samples, 2 * ALIGN);
    JSAMPARRAY row = picture_get(cinfo, rows * sizeof(JSAMPROW));
    JSAMPLE *bytes = picture_get(cinfo, rows * stride);
    for (JDIMENSION i = 0; i < rows; i++) {
        row[i] = bytes + i * stride;
    }
    return row;
}

static JBLOCKARRAY alloc_barray(j_common_ptr cinfo, int pool, JDIMENSION blocks, JDIMENSION rows)
{
    if (pool != JPOOL_IMAGE) {
        return lib_of(cinfo)->own.alloc_barray(cinfo, pool, blocks, rows);
    }
    JBLOCKARRAY row = picture_get(cinfo, rows * sizeof(JBLOCKROW));
    JBLOCK *all = picture_get(cinfo, (size_t)rows * blocks * sizeof(JBLOCK));
    for (JDIMENSION i = 0; i < rows; i++) {
        row[i] = all + (size_t)i * blocks;
    }
    return row;
}

static void free_pool(j_common_ptr cinfo, int pool)
{
    struct jpeg_lib *lib = lib_of(cinfo);
    if (pool == JPOOL_IMAGE) {
        arena_reset(lib);
    }
    lib->own.free_pool(cinfo, pool); /* virtual arrays of progressive pictures are still its */
}

void jpeg_lib_keep_memory(struct jpeg_lib *lib, j_common_ptr cinfo)
{
    lib->own = *cinfo->mem;
    cinfo->mem->alloc_small = alloc_small;
    cinfo->mem->alloc_large = alloc_large;
    cinfo->mem->alloc_sarray = alloc_sarray;
    cinfo->mem->alloc_barray = alloc_barray;
    cinfo->mem->free_pool = free_pool;
}

void jpeg_lib_finish(struct jpeg_lib *lib)
{
    for (struct arena_block *b = lib->first; b;) {
        struct arena_block *next = b->next;
        free(b->bytes);
        free(b);
        b = next;
    }
    lib->first = lib->current = NULL;
}
