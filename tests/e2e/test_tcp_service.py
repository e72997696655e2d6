# SPDX-License-Identifier: MIT
"""Receivers that call the sender: as push, with the roles of connecting swapped. They come and go, are
killed and come back, and each gets every frame once."""
import os
import random
import re
import signal
import socket
import struct
import threading
import time

import pytest
import wire
from pcs import RECEIVER, SENDER, Program, check_sums, decodes_cleanly, free_port, markers, packets, probe, receiver, wait_for

SMALL = ("--width", 320, "--height", 240, "--fps", 30, "--gop", 10)


def service(*args, port=0, **kw):
    s = Program(SENDER, "--source", "test", *SMALL, "--tcp-port", port, *args, **kw)
    s.port = int(s.wait_log(r"TCP service on port (\d+)"))
    return s


def caller(port, output, *args, host="127.0.0.1", **kw):
    return Program(RECEIVER, "--connect", f"{host}:{port}", "--output", output, "--sync", "100ms",
                   *args, **kw)


def size(path):
    return path.stat().st_size if path.exists() else 0


def grows(path, by=300000):
    before = size(path)
    wait_for(lambda: size(path) > before + by, f"{path} to grow", 20)


def numbers(path):
    seen = markers(path)
    assert None not in seen
    return [n for n, _ in seen]


def assert_contiguous(seen):
    """Of the wire's numbers. Those in the pictures have holes where a busy machine did not encode one."""
    assert seen == list(range(seen[0], seen[0] + len(seen))), seen


def assert_each_once(path, stream):
    seen = numbers(path)
    assert seen == sorted(set(seen)) and len(seen) == stream["received"] == stream["written"]


class Relay:
    """Between a receiver and a sender: a line that can be cut."""

    def __init__(self, port):
        self.port_to = port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.pairs = []
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                a, _ = self.server.accept()
                b = socket.create_connection(("127.0.0.1", self.port_to))
            except OSError:
                return
            self.pairs.append((a, b))
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self._copy, args=(x, y), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.cuts += 1
        for pair in self.pairs:
            for s in pair:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()


def test_record_through_connect(tmp_path):
    out = tmp_path / "out.mp4"
    with service() as s, caller(s.port, out, "--once") as r:
        r.wait_log("calling 127.0.0.1")
        assert "listening" not in r.log
        grows(out)
        sent = s.stop()
        status, got = r.end()
    assert status == 0, r.log
    output, = sent["outputs"]
    stream, = got["streams"]
    assert output["kind"] == "tcp" and output["skipped"] == 0
    assert output["sent"] == output["acked"] == stream["received"] == stream["written"] > 10
    assert stream["lost"] == 0
    assert_each_once(out, stream)
    assert decodes_cleanly(out)[0]


def test_the_receiver_is_there_first(tmp_path):
    port = free_port()
    out = tmp_path / "out.mp4"
    with caller(port, out) as r:
        r.wait_log("cannot reach")
        with service(port=port) as s:
            grows(out)
            s.stop()
        got = r.stop()
    assert got["streams"][0]["lost"] == 0


def test_two_receivers_at_the_same_time(tmp_path):
    files = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    with service() as s, caller(s.port, files[0]) as a:
        grows(files[0])
        with caller(s.port, files[1]) as b:
            grows(files[1])
            sent = s.stop()
            got = [a.stop()["streams"][0], b.stop()["streams"][0]]
    output, = sent["outputs"]
    assert output["delivered"] == got[0]["received"] + got[1]["received"]
    assert output["sent"] == got[0]["received"] > got[1]["received"]
    check_sums(sent)
    for file, stream in zip(files, got):
        assert stream["lost"] == stream["never_sent"] == 0
        assert_each_once(file, stream)


def test_a_receiver_that_is_killed_goes_on_where_it_was(tmp_path):
    """What it had not yet synced is sent to the next one: it is recognised."""
    out = tmp_path / "out.mp4"
    with service() as s:
        for i in range(3):
            file = tmp_path / (f"out-{i}.mp4" if i else "out.mp4")
            with caller(s.port, out, cwd=tmp_path) as r:
                grows(file)
                if i < 2:
                    r.kill()
                    s.wait_log("connection of", count=1)
                    continue
                sent = s.stop()
                r.stop()
    everything = {n for f in tmp_path.iterdir() for n in numbers(f)}
    output, = sent["outputs"]
    assert output["reconnects"] == 2 and output["skipped"] == 0
    assert len(everything) == output["sent"]


def test_the_sender_is_killed_and_started_again(tmp_path):
    """A new run is a new stream; the receiver comes back to it by itself."""
    port = free_port()
    with caller(port, tmp_path / "out.mp4") as r:
        with service(port=port) as s:
            grows(tmp_path / "out.mp4")
            s.kill()
        with service(port=port) as s:
            grows(tmp_path / "out-1.mp4")
            s.stop()
        got = r.stop()
    assert len(got["streams"]) == 2
    for stream in got["streams"]:
        assert stream["lost"] == 0 and stream["received"] == stream["written"]


def test_a_broken_line_loses_nothing(tmp_path):
    out = tmp_path / "out.mp4"
    with service() as s:
        relay = Relay(s.port)
        with caller(relay.port, out, "--once") as r:
            for i in range(5):
                r.wait_log("is back" if i else "connected", count=max(i, 1))
                grows(out)
                relay.cut()
            r.wait_log("is back", count=5)
            sent = s.stop()
            status, got = r.end()
    assert status == 0
    output, = sent["outputs"]
    stream, = got["streams"]
    assert stream["reconnects"] == 5
    assert output["reconnects"] <= 5  # a line may be cut before its WELCOME is through
    assert stream["lost"] == stream["never_sent"] == output["skipped"] == 0
    assert output["sent"] == output["acked"] == stream["received"]
    assert_each_once(out, stream)


def test_a_buffer_that_is_too_small_is_counted(tmp_path):
    """A receiver that stands still for a while misses frames, and knows how many."""
    out = tmp_path / "out.mp4"
    with service("--tcp-buffer", "1M", "--width", 640, "--height", 480, "--codec", "mjpeg") as s, \
            caller(s.port, out) as r, caller(s.port, tmp_path / "other.mp4") as other:
        grows(out)
        r.send_signal(signal.SIGSTOP)
        s.wait_log("buffer of 1 MB is full", 30)
        r.send_signal(signal.SIGCONT)
        grows(out, 3000000)
        sent = s.stop()
        got = r.stop()["streams"][0]
        fine = other.stop()["streams"][0]
    assert got["never_sent"] > 0 and got["lost"] == 0
    assert fine["never_sent"] == fine["lost"] == 0
    assert sent["outputs"][0]["skipped"] == got["never_sent"]
    assert sent["outputs"][0]["delivered"] == got["received"] + fine["received"]
    check_sums(sent)


def test_no_more_than_max_clients(tmp_path):
    with service("--max-clients", 1) as s, caller(s.port, tmp_path / "a.mp4") as a:
        grows(tmp_path / "a.mp4")
        with caller(s.port, tmp_path / "b.mp4") as b:
            b.wait_log("too many receivers")
            began = time.monotonic()
            b.wait_log("too many receivers", count=5)
            assert time.monotonic() - began > 2  # 0.2, 0.4, 0.8, 1.6 s, each 20 % less at most
            a.stop()
            grows(tmp_path / "b.mp4")
            b.stop()
        assert s.stop()["outputs"][0]["refused"] >= 1


def welcome(id_=None, from_seq=0, need_key=True):
    body = struct.pack(">IHHQ", wire.MAGIC, 1, need_key | (2 if id_ else 0), from_seq)
    return wire.message(wire.WELCOME, body + wire.text("python") + wire.text("tests") + (id_ or b""))


def call(s, id_=None, **kw):
    """A receiver of our own: (peer, body of HELLO)."""
    peer = wire.Peer.connect(s.port)
    body = peer.expect(wire.HELLO)
    peer.send(welcome(id_, **kw))
    return peer, body


def frame(peer):
    """(flags, number) of the next frame."""
    body = peer.expect(wire.FRAME)
    return body[0], struct.unpack(">Q", body[3:11])[0]


def test_who_is_recognised(tmp_path):
    """By the id of WELCOME: who confirmed something goes on; who has no id, or another, begins anew."""
    with service() as s:
        id_ = os.urandom(16)
        peer, hello = call(s, id_)
        first = [frame(peer)[1] for _ in range(40)]
        assert_contiguous(first)
        peer.send(wire.ack(first[-1], first[-1]))
        last = [frame(peer)[1] for _ in range(20)][-1]  # behind it: the acknowledgement was read
        peer.close()
        s.wait_log("connection of")
        again, hello_again = call(s, id_, from_seq=last + 1, need_key=False)
        assert hello[6:24] == hello_again[6:24]  # the same session
        assert frame(again)[1] == last + 1
        for other_id in (None, os.urandom(16)):
            other, _ = call(s, other_id)
            flags, number = frame(other)
            assert flags & wire.IS_KEY and number > last + 1
            other.close()
        twin, _ = call(s, id_)  # the first is here and well, so this is somebody else
        assert frame(twin)[1] > last + 1
        assert frame(again)[1] == last + 2
        s.stop()


def test_hostile_peers_change_nothing(tmp_path):
    out = tmp_path / "out.mp4"
    rng = random.Random(4)
    with service() as s, caller(s.port, out) as r:
        grows(out)
        before = s.fds()
        kept = []
        for i in range(2000):
            c = socket.create_connection(("127.0.0.1", s.port))
            try:
                if i % 5 == 0:
                    c.sendall(rng.randbytes(rng.randrange(1, 300)))
                elif i % 5 == 1:
                    c.sendall(welcome()[:rng.randrange(1, 40)])
                elif i % 5 == 2:
                    c.sendall(welcome(os.urandom(16)) + rng.randbytes(50))
                elif i % 5 == 3:
                    c.sendall(wire.frame(1, b"x" * 100))
            except OSError:
                pass
            kept.append(c)
            if len(kept) > 100:
                kept.pop(rng.randrange(100)).close()
        grows(out)
        for c in kept:
            c.close()
        wait_for(lambda: s.fds() <= before, "the fds to be closed", 20)
        sent = s.stop(seconds=20)
        got = r.stop()["streams"][0]
    assert got["lost"] == got["never_sent"] == got["reconnects"] == 0
    assert sent["outputs"][0]["sent"] >= got["received"]
    assert_each_once(out, got)


def test_who_wishes_without_end(tmp_path):
    """For key frames, for frames again, for the time: nobody else gets less, or other pictures, for it."""
    out = tmp_path / "out.mp4"
    with service("--gop", 1000) as s, caller(s.port, out) as r:
        grows(out)
        bad, _ = call(s, os.urandom(16))
        bad.sock.settimeout(0.05)
        wish = (wire.message(wire.KEY) + wire.message(wire.REPLAY, struct.pack(">QB", 1, 1)) +
                wire.message(wire.PING, struct.pack(">q", 1))) * 20
        before, began = size(out), time.monotonic()
        while size(out) < before + 3000000 and time.monotonic() - began < 30:
            try:
                bad.send(wish)
                bad.sock.recv(1 << 20)
            except (socket.timeout, OSError):
                pass
        seconds = time.monotonic() - began
        s.stop()
        got = r.stop()["streams"][0]
    assert size(out) > before and got["lost"] == got["never_sent"] == 0
    assert len(s.lines) < 50 + 15 * seconds
    keys = sum(key for _, key in packets(out))
    assert keys <= 3 + 2.2 * (seconds + 3), (keys, seconds)


@pytest.mark.waits
def test_a_peer_that_says_nothing_is_told_so(tmp_path):
    with service() as s:
        peer = wire.Peer.connect(s.port)
        peer.expect(wire.HELLO)
        kind, body = peer.receive()  # after 5 s
        assert kind == wire.ERROR and b"hello" in body
        assert peer.receive() is None
        s.stop()


def test_frames_only_for_somebody(tmp_path):
    """Nobody here, nobody expected: nothing is encoded."""
    with service() as s:
        s.wait_log("test source")
        time.sleep(0.5)  # in which something could be encoded
        assert "encoding" not in s.log
        peer, _ = call(s)
        frame(peer)
        peer.close()
        s.wait_log("connection of")
        summary = s.stop()
    assert 0 < summary["encoded"] < summary["captured"]


def test_listen_and_call(tmp_path):
    """A receiver may do both."""
    with service("--name", "served") as s, \
            receiver(tmp_path / "%n.mp4", "--connect", f"127.0.0.1:{s.port}") as r, \
            Program(SENDER, "--source", "test", *SMALL, "--dest-ip", "127.0.0.1", "--port", r.port,
                    "--name", "pushed") as p:
        grows(tmp_path / "served.mp4")
        grows(tmp_path / "pushed.mp4")
        p.stop()
        s.stop()
        names = {stream["name"] for stream in r.stop()["streams"]}
    assert names == {"served", "pushed"}


def test_ipv6(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    out = tmp_path / "out.mp4"
    with service("--address", "::1") as s, caller(s.port, out, host="[::1]") as r:
        grows(out)
        s.stop()
        r.stop()
    assert int(probe(out)["nb_read_packets"]) > 10


@pytest.mark.parametrize("target", ["", ":8888", "host:", "host:0", "host:70000", "host:1x", "[::1", "[]:1"])
def test_targets_that_are_none(target):
    p = Program(RECEIVER, "--connect", target)
    status, _ = p.end()
    assert status == 2 and "--connect" in p.log and p.log.count("\n") == 0


@pytest.mark.parametrize("port", ["-1", "65536", "x", ""])
def test_ports_that_are_none(port):
    for option in ("--tcp-port", "--udp-port"):
        p = Program(SENDER, "--source", "test", f"{option}={port}")
        status, _ = p.end()
        assert status == 2 and option in p.log and "0 to 65535" in p.log


@pytest.mark.parametrize("address, warned", [("127.0.0.1", 0), ("0.0.0.0", 2)])
def test_who_can_watch_is_said(address, warned):
    with service("--udp-port", 0, "--address", address) as s:
        s.wait_log("UDP service on port")
        s.stop()
    assert len(re.findall(r"warn .*anybody who can reach \S+ can watch: the (?:TCP|UDP)", s.log)) == warned, s.log


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        p = Program(SENDER, "--source", "test", "--tcp-port", port)
        status, _ = p.end()
    assert status == 1 and str(port) in p.log
