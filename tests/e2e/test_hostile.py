# SPDX-License-Identifier: MIT
"""What a receiver does with peers that are wrong, broken, mad or slow: they are told why, cost
little, and nobody else notices."""
import os
import random
import socket
import struct
import time

import pytest
import wire
from pcs import RECEIVER, SANITIZED, SLOW, Program, probe, receiver, sender, wait_for


def stream_in(r, frames=20, name="good"):
    """A well-behaved sender beside the others: everything it sends must be written."""
    peer = wire.Peer.connect(r.port)
    peer.greet(name=name)
    for i in range(1, frames + 1):
        peer.send(wire.frame(i, wire.jpeg(value=i)))
    peer.send(wire.bye(frames + 1))
    synced = 0
    while synced < frames:
        synced, _ = struct.unpack(">QQ", peer.expect(wire.ACK))
    peer.close()


WRONG = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("160301020001000001fc0303") + bytes(64),
    "zero length": bytes(16),
    "absurd length": b"\xff\xff\xff\xff\x01" + bytes(60),
    "frame first": wire.frame(1, b"x" * 100),
    "huge frame first": struct.pack(">IB", 0x7FFFFFFF, wire.FRAME) + bytes(64),
    "wrong magic": wire.message(wire.HELLO, b"XXXX" + bytes(100)),
    "short hello": wire.message(wire.HELLO, struct.pack(">IHH", wire.MAGIC, 1, 0) + bytes(20)),
    "wrong version": wire.hello(bytes(16), version=99),
    "no such codec": wire.hello(bytes(16), codec=77),
    "no size": wire.hello(bytes(16), width=0),
    "huge picture": wire.hello(bytes(16), width=65535, height=65535),
    "unknown type": wire.message(200, bytes(10)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_peer_is_told_so(tmp_path, name):
    with receiver(tmp_path / "out.mp4") as r:
        peer = wire.Peer.connect(r.port)
        peer.send(WRONG[name])
        got = peer.receive()
        assert got and got[0] == wire.ERROR and len(got[1]) > 10, got
        assert peer.receive() is None
        r.wait_log("refused")
        stream_in(r)
        summary = r.stop()
    assert [s["written"] for s in summary["streams"]] == [20]


BROKEN = {
    "absurd length": b"\xff\xff\xff\xff\x03",
    "unknown type": wire.message(99, b"abc"),
    "a second hello": wire.hello(bytes(16)),
    "number zero": wire.frame(0, b"x"),
    "time at the end of time": wire.frame(7, b"x", capture_us=2**63 - 1),
    "a receiver's message": wire.ack(1, 1),
    "short frame": struct.pack(">IB", 10, wire.FRAME) + bytes(60),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_is_dropped_and_kept_so_far(tmp_path, name):
    with receiver(tmp_path / "%n.mp4") as r:
        peer = wire.Peer.connect(r.port)
        peer.greet(name="bad")
        for i in range(1, 6):
            peer.send(wire.frame(i, wire.jpeg()))
        peer.send(BROKEN[name])
        while peer.receive() is not None:
            pass
        r.wait_log("bad: connection ended")
        stream_in(r)
        summary = r.stop()
    written = {s["name"]: s["written"] for s in summary["streams"]}
    assert written == {"bad": 5, "good": 20}
    assert int(probe(tmp_path / "bad.mp4")["nb_read_packets"]) == 5


def test_half_a_message_then_gone(tmp_path):
    with receiver(tmp_path / "%n.mp4") as r:
        peer = wire.Peer.connect(r.port)
        peer.greet(name="half")
        peer.send(wire.frame(1, wire.jpeg()))
        peer.send(wire.frame(2, bytes(100000))[:50000])
        peer.reset()
        r.wait_log("half: connection ended")
        summary = r.stop()
    assert summary["streams"][0]["received"] == summary["streams"][0]["written"] == 1


def test_ten_thousand_connections(tmp_path):
    """Random bytes, nothing at all, half a hello: fds and memory stay where they were."""
    rng = random.Random(1)
    with receiver(tmp_path / "%n.mp4") as r:
        stream_in(r, name="before")
        before = r.fds()
        open_ones = []
        rss = 0
        for i in range(10000):
            s = socket.create_connection(("127.0.0.1", r.port))
            kind = i % 4
            try:
                if kind == 0:
                    s.sendall(rng.randbytes(rng.randrange(1, 200)))
                elif kind == 1:
                    s.sendall(wire.hello(os.urandom(16))[:rng.randrange(1, 60)])
                elif kind == 2:
                    s.sendall(struct.pack(">IB", rng.getrandbits(32), rng.randrange(13)) + rng.randbytes(80))
            except OSError:
                pass
            open_ones.append(s)
            if len(open_ones) > 50:
                open_ones.pop(rng.randrange(50)).close()
            if i == 2000:
                rss = r.rss_kb()
        stream_in(r, name="meanwhile")
        for s in open_ones:
            s.close()
        wait_for(lambda: r.fds() <= before + 1, "the fds to be closed", 20)
        assert r.rss_kb() < rss + 4096, (rss, r.rss_kb())
        summary = r.stop()
    assert {s["name"]: s["written"] for s in summary["streams"]} == {"before": 20, "meanwhile": 20}


@pytest.mark.waits
def test_a_peer_that_says_nothing(tmp_path):
    with receiver(tmp_path / "out.mp4") as r:
        peer = wire.Peer.connect(r.port)
        got = peer.receive()  # after 5 s
        assert got[0] == wire.ERROR and b"hello" in got[1]
        assert peer.receive() is None
        r.stop()


def test_a_sender_that_never_reads(tmp_path):
    """Its pings pile up in our socket; what it sends is recorded all the same."""
    with receiver(tmp_path / "out.mp4") as r:
        peer = wire.Peer.connect(r.port)
        peer.greet()
        picture = wire.jpeg()
        for i in range(1, 301):
            peer.send(wire.frame(i, picture))
        wait_for(lambda: (tmp_path / "out.mp4").exists(), "a file")
        peer.send(wire.bye(301))
        wait_for(lambda: not r.log.count("Sanitizer") and "moof" not in _boxes(tmp_path / "out.mp4"),
                 "a plain file", 20)
        summary = r.stop()
    assert summary["streams"][0]["written"] == 300


def _boxes(path):
    from pcs import top_boxes
    return top_boxes(path)


def test_a_sender_without_a_name_or_with_a_mad_one(tmp_path):
    names = ["", "../../../etc/x", "a/b", "\x1b[31mred\n", "\u00e4" * 32, "."]
    with receiver(tmp_path / "%n-%s.mp4") as r:
        for name in names:
            stream_in(r, frames=3, name=name)
        summary = r.stop()
    assert "\x1b" not in r.log
    files = [f for s in summary["streams"] for f in s["files"]]
    assert len(files) == len(names) == len(list(tmp_path.iterdir()))
    assert all(os.path.dirname(f) == str(tmp_path) for f in files), files


def test_more_senders_than_allowed(tmp_path):
    with receiver(tmp_path / "%n-%s.mp4", "--max-senders", 2) as r:
        peers = []
        for _ in range(2):
            peer = wire.Peer.connect(r.port)
            peer.greet()
            peers.append(peer)
        third = wire.Peer.connect(r.port)
        third.send(wire.hello(os.urandom(16)))
        kind, body = third.receive()
        assert kind == wire.ERROR and b"max-senders" in body
        r.stop()


def test_more_senders_than_the_soft_limit_of_fds(tmp_path):
    r = Program("sh", "-c", 'ulimit -Sn 64 && exec "$@"', "sh", RECEIVER, "--listen-port", 0, "--output",
                tmp_path / "%n-%s.mp4")
    with r:
        r.port = int(r.wait_log(r"listening on port (\d+)"))
        peers = []
        for i in range(30):
            peer = wire.Peer.connect(r.port)
            peer.greet()
            peer.send(wire.frame(1, wire.jpeg()))
            peers.append(peer)
        r.wait_log("recording to", count=30)
        summary = r.stop()
    assert [s["written"] for s in summary["streams"]] == [1] * 30


def test_places_are_for_those_who_are_here(tmp_path):
    """A sender that left is expected back for 10 s, but not when somebody else needs its place."""
    with receiver(tmp_path / "%n-%s.mp4", "--max-senders", 3) as r:
        for i in range(3):
            peer = wire.Peer.connect(r.port)
            peer.greet(name=f"gone{i}")
            peer.send(wire.frame(1, wire.jpeg()))
            peer.reset()
        r.wait_log("gone.: connection ended", count=3)
        began = time.monotonic()
        with sender(r.port, "--width", 64, "--height", 48, "--frames", 10, "--name", "good") as s:
            assert s.end()[0] == 0, s.log
        assert time.monotonic() - began < 5 * SLOW
        summary = r.stop()
    assert {s["name"]: s["written"] for s in summary["streams"]} == \
        {"gone0": 1, "gone1": 1, "gone2": 1, "good": 10}


def test_hellos_and_nothing_behind_them(tmp_path):
    """Thousands of sessions that never bring a frame: no place, no thread, no memory is left behind."""
    with receiver(tmp_path / "%n-%s.mp4", "--max-senders", 8) as r:
        stream_in(r, name="before")
        fds, rss = r.fds(), 0
        for i in range(3000):
            s = socket.create_connection(("127.0.0.1", r.port))
            s.sendall(wire.hello(os.urandom(16), name="mad"))
            if i % 3:
                s.settimeout(5 * SLOW)
                s.recv(1)
            s.close()
            if i == 500:
                rss = r.rss_kb()
        with sender(r.port, "--width", 64, "--height", 48, "--frames", 10, "--name", "good") as s:
            status, sent = s.end()
            assert status == 0, s.log
        wait_for(lambda: r.fds() <= fds + 12, "the fds to be closed", 20)  # good, and the last of the mad
        assert r.threads() <= 4, r.threads()
        if not SANITIZED:  # which keep what was freed
            assert r.rss_kb() < rss + 4096, (rss, r.rss_kb())
        summary = r.stop()
    written = {s["name"]: s["written"] for s in summary["streams"] if s["name"] != "mad"}
    assert written == {"before": 20, "good": sent["encoded"]}  # a busy machine drops some before that


def test_nobody_makes_it_spin(tmp_path):
    """Half a hello, half a frame, nothing at all, never reading, a closed half: no time is burnt."""
    with receiver(tmp_path / "%n-%s.mp4", "--stats-interval", "0") as r:
        peers = [wire.Peer.connect(r.port) for _ in range(5)]
        for peer in peers[1:]:
            peer.greet(name="x")
        peers[0].send(wire.hello(bytes(16))[:30])
        peers[1].send(wire.frame(1, bytes(10000))[:5000])
        peers[2].send(wire.frame(1, wire.jpeg()))
        peers[2].sock.shutdown(socket.SHUT_RD)
        peers[3].send(wire.frame(1, wire.jpeg()) + wire.bye(2))
        peers[4].send(wire.frame(1, wire.jpeg()))
        peers[4].sock.shutdown(socket.SHUT_WR)
        r.wait_log("connection ended")
        assert r.cpu_share(2) < 0.05 * SLOW
        r.stop()


def test_a_stuck_receiver_does_not_make_the_sender_spin(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], "--width", 640, "--height", 480, "--fps", 1, "--codec", "mjpeg",
                    "--buffer", "1M") as s:
            mute, _ = server.accept()
            s.wait_log("connected to")
            assert s.cpu_share(2) < 0.1 * SLOW
            mute.sendall(wire.welcome())
            mute.shutdown(socket.SHUT_WR)
            deaf, _ = server.accept()
            deaf.sendall(wire.welcome() + wire.message(wire.PING, bytes(8)) * 20)
            assert s.cpu_share(2) < 0.1 * SLOW
            s.stop(seconds=2)
            mute.close()
            deaf.close()


def test_a_sender_behind_a_wrong_port_says_what_is_there(tmp_path):
    """The other way round: our sender meets something that is no receiver, and keeps trying."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], "--width", 64, "--height", 48) as s:
            for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, wire.message(250, b"hi"),
                           wire.welcome(version=9), b"SSH-2.0-OpenSSH_9.2\r\n"):
                conn, _ = server.accept()
                conn.sendall(answer)
                conn.settimeout(20)
                try:
                    while conn.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
                conn.close()
            s.wait_log("connection to .* ended")
            s.stop()


@pytest.mark.waits
def test_a_receiver_that_never_answers_or_never_reads(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with sender(server.getsockname()[1], "--width", 320, "--height", 240, "--fps", 60,
                    "--buffer", "1M", "--codec", "mjpeg") as s:
            mute, _ = server.accept()  # accepts, and that is all
            s.wait_log("silent for 10 s", 20)
            deaf, _ = server.accept()
            deaf.sendall(wire.welcome())
            s.wait_log("buffer of 1 MB is full", 20)
            summary = s.stop(seconds=3)
            mute.close()
            deaf.close()
    assert summary["captured"] == summary["encoded"] + summary["dropped"]
    assert summary["outputs"][0]["dropped"] > 0
