/* SPDX-License-Identifier: MIT */
/* From an output pattern to glob(3) patterns for what it may have made. */
#include "naming.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One strftime conversion with glibc's flags and width: how long is it? */
static size_t conversion_length(const char *s)
{
    size_t n = 1;
    n += strspn(s + n, "_-0^#+");
    n += strspn(s + n, "0123456789");
    n += strspn(s + n, "EO");
    return s[n] ? n + 1 : n;
}

/* Digits that a conversion makes, so that one camera's files are not taken for another's whose name
 * begins alike; 0 = any text. */
static unsigned digits(const char *s, size_t length)
{
    return length != 2 ? 0 : s[1] == 'Y' ? 4 : s[1] == 'j' ? 3 : strchr("mdHMSyI", s[1]) ? 2 : 0;
}

static char *put_conversion(char *p, const char *s, size_t length)
{
    unsigned n = digits(s, length);
    for (unsigned i = 0; i < n; i++) {
        p = stpcpy(p, "[0-9]");
    }
    return n > 0 ? p : stpcpy(p, "*");
}

/* Two characters of a pattern make up to four times five of a glob. */
static char *to_glob(const char *pattern)
{
    char *out = malloc(10 * strlen(pattern) + 1), *p = out;
    while (out && *pattern) {
        if (pattern[0] == '%' && pattern[1] == '%') {
            *p++ = '%';
            pattern += 2;
        } else if (pattern[0] == '%' && pattern[1] != '\0') {
            size_t length = conversion_length(pattern);
            p = put_conversion(p, pattern, length);
            pattern += length;
        } else {
            if (strchr("*?[\\", *pattern)) {
                *p++ = '\\';
            }
            *p++ = *pattern++;
        }
    }
    if (out) {
        *p = '\0';
    }
    return out;
}

/* In the last part of `glob`, put `before` in front of the name and `inner` before the extension. */
static char *decorate(const char *glob, const char *before, const char *inner, const char *after)
{
    char *out = NULL;
    const char *slash = strrchr(glob, '/');
    int folder = slash ? (int)(slash + 1 - glob) : 0;
    int stem = (int)naming_stem(glob) - folder;
    if (asprintf(&out, "%.*s%s%.*s%s%s%s", folder, glob, before, stem, glob + folder, inner,
                 glob + folder + stem, after) < 0) {
        return NULL;
    }
    return out;
}

int naming_globs(const char *pattern, char *out[NAMING_GLOBS])
{
    static const char numbered[] = "-[0-9]*", temporary[] = ".*[0-9].tmp";
    char *glob = to_glob(pattern);
    memset(out, 0, NAMING_GLOBS * sizeof out[0]);
    if (glob) {
        out[0] = decorate(glob, "", "", "");
        out[1] = decorate(glob, "", numbered, "");
        out[2] = decorate(glob, ".", "", temporary);
        out[3] = decorate(glob, ".", numbered, temporary);
    }
    free(glob);
    if (!out[0] || !out[1] || !out[2] || !out[3]) {
        naming_free_globs(out);
        return -ENOMEM;
    }
    return 0;
}

bool naming_is_numbered(const char *path)
{
    size_t end = naming_stem(path), n = end;
    while (n > 0 && path[n - 1] >= '0' && path[n - 1] <= '9') {
        n--;
    }
    return n > 0 && path[n - 1] == '-' && n < end && path[n] != '0';
}

void naming_free_globs(char *globs[NAMING_GLOBS])
{
    for (int i = 0; i < NAMING_GLOBS; i++) {
        free(globs[i]);
        globs[i] = NULL;
    }
}
