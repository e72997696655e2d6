/* SPDX-License-Identifier: MIT */
/*
 * --list-devices of the v4l2 source, for people: each camera with its links, formats and controls. It
 * only opens and asks, so a camera that another program uses is listed too.
 * Threads: any.
 */
#pragma once

#include <stdio.h>

void v4l2_list(FILE *out);

/* The links in the folders `v4l`/by-id and `v4l`/by-path that lead to `node`, a line each. */
void v4l2_list_links(FILE *out, const char *v4l, const char *node);
