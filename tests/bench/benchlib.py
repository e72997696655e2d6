# SPDX-License-Identifier: MIT
"""What the benchmarks of the pair share: both programs and their rival as processes, what these cost,
the clips that all of them carry, and how a figure is printed.

A benchmark runs ours and the rival in turn, several times, and compares medians of one run: machines
differ and are busy, so only a ratio means anything.
"""
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PCS_BUILD", ROOT / "build/release")).resolve()
os.environ.setdefault("PCS_SENDER", str(BUILD / "pi-camera-streamer"))
os.environ.setdefault("PCS_RECEIVER", str(BUILD / "video-receiver"))
os.environ.setdefault("PCS_FAKE", str(BUILD / "v4l2fake.so"))
sys.path.insert(0, str(ROOT / "tests/e2e"))
import pcs  # noqa: E402  (the programs as the end-to-end tests run them)

FPS = 30
BITRATE = 4_000_000
SIZE = (1920, 1080)
NODE = "/dev/video-fake"
FFMPEG = ["ffmpeg", "-nostdin", "-nostats", "-loglevel", "error"]


# ---- what is printed ----

def show(what, ours, rival_name, rival, unit, goal=None, digits=3):
    """One comparison: ours, the rival or floor, and the ratio with its goal (at most)."""
    ratio = ours / rival if rival else float("inf")
    line = f"  {what:<46} ours {ours:.{digits}f}  {rival_name} {rival:.{digits}f} {unit}  ratio {ratio:.2f}"
    if goal is not None:
        line += f"  goal <= {goal:.2f}  {'ok' if ratio <= goal else 'MISSED'}"
    print(line, flush=True)


def show_limit(what, ours, unit, goal, digits=3):
    """One figure that has a limit of its own; the ratio is to that limit."""
    ratio = f"  ratio {ours / goal:.2f}" if goal else ""
    print(f"  {what:<46} ours {ours:.{digits}f} {unit}  goal <= {goal:g}{ratio}"
          f"  {'ok' if ours <= goal else 'MISSED'}", flush=True)


def note(text):
    print(f"  {text}", flush=True)


def begin(name, about):
    print(f"{name}: {about}\n  (load {os.getloadavg()[0]:.2f})", flush=True)


def median(values):
    return statistics.median(values)


# ---- what a process costs ----

def _camera_s(pid):
    """What the emulated camera's own thread took: a real one works elsewhere."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()
               if (task / "comm").read_text().strip() == "v4l2fake") / 1e9


def cpu_s(pid):
    """CPU time of all its threads, also ended ones, in seconds, without the emulated camera's; the
    kernel counts nanoseconds."""
    total = time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of a process, clock_getcpuclockid(3)
    return total - _camera_s(pid)


def memory_kb(pid):
    """Anonymous: what it alone has allocated. RSS: with the libraries' pages, mostly shared."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {k: int(re.search(rf"^{k}:\s+(\d+)", text, re.M).group(1)) for k in ("Anonymous", "Rss")}


class Cost:
    """CPU of some processes from now on until done(): milliseconds for each frame."""

    def __init__(self, programs):
        self.pids = [p.pid for p in programs]
        self.begin_s, self.before = time.monotonic(), [cpu_s(pid) for pid in self.pids]

    def done(self):
        after, end_s = [cpu_s(pid) for pid in self.pids], time.monotonic()
        self.frames = (end_s - self.begin_s) * FPS
        self.ms = [1000 * (b - a) / self.frames for a, b in zip(self.before, after)]
        return self


def compare(ways, rounds, warm_up_s=1, measure_s=6):
    """CPU of several ways to do the same, {name: [Cost of each round]}. `ways`: {name: function that
    gives a context of (sender, receiver) for an output file}. All of them run at the same time, so that
    the machine is as busy for one as for the other; together they need a small part of it."""
    costs = {name: [] for name in ways}
    for i in range(rounds):
        names = list(ways)[i % len(ways):] + list(ways)[:i % len(ways)]
        with folder() as at, contextlib.ExitStack() as stack:
            pairs = {n: stack.enter_context(ways[n](at / f"{k}.mp4")) for k, n in enumerate(names)}
            for k in range(len(names)):
                growing(at / f"{k}.mp4")
            time.sleep(warm_up_s)
            running = {n: Cost(pairs[n]) for n in names}
            time.sleep(measure_s)
            for n in names:
                costs[n].append(running[n].done())
    return costs


def cpu_of(costs, which=None):
    """Median of the rounds: of both processes, or of the sender (0) or receiver (1)."""
    return median([sum(c.ms) if which is None else c.ms[which] for c in costs])


# ---- what they carry ----

def _make(path, *args):
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        part = path.with_name("part-" + path.name)
        subprocess.run([*FFMPEG, "-y", *args, str(part)], check=True)
        part.rename(path)
    return path


def clip(kind="h264", seconds=12):
    """A noisy moving picture as a camera would send it: 1080p30, 4 Mbit/s, one slice a picture, a key
    frame each two seconds. `kind`: h264 (Annex B), short (its first 4 s), or mjpg (15 JPEGs of 720p)."""
    here = BUILD / "bench-clips"
    if kind == "mjpg":
        return _make(here / "720p.mjpg", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=0.5", "-vf",
                     "noise=alls=8:allf=t,format=yuvj422p", "-c:v", "mjpeg", "-q:v", "5", "-f", "mjpeg")
    width, height = SIZE
    h264 = _make(here / "1080p.h264", "-f", "lavfi", "-i",
                 f"testsrc2=s={width}x{height}:r={FPS}:d={seconds}", "-vf", "noise=alls=4:allf=t,format=yuv420p",
                 "-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-b:v", str(BITRATE),
                 "-maxrate", str(BITRATE), "-bufsize", str(BITRATE // 2), "-x264-params",
                 f"sliced-threads=0:nal-hrd=cbr:repeat-headers=1:keyint={2 * FPS}:scenecut=0", "-f", "h264")
    if kind == "short":
        return _make(here / "short.h264", "-i", str(h264), "-c", "copy", "-frames:v", str(4 * FPS), "-f", "h264")
    return h264


def camera(**settings):
    """Environment of a program that sees the emulated camera."""
    return pcs.fake_camera(NODE, **settings)


# ---- who carries it ----

@contextlib.contextmanager
def folder(within=BUILD):
    """A place for recordings, on the disk that holds the build."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=within))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _listening(port):
    want = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(want) and fields[3] == "0A":
                return True
    return False


def growing(path, least=100_000):
    """Wait until the recording does: from then on all is in steady state."""
    pcs.wait_for(lambda: path.exists() and path.stat().st_size > least, f"{path.name} to grow", 20)


def input_args(path):
    return ["--input", path]


def camera_args(width, height, fourcc, fps=FPS):
    return ["--device", NODE, "--width", width, "--height", height, "--fps", fps, "--format", fourcc]


@contextlib.contextmanager
def our_pair(out, *args, env=None, receiver_env=None, sync="1s"):
    """Our two programs: (sender, receiver)."""
    with pcs.receiver(out, "--sync", sync, env=receiver_env) as r, pcs.sender(r.port, *args, source=None, env=env) as s:
        yield s, r


@contextlib.contextmanager
def floor_pair(out):
    """The least work that could do it (carry_floor.c)."""
    with pcs.Program(BUILD / "carry_floor", "receive", out) as r:
        port = int(r.wait_log(r"port (\d+)"))
        with pcs.Program(BUILD / "carry_floor", "send", port, clip("h264")) as s:
            yield s, r


@contextlib.contextmanager
def ffmpeg_pair(out, source, env=None, codec=("-c", "copy")):
    """Two ffmpeg processes that do the same: MPEG-TS over TCP, fragmented MP4."""
    port = pcs.free_port()
    with pcs.Program(*FFMPEG, "-y", "-analyzeduration", 500000, "-i", f"tcp://127.0.0.1:{port}?listen=1",
                     "-c", "copy", "-movflags", "+frag_keyframe+empty_moov+default_base_moof", out) as r:
        pcs.wait_for(lambda: _listening(port), "ffmpeg to listen")
        with pcs.Program(*FFMPEG, *source, *codec, "-f", "mpegts", f"tcp://127.0.0.1:{port}", env=env) as s:
            yield s, r
