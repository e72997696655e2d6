/* SPDX-License-Identifier: MIT */
/*
 * One emulated V4L2 camera for the whole process, with any number of open file handles. A thread
 * plays the sensor while it streams. Settings come from the environment whenever the first handle is
 * opened; commands from the control file at every frame and every call (README.md).
 * Threads: any; one lock inside.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

bool device_is_node(const char *path);
bool device_is_path(const char *path); /* also a symbolic link to it */
int device_open(int flags);            /* an fd, or -1 with errno */
bool device_owns(int fd);
void device_close(int fd);
int device_ioctl(int fd, unsigned long request, void *arg); /* 0, or -1 with errno */
void *device_map(int fd, size_t size, int prot, int flags, off_t offset);
void device_unmapped(void *at);
bool device_present(void); /* plugged in: does its node exist? */

/* What poll(2) says of it now; *event_fd becomes readable when an event waits. -1: not ours. */
int device_poll(int fd, short events, int *event_fd);
