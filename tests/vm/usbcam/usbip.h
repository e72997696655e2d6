/* SPDX-License-Identifier: MIT */
/*
 * The cable: the kernel's usbip virtual host controller (vhci-hcd), which gets its transfers over a
 * socket. The messages are described in the kernel's Documentation/usb/usbip_protocol.rst.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum usbip_what { USBIP_CONTROL, USBIP_BULK, USBIP_UNLINK };

struct usbip_request {
    enum usbip_what what;
    uint32_t seq;
    uint32_t length;   /* what the host sends, or at most wants */
    uint32_t unlinked; /* USBIP_UNLINK: the seq of the transfer that is not wanted any more */
    uint8_t setup[8];
    uint8_t data[4096]; /* of a transfer to the device */
};

/* Plugs a high-speed device into a free port: the socket, or a negative errno (said on stderr). */
int usbip_plug(void);

/* 0, or negative: the cable is out. */
int usbip_read(int sock, struct usbip_request *request);
/* Answer a transfer from the device with head and data, or one to it by its length. */
int usbip_send(int sock, uint32_t seq, const void *head, size_t head_size, const void *data,
               size_t size);
int usbip_accept(int sock, uint32_t seq, size_t length);
int usbip_refuse(int sock, uint32_t seq, int code);
int usbip_unlinked(int sock, uint32_t seq, int code);
