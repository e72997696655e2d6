#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One camera's JPEGs to 1, 10, 50 and 100 viewers: against a loop that only sends ready pictures, and
against uStreamer on the same emulated camera when it is installed. All in turn, each several times."""
import contextlib
import re
import shutil
import subprocess
import sys
import time

import benchlib as b

VIEWERS = (1, 10, 50, 100)
LIMIT_MS = {1: 0.4, 10: 1}
SECONDS = 4
ROUNDS = 3


def clip():
    """Half a second of noisy JPEGs of about 210 KB, each with room for the moment it is taken."""
    path = b.BUILD / "bench-clips" / "fanout-210.mjpg"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        jpegs = subprocess.run([*b.FFMPEG, "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=0.5", "-vf",
                                "noise=alls=12:allf=t,format=yuvj422p", "-c:v", "mjpeg", "-q:v", "5", "-f", "mjpeg",
                                "-"], check=True, stdout=subprocess.PIPE).stdout
        comment = b"pcs-taken-us=" + 16 * b"0"
        segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
        path.write_bytes(b"".join(b"\xff\xd8" + segment + rest for rest in jpegs.split(b"\xff\xd8")[1:]))
    return path


def one_jpeg():
    """The first picture of what the camera plays."""
    data = clip().read_bytes()
    path = b.BUILD / "bench-clips" / "one.jpg"
    path.write_bytes(data[:data.index(b"\xff\xd9", 2) + 2])
    return path


def cpu_s(pid):
    while True:
        with contextlib.suppress(FileNotFoundError):  # a thread has just ended
            return b.cpu_s(pid)


def watch(port, path, count, pid):
    """(CPU share of a core, {p50 …} in ms, frames a viewer) of the server with that pid."""
    run = subprocess.Popen([b.BUILD / "fanout_watch", str(port), path, str(count), str(SECONDS)],
                           stdout=subprocess.PIPE, text=True)
    time.sleep(1.2)
    before, at = cpu_s(pid), time.monotonic()
    time.sleep(SECONDS - 0.6)
    share = (cpu_s(pid) - before) / (time.monotonic() - at)
    out = run.communicate()[0]
    figures = {k: float(v) for k, v in re.findall(r"(p\d+|max) (\S+)", out)}
    return share, figures, int(re.search(r"frames (\d+)", out)[1]) / count / SECONDS


@contextlib.contextmanager
def floor(count):
    run = subprocess.Popen([b.BUILD / "fanout_floor", one_jpeg(), str(count), "30"], stdout=subprocess.PIPE, text=True)
    try:
        yield int(run.stdout.readline()), "/", run.pid
    finally:
        run.kill()
        run.wait()


@contextlib.contextmanager
def ours(count):
    env = b.camera(mjpg=clip(), formats="MJPG")
    with b.pcs.Program(b.pcs.SENDER, *b.camera_args(1280, 720, "MJPG"), "--http-port", 0, "--max-clients", 200,
                       env=env) as p:
        port = int(p.wait_log(r"http: listening on .* port (\d+)"))
        p.wait_log("1280x720 MJPEG")
        yield port, "/stream", p.pid
        p.stop()


@contextlib.contextmanager
def ustreamer(count):
    port = b.pcs.free_port()
    env = b.camera(mjpg=clip(), formats="MJPG")
    with b.pcs.Program("ustreamer", "--device", b.NODE, "--format", "MJPEG", "--encoder", "HW", "--resolution",
                       "1280x720", "--desired-fps", "30", "--host", "127.0.0.1", "--port", port, env=env) as p:
        p.wait_log("Capturing|Listening")
        time.sleep(1)
        yield port, "/stream", p.pid


def measure(ways, count):
    got = {w.__name__: [] for w in ways}
    for i in range(ROUNDS):
        for way in ways[i % len(ways):] + ways[:i % len(ways)]:
            with way(count) as (port, path, pid):
                got[way.__name__].append(watch(port, path, count, pid))
    return {name: (b.median([g[0] for g in rows]), {k: b.median([g[1][k] for g in rows]) for k in rows[0][1]},
                   b.median([g[2] for g in rows])) for name, rows in got.items()}


def main():
    ways = [floor, ours] + ([ustreamer] if shutil.which("ustreamer") else [])
    b.begin("fanout", f"720p30 JPEG of {one_jpeg().stat().st_size // 1000} KB")
    for count in [int(a) for a in sys.argv[1:]] or VIEWERS:
        got = measure(ways, count)
        for name, (share, ms, fps) in got.items():
            b.note(f"{count:3} viewers, {name:9}: {100 * share:6.2f} % of a core, p50 {ms['p50']:.2f} p95 {ms['p95']:.2f} "
                   f"p99 {ms['p99']:.2f} max {ms['max']:.1f} ms, {fps:.1f} fps")
        b.show(f"{count} viewers: CPU", 100 * got["ours"][0], "floor", 100 * got["floor"][0], "%", 1.3, 2)
        # The limits are of a machine whose floor is 3.5 ms at 100 viewers; a slower one has a little more than its own.
        own = 1.15 * got["floor"][1]["p99"]
        b.show_limit(f"{count} viewers: age p99", got["ours"][1]["p99"], "ms", round(max(LIMIT_MS.get(count, 4), own), 2))


if __name__ == "__main__":
    main()
