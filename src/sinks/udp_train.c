/* SPDX-License-Identifier: MIT */
#include "udp_train.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "pcs/frame.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h, since 4.18 */
#endif

#define FIRST_BURST 32    /* chunks, at once: a third of a default socket */
#define BURST       16    /* … then so many at a time */
#define GAP_NS      40000 /* 30 MB/s: what a client in Python keeps up with */

void udp_train_begin(struct udp_train *t, const struct frame *frame, bool raw, uint32_t id,
                     int64_t frame_us, int64_t now_us)
{
    *t = (struct udp_train){ .frame = frame_ref(frame), .id = id, .due_us = now_us };
    if (raw) {
        udp_payload_raw(&t->payload, frame->data, frame->size);
    } else {
        udp_payload_pickle(&t->payload, frame->data, frame->size);
    }
    t->chunks = udp_payload_chunks(&t->payload);
    int64_t half_ns = frame_us * 1000 / 2 / (int64_t)(t->chunks ? t->chunks : 1);
    t->gap_ns = half_ns < GAP_NS ? half_ns : GAP_NS;
}

void udp_train_end(struct udp_train *t)
{
    frame_unref(t->frame);
    t->frame = NULL;
}

/* One burst as it is handed to the kernel. */
struct burst {
    uint8_t start[UDP_START_SIZE];
    uint8_t heads[FIRST_BURST][UDP_CHUNK_HEAD];
    struct iovec start_piece, pieces[FIRST_BURST * UDP_PIECES];
    struct mmsghdr messages[FIRST_BURST + 1];
    uint32_t carries[FIRST_BURST + 1]; /* chunks in each message */
    int count;
    union {
        struct cmsghdr align;
        uint8_t bytes[UDP_CONTROL_MAX + CMSG_SPACE(sizeof(uint16_t))];
    } segmented; /* the route's control and UDP_SEGMENT */
};

static void add_message(struct burst *b, const struct udp_route *route, struct iovec *pieces,
                        int count, uint32_t chunks)
{
    struct msghdr *m = &b->messages[b->count].msg_hdr;
    *m = (struct msghdr){ .msg_name = (void *)&route->to,
                          .msg_namelen = route->to_size,
                          .msg_iov = pieces,
                          .msg_iovlen = (size_t)count,
                          .msg_control = route->control_size ? (void *)route->control : NULL,
                          .msg_controllen = route->control_size };
    b->carries[b->count++] = chunks;
}

static void segment_message(struct burst *b, const struct udp_route *route)
{
    struct msghdr *m = &b->messages[b->count - 1].msg_hdr;
    const uint16_t size = UDP_CHUNK_HEAD + UDP_CHUNK_MAX;
    memcpy(b->segmented.bytes, route->control, route->control_size);
    struct cmsghdr *c = (struct cmsghdr *)(void *)(b->segmented.bytes + route->control_size);
    *c = (struct cmsghdr){ .cmsg_level = SOL_UDP,
                           .cmsg_type = UDP_SEGMENT,
                           .cmsg_len = CMSG_LEN(sizeof size) };
    memcpy(CMSG_DATA(c), &size, sizeof size);
    m->msg_control = b->segmented.bytes;
    m->msg_controllen = route->control_size + CMSG_SPACE(sizeof size);
}

static void fill(struct burst *b, const struct udp_train *t, const struct udp_route *route,
                 uint32_t chunks)
{
    struct iovec *piece = b->pieces;
    b->count = 0;
    if (!t->started) {
        udp_put_start(b->start, t->id, &t->payload);
        b->start_piece = (struct iovec){ b->start, UDP_START_SIZE };
        add_message(b, route, &b->start_piece, 1, 0);
    }
    struct iovec *first = piece;
    for (uint32_t i = 0; i < chunks; i++) {
        size_t size;
        int n = udp_put_chunk(b->heads[i], piece, t->id, t->next + i, &t->payload, &size);
        if (route->plain) {
            add_message(b, route, piece, n, 1);
        }
        piece += n;
    }
    if (!route->plain) {
        add_message(b, route, first, (int)(piece - first), chunks);
    }
    if (!route->plain && chunks > 1) {
        segment_message(b, route);
    }
}

/* One burst. How many of its chunks went out, or a negative errno. */
static int send_burst(struct udp_train *t, int fd, const struct udp_route *route, uint32_t chunks)
{
    struct burst b;
    fill(&b, t, route, chunks);
    int n;
    do {
        n = sendmmsg(fd, b.messages, (unsigned)b.count, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
    int sent = 0;
    for (int i = 0; i < n; i++) {
        sent += (int)b.carries[i];
    }
    t->started |= n > 0;
    t->next += (uint32_t)sent;
    return sent;
}

int udp_train_send(struct udp_train *t, int fd, const struct udp_route *route, int64_t now_us)
{
    while (t->next < t->chunks && now_us >= t->due_us) {
        uint32_t burst = t->next == 0 ? FIRST_BURST : BURST;
        uint32_t left = t->chunks - t->next;
        uint32_t chunks = left < burst ? left : burst;
        int sent = send_burst(t, fd, route, chunks);
        if (sent < 0) {
            return sent;
        }
        if ((uint32_t)sent < chunks) {
            continue; /* why, the next attempt says */
        }
        t->due_us += (int64_t)chunks * t->gap_ns / 1000;
    }
    return t->next < t->chunks;
}
