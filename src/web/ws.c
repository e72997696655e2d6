/* SPDX-License-Identifier: MIT */
#include "ws.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "http_parse.h"
#include "part.h"
#include "pcs/frame.h"
#include "request_internal.h"

#define MESSAGE_MAX 65536 /* of a client */
#define CONTROL_BIT 8     /* in an opcode */
#define READ_A_TURN ((size_t)65536)
#define ANSWERS_MAX 64 /* that a client has asked for in one turn: with more it is none to keep */
/* Room for all of them: half an answer would have frames of the stream in its middle. Control frames are no
 * longer than that (RFC 6455, 5.5). */
#define ANSWER_BYTES ((size_t)ANSWERS_MAX * (2 + 125))

/* ---- pure ---- */

bool ws_accept_key(const char *key, char out[WS_ACCEPT_SIZE])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    unsigned char nonce[24], digest[SHA_DIGEST_LENGTH];
    char text[24 + sizeof magic];
    if (!key || strlen(key) != 24 || strcmp(key + 22, "==") != 0 ||
        EVP_DecodeBlock(nonce, (const unsigned char *)key, 24) != 18) {
        return false;
    }
    (void)snprintf(text, sizeof text, "%s%s", key, magic);
    SHA1((const unsigned char *)text, strlen(text), digest);
    (void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest); /* 28 and a NUL */
    return true;
}

size_t ws_head(unsigned opcode, uint64_t payload, uint8_t out[WS_HEAD_MAX])
{
    int bytes = payload < 126 ? 0 : payload < 65536 ? 2 : 8;
    out[0] = (uint8_t)(0x80 | opcode);
    out[1] = (uint8_t)(bytes == 0 ? payload : bytes == 2 ? 126 : 127);
    for (int i = 0; i < bytes; i++) {
        out[2 + i] = (uint8_t)(payload >> (8 * (bytes - 1 - i)));
    }
    return 2 + (size_t)bytes;
}

/* ---- what we say ---- */

int ws_check(const struct web_request *r)
{
    char accept[WS_ACCEPT_SIZE];
    const char *version = web_header(r, "Sec-WebSocket-Version");
    if (!http_lists(&r->head, "Upgrade", "websocket") ||
        !http_lists(&r->head, "Connection", "upgrade")) {
        return 426;
    }
    if (r->head.minor == 0 || r->is_head || r->method != WEB_GET) {
        return 400;
    }
    if (!version || strcmp(version, "13") != 0) {
        return 426;
    }
    return ws_accept_key(web_header(r, "Sec-WebSocket-Key"), accept) ? 0 : 400;
}

struct part *ws_hello(const struct client *c, const struct web_request *r)
{
    char head[REPLY_HEAD], accept[WS_ACCEPT_SIZE];
    (void)ws_accept_key(web_header(r, "Sec-WebSocket-Key"), accept); /* ws_check has seen it */
    size_t n = reply_start(c, r, 101, head);
    n += (size_t)snprintf(head + n, sizeof head - n,
                          "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    return part_new(NULL, head, n, NULL, 0);
}

struct part *ws_part(const struct frame *frame)
{
    uint8_t head[WS_HEAD_MAX], tail[8];
    uint64_t ms = (uint64_t)(frame->wall_us / 1000);
    for (int i = 0; i < 8; i++) {
        tail[i] = (uint8_t)(ms >> (8 * i));
    }
    size_t n = ws_head(WSLAY_BINARY_FRAME, frame->size + sizeof tail, head);
    return part_new(frame, head, n, tail, sizeof tail);
}

struct part *ws_goodbye(void)
{
    static const uint8_t away[] = { 0x88, 2, 1001 >> 8, 1001 & 0xff };
    return part_new(NULL, away, sizeof away, NULL, 0);
}

/* ---- what clients say ---- */

struct ws {
    wslay_event_context_ptr context;
    ssize_t (*read)(void *arg, void *to, size_t size);
    void *arg;
    size_t budget; /* that may still be read in this turn */
    bool gone, failed;
    uint64_t message; /* bytes of the one that is coming, so far */
    size_t answered;
    uint8_t answer[ANSWER_BYTES];
};

static ssize_t on_read(wslay_event_context_ptr context, uint8_t *to, size_t size, int flags,
                       void *arg)
{
    struct ws *ws = arg;
    (void)flags;
    if (ws->budget == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    ssize_t n = ws->read(ws->arg, to, size < ws->budget ? size : ws->budget);
    if (n <= 0) {
        ws->gone = n != -EAGAIN;
        wslay_event_set_error(context,
                              ws->gone ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    ws->budget -= (size_t)n;
    return n;
}

static ssize_t on_write(wslay_event_context_ptr context, const uint8_t *data, size_t size,
                        int flags, void *arg)
{
    struct ws *ws = arg;
    size_t room = sizeof ws->answer - ws->answered, n = size < room ? size : room;
    (void)flags;
    if (n == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(ws->answer + ws->answered, data, n);
    ws->answered += n;
    return (ssize_t)n;
}

/* Known with the first byte of a frame. wslay adds up only what it keeps. */
static void on_frame(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
    struct ws *ws = arg;
    if (frame->opcode & CONTROL_BIT) {
        return;
    }
    ws->message = frame->opcode == WSLAY_CONTINUATION_FRAME ? ws->message : 0;
    ws->message += frame->payload_length; /* 63 bits, and the end of it when that is too much */
    if (ws->message > MESSAGE_MAX) {
        (void)wslay_event_queue_close(context, WSLAY_CODE_MESSAGE_TOO_BIG, NULL, 0);
        wslay_event_shutdown_read(context);
    }
}

struct ws *ws_new(ssize_t (*read)(void *arg, void *to, size_t size), void *arg)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_read,
        .send_callback = on_write,
        .on_frame_recv_start_callback = on_frame,
    };
    struct ws *ws = calloc(1, sizeof *ws);
    if (!ws || wslay_event_context_server_init(&ws->context, &callbacks, ws) != 0) {
        free(ws);
        return NULL;
    }
    ws->read = read;
    ws->arg = arg;
    wslay_event_config_set_max_recv_msg_length(ws->context, UINT64_MAX); /* see on_frame */
    /* It would keep each piece of a message by itself: a hundred bytes for one. */
    wslay_event_config_set_no_buffering(ws->context, 1);
    return ws;
}

void ws_free(struct ws *ws)
{
    if (ws) {
        wslay_event_context_free(ws->context);
        free(ws);
    }
}

enum ws_state ws_read(struct ws *ws)
{
    ws->budget = READ_A_TURN;
    int code = wslay_event_recv(ws->context);
    if (ws->gone || code == WSLAY_ERR_NOMEM ||
        wslay_event_get_queued_msg_count(ws->context) > ANSWERS_MAX) {
        return WS_GONE;
    }
    if (code != 0) { /* wslay would end it without saying why */
        static const uint8_t wrong[] = { 0x88, 2, 1002 >> 8, 1002 & 0xff };
        memcpy(ws->answer, wrong, sizeof wrong);
        ws->answered = sizeof wrong;
        ws->failed = true;
        return WS_ENDED;
    }
    if (!wslay_event_get_read_enabled(ws->context) || wslay_event_get_close_received(ws->context)) {
        return WS_ENDED;
    }
    return ws->budget == 0 ? WS_MORE : WS_OPEN;
}

struct part *ws_take_answer(struct ws *ws)
{
    if (!wslay_event_want_write(ws->context) && ws->answered == 0) {
        return NULL;
    }
    if (!ws->failed) {
        (void)wslay_event_send(ws->context); /* there is room for all */
    }
    struct part *part = part_new(NULL, ws->answer, ws->answered, NULL, 0);
    ws->answered = 0;
    return part;
}
