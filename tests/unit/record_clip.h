/* SPDX-License-Identifier: MIT */
/*
 * For the tests of recordings: real H.264 and JPEG frames, what a file must hold of them, and reading
 * a file back. Everything fails the running cmocka test instead of returning errors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;

struct clip_options {
    int width, height; /* 0: 320x180 */
    int frames;        /* 0: 60 */
    int gop;           /* 0: 10 */
    int bframes;
    int64_t bitrate;  /* 0: constant quality */
    const char *x264; /* further x264 parameters, as "aud=1:sliced-threads=1" */
    bool jpeg;
};

struct clip;
struct clip *clip_new(const struct clip_options *options);
void clip_free(struct clip *clip);
int clip_frames(const struct clip *clip);

/* Frame `i` (modulo the clip) as number `seq`, captured at `capture_us`. One reference, own bytes. */
struct frame *clip_frame(const struct clip *clip, int i, uint64_t seq, int64_t capture_us);
int clip_frames_alive(void); /* frames made and not yet released */

/* Frame as a file holds it: no delimiters, SPS, PPS; lengths for start codes. Heap. */
uint8_t *clip_sample(const struct frame *frame, size_t *size);

struct sample {
    int64_t dts, pts, duration; /* ticks of 1/90000 s */
    bool key;
    uint8_t *data;
    size_t size;
};

struct readback {
    int count; /* whole ones */
    struct sample *sample;
    int width, height;
    int64_t duration;                                              /* ticks */
    int color_range, color_space, color_primaries, color_transfer; /* libavutil's */
    bool fragmented, has_mark;
    bool index_first; /* moov before mdat */
    bool clean;       /* nothing was cut, the demuxer met no error */
};
void readback_open(struct readback *r, const char *path);
void readback_close(struct readback *r);

void expect_frames(const struct readback *r, int at, struct frame *const *frames, int count);
void expect_plays(const char *path, bool warnings_allowed); /* through the ffmpeg program */

/* A folder for this test under $TMPDIR; and its removal with all that is in it. */
char *scratch_new(void);
void scratch_free(char *folder);
char *scratch_path(const char *folder, const char *name); /* heap */
int scratch_count(const char *folder);                    /* entries, hidden ones too */
