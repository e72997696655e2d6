/* SPDX-License-Identifier: MIT */
/*
 * The wire of the UDP service, protocol 1.1 (docs/udp-service.md): what clients say, and what one picture
 * looks like as datagrams. Pure: bytes in, bytes out, no I/O. Nothing is copied: a datagram is a list of
 * pieces that lie where they are.
 * Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define UDP_START_SIZE 23   /* "FRAME_START" + three little-endian u32 */
#define UDP_CHUNK_HEAD 13   /* "CHUNK" + two little-endian u32 */
#define UDP_CHUNK_MAX  1200 /* bytes of the picture in one datagram */
#define UDP_SAY_MAX    15   /* our answers: never longer than the shortest REGISTER_CLIENT */
#define UDP_PIECES     4    /* of one datagram */

enum udp_request {
    UDP_NOTHING, /* not of this protocol */
    UDP_REGISTER,
    UDP_REGISTER_RAW,
    UDP_PROVE,
    UDP_KEEPALIVE,
    UDP_DISCONNECT,
};

/* What a client says. Blanks, line ends and NULs behind it do not matter. `cookie` is set for UDP_PROVE. */
enum udp_request udp_parse(const void *data, size_t size, uint32_t *cookie);

/* "PROVE 0123abcd" without a NUL; the bytes written. */
size_t udp_put_prove(char out[UDP_SAY_MAX], uint32_t cookie);

/*
 * What only somebody who receives at this address and port can know: a keyed hash (SipHash-2-4) of where
 * they are and when. `slot` counts half minutes; take the present and the last one's.
 */
uint32_t udp_cookie(const uint8_t key[16], const void *where, size_t size, uint64_t slot);

/* One picture as a client gets it: as it is, or as a pickle of a numpy.uint8 array. */
struct udp_payload {
    const uint8_t *data;
    size_t size; /* of data */
    uint8_t head[25], tail[13];
    size_t head_size, tail_size; /* 0 = as it is */
};

void udp_payload_raw(struct udp_payload *p, const void *data, size_t size);
void udp_payload_pickle(struct udp_payload *p, const void *data, size_t size);
size_t udp_payload_size(const struct udp_payload *p);
uint32_t udp_payload_chunks(const struct udp_payload *p);

void udp_put_start(uint8_t out[UDP_START_SIZE], uint32_t id, const struct udp_payload *p);

/*
 * Chunk `index` of the picture: writes its head into `head` and the whole datagram, head first, into
 * `pieces`. The number of pieces; *size is their sum.
 */
int udp_put_chunk(uint8_t head[UDP_CHUNK_HEAD], struct iovec pieces[UDP_PIECES], uint32_t id,
                  uint32_t index, const struct udp_payload *p, size_t *size);
