/* SPDX-License-Identifier: MIT */
#include "v4l2_identity.h"

#include <limits.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "pcs/text.h"
#include "v4l2_device.h"

/* The first line of a file of the folder; empty when there is none. */
static void read_line(const char *folder, const char *name, char *out, int size)
{
    char path[PATH_MAX];
    out[0] = '\0';
    (void)snprintf(path, sizeof path, "%s/%s", folder, name); /* cut: it will not open */
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    if (!fgets(out, size, file)) {
        out[0] = '\0';
    }
    (void)fclose(file);
    out[strcspn(out, "\n")] = '\0';
    text_clean(out, strlen(out));
}

/* `device` is the USB interface, and the folder around it the USB device. */
void v4l2_identity_add_sysfs(struct v4l2_identity *id, const char *folder)
{
    char index[16], *end;
    read_line(folder, "device/../idVendor", id->vendor, sizeof id->vendor);
    read_line(folder, "device/../idProduct", id->product, sizeof id->product);
    read_line(folder, "device/../serial", id->serial, sizeof id->serial);
    read_line(folder, "device/bInterfaceNumber", id->interface, sizeof id->interface);
    read_line(folder, "index", index, sizeof index);
    long number = strtol(index, &end, 10);
    id->index = end == index || number < 0 || number > 255 ? -1 : (int)number;
}

static void copy_text(char *to, size_t size, const unsigned char *from)
{
    memcpy(to, from, size - 1);
    to[size - 1] = '\0';
    text_clean(to, strlen(to));
}

bool v4l2_identity_read(int fd, const char *sysfs, struct v4l2_identity *out)
{
    struct v4l2_capability cap = { 0 };
    struct stat node;
    char folder[PATH_MAX];
    if (v4l2_ioctl(fd, VIDIOC_QUERYCAP, &cap) < 0 || fstat(fd, &node) < 0) {
        return false;
    }
    *out = (struct v4l2_identity){ .index = -1 };
    copy_text(out->driver, sizeof out->driver, cap.driver);
    copy_text(out->card, sizeof out->card, cap.card);
    copy_text(out->bus, sizeof out->bus, cap.bus_info);
    (void)snprintf(folder, sizeof folder, "%s/dev/char/%u:%u", sysfs, major(node.st_rdev),
                   minor(node.st_rdev));
    v4l2_identity_add_sysfs(out, folder);
    return true;
}

static bool same_model(const struct v4l2_identity *a, const struct v4l2_identity *b)
{
    return strcmp(a->driver, b->driver) == 0 && strcmp(a->card, b->card) == 0 &&
           strcmp(a->vendor, b->vendor) == 0 && strcmp(a->product, b->product) == 0 &&
           strcmp(a->interface, b->interface) == 0 && a->index == b->index;
}

enum v4l2_likeness v4l2_identity_compare(const struct v4l2_identity *a,
                                         const struct v4l2_identity *b)
{
    bool same_place = strcmp(a->bus, b->bus) == 0;
    if (!same_model(a, b) || strcmp(a->serial, b->serial) != 0) {
        return V4L2_ANOTHER;
    }
    if (*a->serial) {
        return same_place ? V4L2_SAME : V4L2_SAME_SERIAL;
    }
    return same_place ? V4L2_SAME_PLACE : V4L2_SAME_MODEL;
}
