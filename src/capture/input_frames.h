/* SPDX-License-Identifier: MIT */
/*
 * libavformat's packets and libavcodec's pictures as frames: their bytes are not copied, the last
 * unref gives them back. The wrappers are kept for the next ones.
 * Life: input_frames_new/input_frames_free; frames may outlive it. Threads: as in pool.h.
 */
#pragma once

struct AVFrame;
struct AVPacket;
struct frame;
struct input_frames;

struct input_frames *input_frames_new(void); /* NULL: no memory */
void input_frames_free(struct input_frames *f);

/* Each moves the reference out of its argument into a new frame with one reference (data and size
 * are set of a packet; nothing of a picture). NULL: no memory, the argument is untouched. */
struct frame *input_frames_packet(struct input_frames *f, struct AVPacket *packet);
struct frame *input_frames_picture(struct input_frames *f, struct AVFrame *picture);
