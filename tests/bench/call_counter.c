/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD: counts, in a program that is not changed, what it allocates and copies in steady state,
 * and who asked for it. A frame is one sendmsg (COUNT_CALL=send) or one reading call (COUNT_CALL=recv)
 * that moves a kilobyte or more; what happens between frame COUNT_FROM and frame COUNT_TO counts.
 * At frame COUNT_TO the file COUNT_OUT gets one line for each caller:
 *
 *   alloc|copy MODULE OFFSET CALLS BYTES
 *
 * and a last line "frames N payload BYTES". Copies are calls of memcpy, memmove and their checked
 * forms from 1 KB on; what a codec moves with its own instructions is not seen.
 * Threads: any; counting takes no lock and allocates nothing.
 */
#undef _FORTIFY_SOURCE /* it would define what is defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CALLERS 4096 /* places in the code; a power of two */
#define LEAST   1024 /* bytes of a copy, or of a frame, that count */
#define PUBLIC  __attribute__((visibility("default")))
#ifdef __clang__
#define NO_BUILTIN /* -fno-builtin is enough there */
#else
#endif
#define CALLER __builtin_return_address(0)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

enum kind { ALLOC, COPY, KINDS };

struct caller {
    _Atomic(void *) address;
    atomic_ulong calls, bytes;
};

static struct caller callers[KINDS][CALLERS];
static atomic_bool counting;
static atomic_ulong frames, payload;
static unsigned long from_frame, to_frame;
static bool by_send;

static void *(*real_memmove)(void *, const void *, size_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_readv)(int, const struct iovec *, int);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);

static void count(enum kind kind, void *address, size_t bytes)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed)) {
        return;
    }
    size_t slot = ((size_t)address >> 2) * 2654435761u;
    for (size_t i = 0; i < CALLERS; i++) {
        struct caller *c = &callers[kind][(slot + i) % CALLERS];
        void *none = NULL;
        if (atomic_load(&c->address) == address ||
            atomic_compare_exchange_strong(&c->address, &none, address) || none == address) {
            atomic_fetch_add(&c->calls, 1);
            atomic_fetch_add(&c->bytes, bytes);
            return;
        }
    }
}

/* ---- the end ---- */

static void say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(int fd, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0 && write(fd, line, (size_t)n) < 0) {
        _exit(99); /* no report, no result */
    }
}

static void report(void)
{
    static const char *const names[KINDS] = { "alloc", "copy" };
    const char *path = getenv("COUNT_OUT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : 2;
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < CALLERS; i++) {
            const struct caller *c = &callers[kind][i];
            void *address = atomic_load(&c->address);
            Dl_info info = { 0 };
            if (address && dladdr(address, &info) && info.dli_fname) {
                say(fd, "%s %s %#lx %lu %lu\n", names[kind], info.dli_fname,
                    (unsigned long)((char *)address - (char *)info.dli_fbase),
                    atomic_load(&c->calls), atomic_load(&c->bytes));
            }
        }
    }
    say(fd, "frames %lu payload %lu\n", to_frame - from_frame, atomic_load(&payload));
    close(fd);
}

static void note_io(bool send, ssize_t n)
{
    if (send != by_send || n < LEAST) {
        return;
    }
    unsigned long frame = atomic_fetch_add(&frames, 1) + 1;
    if (atomic_load(&counting)) {
        atomic_fetch_add(&payload, (unsigned long)n);
    }
    if (frame == from_frame) {
        atomic_store(&counting, true);
    } else if (frame == to_frame) {
        atomic_store(&counting, false);
        report();
    }
}

static unsigned long number(const char *name, unsigned long fallback)
{
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 10) : fallback;
}

__attribute__((constructor)) static void begin(void)
{
    const char *call = getenv("COUNT_CALL");
    real_memmove = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memmove");
    real_sendmsg = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    real_readv = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "readv");
    real_recvmsg = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    by_send = !call || strcmp(call, "recv") != 0;
    from_frame = number("COUNT_FROM", 100);
    to_frame = number("COUNT_TO", 400);
}

/* ---- in the way of: the heap ---- */

PUBLIC void *malloc(size_t size)
{
    count(ALLOC, CALLER, size);
    return __libc_malloc(size);
}

PUBLIC void *calloc(size_t n, size_t size)
{
    count(ALLOC, CALLER, n * size);
    return __libc_calloc(n, size);
}

PUBLIC void *realloc(void *p, size_t size)
{
    count(ALLOC, CALLER, size);
    return __libc_realloc(p, size);
}

PUBLIC void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;
    count(ALLOC, CALLER, n * size);
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, bytes);
}

PUBLIC void *memalign(size_t alignment, size_t size)
{
    count(ALLOC, CALLER, size);
    return __libc_memalign(alignment, size);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    count(ALLOC, CALLER, size);
    return __libc_memalign(alignment, size);
}

PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
    count(ALLOC, CALLER, size);
    void *p = __libc_memalign(alignment, size);
    if (!p) {
        return ENOMEM;
    }
    *out = p;
    return 0;
}

/* ---- copies ---- */

/* Before the real ones are known; volatile, or the compiler makes it a call of memcpy. */
static void *copy_plain(void *to, const void *from, size_t n)
{
    volatile unsigned char *t = to;
    const unsigned char *f = from;
    bool backwards = (const unsigned char *)to > f;
    for (size_t i = 0; i < n; i++) {
        size_t at = backwards ? n - 1 - i : i;
        t[at] = f[at];
    }
    return to;
}

static void *copy(void *to, const void *from, size_t n, void *address)
{
    if (n >= LEAST) {
        count(COPY, address, n);
    }
    return real_memmove ? real_memmove(to, from, n) : copy_plain(to, from, n);
}

PUBLIC void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    return copy(to, from, n, CALLER);
}

PUBLIC void *memmove(void *to, const void *from, size_t n)
{
    return copy(to, from, n, CALLER);
}

PUBLIC void *__memcpy_chk(void *restrict to, const void *restrict from, size_t n, size_t room)
{
    if (n > room) {
        abort();
    }
    return copy(to, from, n, CALLER);
}

PUBLIC void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
    if (n > room) {
        abort();
    }
    return copy(to, from, n, CALLER);
}

/* ---- frames ---- */

PUBLIC ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t n = real_sendmsg(fd, message, flags);
    note_io(true, n);
    return n;
}

PUBLIC ssize_t readv(int fd, const struct iovec *iov, int parts)
{
    ssize_t n = real_readv(fd, iov, parts);
    note_io(false, n);
    return n;
}

PUBLIC ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t n = real_recvmsg(fd, message, flags);
    note_io(false, n);
    return n;
}
