#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CPU of sender and receiver for a frame of 1080p30 H.264 at 4 Mbit/s that is only carried: sender →
TCP → receiver → MP4, against two ffmpeg processes. Steady state: starting up is not counted."""
import benchlib as b

WARM_UP_S, MEASURE_S, ROUNDS = 1.5, 4.5, 3
GOAL = 0.5


def measure(pair, *args, **kw):
    with b.folder() as folder, pair(folder / "out.mp4", *args, **kw) as programs:
        b.time.sleep(WARM_UP_S)
        return b.Cost(programs, MEASURE_S)


def ffmpeg_input(kind):
    rate = ["-framerate", b.FPS] if kind == "h264" else []
    return [*rate, "-re", "-i", b.clip(kind)]


def show(what, ours, rival):
    for name, pick in (("both", lambda c: c.total_ms), ("  sender", lambda c: c.ms[0]),
                       ("  receiver", lambda c: c.ms[1])):
        b.show(f"{what}, {name}" if name == "both" else f"{name}", b.median(map(pick, ours)), "ffmpeg",
               b.median(map(pick, rival)), "ms/frame", GOAL if name == "both" else None)


def main():
    b.begin("pair_cpu", "1080p30, 4 Mbit/s H.264 carried from sender to MP4, CPU of both processes")
    camera = b.camera(h264=b.clip("h264"), sizes="1920x1080", fps=b.FPS)
    ways = {
        "--input clip.h264": (
            lambda: measure(b.our_pair, *b.input_args(b.clip("h264"))),
            lambda: measure(b.ffmpeg_pair, ffmpeg_input("h264"))),
        "--input clip.ts": (
            lambda: measure(b.our_pair, *b.input_args(b.clip("ts"))),
            lambda: measure(b.ffmpeg_pair, ffmpeg_input("ts"))),
        "camera that gives H.264": (
            lambda: measure(b.our_pair, *b.camera_args(*b.SIZE, "H264"), env=camera),
            lambda: measure(b.ffmpeg_pair, ["-f", "v4l2", "-input_format", "h264", "-framerate", b.FPS,
                                            "-i", b.NODE], env=camera)),
    }
    for what, (ours, rival) in ways.items():
        runs = [(ours(), rival()) for _ in range(ROUNDS)]
        show(what, [r[0] for r in runs], [r[1] for r in runs])


if __name__ == "__main__":
    main()
