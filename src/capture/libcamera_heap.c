/* SPDX-License-Identifier: MIT */
#include "libcamera_heap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HEAP "/dev/dma_heap/vidbuf_cached"

static int get_one(int heap, size_t size)
{
    struct dma_heap_allocation_data arg = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
    return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &arg) < 0 ? -errno : (int)arg.fd;
}

int libcamera_heap_get(size_t size, unsigned count, int fds[])
{
    int code = 0;
    int heap = open(HEAP, O_RDWR | O_CLOEXEC);
    if (heap < 0) {
        return -errno;
    }
    unsigned have = 0;
    while (code == 0 && have < count) {
        fds[have] = get_one(heap, size);
        code = fds[have] < 0 ? fds[have] : 0;
        have += code == 0;
    }
    while (code < 0 && have > 0) {
        close(fds[--have]);
    }
    close(heap);
    return code;
}
