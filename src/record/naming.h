/* SPDX-License-Identifier: MIT */
/*
 * Names of recordings: a pattern in which %n is the camera's name, %s the sender's number and the
 * rest strftime(3) in local time. A name that exists is never reused: out.mp4, out-1.mp4, out-2.mp4 …
 * Folders are never made: a missing one is usually a disk that is not mounted.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct naming {
    const char *pattern;
    const char *name; /* any text; made safe for file names when it is used */
    unsigned number;
};

#define NAMING_NAME_MAX 64 /* bytes of the camera's name that go into a file name */

/* `name` with everything replaced that could leave the folder, hide the file, or is no UTF-8. */
void naming_safe(const char *name, char out[NAMING_NAME_MAX + 1]);

/* The path for a recording that begins at `wall_us`. Heap; NULL: no memory, or the name is empty. */
char *naming_expand(const struct naming *n, int64_t wall_us);

/* Makes a new file, numbered when its name is taken. Returns the fd (read-write) with *path on the
 * heap, or a negative errno with a line that names the folder or file. */
int naming_create(const struct naming *n, int64_t wall_us, char **path, struct err *err);

/* Can files be made by this pattern now? 0, or a negative errno with a line. */
int naming_check(const struct naming *n, struct err *err);

/*
 * glob(3) patterns for every name that `pattern` can make: [0] as it is, [1] numbered, [2] and [3]
 * the temporary files beside them (plain.h). Heap, freed by naming_free_globs. 0 or -ENOMEM.
 */
#define NAMING_GLOBS 4
int naming_globs(const char *pattern, char *out[NAMING_GLOBS]);
void naming_free_globs(char *globs[NAMING_GLOBS]);

/* A glob says "-[0-9]*", which is more than a number: does the name really end in one, as ours do? */
bool naming_is_numbered(const char *path);

/* Offset of the extension's dot in `path`, or its length when there is none. */
size_t naming_stem(const char *path);
