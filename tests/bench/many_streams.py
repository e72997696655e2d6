#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One receiver and 1, 10, 50 and 100 streams of 1080p30 H.264 at 4 Mbit/s, recorded: frames lost, CPU
and memory for each stream. The streams come from one process (many_senders.c), which leaves the machine
to the receiver; every file is opened afterwards and its frames are counted."""
import json
import struct
import subprocess
import time

import benchlib as b

COUNTS = (1, 10, 50, 100)
WARM_UP_S, MEASURE_S, TAIL_S = 2, 5, 1


def count_samples(path):
    """Frames of a plain MP4, from its stsz box (ISO/IEC 14496-12, 8.7.3.2)."""
    with open(path, "rb") as f:
        head = f.read(1 << 20)
    at = head.find(b"stsz")
    assert at > 0, f"{path}: no plain MP4"
    return struct.unpack(">I", head[at + 12:at + 16])[0]


def measure(count):
    with b.folder() as folder, \
            b.pcs.receiver(folder / "%n-%s.mp4", "--max-senders", 128, "--stats-interval", 0) as r:
        idle_kb = b.memory_kb(r.pid)["Anonymous"]
        load = subprocess.Popen([str(a) for a in (b.BUILD / "many_senders", r.port, b.clip("h264"), count,
                                                  WARM_UP_S + MEASURE_S + TAIL_S)], stdout=subprocess.PIPE)
        r.wait_log("connected: ", 10, count)
        time.sleep(WARM_UP_S)
        cost = b.Cost([r, load])
        time.sleep(MEASURE_S)
        cost.done()
        cost.memory_kb = b.memory_kb(r.pid)["Anonymous"] - idle_kb
        cost.sent = json.loads(load.communicate(timeout=90)[0])
        streams = r.stop(seconds=60)["streams"]
        cost.lost = sum(s["lost"] for s in streams)
        cost.in_files = [sum(count_samples(f) for f in s["files"]) for s in streams]
        cost.p99_ms = max(s["latency_ms"]["p99"] for s in streams)
        cost.streams = len(streams)
    return cost


def check(count, cost):
    frames = cost.sent["frames"]
    assert cost.sent["safe"], f"{count} streams: not every frame was confirmed"
    assert cost.streams == count and cost.in_files == [frames] * count, \
        f"{count} streams: files hold {sorted(set(cost.in_files))} frames, {frames} were sent"


def main():
    b.begin("many_streams", "N streams of 1080p30, 4 Mbit/s into one receiver and its files")
    first = None
    for count in COUNTS:
        cost = measure(count)
        check(count, cost)
        first = first or cost
        cpu, memory = cost.ms[0] / count, cost.memory_kb / count / 1024
        b.note(f"{count:3d} streams: {sum(cost.in_files)} frames in {count} files, lost {cost.lost}, worst p99 "
               f"{cost.p99_ms:.1f} ms, most waiting at a sender {cost.sent['most_waiting']}; load generator "
               f"{cost.ms[1] / count:.3f} ms/frame")
        b.show_limit(f"{count:3d} streams, lost", cost.lost, "frames", 0, 0)
        b.show(f"{count:3d} streams, CPU", cpu, "1 stream", first.ms[0], "ms/frame", 1.3 if count > 1 else None)
        b.show_limit(f"{count:3d} streams, memory of each", memory, "MB", 3, 2)


if __name__ == "__main__":
    main()
