/* SPDX-License-Identifier: MIT */
/*
 * The webcam's pictures: drawn for YUYV, played in a loop from clips for the others; and what can be
 * wrong with them.
 * Life: init … finish.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "offer.h"

struct clip {
    const uint8_t *data; /* NULL: none */
    size_t size, pos;
};

struct pictures {
    struct clip mjpeg, h264;
    uint8_t *scratch;
    uint32_t number; /* since the stream began */
    int corrupt;     /* so many of the next are damaged */
};

int pictures_init(struct pictures *p);
void pictures_finish(struct pictures *p);

/* Maps a file; says on stderr why it cannot. */
int clip_open(struct clip *clip, const char *path);

void pictures_rewind(struct pictures *p);

/* The next picture; its size. *out is valid until the one after it. */
size_t pictures_next(struct pictures *p, enum kind kind, unsigned width, unsigned height,
                     const uint8_t **out);
