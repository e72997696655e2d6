/* SPDX-License-Identifier: MIT */
#include "pictures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRATCH_BYTES (16U << 20)

int pictures_init(struct pictures *p)
{
    *p = (struct pictures){ .scratch = malloc(SCRATCH_BYTES) };
    return p->scratch ? 0 : -ENOMEM;
}

static void clip_close(struct clip *clip)
{
    if (clip->data) {
        munmap((void *)clip->data, clip->size);
    }
}

void pictures_finish(struct pictures *p)
{
    clip_close(&p->mjpeg);
    clip_close(&p->h264);
    free(p->scratch);
}

int clip_open(struct clip *clip, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *data = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    int code = data == MAP_FAILED ? -errno : 0;
    if (code < 0) {
        perror(path);
    } else {
        *clip = (struct clip){ data, (size_t)st.st_size, 0 };
    }
    if (fd >= 0) {
        close(fd);
    }
    return code;
}

/* The next frame of a clip whose frames begin with `mark`. */
static size_t clip_next(struct clip *clip, const void *mark, size_t mark_size, const uint8_t **out)
{
    const uint8_t *start = clip->data + clip->pos, *end = clip->data + clip->size;
    const uint8_t *next =
        memmem(start + mark_size, (size_t)(end - start) - mark_size, mark, mark_size);
    *out = start;
    clip->pos = next ? (size_t)(next - clip->data) : 0;
    return (size_t)((next ? next : end) - start);
}

/* A diagonal pattern that moves, and the number in the first 32 blocks of 16x16, white = 1. */
static void draw(uint8_t *row, unsigned width, unsigned height, uint32_t number)
{
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x += 2, row += 4) {
            bool block = y < 16 && x < 512;
            bool white = block && number >> (31 - x / 16) & 1;
            unsigned luma = block ? (white ? 235 : 16) : 16 + (x + y + number * 4) % 220;
            row[0] = row[2] = (uint8_t)luma;
            row[1] = (uint8_t)(block ? 128 : 64 + 128 * x / width);
            row[3] = (uint8_t)(block ? 128 : 64 + 128 * y / height);
        }
    }
}

/* Half of it, with noise strewn in behind the head. */
static size_t damage(struct pictures *p, size_t size, const uint8_t **frame)
{
    size /= 2;
    memmove(p->scratch, *frame, size);
    for (size_t i = 64; i < size; i += 1 + (size_t)rand() % 512) {
        p->scratch[i] = (uint8_t)rand();
    }
    *frame = p->scratch;
    return size;
}

void pictures_rewind(struct pictures *p)
{
    p->mjpeg.pos = p->h264.pos = 0;
    p->number = 0;
}

size_t pictures_next(struct pictures *p, enum kind kind, unsigned width, unsigned height,
                     const uint8_t **out)
{
    size_t size;
    if (kind == KIND_MJPEG) {
        size = clip_next(&p->mjpeg, "\xff\xd8\xff", 3, out);
    } else if (kind == KIND_H264) { /* an access unit delimiter */
        size = clip_next(&p->h264, "\x00\x00\x00\x01\x09", 5, out);
    } else {
        draw(p->scratch, width, height, p->number);
        *out = p->scratch;
        size = (size_t)width * height * 2;
    }
    if (p->corrupt > 0) {
        p->corrupt--;
        size = damage(p, size, out);
    }
    return size;
}
