/* SPDX-License-Identifier: MIT */
/*
 * Host: how the machine is that we run on, from /proc and /sys, and what we take of it. What a machine does
 * not tell stays unknown.
 * Life: host_new/host_free. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Of the Raspberry Pi's firmware, as "vcgencmd get_throttled" prints them: now; 16 bits higher: since the
 * start of the machine. */
enum host_throttled {
    HOST_UNDER_VOLTAGE = 1,
    HOST_FREQUENCY_CAPPED = 2,
    HOST_THROTTLED = 4,
    HOST_SOFT_TEMPERATURE_LIMIT = 8,
};
#define HOST_SINCE_START 16

struct host_health {
    unsigned cpus;
    double cpu_load;     /* share of all cores that is busy, 0 to 1, over the last seconds */
    double load_average; /* of the last minute */
    bool has_temperature, has_throttled;
    double temperature_c; /* of the hottest zone */
    unsigned throttled;   /* of host_throttled */
    uint64_t memory_bytes, memory_available_bytes;
    uint64_t disk_bytes, disk_available_bytes; /* of the root file system */
    double uptime_s;

    /* this program's */
    double process_cpu_s; /* since its start */
    uint64_t process_memory_bytes;
    unsigned process_threads, process_fds;
};

struct host;

/* `root` is put in front of all paths: "" but for tests. NULL: no memory. */
struct host *host_new(const char *root);
void host_free(struct host *h);
/* Read again when the last reading is older than a second. */
void host_get(struct host *h, int64_t now_us, struct host_health *out);
