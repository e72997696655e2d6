/* SPDX-License-Identifier: MIT */
/*
 * Reading a pipe ("-", "pipe:", or the path of a FIFO) for libavformat, so that a silent one does not
 * keep us from stopping: libavformat's own reader blocks in open(2) and read(2).
 * Life: input_pipe_open/input_pipe_close; avformat_close_input leaves it alone.
 */
#pragma once

#include <stdbool.h>

struct AVIOContext;
struct stop;

bool input_is_pipe(const char *url);
/* 0 or a negative errno. */
int input_pipe_open(struct AVIOContext **out, const char *url, struct stop *stop);
void input_pipe_close(struct AVIOContext **io); /* *io NULL is fine */
