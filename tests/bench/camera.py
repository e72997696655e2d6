#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a camera costs and how well it is followed: copies of the raw picture before the encoder, wake-ups
with nobody watching, how old pictures get when the encoder is the slowest part, and how soon a camera is
back that was plugged in again."""
import re
import subprocess
import time

import allocations as a
import benchlib as b

RAW_BYTES = 1920 * 1080 * 2
REPLUGS = 7


def copies(codec):
    """Bytes that we copy for each byte of the raw picture; the encoder's own reading is none."""
    env, args = b.camera(sizes="1920x1080"), [*b.camera_args(1920, 1080, "YUYV"), "--codec", codec]
    with b.folder() as folder:
        out = folder / "sender"
        with b.our_pair(folder / "out.mp4", *args, env=dict(a.preload(env, out, "send"), COUNT_FROM="30",
                                                            COUNT_TO="90")):
            b.pcs.wait_for(lambda: out.exists() and "frames" in out.read_text(), "frame 90", 60)
        count = a.Count(out.read_text())
        ours = sum(e[1] for m, e in count.by["copy"].items() if m in a.OURS)
    b.show_limit(f"1080p YUYV to {codec}: copied of the picture", ours / count.frames / RAW_BYTES, "bytes/byte", 0.01)


def wakeups(what, *args, env=None):
    text = subprocess.run([str(b.BUILD / "idle_wakeups"), *map(str, args)], env=dict(b.os.environ, **(env or {})),
                          capture_output=True, text=True, check=True).stdout
    rate, cpu, encoded, captured = re.search(r"^wakeups (\S+) cpu_ms (\S+) encoded (\d+) captured (\d+)", text,
                                             re.M).groups()
    b.show_limit(f"{what}: wake-ups, nobody watching", float(rate), "a second", 40, 1)
    b.note(f"    {float(cpu):.1f} ms of CPU a second, {encoded} of {captured} pictures encoded")
    if int(encoded):
        b.note("    MISSED: something was encoded for nobody")


def encode_4k(fps, seconds):
    """Summary of a camera with 4K at that rate, to JPEG."""
    env = b.camera(sizes="3840x2160", fps=fps)
    with b.folder() as folder:
        with b.our_pair(folder / "out.mp4", *b.camera_args(3840, 2160, "YUYV", fps), "--codec", "mjpeg", env=env) as (s, r):
            b.growing(folder / "out.mp4")
            time.sleep(seconds)
            sent = s.stop()
            r.stop()
    return sent


def overload():
    """4K at 60 pictures a second to a JPEG encoder on few cores, against what one takes by itself."""
    calm, busy = encode_4k(5, 4), encode_4k(60, 6)
    encode, whole = calm["latency_ms"]["encode"], busy["latency_ms"]["encode"]
    b.show("4K60 overload: picture in hand to packet, p50", whole["p50"], "one by itself", encode["p50"], "ms", 2)
    b.note(f"    p99 {whole['p99']:.1f} ms (by itself {encode['p99']:.1f}); {busy['captured']} pictures came, "
           f"{busy['dropped']} dropped before encoding, {busy['lost']} skipped for newer ones or without a buffer")


def replug():
    """From the node's coming back to the first picture at the receiver."""
    took = []
    with b.folder() as folder:
        control = folder / "control"
        control.write_text("")

        def tell(word):
            with open(control, "a") as f:
                f.write(word + "\n")
        args = [*b.camera_args(640, 480, "YUYV"), "--codec", "mjpeg", "--standby", "off"]
        with b.our_pair(folder / "out.mp4", *args, env=b.camera(control=control), sync="20ms") as (s, _):
            out = folder / "out.mp4"
            for i in range(REPLUGS):
                b.growing(out, 0 if not out.exists() else out.stat().st_size + 50_000)
                tell("unplug")
                s.wait_log("no such device|camera is gone", count=i + 1)
                time.sleep(0.3 + 1.3 * i)  # the back-off grows meanwhile
                at, size = time.monotonic(), out.stat().st_size
                tell("plug")
                b.pcs.wait_for(lambda: out.stat().st_size > size, "a picture", 20)
                took.append(time.monotonic() - at)
    b.show_limit("replug: node to picture on disk, worst", max(took), "s", 1)
    b.note("    each: " + ", ".join(f"{t:.2f}" for t in took))


def main():
    b.begin("camera", "copies, wake-ups, overload, replug")
    copies("mjpeg")
    copies("h264")
    wakeups("1080p30 camera", *b.camera_args(1920, 1080, "YUYV"), env=b.camera(sizes="1920x1080"))
    wakeups("720p30 JPEG camera", *b.camera_args(1280, 720, "MJPG"), "--codec", "h264",
            env=b.camera(mjpg=b.clip("mjpg")))
    overload()
    replug()


if __name__ == "__main__":
    main()
