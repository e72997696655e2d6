/* SPDX-License-Identifier: MIT */
/*
 * WebSocket (RFC 6455): the handshake, our messages' heads, and, by wslay, what clients send. Of that only
 * pings and the end matter; messages are read, checked and thrown away at once, at most 64 KiB each.
 * Life: ws_new/ws_free, by the viewer. Threads: the web thread; the pure functions any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client;
struct frame;
struct part;
struct web_request;
struct ws;

#define WS_ACCEPT_SIZE 29
#define WS_HEAD_MAX    10

/* Sec-WebSocket-Accept for a client's key (RFC 6455, 4.2.2). False: no key. */
bool ws_accept_key(const char *key, char out[WS_ACCEPT_SIZE]);
/* Head of an unmasked, final frame; how many bytes. */
size_t ws_head(unsigned opcode, uint64_t payload, uint8_t out[WS_HEAD_MAX]);

/* 0, or the status with which the request is to be refused: 426 when it is none for a WebSocket. */
int ws_check(const struct web_request *r);
struct part *ws_hello(const struct client *c, const struct web_request *r);
struct part *ws_part(const struct frame *frame); /* the frame, and its time behind it */
struct part *ws_goodbye(void);                   /* 1001, going away */

/* `read` gives what the client has sent: > 0 bytes, -EAGAIN, or another negative when it is gone. */
struct ws *ws_new(ssize_t (*read)(void *arg, void *to, size_t size), void *arg);
void ws_free(struct ws *ws);

enum ws_state { WS_OPEN, WS_MORE /* there may be more to read at once */, WS_ENDED, WS_GONE };
enum ws_state ws_read(struct ws *ws);
/* What it wants answered, or NULL. After WS_ENDED the last word. */
struct part *ws_take_answer(struct ws *ws);
