/* SPDX-License-Identifier: MIT */
/* multipart/x-mixed-replace: its head, a picture, its end. NULL: no memory. Threads: any. */
#pragma once

struct client;
struct frame;
struct part;
struct web_request;

#define MJPEG_BOUNDARY "pcs-next-frame"
#define MJPEG_TYPE     "multipart/x-mixed-replace;boundary=" MJPEG_BOUNDARY

struct part *mjpeg_hello(const struct client *c, const struct web_request *r);
struct part *mjpeg_part(const struct frame *frame);
struct part *mjpeg_goodbye(void);
