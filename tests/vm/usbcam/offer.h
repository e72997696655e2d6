/* SPDX-License-Identifier: MIT */
/*
 * What the webcam offers, as USB descriptors: USB Device Class Definition for Video Devices 1.1, its
 * payload specifications "Uncompressed", "MJPEG" and "Frame Based" (H.264).
 * Life: filled in once, before the camera is plugged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFER_SIZES   8
#define OFFER_PAYLOAD 16384 /* dwMaxPayloadTransferSize: one URB of uvcvideo's */
#define OFFER_PROBE   34    /* bytes of a UVC 1.1 video probe and commit control */
#define OFFER_LARGEST 2048  /* more than the descriptors of all sizes need */

enum kind { KIND_YUYV, KIND_MJPEG, KIND_H264, KIND_COUNT };

struct offer {
    struct {
        unsigned width, height;
    } sizes[OFFER_SIZES];
    unsigned size_count;
    enum kind kinds[KIND_COUNT]; /* UVC's format index is the place in here, plus 1 */
    unsigned kind_count;
    unsigned fps;
    const char *name, *serial;
};

const char *kind_name(enum kind kind);

/* The descriptor of that type (device, configuration, string) and index; *size bytes in out. -EPIPE:
 * there is none. */
int offer_get(const struct offer *offer, unsigned type, unsigned index, uint8_t out[OFFER_LARGEST],
              size_t *size);

/* Make what the host probes for into something the camera has. */
void offer_negotiate(const struct offer *offer, uint8_t probe[OFFER_PROBE]);
/* What a negotiated probe stands for. */
enum kind offer_kind(const struct offer *offer, const uint8_t probe[OFFER_PROBE]);
unsigned offer_width(const struct offer *offer, const uint8_t probe[OFFER_PROBE]);
unsigned offer_height(const struct offer *offer, const uint8_t probe[OFFER_PROBE]);
