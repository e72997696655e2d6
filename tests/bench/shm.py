#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Shared memory: how soon after publishing its readers are awake, what that costs them and the sender, and
whether ten of them see everything. The camera's own JPEGs of 720p, passed through at 60 frames a second.

The floor is one process that wakes as many by a futex, at the same rate and the same time. On a machine that
does other work the tail is that work's; "alone" is the same with real-time priority (chrt, where allowed). Ten
readers share the cores there are: the last of them waits for the others to be woken.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

import benchlib as b

FPS = 60
FRAMES = 600
GOAL_US, GOAL_CALLS, GOAL_CPU, GOAL_READERS = 100, 2, 1.0, 10
READER = b.BUILD / "shm_latency"
NAME = f"/pcs-bench-{os.getpid()}"


def alone():
    """What gives a program precedence over everything else, or nothing where that is not allowed."""
    way = ["chrt", "--fifo", "20"]
    allowed = shutil.which("chrt") and subprocess.run([*way, "true"], capture_output=True).returncode == 0
    return way if allowed else None


@contextlib.contextmanager
def camera(*args, way=()):
    env = b.camera(mjpg=b.clip("mjpg"), fps=FPS)
    with b.pcs.Program(*way, b.pcs.SENDER, *b.camera_args(1280, 720, "MJPG", FPS), *args, env=env) as s:
        s.wait_log("shared memory")
        yield s
        s.stop()  # else its segment stays


def readers(count, frames=FRAMES, way=()):
    return [b.pcs.Program(*way, READER, "read", NAME, frames) for _ in range(count)]


def figures(program):
    status, found = program.end(60)
    assert status == 0, program.log
    return found


def line(what, ms, rival, goal):
    us, floor = 1000 * ms["p99"], 1000 * rival["p99"]
    text = "  ".join(f"{f} {1000 * ms[f]:.0f}" for f in ("p50", "p95", "p99", "max"))
    verdict = f"  goal p99 <= {goal}  {'ok' if us <= goal else 'MISSED'}" if goal else ""
    print(f"  {what:<46} {text} us  floor p99 {floor:.0f}  ratio {us / max(floor, 1):.2f}{verdict}", flush=True)


def latency(count, goal=None, way=()):
    with camera("--shm", NAME, way=way):
        floor = b.pcs.Program(*way, READER, "floor", FRAMES, FPS, count)
        found = [figures(r) for r in readers(count, way=way)]
        rival = figures(floor)["awake_ms"]
    ranked = sorted((f["awake_ms"] for f in found), key=lambda ms: ms["p99"])
    what = "  alone (real-time priority)" if way else "publish to awake"
    if count == 1:
        line(f"{what}, 1 reader", ranked[0], rival, goal)
        return
    line(f"{what}, {count} readers: median", ranked[count // 2], rival, goal)
    line("    the slowest", ranked[-1], rival, None)
    b.show_limit(f"frames missed by {count} readers of {FRAMES} each", sum(f["missed"] + f["torn"] for f in found),
                 "frames", 0, 0)


def calls_of(frames):
    run = subprocess.run(["strace", "-f", "-c", "-o", "/dev/stdout", READER, "read", NAME, str(frames)],
                         capture_output=True, text=True, check=True)
    return int(re.search(r"^100\.00\s+[\d.]+\s+(?:\d+\s+)?(\d+)", run.stdout, re.MULTILINE)[1])


def calls():
    """The start and the end are in both runs, so only the frames between them are counted."""
    with camera("--shm", NAME):
        few, many = calls_of(60), calls_of(360)
    b.show_limit("system calls a frame and reader", (many - few) / 300, "calls", GOAL_CALLS, 2)


def share(program, seconds=5):
    before, begin = b.cpu_s(program.pid), time.monotonic()
    time.sleep(seconds)  # the time that is measured
    return 100 * (b.cpu_s(program.pid) - before) / (time.monotonic() - begin)


def writer(count):
    """What the sender spends more with readers than without, by the side of one that has none."""
    with camera("--shm", NAME) as s, camera("--shm", NAME + "-idle") as idle:
        reading = readers(count, 60 * FPS)
        for r in reading:
            r.wait_log("reading")
        time.sleep(1)  # warm: its memory and theirs is mapped
        busy = share(s)
        rest = share(idle)
        for r in reading:
            r.kill()
    print(f"  {'sender, of a core: idle, with ' + str(count) + ' reader' + 's' * (count > 1):<46} {rest:.2f} %  {busy:.2f} %", flush=True)
    return busy - rest


def main():
    b.begin("shm", f"720p JPEGs at {FPS} a second, {FRAMES} frames")
    way = alone()
    latency(1, None if way else GOAL_US)
    if way:
        latency(1, GOAL_US, way)
    latency(GOAL_READERS)
    if way:
        latency(GOAL_READERS, None, way)
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).returncode == 0:
        calls()
    else:
        b.note("no strace: system calls not counted")
    b.show_limit("sender's CPU for 1 reader", writer(1), "% of a core", GOAL_CPU, 2)
    b.show_limit("sender's CPU for 10 readers", writer(10), "% of a core", GOAL_CPU, 2)


if __name__ == "__main__":
    sys.exit(main())
