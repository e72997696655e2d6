#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How old the pictures are that a viewer sees who takes less than the stream: 2 and 0.5 MB/s of 6.3, against
the time that one picture takes on such a line; and what it, and a viewer who has stopped reading, cost one
who keeps up. uStreamer on the same emulated camera stands beside it when it is installed."""
import shutil
import socket
import subprocess
import sys
import time

import benchlib as b
import fanout as f

SECONDS = 6
PIECE = 8192
MOMENT = b"pcs-taken-us="


def connect(port, path):
    """A viewer with little of its own to store a picture in: what waits, waits at the sender."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * PIECE)
    s.connect(("127.0.0.1", port))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return s


def watch_slowly(port, path, rate):
    """(ages in ms, bytes a picture) of what one viewer gets that reads `rate` bytes a second."""
    ages, sizes, data, taken = [], [], b"", None
    with connect(port, path) as s:
        begin, got = time.monotonic(), 0
        while (now := time.monotonic()) < begin + SECONDS:
            if got > (now - begin) * rate:
                time.sleep(got / rate - (now - begin))
            piece = s.recv(PIECE)
            data += piece
            got += len(piece)
            while (end := data.find(b"\xff\xd9\r\n--")) >= 0:
                at = data.find(MOMENT)
                if 0 <= at < end and time.monotonic() > begin + 1:
                    ages.append(time.monotonic() * 1000 - int(data[at + 13:at + 29]) / 1000)
                    sizes.append(end - at)
                data = data[end + 2:]
    return ages, sizes


def fast_beside(port, path):
    """p50 and p99 of a viewer who keeps up."""
    out = subprocess.run([b.BUILD / "fanout_watch", str(port), path, "1", "4"], stdout=subprocess.PIPE, text=True).stdout
    return [float(x) for x in out.split()[3:8:4]]


def measure(way):
    got = {}
    with way(1) as (port, path, _):
        got["alone"] = fast_beside(port, path)
        for rate in (2_000_000, 500_000):
            ages, sizes = watch_slowly(port, path, rate)
            got[rate] = (b.median(ages), 1000 * b.median(sizes) / rate)
        with connect(port, path), connect(port, path) as slow:  # one frozen, one that takes a little
            slow.recv(PIECE)
            time.sleep(1)
            got["beside"] = fast_beside(port, path)
    return got


def main():
    b.begin("slow_viewer", f"720p30 JPEG of {f.one_jpeg().stat().st_size // 1000} KB")
    got = measure(f.ours)
    for rate, goal in ((2_000_000, 1.5), (500_000, 700 / 422)):
        b.show(f"age at {rate / 1e6} MB/s, p50", got[rate][0], "one transfer", got[rate][1], "ms", goal, 1)
    b.note(f"who keeps up, alone: p50 {got['alone'][0]:.2f} p99 {got['alone'][1]:.2f} ms; "
           f"beside two who do not: p50 {got['beside'][0]:.2f} p99 {got['beside'][1]:.2f} ms")
    if shutil.which("ustreamer"):
        rival = measure(f.ustreamer)
        b.note("ustreamer: " + ", ".join(f"{rival[r][0]:.0f} ms at {r / 1e6} MB/s" for r in (2_000_000, 500_000)) +
               f"; who keeps up: p99 {rival['alone'][1]:.1f}, beside two who do not: {rival['beside'][1]:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
