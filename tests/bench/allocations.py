#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a frame costs in steady state that is no CPU time: heap allocations, user-space copies of its
bytes, system calls. call_counter.so goes in front of the program and counts what every module asks for
between two frames; libraries and the emulated camera are told apart from our own code. A late sync may raise the
high-water mark of what is kept for a replay, which takes a few buffers once: hence not a goal of 0."""
import os
import re
import signal
import subprocess
import time

import benchlib as b

RATE = 100  # pictures a second: the count is what matters, not the pace
SYNC = "200ms"  # … and the sooner the receiver confirms, the sooner the state is steady
FIRST, LAST = 250, 550
STRACE_S = 2
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a disk that is late would look like growth
GOAL = (LAST - FIRST) // 100
OURS = ("pi-camera-streamer", "video-receiver")
CAMERA = "v4l2fake.so"


class Count:
    """Callers of the heap and of memcpy: {kind: {module: [calls, bytes, {place: calls}]}}."""

    def __init__(self, text):
        self.by = {"alloc": {}, "copy": {}}
        for kind, module, place, calls, size in re.findall(r"^(alloc|copy) (\S+) (\S+) (\d+) (\d+)$", text, re.M):
            entry = self.by[kind].setdefault(os.path.basename(module), [0, 0, {}])
            entry[0] += int(calls)
            entry[1] += int(size)
            entry[2][module, place] = int(calls)
        self.frames, self.payload = map(int, re.search(r"^frames (\d+) payload (\d+)$", text, re.M).groups())

    def calls(self, kind, modules):
        return sum(e[0] for m, e in self.by[kind].items() if m in modules)

    def copied(self, modules):
        """User-space bytes copied for each byte of a frame."""
        return sum(e[1] for m, e in self.by["copy"].items() if m in modules) / self.payload

    def libraries(self, kind):
        return {m: e for m, e in self.by[kind].items() if m not in OURS and m != CAMERA}


def function_at(module, place):
    out = subprocess.run(["addr2line", "-s", "-f", "-e", module, hex(int(place, 16) - 1)], capture_output=True,
                         text=True)
    return " ".join(out.stdout.split()) or place


def preload(env, out, call):
    """`env` with the counter in front of whatever is preloaded already."""
    libs = [str(b.BUILD / "call_counter.so"), (env or {}).get("LD_PRELOAD", "")]
    return dict(env or {}, LD_PRELOAD=":".join(filter(None, libs)), COUNT_OUT=str(out), COUNT_CALL=call,
                COUNT_FROM=str(FIRST), COUNT_TO=str(LAST))


def strace(program):
    """{system call: calls for each frame} of one program; what moves frames says how many came."""
    with b.folder() as folder:
        trace = subprocess.Popen(["strace", "-f", "-c", "-o", folder / "out", "-p", str(program.pid)],
                                 stderr=subprocess.DEVNULL)
        time.sleep(STRACE_S)
        trace.send_signal(signal.SIGINT)
        trace.wait()
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*?(\w+)$", (folder / "out").read_text(), re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}


def run(args, env, traced):
    with b.folder(MEMORY) as folder:
        s_out, r_out = folder / "sender", folder / "receiver"
        with b.our_pair(folder / "out.mp4", *args, env=preload(env, s_out, "send"), sync=SYNC,
                        receiver_env=preload(None, r_out, "recv")) as (s, r):
            b.pcs.wait_for(lambda: all(p.exists() and "frames" in p.read_text() for p in (s_out, r_out)),
                           f"frame {LAST}", 60)
            calls = (strace(s), strace(r)) if traced else None
        return Count(s_out.read_text()), Count(r_out.read_text()), calls


def show_allocations(what, count):
    b.show_limit(f"{what}: allocations", count.calls("alloc", OURS), f"in {count.frames} frames", GOAL, 0)
    for module, (calls, _, places) in count.by["alloc"].items():
        if module in OURS and calls:
            for (path, place), n in sorted(places.items(), key=lambda i: -i[1])[:5]:
                b.note(f"    {n} from {function_at(path, place)}")
        elif module != CAMERA and calls:
            b.note(f"    {module} by itself: {calls / count.frames:.1f} a frame")


def show_copies(what, count):
    b.show_limit(f"{what}: copied", count.copied(OURS), "bytes/byte", 1, 2)
    for module, (_, size, _) in count.by["copy"].items():
        if module not in OURS and module != CAMERA:
            b.note(f"    {module} by itself: {size / count.payload:.2f} bytes/byte")


def show_calls(what, calls, by):
    frames = max(1, calls.get(by, 0))
    top = sorted(calls.items(), key=lambda i: -i[1])
    b.note(f"{what}: system calls for each {by}: {sum(calls.values()) / frames:.1f} ("
           + ", ".join(f"{name} {n / frames:.2f}" for name, n in top if n / frames >= 0.02) + ")")


def show(what, sender, receiver, calls):
    show_allocations(f"{what}, sender", sender)
    show_allocations(f"{what}, receiver", receiver)
    show_copies(f"{what}, sender", sender)
    show_copies(f"{what}, receiver", receiver)
    if calls:
        show_calls(f"{what}, sender", calls[0], "sendmsg")
        show_calls(f"{what}, receiver", calls[1], "poll")


def main():
    b.begin("allocations", f"frame {FIRST} to {LAST}: allocations, copies, system calls")
    raw = [*b.camera_args(640, 480, "YUYV", RATE), "--codec"]
    ways = {
        "MJPEG passed through": (b.camera_args(640, 480, "MJPG", RATE), {"mjpg": b.clip("mjpg")}),
        "H.264 passed through": (b.camera_args(*b.SIZE, "H264", RATE), {"h264": b.clip("short")}),
        "YUYV to JPEG": ([*raw, "mjpeg"], {}),
        "YUYV to H.264": ([*raw, "h264", "--gop", RATE // 2], {}),
        "H.264 from --input": ([*b.input_args(b.clip("short")), "--loop", "--fps", RATE], None),
    }
    for what, (args, settings) in ways.items():
        env = None if settings is None else b.camera(fps=RATE, **settings)
        show(what, *run(args, env, settings is None))


if __name__ == "__main__":
    main()
