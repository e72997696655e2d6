/* SPDX-License-Identifier: MIT */
/*
 * What a camera program prints, apart into frames: JPEG or H.264 (Annex B), told by what it looks like,
 * however the bytes were cut into reads. They are read straight into a pool frame; a picture that fills
 * its frame well becomes that frame, and only what came behind it moves to the next. So once the size of
 * its pictures is known a byte is copied once at the most, and those of a program that prints JPEG by
 * JPEG are not at all.
 *
 * A JPEG is whole at its EOI and given out then: its segments are walked by their lengths, so that a
 * thumbnail within is no picture, and the coded data to the first marker that is none of its own. The
 * end of an H.264 access unit shows only when the next one begins (H.264, 7.4.1.2.3), so it is given out
 * one unit late: nothing in a stream tells which slice is the last one of a picture short of decoding it
 * (the last macroblock's address), and nothing at all tells where the last NAL unit ends.
 *
 * Life: new/free; frames may outlive it. Threads: one at a time. No I/O, no clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command_split;
struct frame;
struct pool;

#define COMMAND_MAX_FRAME   ((size_t)32 << 20)
#define COMMAND_MAX_GARBAGE ((size_t)16 << 20) /* in a row, without the beginning of a frame */
#define COMMAND_MAX_TEXT    ((size_t)64 << 10) /* when it is text, and nothing else has come yet */

struct command_split *command_split_new(struct pool *pool); /* NULL: no memory */
void command_split_free(struct command_split *s);

/* Where the next bytes go: at least 16 KB. NULL: no memory. */
uint8_t *command_split_room(struct command_split *s, size_t *size);
/* `n` bytes were put there at `now_us`. */
void command_split_fed(struct command_split *s, size_t n, int64_t now_us);
/* Nothing will follow: what is there of H.264 is a whole unit. */
void command_split_end(struct command_split *s);

/*
 * The next frame, with one reference: format (id and size; of H.264 the rate, where it says one), flags,
 * data and capture_us = when its first byte came. -EAGAIN: needs more bytes. -EMSGSIZE: a frame larger than
 * COMMAND_MAX_FRAME. -EBADMSG: these are no pictures (COMMAND_MAX_GARBAGE, COMMAND_MAX_TEXT, or another
 * kind of stream). -ENOMEM. Damaged pictures that were left out are added to *lost.
 */
int command_split_take(struct command_split *s, struct frame **out, unsigned *lost);

/* The beginning of what was printed, for people: "text: “…”", "MPEG-TS", "bytes 1f 8b …". */
void command_split_describe(const struct command_split *s, char *text, size_t size);
bool command_split_is_text(const struct command_split *s); /* all of it so far, and no frame */

struct command_split_stats {
    uint64_t bytes;   /* fed */
    uint64_t moved;   /* copied within, once for each copy */
    uint64_t skipped; /* that belong to no frame */
};
void command_split_get_stats(const struct command_split *s, struct command_split_stats *out);
