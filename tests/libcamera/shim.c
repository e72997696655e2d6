/* SPDX-License-Identifier: MIT */
/*
 * For LD_PRELOAD: lets libcamera find cameras on a machine that has none.
 *
 *   $PCS_VIRTUAL_YAML  what the virtual pipeline handler (0.4 and later) reads as its virtual.yaml.
 *   /dev/udmabuf       Where the kernel has none, the memfd itself is handed back as the DMABUF.
 *   of_node            The UVC handler names a camera after the firmware's node of its USB controller and
 *                      refuses one that has none, such as vhci-hcd, the emulated one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

static bool ends_in(const char *text, const char *tail)
{
    size_t size = text ? strlen(text) : 0, end = strlen(tail);
    return size >= end && strcmp(text + size - end, tail) == 0;
}

/* Where a path really leads. */
static const char *lead(const char *path)
{
    const char *yaml = getenv("PCS_VIRTUAL_YAML");
    return yaml && ends_in(path, "/pipeline/virtual/virtual.yaml") ? yaml : path;
}

static int open_at(const char *name, const char *path, int flags, int mode)
{
    int fd = REAL(name, int (*)(const char *, int, ...))(lead(path), flags, mode);
    return fd < 0 && ends_in(path, "/dev/udmabuf") ? memfd_create("udmabuf", MFD_CLOEXEC) : fd;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return open_at("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return open_at("open64", path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    int result = REAL("ioctl", int (*)(int, unsigned long, ...))(fd, request, arg);
    if (result < 0 && request == UDMABUF_CREATE) {
        return fcntl((int)((struct udmabuf_create *)arg)->memfd, F_DUPFD_CLOEXEC, 3);
    }
    return result < 0 && request == DMA_BUF_IOCTL_SYNC ? 0 : result;
}

static bool is_vhci_node(const char *path)
{
    const char *hcd = path ? strstr(path, "/vhci_hcd.") : NULL;
    const char *end = hcd ? strchr(hcd + 1, '/') : NULL;
    return end && strcmp(end, "/of_node") == 0;
}

char *realpath(const char *path, char *resolved)
{
    if (is_vhci_node(path) && !resolved) {
        return strdup("/sys/firmware/devicetree/base/vhci");
    }
    return REAL("realpath", char *(*)(const char *, char *))(path, resolved);
}

int stat(const char *path, struct stat *st)
{
    const char *real = is_vhci_node(path) ? "/sys" : lead(path);
    return REAL("stat", int (*)(const char *, struct stat *))(real, st);
}

int stat64(const char *path, struct stat64 *st)
{
    const char *real = is_vhci_node(path) ? "/sys" : lead(path);
    return REAL("stat64", int (*)(const char *, struct stat64 *))(real, st);
}

int access(const char *path, int mode)
{
    return REAL("access", int (*)(const char *, int))(lead(path), mode);
}
