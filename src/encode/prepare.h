/* SPDX-License-Identifier: MIT */
/*
 * What is done to a picture before it is encoded: turned upright (format.transform), written on
 * (--overlay), and brought to a layout that the encoders read. A picture that needs none of it is passed
 * on as it is; otherwise the result is a new YU12 picture, so the encoder's own conversion is not a second one.
 * Life: prepare_new/prepare_free. Threads: one at a time; prepare_set_overlay from any.
 */
#pragma once

#include <stdbool.h>

#include "pcs/format.h"

struct frame;
struct prepare;
struct pool;

/* `overlay`: strftime(3) text (overlay.h), NULL or "" = none. NULL: no memory. */
struct prepare *prepare_new(struct pool *pool, const char *overlay);
void prepare_free(struct prepare *p);
void prepare_set_overlay(struct prepare *p,
                         const char *overlay); /* live: from the next picture on */

/*
 * 0 with *out, one reference. -EBADMSG: a JPEG that cannot be decoded. -ENOMEM, -EINVAL.
 * A picture with FRAME_STANDBY is upright already.
 */
int prepare_picture(struct prepare *p, const struct frame *in, const struct frame **out);

/* Would prepare_picture change pictures of this format? And to what. */
bool prepare_changes(const struct prepare *p, const struct format *in);
struct format prepare_format(const struct prepare *p, const struct format *in);
