#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CPU of sender and receiver for a frame of 1080p30 H.264 at 4 Mbit/s that is only carried: sender →
TCP → receiver → MP4, against two ffmpeg processes, and against the least work that could do it.
Steady state: starting up is not counted, nor is the emulated camera's own thread, for either."""
import benchlib as b

ROUNDS = 3
GOAL = 0.5


def from_camera(out):
    return b.our_pair(out, *b.camera_args(*b.SIZE, "H264"), env=CAMERA)


def ffmpeg_from_camera(out):
    return b.ffmpeg_pair(out, ["-f", "v4l2", "-input_format", "h264", "-framerate", b.FPS, "-i", b.NODE], env=CAMERA)


def from_file(out):
    return b.our_pair(out, *b.input_args(b.clip("h264")))


def ffmpeg_from_file(out):
    return b.ffmpeg_pair(out, ["-framerate", b.FPS, "-re", "-i", b.clip("h264")])


def show(what, ours, rival):
    b.show(f"{what}, both", b.cpu_of(ours), "ffmpeg", b.cpu_of(rival), "ms/frame", GOAL)
    b.show("  of it the sender", b.cpu_of(ours, 0), "ffmpeg", b.cpu_of(rival, 0), "ms/frame")
    b.show("  of it the receiver", b.cpu_of(ours, 1), "ffmpeg", b.cpu_of(rival, 1), "ms/frame")


if __name__ == "__main__":
    b.begin("pair_cpu", "1080p30, 4 Mbit/s H.264 carried from sender to MP4, CPU of both processes")
    CAMERA = b.camera(h264=b.clip("h264"), fps=b.FPS)
    costs = b.compare({"ours": from_camera, "ffmpeg": ffmpeg_from_camera, "floor": b.floor_pair}, ROUNDS)
    show("camera that gives H.264", costs["ours"], costs["ffmpeg"])
    b.show("  both, to the least that could do it", b.cpu_of(costs["ours"]), "floor", b.cpu_of(costs["floor"]), "ms/frame")
    costs = b.compare({"ours": from_file, "ffmpeg": ffmpeg_from_file}, ROUNDS)
    show("--input clip.h264", costs["ours"], costs["ffmpeg"])
