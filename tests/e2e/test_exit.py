# SPDX-License-Identifier: MIT
"""Both programs end within 2 s of being asked, whatever they are in the middle of."""
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
import wire
from pcs import SENDER, SLOW, Program, check_sums, free_port, receiver, sender, wait_for

SMALL = ("--width", 320, "--height", 240, "--fps", 30)
LIMIT = 2


def stop_in_time(program, number=signal.SIGTERM):
    began = time.monotonic()
    summary = program.stop(number, LIMIT)
    assert time.monotonic() - began < LIMIT * SLOW, program.log
    return summary


def test_sender_whose_name_server_is_mute(tmp_path):
    """getaddrinfo(3) cannot be interrupted: nobody may wait for it."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.77\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        try:
            mute.bind(("127.0.0.77", 53))
        except OSError as e:
            pytest.skip(f"cannot be a name server here: {e}")
        if subprocess.run(["unshare", "-m", "mount", "--bind", resolv, "/etc/resolv.conf"],
                          capture_output=True).returncode:
            pytest.skip("mount is not allowed here")
        mute.settimeout(10 * SLOW)
        with Program("unshare", "-m", "sh", "-c", f"mount --bind {resolv} /etc/resolv.conf && exec \"$@\"", "sh",
                     SENDER, "--source", "test", *SMALL, "--dest-ip", "nobody.example.org") as s:
            mute.recv(512)  # it has asked
            s.wait_log("live|libx264|encoder", 10)
            summary = stop_in_time(s)
    assert summary["outputs"][0]["dropped"] == summary["encoded"] > 0
    check_sums(summary)


def test_sender_that_waits_for_a_connection(tmp_path):
    """A listener whose backlog is full: SYNs go unanswered."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):
            f = socket.socket()
            f.setblocking(False)
            f.connect_ex(full.getsockname())
            fillers.append(f)
        with sender(full.getsockname()[1], *SMALL) as s:
            s.wait_log("cannot reach .*timed out")
            check_sums(stop_in_time(s))
        for f in fillers:
            f.close()


@pytest.mark.parametrize("welcomed", [False, True])
def test_sender_at_a_receiver_that_is_stuck(tmp_path, welcomed):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], "--width", 640, "--height", 480, "--codec", "mjpeg") as s:
            conn, _ = server.accept()
            s.wait_log("connected to")
            if welcomed:
                conn.sendall(wire.welcome())
                s.wait_log("takes the stream")
            check_sums(stop_in_time(s))
            conn.close()
