/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD: the PCS_FAIL_AT-th allocation that the program itself (not a library) makes gives NULL,
 * and with PCS_FAIL_ON=1 all that follow. Which one it was is said on stderr.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uintptr_t low, high; /* of the program's own code */
static long fail_at;
static bool fail_on;
static atomic_long calls;

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            high = low + info->dlpi_phdr[i].p_memsz;
        }
    }
    return 1; /* the first one is the program */
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("PCS_FAIL_AT"), *on = getenv("PCS_FAIL_ON");
    fail_on = on && *on == '1';
    (void)dl_iterate_phdr(find_program, NULL);
    fail_at = at ? atol(at) : 0;
}

static bool fails(const void *caller)
{
    uintptr_t pc = (uintptr_t)caller;
    if (fail_at == 0 || pc < low || pc >= high) {
        return false;
    }
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (n == fail_at) {
        static const char said[] = "allocation failed on purpose\n";
        (void)!write(STDERR_FILENO, said, sizeof said - 1);
    }
    return n == fail_at || (fail_on && n > fail_at);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

#define FAILS  fails(__builtin_return_address(0))
#define PUBLIC __attribute__((visibility("default")))

PUBLIC void *malloc(size_t size)
{
    if (FAILS) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

PUBLIC void *calloc(size_t count, size_t size)
{
    if (FAILS) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

PUBLIC void *realloc(void *p, size_t size)
{
    if (FAILS) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, size);
}

PUBLIC int posix_memalign(void **out, size_t align, size_t size)
{
    if (FAILS) {
        return ENOMEM;
    }
    void *p = __libc_memalign(align, size);
    if (!p) {
        return ENOMEM;
    }
    *out = p;
    return 0;
}
