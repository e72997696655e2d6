/* SPDX-License-Identifier: MIT */
/*
 * Receiving without copying payloads. The head buffer is as long as a FRAME's head, so what is read
 * into it never reaches a frame's payload: that goes straight to its own buffer, and the next head
 * behind it. Only control messages longer than a head are put together in `control`.
 */
#include "pcs/wire.h"

#include <errno.h>
#include <string.h>

#include "pcs/frame.h"

void wire_rx_init(struct wire_rx *rx, size_t max_frame, struct frame *(*alloc)(void *, size_t),
                  void *arg)
{
    *rx = (struct wire_rx){ .max_frame = max_frame < WIRE_FRAME_MAX ? max_frame : WIRE_FRAME_MAX,
                            .alloc = alloc,
                            .arg = arg };
}

void wire_rx_finish(struct wire_rx *rx)
{
    frame_unref(rx->frame);
    rx->frame = NULL;
}

int wire_rx_want(struct wire_rx *rx, struct iovec iov[2])
{
    int n = 0;
    if (rx->frame && rx->frame_have < rx->frame_head.size) {
        iov[n++] = (struct iovec){ rx->frame->buffer + rx->frame_have,
                                   rx->frame_head.size - rx->frame_have };
    } else if (rx->control_have < rx->control_need) {
        iov[n++] =
            (struct iovec){ rx->control + rx->control_have, rx->control_need - rx->control_have };
    }
    if (rx->head_have < sizeof rx->head) {
        iov[n++] = (struct iovec){ rx->head + rx->head_have, sizeof rx->head - rx->head_have };
    }
    return n;
}

void wire_rx_got(struct wire_rx *rx, size_t n)
{
    struct iovec iov[2];
    int count = wire_rx_want(rx, iov);
    for (int i = 0; i < count && n > 0; i++) {
        size_t part = n < iov[i].iov_len ? n : iov[i].iov_len;
        if (iov[i].iov_base == rx->head + rx->head_have) {
            rx->head_have += part;
        } else if (rx->frame) {
            rx->frame_have += part;
        } else {
            rx->control_have += part;
        }
        n -= part;
    }
}

static void drop_head(struct wire_rx *rx, size_t n)
{
    memmove(rx->head, rx->head + n, rx->head_have - n);
    rx->head_have -= n;
}

/* A FRAME's head is complete: its payload gets a place. */
static int begin_frame(struct wire_rx *rx)
{
    struct wire_message m;
    int code = wire_parse(rx->head, rx->head_have, &m);
    if (code < 0) {
        return code;
    }
    if (m.u.frame.size > rx->max_frame) {
        return -EMSGSIZE;
    }
    rx->frame = rx->alloc(rx->arg, m.u.frame.size);
    if (!rx->frame) {
        return -ENOMEM;
    }
    rx->frame_head = m.u.frame;
    rx->frame_have = 0;
    drop_head(rx, WIRE_FRAME_HEAD);
    return 0;
}

/* A control message is longer than the head: the rest is read behind what is there. */
static void begin_control(struct wire_rx *rx, size_t size)
{
    memcpy(rx->control, rx->head, rx->head_have);
    rx->control_have = rx->head_have;
    rx->control_need = size;
    rx->head_have = 0;
}

static int take_frame(struct wire_rx *rx, struct wire_message *out, struct frame **frame)
{
    *out = (struct wire_message){ .type = WIRE_FRAME, .u.frame = rx->frame_head };
    rx->frame->size = rx->frame_head.size;
    *frame = rx->frame;
    rx->frame = NULL;
    return 1;
}

static int take_control(struct wire_rx *rx, const uint8_t *data, size_t size,
                        struct wire_message *out)
{
    int code = wire_parse(data, size, out);
    if (data == rx->head) {
        drop_head(rx, size);
    }
    rx->control_need = rx->control_have = 0;
    return code < 0 ? code : 1;
}

/* Something new begins in the head. 1: *out is a whole short message; 0: more needed. */
static int begin(struct wire_rx *rx, struct wire_message *out)
{
    if (rx->head_have < 5) {
        return 0;
    }
    struct reader r = reader_on(rx->head, rx->head_have);
    size_t length = read_be32(&r);
    bool frame = read_u8(&r) == WIRE_FRAME;
    if (length < 1) {
        return -EBADMSG;
    }
    if (length > (frame ? rx->max_frame + WIRE_FRAME_HEAD - 4 : WIRE_CONTROL_MAX - 4)) {
        return -EMSGSIZE;
    }
    if (frame) {
        if (rx->head_have < WIRE_FRAME_HEAD) {
            return 0;
        }
        return begin_frame(rx);
    }
    size_t size = length + 4;
    if (size <= rx->head_have) {
        return take_control(rx, rx->head, size, out);
    }
    if (size > sizeof rx->head) {
        begin_control(rx, size);
    }
    return 0;
}

int wire_rx_next(struct wire_rx *rx, struct wire_message *out, struct frame **frame)
{
    if (!rx->frame && rx->control_need == 0) {
        int code = begin(rx, out);
        if (code != 0) {
            return code;
        }
    }
    if (rx->frame && rx->frame_have == rx->frame_head.size) {
        return take_frame(rx, out, frame);
    }
    if (rx->control_need > 0 && rx->control_have == rx->control_need) {
        return take_control(rx, rx->control, rx->control_need, out);
    }
    return 0;
}
