/* SPDX-License-Identifier: MIT */
/*
 * The few things recordings ask of a file system, each with one answer: 0 or a negative errno.
 * Threads: any. All may block as long as the disk does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes collected into few pwritev(2) calls; the bytes are borrowed until disk_flush. */
#define DISK_PIECES 512
struct disk_batch;

int disk_batch_new(struct disk_batch **out);
void disk_batch_free(struct disk_batch *b);
void disk_batch_start(struct disk_batch *b, int fd, uint64_t offset);
int disk_put(struct disk_batch *b, const void *data, size_t size);
int disk_flush(struct disk_batch *b);
uint64_t disk_offset(const struct disk_batch *b); /* where the next byte goes */

int disk_sync(int fd);                  /* fdatasync(2) */
int disk_sync_folder(const char *path); /* of the folder that holds `path` */
int disk_lock(int fd);                  /* flock(2), exclusive; -EWOULDBLOCK when held elsewhere */

bool disk_is_gone(int fd);                   /* no name leads to this file any more */
bool disk_is_same(int fd, const char *path); /* does `path` name this very file? */
uint64_t disk_largest_file(int fd);          /* of this file system: FAT ends at 4 GiB */
bool disk_has_room(int fd, uint64_t bytes);  /* on its file system, for us */
int disk_read_at(int fd, uint64_t offset, void *buf,
                 size_t size); /* bytes read; < size at the end */
