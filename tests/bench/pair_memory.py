#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Memory of each program in steady state. Anonymous memory is what a program has allocated for itself;
RSS also counts the pages of libraries, which all programs share. The sender's figure contains what it
keeps for a replay, which the user decides on (--buffer); how much that is at most is said beside it."""
import time

import benchlib as b

STEADY_S = 4
GOAL_MB = 12
KEPT_S = 3  # a group of 2 s that has to be whole, and what came since the last sync


def idle(program, *args):
    """Everything loaded, nothing to do yet: mostly what the libraries cost."""
    with b.pcs.Program(program, *args) as p:
        time.sleep(1)
        return b.memory_kb(p.pid)


def measure(pair, *args, **kw):
    with b.folder() as folder, pair(folder / "out.mp4", *args, **kw) as programs:
        b.growing(folder / "out.mp4")
        time.sleep(STEADY_S)
        return [b.memory_kb(p.pid) for p in programs]


def show(what, ours, kept_mb=None, rival=None):
    for i, name in enumerate(("sender", "receiver")):
        anonymous, rss = ours[i]["Anonymous"] / 1024, ours[i]["Rss"] / 1024
        kept = f" (with up to {kept_mb:.1f} MB for a replay)" if kept_mb and i == 0 else ""
        if rival:
            b.show_limit(f"{what}, {name}, anonymous", anonymous, f"MB{kept}", GOAL_MB, 1)
            b.show(f"{what}, {name}, RSS", rss, "ffmpeg", rival[i]["Rss"] / 1024, "MB", None, 1)
        else:
            b.note(f"{what}, {name}: anonymous {anonymous:.1f} MB{kept}, RSS {rss:.1f} MB")


def main():
    b.begin("pair_memory", f"after {STEADY_S} s of 30 frames a second")
    nothing = [idle(b.pcs.SENDER, "--device", "/dev/nothing", "--dest-ip", "127.0.0.1"),
               idle(b.pcs.RECEIVER, "--listen-port", 0)]
    show("waiting, nothing connected", nothing)
    h264 = ["-framerate", b.FPS, "-re", "-i", b.clip("h264")]
    show("1080p H.264", measure(b.our_pair, *b.input_args(b.clip("h264"))), b.BITRATE / 8e6 * KEPT_S,
         measure(b.ffmpeg_pair, h264))
    jpegs = b.clip("mjpg")
    show("720p MJPEG from the emulated camera",
         measure(b.our_pair, *b.camera_args(1280, 720, "MJPG"), env=b.camera(mjpg=jpegs, fps=b.FPS)),
         jpegs.stat().st_size / 15 * b.FPS / 1e6)
    show("1080p YUYV to H.264 (x264)",
         measure(b.our_pair, *b.camera_args(*b.SIZE, "YUYV"), "--codec", "h264", env=b.camera(fps=b.FPS)),
         b.BITRATE / 8e6 * KEPT_S)


if __name__ == "__main__":
    main()
