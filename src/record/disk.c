/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(DISK_PIECES <= IOV_MAX, "one batch is one pwritev");

struct disk_batch {
    int fd;
    int count;
    uint64_t offset; /* of the first byte of iov */
    size_t bytes;
    struct iovec iov[DISK_PIECES];
};

int disk_batch_new(struct disk_batch **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

void disk_batch_free(struct disk_batch *b)
{
    free(b);
}

void disk_batch_start(struct disk_batch *b, int fd, uint64_t offset)
{
    b->fd = fd;
    b->offset = offset;
    b->count = 0;
    b->bytes = 0;
}

uint64_t disk_offset(const struct disk_batch *b)
{
    return b->offset + b->bytes;
}

int disk_put(struct disk_batch *b, const void *data, size_t size)
{
    if (b->count == DISK_PIECES) {
        int ret = disk_flush(b);
        if (ret < 0) {
            return ret;
        }
    }
    b->iov[b->count++] = (struct iovec){ .iov_base = (void *)data, .iov_len = size };
    b->bytes += size;
    return 0;
}

static struct iovec *skip_written(struct iovec *iov, int *count, size_t n)
{
    while (*count > 0 && n >= iov->iov_len) {
        n -= iov->iov_len;
        iov++;
        (*count)--;
    }
    if (*count > 0) {
        iov->iov_base = (char *)iov->iov_base + n;
        iov->iov_len -= n;
    }
    return iov;
}

int disk_flush(struct disk_batch *b)
{
    struct iovec *iov = b->iov;
    while (b->count > 0) {
        ssize_t n = pwritev(b->fd, iov, b->count, (off_t)b->offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        iov = skip_written(iov, &b->count, (size_t)n);
        b->offset += (uint64_t)n;
        b->bytes -= (size_t)n;
    }
    return 0;
}

int disk_sync(int fd)
{
    return fdatasync(fd) < 0 ? -errno : 0;
}

int disk_sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n >= sizeof folder) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, n);
    strcpy(folder + n, ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int ret = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return ret == -EINVAL ? 0 : ret; /* some network file systems cannot, and need not */
}

int disk_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

bool disk_is_gone(int fd)
{
    struct stat st;
    return fstat(fd, &st) < 0 || st.st_nlink == 0;
}

bool disk_is_same(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

uint64_t disk_largest_file(int fd)
{
    struct statfs fs;
    bool fat = fstatfs(fd, &fs) == 0 && fs.f_type == MSDOS_SUPER_MAGIC;
    return fat ? UINT32_MAX : INT64_MAX;
}

bool disk_has_room(int fd, uint64_t bytes)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 || (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= bytes;
}

int disk_read_at(int fd, uint64_t offset, void *buf, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t n = pread(fd, (char *)buf + have, size - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    return (int)have;
}
