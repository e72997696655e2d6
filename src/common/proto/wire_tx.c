/* SPDX-License-Identifier: MIT */
#include "pcs/wire_tx.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "pcs/frame.h"

void wire_tx_init(struct wire_tx *tx)
{
    tx->box_size = tx->box_sent = tx->frame_sent = 0;
    tx->frame = NULL;
}

void wire_tx_finish(struct wire_tx *tx)
{
    frame_unref(tx->frame);
    tx->frame = NULL;
}

int wire_tx_put(struct wire_tx *tx, const struct wire_message *m)
{
    if (tx->box_sent > 0) {
        memmove(tx->box, tx->box + tx->box_sent, tx->box_size - tx->box_sent);
        tx->box_size -= tx->box_sent;
        tx->box_sent = 0;
    }
    int n = wire_put(tx->box + tx->box_size, sizeof tx->box - tx->box_size, m);
    if (n < 0) {
        return -ENOBUFS;
    }
    tx->box_size += (size_t)n;
    return 0;
}

void wire_tx_put_frame(struct wire_tx *tx, const struct wire_frame *head, const struct frame *frame)
{
    assert(wire_tx_frame_done(tx));
    struct wire_message m = { .type = WIRE_FRAME, .u.frame = *head };
    m.u.frame.size = (uint32_t)frame->size;
    int n = wire_put(tx->head, sizeof tx->head, &m);
    assert(n == WIRE_FRAME_HEAD);
    (void)n; /* only for the assert */
    tx->frame = frame_ref(frame);
    tx->frame_sent = 0;
}

bool wire_tx_frame_done(const struct wire_tx *tx)
{
    return !tx->frame;
}

static int frame_iov(struct wire_tx *tx, struct iovec *iov)
{
    int n = 0;
    size_t sent = tx->frame_sent;
    if (sent < WIRE_FRAME_HEAD) {
        iov[n++] = (struct iovec){ tx->head + sent, WIRE_FRAME_HEAD - sent };
        sent = WIRE_FRAME_HEAD;
    }
    size_t from = sent - WIRE_FRAME_HEAD;
    if (from < tx->frame->size) {
        iov[n++] = (struct iovec){ (void *)(tx->frame->data + from), tx->frame->size - from };
    }
    return n;
}

static bool frame_begun(const struct wire_tx *tx)
{
    return tx->frame && tx->frame_sent > 0;
}

int wire_tx_iov(struct wire_tx *tx, struct iovec iov[WIRE_TX_IOV])
{
    int n = 0;
    if (tx->box_sent < tx->box_size && !frame_begun(tx)) {
        iov[n++] = (struct iovec){ tx->box + tx->box_sent, tx->box_size - tx->box_sent };
    }
    return tx->frame ? n + frame_iov(tx, iov + n) : n;
}

void wire_tx_sent(struct wire_tx *tx, size_t n)
{
    if (!frame_begun(tx)) {
        size_t box = tx->box_size - tx->box_sent < n ? tx->box_size - tx->box_sent : n;
        tx->box_sent += box;
        n -= box;
        if (tx->box_sent == tx->box_size) {
            tx->box_sent = tx->box_size = 0;
        }
    }
    if (!tx->frame) {
        return;
    }
    tx->frame_sent += n;
    if (tx->frame_sent == WIRE_FRAME_HEAD + tx->frame->size) {
        frame_unref(tx->frame);
        tx->frame = NULL;
        tx->frame_sent = 0;
    }
}
