/* SPDX-License-Identifier: MIT */
/*
 * Sending side of the wire, without I/O: what goes out next, as iovecs, so that one sendmsg per frame
 * carries waiting control messages, the frame's head and its bytes straight from the shared frame.
 * Control messages never cut into a frame that is on its way.
 * Life: wire_tx_init/wire_tx_finish; holds a reference to the frame being sent. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pcs/wire.h"

#define WIRE_TX_IOV 3

struct wire_tx {
    uint8_t box[2 * WIRE_CONTROL_MAX]; /* control messages waiting */
    size_t box_size, box_sent;
    uint8_t head[WIRE_FRAME_HEAD];
    const struct frame *frame;
    size_t frame_sent; /* of head + payload */
};

void wire_tx_init(struct wire_tx *tx);
void wire_tx_finish(struct wire_tx *tx);

/* Append a control message. -ENOBUFS when the peer reads so little that the box is full. */
int wire_tx_put(struct wire_tx *tx, const struct wire_message *m);

/* Next frame (takes its own reference); only when wire_tx_frame_done(). */
void wire_tx_put_frame(struct wire_tx *tx, const struct wire_frame *head,
                       const struct frame *frame);
bool wire_tx_frame_done(const struct wire_tx *tx);

/* What to send now; 0 iovecs: nothing. Then tell how much of it went out. */
int wire_tx_iov(struct wire_tx *tx, struct iovec iov[WIRE_TX_IOV]);
void wire_tx_sent(struct wire_tx *tx, size_t n);
