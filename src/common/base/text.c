/* SPDX-License-Identifier: MIT */
#include "pcs/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static size_t sequence_length(unsigned char first)
{
    if (first < 0x80) {
        return 1;
    }
    return first >= 0xc2 && first <= 0xdf   ? 2
           : (first & 0xf0) == 0xe0         ? 3
           : first >= 0xf0 && first <= 0xf4 ? 4
                                            : 0;
}

/* RFC 3629, section 4: some first bytes narrow what may follow. After C2 the C1 controls go too. */
static bool second_byte_ok(unsigned char first, unsigned char second)
{
    unsigned char low = first == 0xe0 || first == 0xc2 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

/* Bytes of the printable character at p; 0 when there is none. */
static size_t printable(const unsigned char *p, size_t left)
{
    size_t n = sequence_length(p[0]);
    if (n == 1) {
        return p[0] >= ' ' && p[0] != 0x7f;
    }
    if (n == 0 || n > left || !second_byte_ok(p[0], p[1])) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

void text_clean(char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t n = printable((const unsigned char *)text + i, size - i);
        if (n == 0) {
            text[i++] = '?';
        }
        i += n;
    }
}

size_t text_login_size(const char *authority, size_t size)
{
    const char *at = memrchr(authority, '@', size);
    return at ? (size_t)(at - authority) + 1 : 0;
}

void text_show_url(const char *url, char *out, size_t size)
{
    const char *rest = strstr(url, "://");
    if (!rest) {
        (void)snprintf(out, size, "%s", url);
        return;
    }
    rest += 3;
    size_t start = text_login_size(rest, strcspn(rest, "/?")), end = strcspn(rest, "?");
    (void)snprintf(out, size, "%.*s%.*s%s", (int)(rest - url), url, (int)(end - start),
                   rest + start, rest[end] ? "?…" : "");
}
