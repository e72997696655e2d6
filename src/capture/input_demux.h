/* SPDX-License-Identifier: MIT */
/*
 * What libavformat reads for the `input` source: one video stream of a file, a server or a pipe.
 * Life: zeroed, input_demux_open, and input_demux_close however that ended. Threads: capture's.
 */
#pragma once

#include <libavformat/avformat.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct stop;

struct input_demux {
    const char *url;
    char name[200]; /* of the input, for logs and viewers: without passwords */
    struct stop *stop;
    AVIOContext *pipe; /* when the input is one */
    AVFormatContext *context;
    AVStream *stream;
    bool live;           /* comes in real time by itself */
    bool timed;          /* has time stamps of its own */
    int64_t patience_us; /* how long libav may wait; 0 = for ever */
    int64_t deadline_us; /* … until when, for the interrupt callback; 0 = for ever */
};

int input_demux_open(struct input_demux *d, const char *url, struct stop *stop, struct err *err);
void input_demux_close(struct input_demux *d);

/* The next packet of the stream: 0, or libav's error. */
int input_demux_read(struct input_demux *d, AVPacket *packet);
/* Back to the first packet: 0, or libav's error. */
int input_demux_rewind(struct input_demux *d);

bool input_demux_is_local(const struct input_demux *d);
/* Turns libav's error into ours, with a line that names the input. */
int input_demux_fail(const struct input_demux *d, int av_code, const char *what, struct err *err);
