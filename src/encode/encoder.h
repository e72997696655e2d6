/* SPDX-License-Identifier: MIT */
/*
 * Encoder: one raw (or JPEG) frame in, at most one packet out. One file, one line in
 * src/encode/encoders.c, one line of CMake.
 * Life and threads: opened, used and closed in the encode thread; set_… from any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/format.h"

struct encoder;
struct frame;
struct pool;

/* The section "encode" of the options; offsets in encode_options[]. */
struct encode_config {
    int codec;           /* index into encode_codecs: auto, h264, mjpeg */
    const char *encoder; /* "v4l2m2m" or a libavcodec encoder, NULL = auto */
    int64_t bitrate;     /* bits per second */
    int64_t quality;     /* JPEG, 1..100 */
    int64_t gop;         /* frames; 0 = two seconds */
    const char *preset;  /* of the libavcodec encoder, NULL = its live default */
    const char *overlay; /* strftime text to write on pictures, NULL = none */
    int threads;         /* for one picture; 0 = the machine's cores. Not an option, for tests */
};

struct encoder_backend {
    const char *name;
    enum format_id output;
    bool (*accepts)(enum format_id input);
    /* Can it work at all here, as configured? For start-up. 0, or negative with err. May be NULL. */
    int (*check)(const struct encode_config *config, struct err *err);
    int (*open)(struct encoder **out, const struct encode_config *config, const struct format *in,
                struct pool *pool, struct err *err);
    /*
     * Encode one picture; `key` asks for a key frame. 0 with *out = a packet (one reference, not
     * published yet, so still to be written to) whose meta is copied from its picture, or NULL when
     * the encoder wants more first. -EBADMSG: this picture was unusable, go on. Other negatives: the
     * encoder is broken, open it again.
     */
    int (*encode)(struct encoder *encoder, const struct frame *in, bool key, struct frame **out);
    /* What is still inside, one packet a call; *out = NULL when empty. May be NULL. */
    int (*drain)(struct encoder *encoder, struct frame **out);
    /*
     * Hardware works beside us: encode() only hands a picture over, and packets come when they come. Such
     * an encoder has these four, others none of them.
     */
    bool (*ready)(
        const struct encoder *encoder);          /* can it take a picture? else encode() may wait */
    bool (*busy)(const struct encoder *encoder); /* are pictures inside? */
    int (*fd)(
        const struct encoder *encoder); /* while busy, collect at POLLIN or POLLOUT; -1: none */
    /* A finished packet, *out = NULL when there is none yet. Does not wait. Errors as of encode. */
    int (*collect)(struct encoder *encoder, struct frame **out);
    void (*set_bitrate)(struct encoder *encoder, int64_t bitrate); /* may be NULL */
    void (*set_quality)(struct encoder *encoder, int quality);     /* may be NULL */
    const char *(*describe)(const struct encoder *encoder);        /* what really encodes */
    void (*close)(struct encoder *encoder);
};

extern const struct encoder_backend encoder_jpeg;
extern const struct encoder_backend encoder_h264;
extern const struct encoder_backend encoder_m2m;

/* The raw layouts that every encoder reads; prepare.h brings the others to one of them. */
static inline bool encoder_reads(enum format_id raw)
{
    return raw >= FORMAT_YUYV && raw <= FORMAT_RGB24;
}

/*
 * The backends that make `output` from `input` (FORMAT_NONE: from anything) and that --encoder `name`
 * (NULL: auto) may mean, the preferred one first: number `index` of them, or NULL.
 */
const struct encoder_backend *encoder_find(const char *name, enum format_id input,
                                           enum format_id output, int index);
