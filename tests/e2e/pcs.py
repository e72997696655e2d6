# SPDX-License-Identifier: MIT
"""What every scenario needs: the two programs as they are, on loopback, and what they leave behind.

Nothing here sleeps for time to pass: everything waits for a condition, with a deadline.
"""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import numpy as np

SENDER = os.environ.get("PCS_SENDER", "build/pi-camera-streamer")
RECEIVER = os.environ.get("PCS_RECEIVER", "build/video-receiver")
FAKE = os.environ.get("PCS_FAKE", "")
SANITIZED = bool(os.environ.get("PCS_SANITIZE"))
SLOW = 5 if SANITIZED else 1  # how much longer everything may take


def wait_for(condition, what, seconds=10):
    """Poll until condition() is true; its value, or a failure that names what was waited for."""
    deadline = time.monotonic() + seconds * SLOW
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"timed out waiting for {what}")


class Program:
    """A running binary: its log as it grows, its summary at the end."""

    def __init__(self, *args, env=None, cwd=None, pass_fds=()):
        full = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:verify_asan_link_order=0",
                    TSAN_OPTIONS="halt_on_error=1 exitcode=66")
        full.update(env or {})
        self.args = [str(a) for a in args]
        self.process = subprocess.Popen(self.args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, env=full, cwd=cwd, pass_fds=pass_fds)
        self.lines = []
        self.out = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.out_reader = threading.Thread(target=self._read_out, daemon=True)
        self.reader.start()
        self.out_reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def _read_out(self):
        self.out = self.process.stdout.read()  # a pipe holds less than a long summary

    @property
    def log(self):
        return "\n".join(self.lines)

    @property
    def pid(self):
        return self.process.pid

    def wait_log(self, pattern, seconds=10, count=1):
        def found():
            matches = re.findall(pattern, self.log)
            if len(matches) >= count:
                return matches
            assert self.process.poll() is None or self.reader.is_alive(), \
                f"{self.args[0]} ended without {pattern!r}:\n{self.log}"
            return None
        try:
            return wait_for(found, repr(pattern), seconds)[count - 1]
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log}") from None

    def send_signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, seconds=10):
        """Wait for the end: (exit status, summary or None)."""
        try:
            self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"{self.args[0]} hangs:\n{self.log}") from None
        self.reader.join(5)
        self.out_reader.join(5)
        out = self.out.decode()
        assert "Sanitizer" not in self.log, self.log
        if not out:
            return self.process.returncode, None
        assert out.count("\n") == 1, f"stdout is not one line: {out!r}"
        return self.process.returncode, json.loads(out)

    def stop(self, number=signal.SIGINT, seconds=10):
        """Ask it to stop, and check that it does with status 0: its summary."""
        self.send_signal(number)
        status, summary = self.end(seconds)
        assert status == 0, f"status {status}:\n{self.log}"
        return summary

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_kb(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def cpu_share(self, seconds):
        """Of one core, over that time."""
        def used():
            total = 0
            for task in os.listdir(f"/proc/{self.pid}/task"):
                try:
                    with open(f"/proc/{self.pid}/task/{task}/schedstat") as f:
                        total += int(f.read().split()[0])
                except OSError:
                    pass  # it has just ended
            return total / 1e9
        before = used()
        time.sleep(seconds)  # the time that is measured
        return (used() - before) / seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


def receiver(output, *args, **kw):
    """A receiver on a free port: (program, port)."""
    p = Program(RECEIVER, "--listen-port", 0, "--output", output, *args, **kw)
    p.port = int(p.wait_log(r"listening on port (\d+)"))
    return p


def receiver_at(port, output, *args, **kw):
    p = Program(RECEIVER, "--listen-port", port, "--output", output, *args, **kw)
    p.port = int(p.wait_log(r"listening on port (\d+)"))
    return p


def sender(port, *args, source="test", **kw):
    source_args = ["--source", source] if source else []
    return Program(SENDER, *source_args, "--dest-ip", "127.0.0.1", "--port", port, *args, **kw)


def fake_camera(node="/dev/video-fake", **settings):
    """Environment for a sender that sees the emulated camera."""
    assert FAKE, "the emulated camera was not built"
    env = {"LD_PRELOAD": FAKE, "PCS_FAKE_V4L2": node}
    env.update({f"PCS_FAKE_{k.upper()}": str(v) for k, v in settings.items()})
    return env


# ---- what is in a file ----

def probe(path, entries="stream=codec_name,width,height,nb_read_packets,start_time,duration"):
    out = subprocess.run(["ffprobe", "-v", "error", "-count_packets", "-select_streams", "v:0",
                          "-show_entries", entries, "-of", "json", str(path)],
                         capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["streams"][0]


def packets(path):
    """[(pts seconds, key)] in file order."""
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
                          "packet=pts_time,flags", "-of", "csv=p=0", str(path)],
                         capture_output=True, text=True, check=True)
    rows = [line.split(",") for line in out.stdout.split() if line]
    return [(float(r[0]), "K" in r[1]) for r in rows]


def decodes_cleanly(path):
    out = subprocess.run(["ffmpeg", "-v", "warning", "-xerror", "-i", str(path),
                          "-enc_time_base", "1/90000", "-f", "null", "-"],
                         capture_output=True, text=True)
    # "deprecated pixel format used" is said of every full-range JPEG and is no fault of a file
    lines = [l for l in out.stderr.splitlines() if "deprecated pixel format" not in l]
    return out.returncode == 0 and not lines, out.stderr


def top_boxes(path):
    """Names of the file's top-level boxes."""
    names = []
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        at = 0
        while at + 8 <= size:
            f.seek(at)
            length, name = struct.unpack(">I4s", f.read(8))
            if length == 1:
                length = struct.unpack(">Q", f.read(8))[0]
            if length < 8:
                break
            names.append(name.decode())
            at += length
    return names


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
            crc &= 0xFFFF
    return crc


def read_marker(luma):
    """(number, time_us) painted into the picture (include/pcs/marker.h), or None."""
    height, width = luma.shape
    cell = max(2, width // 64 // 2 * 2)
    if width < 64 or height < 8:
        return None
    centre = cell // 2
    bits = luma[centre:4 * cell:cell, centre:32 * cell:cell][:4, :32].flatten() > 127
    raw = np.packbits(bits).tobytes()
    sync, number, time_us, crc = struct.unpack(">HIQH", raw)
    if sync != 0xA5C3 or crc != crc16(raw[2:14]):
        return None
    return number, time_us


def markers(path):
    """The marker of every picture of a file, in order."""
    info = probe(path)
    width, height = info["width"], info["height"]
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough",
                          "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True,
                         check=True).stdout
    frames = np.frombuffer(out, np.uint8).reshape(-1, height, width)
    return [read_marker(f) for f in frames]


def check_sums(send, receive=None):
    """The rules of the summaries (contract, section 4)."""
    assert send["captured"] == send["encoded"] + send["dropped"], send
    for output in send["outputs"]:
        assert send["encoded"] == output["sent"] + output["dropped"], send
    if receive:
        streams = receive["streams"]
        received = sum(s["received"] + s["lost"] for s in streams)
        assert received == sum(o["sent"] for o in send["outputs"]), (send, receive)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
