# SPDX-License-Identifier: MIT
"""Both programs end within 2 s of being asked, whatever they are in the middle of."""
import signal
import socket
import subprocess
import time

import pytest
import wire
from pcs import RECEIVER, SENDER, SLOW, Program, check_sums, sender

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


def test_sender_that_is_delivering(tmp_path):
    """The source has ended, the receiver takes its time: a signal ends the waiting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], *SMALL, "--frames", 20) as s:
            peer = wire.Peer(server.accept()[0])
            peer.send(wire.welcome())
            peer.expect(wire.BYE)  # all is sent, nothing acknowledged
            summary = stop_in_time(s, signal.SIGINT)
            peer.close()
    check_sums(summary)
    assert summary["outputs"][0]["sent"] == summary["encoded"] and summary["outputs"][0]["acked"] == 0


@pytest.mark.waits
def test_sender_gives_up_who_only_throws_it_out(tmp_path):
    """Being let in again and again is no progress: a finished stream does not try for ever. Status 1,
    and the summary says why."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        with sender(server.getsockname()[1], *SMALL, "--frames", 5) as s:
            deadline = time.monotonic() + 60 * SLOW
            while s.process.poll() is None and time.monotonic() < deadline:
                try:
                    conn, _ = server.accept()
                except TimeoutError:
                    continue
                conn.sendall(wire.message(wire.ERROR, b"\0\3\4busy"))
                conn.close()
            status, summary = s.end(1)
    assert status == 1 and "no progress" in s.log and "busy" in s.log
    assert summary["outputs"][0]["dropped"] == summary["encoded"] > 0
    check_sums(summary)


@pytest.mark.parametrize("program", ["sender", "receiver"])
def test_the_printed_configuration_loads_again(tmp_path, program):
    args = (SENDER, "--dest-ip", "a b;c", "--name", "# \"x\" = [y]", "--bitrate", "1500k", "--max-latency", "1500us",
            "--loop", "--input", "/tmp/a;b #c.mp4") if program == "sender" else \
           (RECEIVER, "--output", "/x y/%n;%s #1.mp4", "--segment-time", "90s", "--sync", "250ms", "--once")
    first = subprocess.run([*args, "--check-config"], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    ini = tmp_path / "printed.ini"
    ini.write_text(first.stdout)
    again = subprocess.run([args[0], "--config", ini, "--check-config"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
