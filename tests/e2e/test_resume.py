# SPDX-License-Identifier: MIT
"""A session goes on over broken lines, dead receivers, closed files and full disks: every frame once
in what is counted, at least once on disk."""
import array
import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
import wire
from pcs import (check_sums, free_port, markers, probe, receiver, receiver_at, sender, top_boxes, wait_for)

SMALL = ("--width", 320, "--height", 240, "--fps", 30, "--gop", 10)


def size(path):
    return path.stat().st_size if path.exists() else 0


def holds_a_fragment(path):
    """The second has begun, so the first is whole. What is killed before that leaves no file behind."""
    return path.exists() and top_boxes(path).count("moof") > 1


def numbers(path):
    seen = markers(path)
    assert None not in seen
    return [n for n, _ in seen]


def assert_complete(numbers_seen, sent):
    """All that was encoded; what a busy machine dropped before encoding has a number too."""
    assert len(numbers_seen) == sent["encoded"] and max(numbers_seen) <= sent["captured"]


def frames(path):
    return int(probe(path)["nb_read_packets"])


def send_frames(peer, first, last):
    for i in range(first, last + 1):
        peer.send(wire.frame(i, wire.jpeg(value=i % 256), flags=wire.REWOUND if i == first else 0))


def wait_ack(peer, seq):
    synced = 0
    while synced < seq:
        synced, _ = struct.unpack(">QQ", peer.expect(wire.ACK))
    assert synced == seq


def test_receiver_killed_again_and_again(tmp_path):
    out = tmp_path / "out.mp4"
    port = free_port()
    with sender(port, *SMALL) as s:
        for i in range(5):
            file = tmp_path / (f"out-{i}.mp4" if i else "out.mp4")
            with receiver_at(port, out, "--sync", "100ms") as r:
                wait_for(lambda: holds_a_fragment(file), f"{file} to hold pictures")
                if i < 4:
                    r.kill()
                    continue
                sent = s.stop()
                got = r.stop()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5, files
    everything = set()
    for f in files:
        here = numbers(f)
        assert here == sorted(set(here)), f"{f} has a frame twice, or out of order"
        everything |= set(here)
    assert_complete(everything, sent)
    output, = sent["outputs"]
    assert output["sent"] == output["acked"] == sent["encoded"] and output["dropped"] == 0
    stream, = got["streams"]
    assert stream["received"] == stream["written"] == frames(stream["files"][0])


@pytest.mark.waits
def test_the_same_session_after_its_file_was_closed(tmp_path):
    """What the closing of the file synced is not asked for again, and the new file begins behind it."""
    with receiver(tmp_path / "%n.mp4", "--sync", "1h") as r:
        peer = wire.Peer.connect(r.port)
        assert peer.greet(name="cam") == (0, True)
        send_frames(peer, 1, 20)
        peer.end()
        r.wait_log("cam: connection ended")
        wait_for(lambda: size(tmp_path / "cam.mp4") and "moof" not in top_boxes(tmp_path / "cam.mp4"),
                 "the file to be closed", 20)
        again = wire.Peer.connect(r.port)
        assert again.greet(peer.session, name="cam", first=1, next_=21) == (21, True)
        wait_ack(again, 20)
        send_frames(again, 21, 30)
        again.send(wire.bye(31))
        wait_ack(again, 30)
        again.close()
        r.wait_log("recording to", count=2)
        summary = r.stop()
    stream, = summary["streams"]
    assert stream["received"] == stream["written"] == 30 and stream["lost"] == 0
    assert [frames(f) for f in stream["files"]] == [20, 10]


@pytest.mark.parametrize("once", [[], ["--once"]])
def test_a_line_that_breaks_right_behind_bye(tmp_path, once):
    """The sender could not hear that all is safe: it comes back for that, and finds the receiver."""
    with receiver(tmp_path / "out.mp4", *once) as r:
        peer = wire.Peer.connect(r.port)
        peer.greet()
        send_frames(peer, 1, 20)
        peer.send(wire.bye(21))
        peer.sock.shutdown(socket.SHUT_WR)
        peer.close()
        r.wait_log("connection ended")
        again = wire.Peer.connect(r.port)
        assert again.greet(peer.session, first=1, next_=21) == (21, False)
        wait_ack(again, 20)
        again.send(wire.bye(21))
        while again.receive() is not None:  # pings, and the end
            pass
        again.close()
        status, summary = r.end() if once else (0, r.stop())
    assert status == 0
    stream, = summary["streams"]
    assert stream["files"] == [str(tmp_path / "out.mp4")]
    assert stream["received"] == stream["written"] == frames(tmp_path / "out.mp4") == 20


def test_an_end_whose_last_frames_were_never_sent(tmp_path):
    """BYE names a number that never comes: that is no reason to wait for it."""
    with receiver(tmp_path / "out.mp4", "--once", "--sync", "1h") as r:
        peer = wire.Peer.connect(r.port)
        peer.greet()
        send_frames(peer, 1, 20)
        peer.send(wire.bye(26, skipped=3))
        wait_ack(peer, 20)
        assert peer.receive() is None
        peer.close()
        status, summary = r.end(5)
    stream, = summary["streams"]
    assert status == 0 and stream["received"] == stream["written"] == 20
    assert stream["lost"] == 2 and stream["never_sent"] == 3


def test_back_before_the_old_connection_is_known_to_be_dead(tmp_path):
    with receiver(tmp_path / "out.mp4") as r:
        old = wire.Peer.connect(r.port)
        old.greet()
        send_frames(old, 1, 10)
        old.send(wire.frame(11, bytes(100000))[:50000])  # … and half of one
        wait_ack(old, 10)
        new = wire.Peer.connect(r.port)
        assert new.greet(old.session, first=1, next_=12) == (11, False)
        while old.receive() is not None:
            pass
        send_frames(new, 11, 20)
        new.send(wire.bye(21))
        wait_ack(new, 20)
        new.close()
        summary = r.stop()
    stream, = summary["streams"]
    assert stream["received"] == stream["written"] == 20 and stream["lost"] == 0
    assert stream["reconnects"] == 1 and stream["files"] == [str(tmp_path / "out.mp4")]


def test_a_stream_that_brought_nothing_is_no_end_for_once(tmp_path):
    with receiver(tmp_path / "out.mp4", "--once") as r:
        for _ in range(3):
            peer = wire.Peer.connect(r.port)
            peer.greet()
            peer.reset()
        r.wait_log("connection ended", count=3)
        peer = wire.Peer.connect(r.port)
        peer.greet(name="good")
        send_frames(peer, 1, 5)
        peer.send(wire.bye(6))
        wait_ack(peer, 5)
        peer.close()
        status, summary = r.end()
    assert status == 0
    assert {s["name"]: s["written"] for s in summary["streams"]}["good"] == 5


class Reader:
    """A receiver in Python, by the message."""

    def __init__(self, server, from_seq=0):
        sock, _ = server.accept()
        self.peer = wire.Peer(sock)
        assert self.peer.receive()[0] == wire.HELLO
        self.peer.send(wire.welcome(from_seq))

    def frame(self):
        """(seq, flags, payload) of the next frame, or None at BYE."""
        while True:
            kind, body = self.peer.receive()
            if kind == wire.BYE:
                return None
            if kind == wire.FRAME:
                flags, _, seq = struct.unpack(">BHQ", body[:11])
                return seq, flags, body[35:]


def unread(sock):
    n = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, n)
    return n[0]


def test_replay_while_a_frame_is_half_sent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], "--width", 1280, "--height", 720, "--codec", "mjpeg",
                    "--fps", 10, "--frames", 30) as s:
            r = Reader(server)
            first = {}
            for _ in range(3):
                seq, flags, payload = r.frame()
                first[seq] = payload
            assert list(first) == [1, 2, 3]
            # not reading: the sender fills the socket and sticks somewhere in a frame
            waiting = [-1, unread(r.peer.sock)]
            while waiting[-1] != waiting[-2]:
                time.sleep(0.5)  # five frame times
                waiting.append(unread(r.peer.sock))
            r.peer.send(wire.message(wire.REPLAY, struct.pack(">QB", 2, 0)))
            before, after = [], []
            while (got := r.frame()) is not None:
                seq, flags, payload = got
                assert payload[:2] == b"\xff\xd8" and payload[-2:] == b"\xff\xd9"
                if flags & wire.REWOUND:
                    assert not after, "rewound once"
                    after.append(seq)
                else:
                    (after if after else before).append(seq)
                if seq in first:
                    assert payload == first[seq]
            assert before == list(range(4, 4 + len(before)))
            assert after == list(range(2, 31)), (before, after)
            r.peer.send(wire.ack(30, 30))
            status, sent = s.end()
    assert status == 0
    check_sums(sent)
    assert sent["outputs"][0]["acked"] == 30


def test_a_key_frame_on_request(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], "--width", 320, "--height", 240, "--gop", 10000) as s:
            r = Reader(server)
            assert r.frame()[1] & wire.IS_KEY
            assert not any(r.frame()[1] & wire.IS_KEY for _ in range(20))
            r.peer.send(wire.message(wire.KEY))
            assert any(r.frame()[1] & wire.IS_KEY for _ in range(20))
            s.stop()


def test_overflow_then_a_killed_receiver_then_resume(tmp_path):
    """Frames are dropped unsent, sent and lost with their receiver, and sent again: all of it adds up."""
    out = tmp_path / "out.mp4"
    r = receiver(out, "--sync", "100ms")
    big = ("--width", 640, "--height", 480, "--fps", 30, "--codec", "mjpeg", "--buffer", "1M")
    with sender(r.port, *big) as s:
        for i in range(2):
            file = tmp_path / (f"out-{i}.mp4" if i else "out.mp4")
            wait_for(lambda: size(file) > 500000, f"{file} to grow")
            os.kill(r.pid, signal.SIGSTOP)  # it takes what the socket holds, and keeps none of it
            s.wait_log("buffer of 1 MB is full", 30, count=1)
            time.sleep(1)  # more than the buffer holds
            r.kill()
            r = receiver_at(r.port, out, "--sync", "100ms")
        with r:
            file = tmp_path / "out-2.mp4"
            wait_for(lambda: size(file) > 500000, f"{file} to grow")
            sent = s.stop()
            got = r.stop()
    check_sums(sent)
    output, = sent["outputs"]
    on_disk = {n for f in tmp_path.iterdir() for n in numbers(f)}
    assert output["dropped"] > 0 and output["acked"] < output["sent"]
    assert output["acked"] <= len(on_disk) <= output["sent"], (output, len(on_disk))
    stream, = got["streams"]
    assert stream["received"] == stream["written"] and stream["lost"] == 0


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk],
                                      capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    (disk / "ballast").write_bytes(bytes(2000000))
    yield disk
    subprocess.run(["umount", "-l", disk], check=False)


def test_disk_full_at_the_very_end(small_disk):
    """The source has ended while nothing can be written: both wait for the disk, then all is there."""
    out = small_disk / "out.mp4"
    with receiver(out, "--sync", "200ms", "--once") as r, \
            sender(r.port, *SMALL, "--bitrate", "2M", "--duration", "12s") as s:
        r.wait_log("recording pauses", 30)
        (small_disk / "ballast").unlink()
        r.wait_log("recording goes on", 30)
        status, sent = s.end(40)
        assert status == 0, s.log
        status, got = r.end(20)
        assert status == 0, r.log
    check_sums(sent, got)
    everything = {n for f in got["streams"][0]["files"] for n in numbers(f)}
    assert_complete(everything, sent)
    assert sent["outputs"][0]["acked"] == sent["encoded"]


def test_disk_full_and_the_receiver_killed(small_disk):
    out = small_disk / "out.mp4"
    r = receiver(out, "--sync", "200ms")
    with sender(r.port, *SMALL, "--bitrate", "2M") as s:
        r.wait_log("recording pauses", 30)
        r.kill()
        (small_disk / "ballast").unlink()
        with receiver_at(r.port, out, "--sync", "200ms") as again:
            again.wait_log("recording to .*out-1.mp4", 20)
            wait_for(lambda: size(small_disk / "out-1.mp4") > 300000, "the new file to grow", 20)
            sent = s.stop()
            got = again.stop()
    everything = set(numbers(out)) | set(numbers(small_disk / "out-1.mp4"))
    assert_complete(everything, sent)
    assert sent["encoded"] == sent["outputs"][0]["sent"] == sent["outputs"][0]["acked"]
    assert got["streams"][0]["received"] == got["streams"][0]["written"]
