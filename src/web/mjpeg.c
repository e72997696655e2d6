/* SPDX-License-Identifier: MIT */
/*
 * multipart/x-mixed-replace (RFC 2046 gives the syntax). A part is shown when its end is known, and browsers
 * look for the next boundary for that; so each is sent with the boundary behind it, at once.
 */
#include "mjpeg.h"

#include <stdio.h>
#include <string.h>

#include "part.h"
#include "pcs/frame.h"
#include "request_internal.h"

static const char between[] = "\r\n--" MJPEG_BOUNDARY "\r\n";

struct part *mjpeg_hello(const struct client *c, const struct web_request *r)
{
    char head[REPLY_HEAD];
    size_t n = reply_start(c, r, 200, head);
    n += (size_t)snprintf(head + n, sizeof head - n,
                          "Content-Type: " MJPEG_TYPE "\r\n"
                          "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
                          "--" MJPEG_BOUNDARY "\r\n");
    return part_new(NULL, head, n, NULL, 0);
}

struct part *mjpeg_part(const struct frame *frame)
{
    char head[200];
    int n = snprintf(head, sizeof head,
                     "Content-Type: image/jpeg\r\nContent-Length: %zu\r\n"
                     "X-Timestamp: %lld.%06lld\r\nX-Frame-Number: %llu\r\n\r\n",
                     frame->size, (long long)(frame->wall_us / 1000000),
                     (long long)(frame->wall_us % 1000000), (unsigned long long)frame->seq);
    return part_new(frame, head, (size_t)n, between, sizeof between - 1);
}

struct part *mjpeg_goodbye(void)
{
    static const char end[] = "\r\n--" MJPEG_BOUNDARY "--\r\n";
    return part_new(NULL, end, sizeof end - 1, NULL, 0);
}
