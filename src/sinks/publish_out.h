/* SPDX-License-Identifier: MIT */
/*
 * One connection of a --publish URL, or one file: libavformat's muxer and protocol around frames as they
 * are. Everything that may block ends when the stop token is set, or when nothing moves for 10 s.
 * Life: publish_out_open → publish_out_close. Threads: the one that publishes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "pcs/err.h"

struct frame;
struct publish_out;
struct publish_url;
struct stop;

/* What a place takes. */
enum publish_codecs { PUBLISH_H264 = 1, PUBLISH_JPEG = 2 };

/* Which codecs a place can carry, as enum publish_codecs; or negative with a line: this libavformat has no
 * such protocol or container, or a file cannot be made there. */
int publish_out_check(const struct publish_url *parsed, struct err *err);

struct publish_place {
    const char *url;
    const struct publish_url *parsed;
    const char *title; /* the camera's name */
    struct stop *stop;
};

/* Connect, and announce a stream like that of `key`. `place` is borrowed until the end. 0; -ECANCELED when
 * stopped; -ETIMEDOUT, -EIO or -ENOMEM with a line. An existing file is never overwritten: another number
 * is put behind its name. */
int publish_out_open(struct publish_out **out, const struct publish_place *place,
                     const struct frame *key, struct err *err);
/* `whole`: also write what the end of a stream needs. */
void publish_out_close(struct publish_out *o, bool whole);

/* Is this key frame of the stream that was announced? */
bool publish_out_fits(const struct publish_out *o, const struct frame *key);

/* The first one begins the time line. 0, or as above: the connection is of no use any more. */
int publish_out_write(struct publish_out *o, const struct frame *frame, struct err *err);

/* What players of an RTP stream need to know (RFC 4566). 0 or a negative errno. */
int publish_out_sdp(const struct publish_out *o, char *text, size_t size);

const char *publish_out_file(const struct publish_out *o); /* its path; NULL for a network */
