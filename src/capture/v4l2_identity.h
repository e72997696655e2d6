/* SPDX-License-Identifier: MIT */
/*
 * Which camera is this? What the driver and sysfs tell of it, so that it is known again when it comes
 * back under another number.
 * Threads: any; nothing is kept here.
 */
#pragma once

#include <stdbool.h>

/* Texts are empty where nobody says. */
struct v4l2_identity {
    char driver[17], card[33];
    char bus[33];               /* the place where it is plugged in */
    char vendor[8], product[8]; /* USB, four hex digits */
    char serial[64];
    char interface[8]; /* of the USB device; several cameras may be in one */
    int index;         /* of the node among those of its interface; -1: not known */
};

/* Of the open node. `sysfs` is where that is mounted. False: it does not say what it is. */
bool v4l2_identity_read(int fd, const char *sysfs, struct v4l2_identity *out);

/* Pure but for reading: adds what the folder of a video node in sysfs tells. */
void v4l2_identity_add_sysfs(struct v4l2_identity *id, const char *folder);

/* How sure it is that both are the same camera, least first. */
enum v4l2_likeness {
    V4L2_ANOTHER,
    V4L2_SAME_MODEL, /* neither has a serial number, and the places differ */
    V4L2_SAME_PLACE, /* the same model at the same place */
    V4L2_SAME_SERIAL,
    V4L2_SAME, /* serial number and place: of two with the same number (it happens) the right one */
};
enum v4l2_likeness v4l2_identity_compare(const struct v4l2_identity *a,
                                         const struct v4l2_identity *b);
