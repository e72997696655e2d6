# SPDX-License-Identifier: MIT
"""H.264 by WebSocket (contract, 2.3), to good clients and bad ones."""
import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
from pcs import SANITIZED, SLOW, wait_for
from web import Visitor, certificate, connect, get, nal_types, site, visit

websockets = pytest.importorskip("websockets")


@pytest.fixture(scope="module")
def shared():
    with site(ws=True) as p:
        yield p
        p.stop()


def open_ws(p):
    v = visit(p.ws)
    assert v.upgrade().status == 101
    return v


def close_code(v):
    """Of the close frame that comes; whatever else comes before is skipped."""
    deadline = time.monotonic() + 10 * SLOW
    while time.monotonic() < deadline:
        opcode, payload = v.frame()
        if opcode == 8:
            return struct.unpack(">H", payload[:2])[0] if payload else None
    raise AssertionError("it is not closed")


def test_messages_are_access_units_with_their_time(shared, tmp_path):
    with open_ws(shared) as v:
        units = [v.access_unit() for _ in range(40)]
    types = [nal_types(u) for u, _ in units]
    assert types[0][:2] == [7, 8] and 5 in types[0], "the first is a key frame with its parameter sets"
    assert all({7, 8} <= set(t) for t in types if 5 in t)
    times = [ms for _, ms in units]
    assert times == sorted(set(times)) and abs(times[-1] - time.time() * 1000) < 2000 * SLOW
    (tmp_path / "a.h264").write_bytes(b"".join(u for u, _ in units))
    out = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-show_entries",
                          "stream=nb_read_frames", "-of", "csv=p=0", tmp_path / "a.h264"],
                         capture_output=True, text=True)
    assert out.stdout.strip() == "40" and not out.stderr, out


def test_it_is_also_on_the_http_port(shared):
    with visit(shared.port) as v:
        assert v.upgrade("/ws").status == 101
        assert 5 in nal_types(v.access_unit()[0])


def test_a_late_client_begins_with_a_key_frame_too():
    with site("--gop", 100000, ws=True) as p, open_ws(p) as first:
        for _ in range(20):
            first.access_unit()
        began = time.monotonic()
        with open_ws(p) as second:
            assert nal_types(second.access_unit()[0])[0] == 7
            assert time.monotonic() - began < 1.5 * SLOW, "it is asked for at once"
        p.stop()


def test_plain_requests_are_told_to_upgrade(shared):
    r = get(shared.ws, "/")
    assert r.status == 426 and r.headers["upgrade"] == "websocket", r
    assert get(shared.ws, "/other").status == 404
    assert get(shared.ws, "/stream").status == 404
    with visit(shared.ws) as v:
        v.ask("/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 8",
              "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")
        r = v.reply()
        assert r.status == 426 and r.headers["sec-websocket-version"] == "13"
    for key in ("", "short", "MDEyMzQ1Njc4OWFiY2RlZmc=", "!" * 24):
        with visit(shared.ws) as v:
            v.ask("/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                  f"Sec-WebSocket-Key: {key}")
            assert v.reply().status == 400


def test_pings_are_answered_and_words_ignored(shared):
    with open_ws(shared) as v:
        v.access_unit()
        v.say(1, "hellö".encode())
        v.say(2, bytes(1000))
        v.say(1, b"in ", fin=False)
        v.say(9, b"between")
        v.say(0, b"pieces")
        v.say(10, b"nobody asked")
        pongs = []
        for _ in range(200):
            opcode, payload = v.frame()
            if opcode == 10:
                pongs.append(payload)
                break
        assert pongs == [b"between"]
        v.access_unit()
        v.say(8, struct.pack(">H", 1000) + b"bye")
        assert close_code(v) == 1000 and v.closed()


WRONG = {
    "unmasked": (lambda v: v.say(1, b"x", mask=b""), 1002),
    "reserved bit": (lambda v: v.say(1, b"x", rsv=4), 1002),
    "unknown opcode": (lambda v: v.say(3, b"x"), 1002),
    "stray continuation": (lambda v: v.say(0, b"x"), 1002),
    "new message inside another": (lambda v: (v.say(1, b"x", fin=False), v.say(1, b"y")), 1002),
    "fragmented ping": (lambda v: v.say(9, b"x", fin=False), 1002),
    "long ping": (lambda v: v.say(9, b"x" * 126), 1002),
    "bad UTF-8": (lambda v: v.say(1, b"\xff\xfe"), 1007),
    "bad close code": (lambda v: v.say(8, struct.pack(">H", 1005)), 1002),
    "short close": (lambda v: v.say(8, b"x"), None),
    "too long": (lambda v: v.say(2, b"x", length=65537), 1009),
    "absurdly long": (lambda v: v.say(2, b"x", length=1 << 62), 1009),
    "too long in pieces": (lambda v: [v.say(2 if i == 0 else 0, bytes(16000), fin=False) for i in range(6)], 1009),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_frame_ends_it(shared, name):
    act, code = WRONG[name]
    with open_ws(shared) as v, open_ws(shared) as good:
        v.access_unit()
        act(v)
        assert close_code(v) == code
        assert v.closed()
        good.access_unit()
        good.access_unit()


def test_a_message_in_crumbs_costs_no_memory():
    with site(ws=True) as p:
        crowd = [open_ws(p) for _ in range(20)]
        for v in crowd:
            v.access_unit()
        before = p.rss_kb()
        first, crumb = b"\x02\x81\0\0\0\0x", b"\0\x81\0\0\0\0x"
        for v in crowd:
            v.sock.setblocking(False)
            for data in (first, *[crumb * 1000] * 60):
                while data:
                    with contextlib.suppress(BlockingIOError):
                        data = data[v.sock.send(data):]
                    with contextlib.suppress(BlockingIOError):
                        v.rest += v.sock.recv(1 << 20)  # so that it does not fall behind
            v.sock.settimeout(10 * SLOW)
            v.say(9, b"read")
            while v.frame()[0] != 10:
                pass
        assert SANITIZED or p.rss_kb() < before + 20000, (before, p.rss_kb())
        for v in crowd:
            v.close()
        p.stop()


def test_a_flood_of_pings_is_ended_or_answered(shared):
    with open_ws(shared) as v, open_ws(shared) as good:
        v.sock.settimeout(2)
        try:
            for _ in range(3000):
                v.say(9, b"x" * 125)  # and nothing is read
        except (ConnectionError, TimeoutError):
            pass
        units = [good.access_unit()[1] for _ in range(20)]
        assert units == sorted(units)


def test_a_client_that_falls_behind_goes_on_with_a_key_frame():
    with site("--bitrate", "20M", "--gop", 15, ws=True, size=("--width", 1280, "--height", 720)) as p:
        with Visitor(connect(p.ws, receive_bytes=4096)) as slow, open_ws(p) as good:
            assert slow.upgrade().status == 101
            times = []

            def watch():
                with contextlib.suppress(OSError, EOFError, AssertionError):
                    while True:
                        times.append(good.access_unit()[1])
            watching = threading.Thread(target=watch)
            watching.start()
            wait_for(lambda: times and times[-1] - times[0] > 5000, "more than its buffers hold", 20)
            units = [slow.access_unit() for _ in range(60)]
            good.sock.shutdown(socket.SHUT_RDWR)
            watching.join()
        place = {t: i for i, t in enumerate(times)}
        at = [place.get(t, -1) for _, t in units]
        gaps = [i for i in range(1, len(units)) if 0 <= at[i - 1] < at[i] - 1]
        if SANITIZED and not gaps:
            pytest.skip("too few frames are encoded for anybody to fall behind")
        assert gaps, "it has fallen behind"
        assert all(5 in nal_types(units[i][0]) for i in gaps)
        summary = p.stop()
    assert [o for o in summary["outputs"] if o["kind"] == "ws"][0]["skipped"] > 0


def test_without_an_encoder_a_visitor_ends_nothing():
    """It waits for nothing, the log says why, and the JPEGs go on."""
    with site("--codec", "auto", "--encoder", "v4l2m2m") as p, visit(p.port) as v:
        assert v.upgrade("/ws").status == 101
        p.wait_log("error.*v4l2m2m")
        assert get(p.port, "/snapshot").status == 200
        assert p.stop()["encoded"] > 0


def test_the_end_is_said(shared):
    with site("--duration", "2s", ws=True) as p, open_ws(p) as v:
        assert close_code(v) == 1001 and v.closed()
        assert p.end()[0] == 0


def test_wss_and_a_usual_client(tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=cert)

    async def watch(url):
        async with websockets.connect(url, ssl=context, max_size=None) as ws:
            first = await ws.recv()
            assert nal_types(first)[0] == 7
            pong = await ws.ping()
            await ws.send("a word")
            for _ in range(10):
                await ws.recv()
            await asyncio.wait_for(pong, 5)

    with site("--tls-cert", cert, "--tls-key", key, "--auth-token", "abc", ws=True) as p:
        p.wait_log("wss://127.0.0.1")
        asyncio.run(asyncio.wait_for(watch(f"wss://localhost:{p.ws}/?token=abc"), 20 * SLOW))
        assert p.stop()
