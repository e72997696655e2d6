/* SPDX-License-Identifier: MIT */
/*
 * The wire between sender and receiver: docs/protocol.md has the byte tables. Pure: bytes in, structs
 * out, no I/O. Every message is a big-endian u32 length (of what follows) and a body that begins with
 * a type byte.
 *
 * Receiving copies no payload twice: wire_rx_want() says where the next bytes should be read to — the
 * fixed head first, then a frame's bytes straight into the frame's own buffer, with the next head
 * behind them — so one recvmsg per frame is the rule.
 *
 * Life: a struct wire_rx is the caller's; finish it to drop a frame in the making.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pcs/bytes.h"
#include "pcs/err.h"
#include "pcs/format.h"

struct frame;

#define WIRE_MAGIC       0x50435357u /* "PCSW" */
#define WIRE_VERSION     1
#define WIRE_NAME_MAX    64 /* bytes of UTF-8, without the NUL */
#define WIRE_TEXT_MAX    200
#define WIRE_FRAME_HEAD  40                 /* length, type and fixed fields of a FRAME */
#define WIRE_CONTROL_MAX 512                /* whole message that is not a FRAME */
#define WIRE_FRAME_MAX   (32 * 1024 * 1024) /* payload of one FRAME */

#define WIRE_SEQ_MAX  (UINT64_C(1) << 62) /* frame numbers: 1 … */
#define WIRE_TIME_MAX (INT64_C(1) << 61)  /* clocks in us: 0 … */

enum wire_type {
    WIRE_HELLO = 1,   /* sender → receiver, first */
    WIRE_WELCOME = 2, /* receiver → sender, the answer */
    WIRE_FRAME = 3,   /* s → r */
    WIRE_FORMAT = 4,  /* s → r: frames from here on have another format */
    WIRE_BYE = 5,     /* s → r: the stream has ended; nothing more will come in this session */
    WIRE_ACK = 6,     /* r → s: synced to disk, and parsed */
    WIRE_PING = 7,    /* r → s: clock probe */
    WIRE_PONG = 8,    /* s → r */
    WIRE_KEY = 9,     /* r → s: a key frame, please */
    WIRE_REPLAY = 10, /* r → s: go on from this number again */
    WIRE_ERROR = 11,  /* both: why the connection is about to be closed */
};

enum wire_error_code {
    WIRE_E_PROTOCOL = 1, /* not this protocol, or broken */
    WIRE_E_VERSION = 2,
    WIRE_E_BUSY = 3, /* too many senders */
    WIRE_E_REFUSED = 4,
    WIRE_E_LIMIT = 5, /* a length beyond the limits */
};

struct wire_hello {
    uint16_t version;
    uint8_t session[16];          /* random, one per run of the sender */
    uint64_t first_seq, next_seq; /* oldest frame it can still send, next it will make */
    int64_t mono_us, wall_us;     /* the sender's two clocks at one moment */
    struct format format;
    char name[WIRE_NAME_MAX + 1];
    char software[WIRE_NAME_MAX + 1];
};

struct wire_welcome {
    uint16_t version;
    uint64_t from_seq; /* go on here; 0 = new to me: with all that was never acknowledged */
    bool need_key;     /* … beginning with a key frame at or before from_seq */
    bool has_id;       /* the receiver can be recognised when it connects again */
    uint8_t id[16];    /* … by this, even after it was restarted */
    char name[WIRE_NAME_MAX + 1];
    char software[WIRE_NAME_MAX + 1];
};

enum wire_frame_flags {
    WIRE_FRAME_KEY = 1,
    WIRE_FRAME_AGAIN = 2,   /* was sent before on some connection */
    WIRE_FRAME_REWOUND = 4, /* first frame after WELCOME or REPLAY: the number may go back */
};

struct wire_frame {
    uint8_t flags;
    uint64_t seq;
    int64_t capture_us; /* sender's monotonic clock */
    uint32_t pts_delay_us;
    uint32_t encode_us; /* capture → packet ready, saturating */
    uint32_t send_us;   /* capture → handed to the socket, saturating */
    uint32_t skipped;   /* frames so far in this session that were never sent, modulo 2^32 */
    uint32_t size;      /* payload bytes (not on the wire: the length says it) */
};

struct wire_bye {
    uint64_t next_seq; /* one past the last frame of the session */
    uint32_t skipped;
};

struct wire_ack {
    uint64_t synced_seq;   /* every frame up to here is safe on disk; 0 = none */
    uint64_t received_seq; /* … parsed */
};

struct wire_ping {
    int64_t t0_us; /* receiver's clock */
};

struct wire_pong {
    int64_t t0_us, t1_us, t2_us; /* echoed; sender's clock at arrival and at answering */
};

struct wire_replay {
    uint64_t from_seq;
    bool need_key;
};

struct wire_error {
    uint16_t code;
    char text[WIRE_TEXT_MAX + 1];
};

struct wire_message {
    enum wire_type type;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_frame frame;
        struct format format;
        struct wire_bye bye;
        struct wire_ack ack;
        struct wire_ping ping;
        struct wire_pong pong;
        struct wire_replay replay;
        struct wire_error error;
    } u;
};

/* Write one whole message (of a FRAME: its WIRE_FRAME_HEAD bytes; the payload of u.frame.size bytes
 * follows it on the wire). Texts are cut to their limits. Returns the bytes, or -ENOSPC. */
int wire_put(uint8_t *out, size_t capacity, const struct wire_message *m);

/* Parse one whole control message (from its length on) or a FRAME's head. 0 or -EBADMSG, -EMSGSIZE. */
int wire_parse(const uint8_t *data, size_t size, struct wire_message *out);

struct wire_rx {
    size_t max_frame; /* largest payload taken; 0 = only control messages */
    struct frame *(*alloc)(void *arg, size_t size);
    void *arg;

    uint8_t head[WIRE_FRAME_HEAD];
    size_t head_have;
    uint8_t control[WIRE_CONTROL_MAX];
    size_t control_need, control_have; /* need > 0: a long control message is arriving */
    struct wire_frame frame_head;
    struct frame *frame; /* being filled */
    size_t frame_have;
};

void wire_rx_init(struct wire_rx *rx, size_t max_frame, struct frame *(*alloc)(void *, size_t),
                  void *arg);
void wire_rx_finish(struct wire_rx *rx);

/* Where the next bytes go: fills up to two iovecs, returns how many (never 0). */
int wire_rx_want(struct wire_rx *rx, struct iovec iov[2]);

/* `n` bytes have been read into them. Then call wire_rx_next until it gives 0. */
void wire_rx_got(struct wire_rx *rx, size_t n);

/*
 * 1: a message is in *out; for a FRAME, *frame is its filled buffer with the reference (size set,
 * nothing else). 0: more bytes needed. Negative: -EBADMSG, -EMSGSIZE, -ENOMEM; the stream is lost.
 */
int wire_rx_next(struct wire_rx *rx, struct wire_message *out, struct frame **frame);
