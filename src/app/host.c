/* SPDX-License-Identifier: MIT */
/*
 * proc(5); thermal zones: Documentation/ABI/testing/sysfs-class-thermal of Linux; get_throttled: the Raspberry
 * Pi's kernel, which writes it in hexadecimal without 0x. A Pi with a kernel that has not that file still tells
 * of low voltage, by the hwmon device rpi_volt.
 */
#include "host.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "pcs/clock.h"

#define FRESH_US CLOCK_S
#define TEXT     4096

struct ticks {
    uint64_t all, idle;
};

struct host {
    char *root;
    int64_t read_us;
    struct ticks ticks; /* at the last reading */
    struct host_health health;
};

/* The beginning of a file; "" when it cannot be read. Its path comes in three pieces. */
static const char *slurp(const struct host *h, char text[TEXT], const char *folder,
                         const char *name, const char *file)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s%s%s", h->root, folder, name, file);
    FILE *f = fopen(path, "re");
    size_t got = f ? fread(text, 1, TEXT - 1, f) : 0;
    if (f) {
        (void)fclose(f);
    }
    text[got] = '\0';
    return text;
}

static DIR *open_dir(const struct host *h, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", h->root, name);
    return opendir(path);
}

/* ---- processor ---- */

/* user nice system idle iowait irq softirq steal: guest times are in the first two already. */
static struct ticks read_ticks(const struct host *h)
{
    char text[TEXT];
    uint64_t v[8] = { 0 };
    struct ticks t = { 0 };
    (void)sscanf(slurp(h, text, "/proc/stat", "", ""),
                 "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                 " %" SCNu64 " %" SCNu64,
                 &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]);
    for (int i = 0; i < 8; i++) {
        t.all += v[i];
    }
    t.idle = v[3] + v[4];
    return t;
}

static void read_cpu(struct host *h)
{
    char text[TEXT];
    struct ticks now = read_ticks(h);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    h->health.cpus = cpus > 0 ? (unsigned)cpus : 1;
    if (now.all > h->ticks.all && now.idle >= h->ticks.idle) {
        double all = (double)(now.all - h->ticks.all);
        h->health.cpu_load = 1 - (double)(now.idle - h->ticks.idle) / all;
        h->ticks = now;
    }
    h->health.load_average = strtod(slurp(h, text, "/proc/loadavg", "", ""), NULL);
    h->health.uptime_s = strtod(slurp(h, text, "/proc/uptime", "", ""), NULL);
}

/* ---- temperature and power ---- */

static void read_temperature(struct host *h)
{
    DIR *dir = open_dir(h, "/sys/class/thermal");
    struct dirent *e;
    char text[TEXT], *end;
    h->health.has_temperature = false;
    while (dir && (e = readdir(dir)) != NULL) {
        if (strncmp(e->d_name, "thermal_zone", 12) != 0) {
            continue;
        }
        double c =
            (double)strtol(slurp(h, text, "/sys/class/thermal/", e->d_name, "/temp"), &end, 10) /
            1000;
        if (end > text && (!h->health.has_temperature || c > h->health.temperature_c)) {
            h->health.has_temperature = true;
            h->health.temperature_c = c;
        }
    }
    if (dir) {
        closedir(dir);
    }
}

/* The alarm is of the present moment only. */
static void read_volt(struct host *h)
{
    DIR *dir = open_dir(h, "/sys/class/hwmon");
    struct dirent *e;
    char text[TEXT];
    while (dir && (e = readdir(dir)) != NULL) {
        if (strncmp(slurp(h, text, "/sys/class/hwmon/", e->d_name, "/name"), "rpi_volt", 8) == 0) {
            const char *alarm = slurp(h, text, "/sys/class/hwmon/", e->d_name, "/in0_lcrit_alarm");
            h->health.has_throttled = *alarm != '\0';
            h->health.throttled = *alarm == '1' ? HOST_UNDER_VOLTAGE : 0;
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static void read_throttled(struct host *h)
{
    char text[TEXT], *end;
    unsigned long bits = strtoul(
        slurp(h, text, "/sys/devices/platform/soc/soc:firmware/get_throttled", "", ""), &end, 16);
    h->health.has_throttled = end > text;
    h->health.throttled = (unsigned)bits;
    if (!h->health.has_throttled) {
        read_volt(h);
    }
}

/* ---- memory, disk, ourselves ---- */

/* Of a line "Name:   123 kB". */
static uint64_t bytes_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static void read_space(struct host *h)
{
    char text[TEXT], path[512];
    struct statvfs fs;
    slurp(h, text, "/proc/meminfo", "", "");
    h->health.memory_bytes = bytes_of(text, "MemTotal:");
    h->health.memory_available_bytes = bytes_of(text, "MemAvailable:");
    (void)snprintf(path, sizeof path, "%s/", h->root);
    if (statvfs(path, &fs) == 0) {
        h->health.disk_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        h->health.disk_available_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    }
}

static unsigned count_fds(const struct host *h)
{
    DIR *dir = open_dir(h, "/proc/self/fd");
    unsigned n = 0;
    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n > 3 ? n - 3 : 0; /* ".", ".." and the one of this reading */
}

static void read_process(struct host *h)
{
    char text[TEXT];
    struct timespec used = { 0 };
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used); /* cannot fail */
    h->health.process_cpu_s = (double)used.tv_sec + (double)used.tv_nsec / 1e9;
    slurp(h, text, "/proc/self/status", "", "");
    h->health.process_memory_bytes = bytes_of(text, "VmRSS:");
    h->health.process_threads = (unsigned)(bytes_of(text, "Threads:") / 1024);
    h->health.process_fds = count_fds(h);
}

/* ---- life ---- */

struct host *host_new(const char *root)
{
    struct host *h = calloc(1, sizeof *h);
    if (!h) {
        return NULL;
    }
    h->root = strdup(root);
    if (!h->root) {
        free(h);
        return NULL;
    }
    h->ticks = read_ticks(h); /* what the first reading is compared with */
    return h;
}

void host_free(struct host *h)
{
    if (h) {
        free(h->root);
        free(h);
    }
}

void host_get(struct host *h, int64_t now_us, struct host_health *out)
{
    if (h->read_us == 0 || now_us - h->read_us >= FRESH_US) {
        h->read_us = now_us;
        read_cpu(h);
        read_temperature(h);
        read_throttled(h);
        read_space(h);
        read_process(h);
    }
    *out = h->health;
}
