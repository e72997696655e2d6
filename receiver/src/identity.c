/* SPDX-License-Identifier: MIT */
#include "identity.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a (RFC 9923): nobody is kept out by this, so it need not resist anybody. */
static uint64_t mix(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return hash;
}

/* systemd's id of this installation; without one, the host's name. */
static void read_machine(char *out, size_t size)
{
    FILE *file = fopen("/etc/machine-id", "re");
    bool read = file && fgets(out, (int)size, file) && strlen(out) > 8;
    if (file) {
        (void)fclose(file); /* it was only read */
    }
    if (!read) {
        memset(out, 0, size);
        (void)gethostname(out, size - 1); /* else all of this kind are one, which costs little */
    }
}

void identity_make(uint8_t id[16], const char *output)
{
    char machine[80], folder[PATH_MAX];
    read_machine(machine, sizeof machine);
    if (*output == '/' || !getcwd(folder, sizeof folder)) {
        *folder = '\0';
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int i = 0; i < 2; i++) {
        hash = mix(mix(mix(hash, machine), folder), output);
        memcpy(id + 8 * (size_t)i, &hash, sizeof hash);
    }
}
