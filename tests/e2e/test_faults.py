# SPDX-License-Identifier: MIT
"""Rows of the failure table: processes die, lines break, disks fill, people interrupt."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from pcs import (FAKE, RECEIVER, SENDER, Program, check_sums, decodes_cleanly, fake_camera, free_port,
                 markers, packets, probe, receiver, receiver_at, sender, top_boxes, wait_for)

SMALL = ("--width", 320, "--height", 240, "--fps", 30)


def size(path):
    return path.stat().st_size if path.exists() else 0


def numbers(path):
    seen = markers(path)
    assert None not in seen
    return [n for n, _ in seen]


def assert_all_are_there(seen, sent):
    """Every frame that was encoded. The numbers in the pictures are the camera's: one that the encoder
    had no time for (a busy machine) is missing, and counted."""
    assert len(set(seen)) == sent["encoded"], (sorted(set(range(1, sent["captured"] + 1)) - set(seen)), sent)
    assert max(seen) <= sent["captured"]


class Line:
    """A TCP relay that can be cut and mended, like a cable."""

    def __init__(self, port):
        self.target = port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.pairs, self.up = [], True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                a, _ = self.server.accept()
            except OSError:
                return
            if not self.up:
                a.close()
                continue
            try:
                b = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                a.close()
                continue
            self.pairs.append((a, b))
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self._pump, args=(x, y), daemon=True).start()

    @staticmethod
    def _pump(x, y):
        try:
            while data := x.recv(65536):
                y.sendall(data)
        except OSError:
            pass
        for s in (x, y):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.up = False
        for pair in self.pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []

    def mend(self):
        self.up = True

    def close(self):
        self.cut()
        self.server.close()


def test_a_line_that_breaks_costs_no_frame(tmp_path):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r:
        line = Line(r.port)
        with sender(line.port, *SMALL, "--frames", 240) as s:
            for i in range(4):
                before = size(out)
                wait_for(lambda: size(out) > before, "the file to grow")
                line.cut()
                r.wait_log("connection ended", count=i + 1)
                line.mend()
                r.wait_log("is back", count=i + 1)
            _, sent = s.end(30)
        _, got = r.end()
        line.close()
    check_sums(sent, got)
    assert sent["captured"] == sent["outputs"][0]["acked"] + sent["dropped"]
    stream, = got["streams"]
    assert stream["reconnects"] >= 4 and stream["lost"] == 0
    assert stream["files"] == [str(out)], "one session is one file"
    assert len(set(numbers(out))) == len(numbers(out)) == sent["encoded"]


def test_receiver_killed_and_restarted(tmp_path):
    """What was acknowledged is in the old file; the rest arrives at the new receiver."""
    out = tmp_path / "out.mp4"
    r = receiver(out, "--sync", "300ms")
    with sender(r.port, *SMALL) as s:
        # the second fragment has begun, so the first is whole
        wait_for(lambda: size(out) > 60000 and top_boxes(out).count("moof") > 1, "the file to grow")
        r.kill()
        clean, why = decodes_cleanly(out)
        assert int(probe(out)["nb_read_packets"]) > 5
        first = numbers(out)
        s.wait_log("connection to .* ended")
        with receiver_at(r.port, out) as again:
            again.wait_log("recording to .*out-1.mp4")
            wait_for(lambda: size(tmp_path / "out-1.mp4") > 60000, "the new file to grow")
            sent = s.stop()
            got = again.stop()
    assert clean, why
    second = numbers(tmp_path / "out-1.mp4")
    # together every frame that was ever encoded
    assert_all_are_there(first + second, sent)
    assert got["streams"][0]["files"] == [str(tmp_path / "out-1.mp4")]
    # the old file still plays, made plain by the new run, with the frames it had
    assert numbers(out) == first
    assert decodes_cleanly(out)[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out-1.mp4", "out.mp4"]


def test_receiver_away_at_first(tmp_path):
    out = tmp_path / "out.mp4"
    port = free_port()
    with sender(port, *SMALL, "--frames", 60) as s:
        s.wait_log("cannot reach")
        with receiver_at(port, out, "--once") as r:
            _, sent = s.end(30)
            _, got = r.end()
    check_sums(sent, got)
    assert len(numbers(out)) == sent["encoded"]
    assert_all_are_there(numbers(out), sent)


@pytest.mark.waits
def test_sender_killed(tmp_path):
    """The receiver closes the file after its time-out, and it is a plain file."""
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r:
        s = sender(r.port, *SMALL)
        wait_for(lambda: size(out) > 30000, "the file to grow")
        s.kill()
        r.wait_log("connection ended")
        status, got = r.end(20)
    assert status == 0
    assert "moof" not in top_boxes(out)
    assert int(probe(out)["nb_read_packets"]) == got["streams"][0]["written"] > 0


def test_buffer_overflow_is_counted(tmp_path):
    """A break longer than the buffer: the oldest are gone, the numbers say how many, nothing breaks."""
    out = tmp_path / "out.mp4"
    with receiver(out) as r:
        line = Line(r.port)
        with sender(line.port, "--width", 640, "--height", 480, "--fps", 30, "--codec", "mjpeg",
                    "--buffer", "1M") as s:
            wait_for(lambda: size(out) > 100000, "the file to grow")
            line.cut()
            s.wait_log("buffer of 1 MB is full", 30)
            line.mend()
            r.wait_log("is back")
            before = size(out)
            wait_for(lambda: size(out) > before + 500000, "the file to grow again")
            sent = s.stop()
        got = r.stop()
        line.close()
    check_sums(sent, got)
    assert sent["outputs"][0]["dropped"] > 0
    stream, = got["streams"]
    assert stream["received"] == stream["written"] == int(probe(out)["nb_read_packets"])
    assert decodes_cleanly(out)[0]


def test_live_mode_skips_what_is_late(tmp_path):
    out = tmp_path / "out.mp4"
    with receiver(out) as r:
        line = Line(r.port)
        with sender(line.port, *SMALL, "--max-latency", "300ms") as s:
            wait_for(lambda: size(out) > 20000, "the file to grow")
            line.cut()
            s.wait_log("connection to .* ended")
            time.sleep(1.5)  # the outage itself
            line.mend()
            r.wait_log("is back", 20)
            before = size(out)
            wait_for(lambda: size(out) > before + 20000, "the file to grow again")
            sent = s.stop()
        got = r.stop()
        line.close()
    check_sums(sent, got)
    assert sent["outputs"][0]["dropped"] > 10
    assert decodes_cleanly(out)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_disk_full_and_space_again(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk],
                      capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1500000))
        out = disk / "out.mp4"
        with receiver(out, "--sync", "200ms") as r, \
                sender(r.port, *SMALL, "--bitrate", "2M") as s:
            r.wait_log("recording pauses", 30)
            assert "No space left" in r.log
            time.sleep(1)
            ballast.unlink()
            r.wait_log("recording goes on", 30)
            before = size(out)
            wait_for(lambda: size(out) > before, "the file to grow again", 20)
            sent = s.stop()
            got = r.stop()
        check_sums(sent, got)
        stream, = got["streams"]
        got_numbers = [n for f in stream["files"] for n in numbers(f)]
        assert_all_are_there(got_numbers, sent)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_output_that_cannot_be_written(tmp_path):
    for output, why in ((tmp_path / "no" / "out.mp4", "does not exist"), (tmp_path, "is a folder")):
        p = Program(RECEIVER, "--listen-port", 0, "--output", output)
        status, summary = p.end()
        assert status == 1 and why in p.log and str(tmp_path) in p.log, p.log


def test_port_in_use(tmp_path):
    with receiver(tmp_path / "a.mp4") as r:
        p = Program(RECEIVER, "--listen-port", r.port, "--output", tmp_path / "b.mp4")
        status, _ = p.end()
        assert status == 1 and str(r.port) in p.log and "in use" in p.log
        r.stop()


@pytest.mark.parametrize("program", ["sender", "receiver"])
def test_exit_is_quick_even_with_nobody_there(tmp_path, program):
    if program == "sender":
        p = sender(free_port(), *SMALL)
        p.wait_log("cannot reach")
    else:
        p = receiver(tmp_path / "out.mp4")
    began = time.monotonic()
    p.stop(signal.SIGTERM, 2)
    assert time.monotonic() - began < 2 * 5


def test_second_interrupt_quits_at_once(tmp_path):
    """A peer that holds everything up: the first SIGINT waits its time, the second does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], *SMALL) as s:
            conn, _ = server.accept()
            import wire
            conn.sendall(wire.welcome())
            s.wait_log("takes the stream")
            s.send_signal(signal.SIGINT)
            s.wait_log("stopping")
            s.send_signal(signal.SIGINT)
            s.process.wait(5)
            assert s.process.returncode in (0, 1)


def test_what_cannot_be_made_is_said_once(tmp_path):
    for args, why in ((["--encoder", "nosuch"], "nosuch"), (["--format", "ABCD"], "ABCD")):
        with sender(free_port(), *SMALL, *args) as s:
            status, _ = s.end()
            assert status in (1, 2) and why in s.log, s.log
            assert len([line for line in s.lines if " error " in line or line.startswith("pi-")]) == 1, s.log


def test_no_fd_is_leaked_by_reconnecting(tmp_path):
    with receiver(tmp_path / "out.mp4") as r:
        line = Line(r.port)
        with sender(line.port, *SMALL) as s:
            r.wait_log("record: recording to")
            counts = (0, 0)
            for i in range(8):
                line.cut()
                s.wait_log("connection to .* ended")
                line.mend()
                r.wait_log("is back", count=i + 1)
                if i == 1:
                    counts = (s.fds(), r.fds())
            wait_for(lambda: s.fds() <= counts[0] and r.fds() <= counts[1],
                     f"the fds to be as few as {counts}")
            s.stop()
        r.stop()
        line.close()


def test_segments_lose_nothing(tmp_path):
    with receiver(tmp_path / "%n-%s-%H%M%S.mp4", "--segment-time", "1s", "--once") as r, \
            sender(r.port, *SMALL, "--gop", 10, "--frames", 150) as s:
        _, sent = s.end(30)
        _, got = r.end()
    check_sums(sent, got)
    files = got["streams"][0]["files"]
    assert len(files) >= 3
    everything = []
    for f in files:
        assert decodes_cleanly(f)[0]
        assert "moof" not in top_boxes(f)
        everything += numbers(f)
    assert everything == sorted(everything) and len(everything) == sent["encoded"]
    assert_all_are_there(everything, sent)


def test_reload_changes_what_can_change(tmp_path):
    ini = tmp_path / "r.ini"
    ini.write_text("[run]\nstats-interval = 1h\n")
    with receiver(tmp_path / "out.mp4", "--config", ini) as r:
        ini.write_text("[run]\nstats-interval = 100ms\n[listen]\nmax-senders = 3\n")
        r.send_signal(signal.SIGHUP)
        r.wait_log("configuration reloaded")
        assert re.search("max-senders .*restart", r.log)
        r.wait_log("senders connected")
        ini.write_text("[run]\nstats-interval = yesterday\n")
        r.send_signal(signal.SIGHUP)
        r.wait_log("not reloaded: .*yesterday")
        r.stop()


def test_a_file_deleted_while_it_grows(tmp_path):
    """Nothing that was not yet safe is lost with it: the next file begins with a key frame before."""
    out = tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, sender(r.port, *SMALL, "--gop", 15) as s:
        r.wait_log("record: recording to")
        wait_for(lambda: size(out) > 60000, "the file to grow")
        out.unlink()
        r.wait_log("recording goes on", 20)
        wait_for(lambda: size(out) > 60000, "its successor to grow")
        sent = s.stop()
        got = r.stop()
    second = got["streams"][0]["files"][-1]
    check_sums(sent, got)
    seen = numbers(second)
    assert seen == sorted(set(seen))
    assert seen[-1] - seen[0] + 1 - len(seen) <= sent["dropped"]
    assert packets(second)[0][1] and decodes_cleanly(second)[0]
