# SPDX-License-Identifier: MIT
"""One allocation fails, at every place in turn: the programs end or go on, and never crash or hang.

PCS_FAULT_STEP=1 tries every allocation; the default takes each of the first and then bigger steps.
"""
import contextlib
import os
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pcs import RECEIVER, SENDER, Program, free_port, receiver, sender
from web import visit

LIBRARY = os.environ["PCS_FAILMALLOC"]
STEP = int(os.environ.get("PCS_FAULT_STEP", "0"))
PLACES = list(range(1, 400, STEP)) if STEP else list(range(1, 50, 3)) + list(range(50, 260, 30))
CAMERA = ("--width", 160, "--height", 120, "--codec", "mjpeg", "--frames", 5)


def failing(at, always):
    return {"LD_PRELOAD": LIBRARY, "PCS_FAIL_AT": str(at), "PCS_FAIL_ON": "1" if always else "0"}


def check(p, at):
    """It may fail and it may manage; it may not crash, hang or lie about which."""
    try:
        p.process.wait(45)  # without memory to connect, the rest is waited for for 30 s
    except subprocess.TimeoutExpired:
        p.kill()
        raise AssertionError(f"allocation {at}: hangs\n{p.log}") from None
    p.reader.join(5)
    assert p.process.returncode in (0, 1, 2), f"allocation {at}: status {p.process.returncode}\n{p.log}"
    return "on purpose" in p.log


def at_every_place(run):
    """run(place) says whether the library got to it. A few at a time: they mostly wait."""
    with ThreadPoolExecutor(4) as pool:
        failed = sum(pool.map(run, PLACES))
    assert failed > 10, "the library did not work"


@pytest.mark.parametrize("always", [False, True])
def test_sender(tmp_path, always):
    with receiver(tmp_path / "%n-%s.mp4") as r:
        def run(at):
            with sender(r.port, *CAMERA, "--duration", "3s", env=failing(at, always)) as s:
                return check(s, at)
        at_every_place(run)
        r.stop(seconds=20)


@pytest.mark.parametrize("always", [False, True])
def test_outputs_on_disk(tmp_path, always):
    """And what is left behind plays, or is nothing."""
    def run(at):
        folder = tmp_path / str(at)
        folder.mkdir()
        with Program(SENDER, "--source", "test", *CAMERA, "--duration", "3s", "--archive", folder, "--archive-ram",
                     "1M", "--publish", folder / "out.mkv", env=failing(at, always)) as s:
            return check(s, at)
    at_every_place(run)


@pytest.mark.parametrize("always", [False, True])
def test_services(tmp_path, always):
    """The sender again, as the one that is connected to."""
    def run(at):
        tcp, udp = free_port(), free_port()
        with Program(RECEIVER, "--connect", f"127.0.0.1:{tcp}", "--output", tmp_path / f"{at}.mp4") as r, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, \
                Program(SENDER, "--source", "test", *CAMERA[:-2], "--duration", "1s", "--tcp-port", tcp,
                        "--udp-port", udp, env=failing(at, always)) as s:
            r.wait_log("calling")
            while s.process.poll() is None and "UDP service" not in s.log:
                time.sleep(0.01)
            for _ in range(3):
                client.sendto(b"REGISTER_CLIENT", ("127.0.0.1", udp))
            failed = check(s, at)
            r.kill()
            return failed
    at_every_place(run)


def visit_everything(s):
    """All kinds of visitors in turn, as long as there is somebody to visit."""
    port = int(re.search(r"http: listening on .* port (\d+)", s.log)[1])
    while s.process.poll() is None:
        for path in ("/stream", "/ws", "/snapshot", "/", "/stats", "/metrics", "/api/v1/settings", "/nowhere"):
            with contextlib.suppress(OSError, EOFError, AssertionError, ValueError), visit(port, timeout=1) as v:
                if path == "/stream":
                    v.stream()
                    v.part()
                elif path == "/ws":
                    v.upgrade(path)
                    v.access_unit()
                else:
                    v.ask(path, "Connection: close", "Accept: text/html")
                    v.reply()


@pytest.mark.parametrize("always", [False, True])
def test_web(always):
    def run(at):
        with Program(SENDER, "--source", "test", *CAMERA[:4], "--duration", "700ms", "--http-port", 0,
                     env=failing(at, always)) as s:
            while s.process.poll() is None and "http: listening" not in s.log:
                time.sleep(0.01)
            if "http: listening" in s.log:
                visit_everything(s)
            return check(s, at)
    at_every_place(run)


@pytest.mark.parametrize("always", [False, True])
def test_caller(tmp_path, always):
    """The receiver again, as the one that connects."""
    port = free_port()
    with Program(SENDER, "--source", "test", *CAMERA[:-2], "--tcp-port", port) as s:
        s.wait_log("TCP service")

        def run(at):
            with Program(RECEIVER, "--connect", f"127.0.0.1:{port}", "--output", tmp_path / f"{at}.mp4",
                         "--duration", "500ms", env=failing(at, always)) as r:
                return check(r, at)
        at_every_place(run)
        s.stop()


@pytest.mark.parametrize("always", [False, True])
def test_receiver(tmp_path, always):
    def run(at):
        port = free_port()
        with Program(RECEIVER, "--listen-port", port, "--output", tmp_path / f"{at}.mp4", "--duration",
                     "700ms", env=failing(at, always)) as r, \
                sender(port, *CAMERA) as s:
            failed = check(r, at)
            s.kill()
            return failed
    at_every_place(run)
