#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How old a frame is when the receiver has parsed it (capture to parsed), at 30 frames a second, and
the same seen by a third program that reads the stream in the receiver's place, for ours and for ffmpeg.

ffmpeg carries the camera's monotonic time stamps through MPEG-TS (-copyts), so that the reader can tell
the age of its frames, too; it is given every switch that makes it quick.

On a machine that does other work the tail is that work's. "Alone" is the same pair with real-time
priority (chrt, where allowed): what is left is the pair's own.
"""
import shutil
import subprocess

import benchlib as b

FRAMES = 240  # p99 of fewer would be the maximum
GOAL_MS = 1.0
FIELDS = ("p50", "p95", "p99", "max")
QUICK = ["-fflags", "nobuffer", "-flags", "low_delay", "-probesize", 32, "-analyzeduration", 0]
TS = ["-flush_packets", 1, "-muxdelay", 0, "-muxpreload", 0, "-mpegts_copyts", 1]


def line(what, ms, goal=None):
    text = f"  {what:<46} " + "  ".join(f"{f} {ms[f]:7.3f}" for f in FIELDS) + " ms"
    if goal is not None:
        text += f"  goal p99 <= {goal:g}  ratio {ms['p99'] / goal:.2f}  {'ok' if ms['p99'] <= goal else 'MISSED'}"
    print(text, flush=True)


def pair(args, env, priority=()):
    """The receiver's own figures, from its summary."""
    with b.folder() as folder, \
            b.pcs.Program(*priority, b.pcs.RECEIVER, "--listen-port", 0, "--output", folder / "out.mp4", "--once") as r:
        port = r.wait_log(r"listening on port (\d+)")
        with b.pcs.Program(*priority, b.pcs.SENDER, "--dest-ip", "127.0.0.1", "--port", port, "--frames", FRAMES, *args,
                           env=env) as s:
            assert s.end(60)[0] == 0, s.log
            status, summary = r.end(30)
            assert status == 0, r.log
            return summary["streams"][0]["latency_ms"]


def alone():
    """What gives a program precedence over everything else, or nothing where that is not allowed."""
    way = ["chrt", "--fifo", "20"]
    allowed = shutil.which("chrt") and subprocess.run([*way, "true"], capture_output=True).returncode == 0
    return way if allowed else None


def reader(kind, start):
    """What latency_reader sees of the program that start(port) starts."""
    with b.pcs.Program(b.BUILD / "latency_reader", kind, FRAMES) as r:
        with start(int(r.wait_log(r"port (\d+)"))):
            status, figures = r.end(60)
        assert status == 0, r.log
        return figures


def our_sender(args, env):
    return lambda port: b.pcs.sender(port, *args, source=None, env=env)


def ffmpeg_sender(fmt, width, height, codec, env):
    return lambda port: b.pcs.Program(
        *b.FFMPEG, *QUICK, "-f", "v4l2", "-input_format", fmt, "-video_size", f"{width}x{height}", "-framerate",
        b.FPS, "-copyts", "-i", b.NODE, *codec, *TS, "-f", "mpegts", f"tcp://127.0.0.1:{port}", env=env)


def main():
    b.begin("pair_latency", f"capture to parsed at the receiver, {FRAMES} frames at {b.FPS} a second")
    h264 = b.camera(h264=b.clip("h264"), fps=b.FPS), b.camera_args(*b.SIZE, "H264")
    mjpg = b.camera(mjpg=b.clip("mjpg"), fps=b.FPS), b.camera_args(1280, 720, "MJPG")
    raw = b.camera(fps=b.FPS), [*b.camera_args(1280, 720, "YUYV"), "--codec", "h264"]
    copy, x264 = ["-c", "copy"], ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt",
                                  "yuv420p", "-b:v", b.BITRATE, "-fps_mode", "passthrough",
                                  "-enc_time_base", "1:90000"]
    priority = alone()
    for what, (env, args) in {"1080p H.264 passed through": h264, "720p MJPEG passed through": mjpg}.items():
        line(f"{what}, receiver's summary", pair(args, env), GOAL_MS)
        if priority:
            line("  alone (real-time priority)", pair(args, env, priority), GOAL_MS)
    line("1080p H.264, seen by a reader on the wire", reader("wire", our_sender(h264[1], h264[0])))
    line("  ffmpeg, seen by the same reader", reader("ts", ffmpeg_sender("h264", *b.SIZE, copy, h264[0])))
    line("720p YUYV to H.264 (x264), receiver's summary", pair(raw[1], raw[0]))
    line("  seen by a reader on the wire", reader("wire", our_sender(raw[1], raw[0])))
    line("  ffmpeg, seen by the same reader", reader("ts", ffmpeg_sender("yuyv422", 1280, 720, x264, raw[0])))


if __name__ == "__main__":
    main()
