/* SPDX-License-Identifier: MIT */
#include "usbip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VHCI       "/sys/devices/platform/vhci_hcd.0/"
#define HIGH_SPEED 3
#define PORT_FREE  4 /* VDEV_ST_NULL */
#define PLUG_TRIES 50

enum { CMD_SUBMIT = 1, CMD_UNLINK, RET_SUBMIT, RET_UNLINK };

struct header {
    uint32_t command, seq, devid, direction, ep;
    union {
        struct {
            uint32_t flags, length, start, packets, interval;
            uint8_t setup[8];
        } submit;
        struct {
            uint32_t status, length, start, packets, errors;
        } done;
        struct {
            uint32_t seq;
        } unlink;
        uint32_t pad[7];
    };
};
_Static_assert(sizeof(struct header) == 48, "usbip header");

static int read_all(int sock, void *to, size_t size)
{
    for (char *p = to; size > 0;) {
        ssize_t got = recv(sock, p, size, 0);
        if (got <= 0) {
            return -EPIPE;
        }
        p += got;
        size -= (size_t)got;
    }
    return 0;
}

static int write_all(int sock, const void *from, size_t size)
{
    for (const char *p = from; size > 0;) {
        ssize_t sent = send(sock, p, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return -EPIPE;
        }
        p += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int answer(int sock, uint32_t command, uint32_t seq, int status, size_t length)
{
    struct header h = { .command = htonl(command), .seq = htonl(seq) };
    h.done.status = htonl((uint32_t)status);
    h.done.length = htonl((uint32_t)length);
    return write_all(sock, &h, sizeof h);
}

int usbip_send(int sock, uint32_t seq, const void *head, size_t head_size, const void *data,
               size_t size)
{
    int code = answer(sock, RET_SUBMIT, seq, 0, head_size + size);
    if (code == 0) {
        code = write_all(sock, head, head_size);
    }
    return code < 0 ? code : write_all(sock, data, size);
}

int usbip_accept(int sock, uint32_t seq, size_t length)
{
    return answer(sock, RET_SUBMIT, seq, 0, length);
}

int usbip_refuse(int sock, uint32_t seq, int code)
{
    return answer(sock, RET_SUBMIT, seq, code, 0);
}

int usbip_unlinked(int sock, uint32_t seq, int code)
{
    return answer(sock, RET_UNLINK, seq, code, 0);
}

int usbip_read(int sock, struct usbip_request *request)
{
    struct header h;
    int code = read_all(sock, &h, sizeof h);
    if (code < 0) {
        return code;
    }
    bool out = ntohl(h.direction) == 0, unlink = ntohl(h.command) == CMD_UNLINK;
    request->seq = ntohl(h.seq);
    request->what = unlink ? USBIP_UNLINK : ntohl(h.ep) ? USBIP_BULK : USBIP_CONTROL;
    request->unlinked = ntohl(h.unlink.seq);
    request->length = ntohl(h.submit.length);
    memcpy(request->setup, h.submit.setup, sizeof request->setup);
    if (unlink || !out) {
        return 0;
    }
    return request->length > sizeof request->data ? -EMSGSIZE
                                                  : read_all(sock, request->data, request->length);
}

static int find_port(void)
{
    char line[256], hub[8];
    FILE *file = fopen(VHCI "status", "re");
    if (!file) {
        perror(VHCI "status (modprobe vhci-hcd?)");
        return -ENODEV;
    }
    int found = -EBUSY;
    while (found < 0 && fgets(line, sizeof line, file)) {
        int port, status;
        if (sscanf(line, "%7s %d %d", hub, &port, &status) == 3 && strcmp(hub, "hs") == 0 &&
            status == PORT_FREE) {
            found = port;
        }
    }
    (void)fclose(file);
    return found;
}

static int attach(int port, int sock)
{
    FILE *file = fopen(VHCI "attach", "we");
    if (!file) {
        return -errno;
    }
    (void)fprintf(file, "%d %d %d %d", port, sock, 0x10000 + port, HIGH_SPEED);
    return fclose(file) == 0 ? 0 : -errno; /* it is written only now */
}

int usbip_plug(void)
{
    int pair[2], port = -EBUSY;
    for (int i = 0; port == -EBUSY && i < PLUG_TRIES; i++) {
        port = find_port();
        if (port == -EBUSY) {
            (void)poll(NULL, 0, 100); /* the one of the last unplugging takes a moment */
        }
    }
    if (port < 0) {
        return port;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    int code = attach(port, pair[0]);
    close(pair[0]);
    if (code < 0) {
        perror(VHCI "attach");
        close(pair[1]);
        return code;
    }
    printf("plugged into port %d\n", port);
    return pair[1];
}
