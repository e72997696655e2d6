/* SPDX-License-Identifier: MIT */
/*
 * What a --publish URL means: which protocol, which container libavformat makes for it, whose name has
 * to be looked up, and how it is shown without its secrets. Pure.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

#define PUBLISH_SCHEMES "rtmp, rtmps, rtsp, rtsps, srt, rtp, udp, tcp" /* for messages */

struct publish_url {
    const char *protocol; /* libavformat's name, "file" for files; static */
    const char *format;   /* libavformat's muxer; NULL: what the file's name says */
    const char *path;     /* of a file, within the URL; else NULL */
    bool listens;         /* the other side connects: may take for ever */
    char host[256];       /* "" = none */
    int port;             /* 0 = none */
    /* For logs and summary: without user, password, query, and the last part of an rtmp path, which
     * is a stream key at many services. */
    char shown[300];
};

/* 0, or -EINVAL: no such scheme, or no host where there must be one. */
int publish_url_parse(const char *url, struct publish_url *out);
