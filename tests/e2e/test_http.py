# SPDX-License-Identifier: MIT
"""What is served by HTTP, to good visitors and bad ones (contract, 2.2)."""
import base64
import contextlib
import email
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.request

import pytest
from pcs import SANITIZED, SENDER, SLOW, Program, wait_for
from web import Visitor, certificate, connect, get, site, visit


def is_jpeg(data):
    return data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"


# ---- what there is ----

def test_the_stream_is_whole_jpegs_with_time_and_number():
    with site() as p:
        for path in ("/stream", "/stream.mjpg", "/"):
            with visit(p.port) as v:
                head = v.stream(path)
                assert head.headers["cache-control"] == "no-store"
                parts = [v.part() for _ in range(5)]
            numbers = [int(h["X-Frame-Number"]) for h, _ in parts]
            times = [float(h["X-Timestamp"]) for h, _ in parts]
            assert all(h["Content-Type"] == "image/jpeg" and is_jpeg(b) for h, b in parts)
            assert numbers == sorted(set(numbers)) and times == sorted(set(times))
            assert abs(times[-1] - time.time()) < 2 * SLOW
            assert all(len(h["X-Timestamp"].split(".")[1]) == 6 for h, _ in parts)
        summary = p.stop()
    http = summary["outputs"][0]
    assert http["kind"] == "http" and http["delivered"] >= 15 and http["bytes"] > 0


def test_a_browser_gets_the_page_and_everybody_security_headers():
    with site() as p:
        page = get(p.port, "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
        assert page.status == 200 and page.headers["content-type"].startswith("text/html")
        assert "default-src" in page.headers["content-security-policy"]
        for r in (page, get(p.port, "/healthz"), get(p.port, "/nothing")):
            assert r.headers["x-content-type-options"] == "nosniff", r
        p.stop()


def test_a_snapshot_is_one_jpeg_and_encodes_only_that():
    with site() as p:
        r = get(p.port, "/snapshot")
        assert r.status == 200 and r.headers["content-type"] == "image/jpeg" and is_jpeg(r.body)
        assert r.headers["cache-control"] == "no-store" and "x-timestamp" in r.headers
        head = get(p.port, "/snapshot", method="HEAD")
        assert head.status == 200 and int(head.headers["content-length"]) > 1000 and not head.body
        summary = p.stop()
    # nobody else watched: a picture or two for each of the two requests, not thirty a second
    http = summary["outputs"][0]
    assert http["dropped"] <= 6, http


def test_a_snapshot_while_somebody_watches_is_the_newest():
    with site() as p, visit(p.port) as v:
        v.stream()
        number = int(v.part()[0]["X-Frame-Number"])
        r = get(p.port, "/snapshot")
        assert r.status == 200 and int(r.headers["x-frame-number"]) >= number
        p.stop()


def test_nothing_to_see_is_503_with_the_reason():
    with site("--device", "/dev/video-none", source=None, size=()) as p:
        p.wait_log("video-none")
        assert wait_for(lambda: get(p.port, "/healthz"), "health").status == 503
        r = get(p.port, "/healthz")
        assert b"video-none" in r.body, r
        began = time.monotonic()
        r = get(p.port, "/snapshot")
        assert r.status == 503 and time.monotonic() - began < 4 * SLOW, r
        p.stop()


def test_what_is_wrong_is_said_without_passwords():
    with site("--input", "http://me:secret@127.0.0.1:1/live?key=secret", source=None, size=()) as p:
        p.wait_log("127.0.0.1:1/live.*refused")
        r = get(p.port, "/healthz")
        assert r.status == 503 and b"127.0.0.1:1/live" in r.body, r
        assert b"secret" not in r.body and "secret" not in p.log
        p.stop()


def test_health_is_200_while_frames_flow():
    with site() as p:
        wait_for(lambda: get(p.port, "/healthz").status == 200, "frames")
        p.stop()


def test_elsewhere_is_404_and_says_what_there_is():
    with site() as p:
        r = get(p.port, "/nowhere")
        assert r.status == 404 and b"/stream" in r.body and r.headers["content-type"].startswith("text/plain")
        p.stop()


def test_methods():
    with site() as p:
        r = get(p.port, "/healthz", method="DELETE")
        assert r.status == 405 and "GET" in r.headers["allow"], r
        r = get(p.port, "/healthz", method="BREW")
        assert r.status == 405 and "GET" in r.headers["allow"], r
        r = get(p.port, "/stream", method="HEAD")
        assert r.status == 200 and r.headers["content-type"].startswith("multipart/x-mixed-replace")
        assert "content-length" not in r.headers
        assert get(p.port, "/nowhere", method="BREW").status == 404
        r = get(p.port, "/healthz", method="OPTIONS")
        assert r.status == 204 and "GET" in r.headers["allow"], r
        p.stop()


def test_connections_are_kept_and_requests_may_come_in_a_row():
    with site() as p:
        wait_for(lambda: get(p.port, "/healthz").status == 200, "frames")
        with visit(p.port) as v:
            for _ in range(3):
                v.ask("/healthz")
                assert v.reply().status == 200
            one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            v.send(one * 50 + b"\r\n" + one)  # an empty line between is harmless
            assert [v.reply().status for _ in range(51)] == [200] * 51
            v.ask("/healthz", "Connection: close")
            assert v.reply().headers["connection"] == "close" and v.closed()
        with visit(p.port) as v:
            v.ask("/healthz", version="1.0")
            assert v.reply().status == 200 and v.closed()
        with visit(p.port) as v:
            v.ask("/healthz", "Connection: keep-alive", version="1.0")
            assert v.reply().headers["connection"] == "keep-alive"
            v.ask("/healthz", "Connection: keep-alive", version="1.0")
            assert v.reply().status == 200
        p.stop()


def test_a_request_may_come_in_single_bytes():
    with site() as p, visit(p.port) as v:
        for byte in b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n":
            v.send(bytes([byte]))
        assert v.reply().status == 404
        p.stop()


def test_ipv6_and_unix_socket(tmp_path):
    path = tmp_path / "web.sock"
    with Program(SENDER, "--source", "test", "--http-port", 0, "--address", "::1") as p:
        port = int(p.wait_log(r"http: listening on ::1 port (\d+)"))
        with visit(port, "::1") as v:
            v.ask("/nowhere")
            assert v.reply().status == 404
        p.stop()
    for _ in range(2):  # what a killed one left behind is in nobody's way
        with Program(SENDER, "--source", "test", "--http-port", f"unix:{path}") as p:
            p.wait_log("http: listening on")
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(str(path))
                v = Visitor(s)
                v.stream()
                assert is_jpeg(v.part()[1])
            p.kill()
    with Program(SENDER, "--source", "test", "--http-port", f"unix:{path}") as p:
        p.wait_log("http: listening on")
        p.stop()
    assert not path.exists()


def test_sockets_may_be_systemds(tmp_path):
    """As sd_listen_fds(3) has it: descriptors from 3 on, named in the environment."""
    with socket.create_server(("127.0.0.1", 0)) as http, socket.create_server(("127.0.0.1", 0)) as ws:
        launch = ('import fcntl, os, sys\n'
                  'a, b = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 20) for n in sys.argv[1:3])\n'
                  'os.dup2(a, 3); os.dup2(b, 4)\n'
                  'os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="ws:x.socket")\n'
                  'os.execv(sys.argv[3], sys.argv[3:])\n')
        passed = {"pass_fds": (http.fileno(), ws.fileno())}
        with Program(sys.executable, "-c", launch, ws.fileno(), http.fileno(), SENDER, "--source", "test",
                     "--http-port", "systemd", "--ws-port", "systemd", **passed) as p:
            p.wait_log("http: listening on systemd's port")
            assert "token" not in p.log  # they are this machine's alone
            assert get(http.getsockname()[1], "/nowhere").status == 404
            assert get(ws.getsockname()[1], "/").status == 426
            p.stop()
    with Program(SENDER, "--source", "test", "--http-port", "systemd") as p:
        assert p.end()[0] == 1 and "FileDescriptorName=http" in p.log


def test_a_taken_port_is_named():
    with site() as p:
        status, _ = Program(SENDER, "--source", "test", "--http-port", p.port).end()
        assert status == 1
        p.stop()


@pytest.mark.parametrize("value", ["", "x", "65536", "-1", "80x", "unix:"])
def test_a_bad_port_is_a_usage_error(value):
    with Program(SENDER, "--source", "test", f"--http-port={value}") as p:
        assert p.end()[0] == 2
        assert "--http-port" in p.log


def test_without_any_output_http_is_served_here():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 8080))
        except OSError:
            pytest.skip("port 8080 is taken")
    with Program(SENDER, "--source", "test") as p:
        p.wait_log("no output is named")
        p.wait_log("listening on 127.0.0.1 port 8080")
        assert get(8080, "/nowhere").status == 404
        p.stop()


def test_the_end_of_the_source_ends_the_stream_whole():
    with site("--frames", 60) as p, visit(p.port) as v:
        v.stream()
        pictures = []
        with pytest.raises(EOFError):
            while True:
                pictures.append(v.part()[1])
        assert len(pictures) > 1 and all(is_jpeg(b) for b in pictures)
        assert v.rest.endswith(b"--" + v.boundary + b"--\r\n"), v.rest[-100:]
        assert p.end()[0] == 0


# ---- who may ----

def test_a_token_by_any_of_three_ways():
    with site("--auth-token", "s3cret") as p:
        assert "s3cret" not in p.log  # it is the user's, who knows it
        bad = base64.b64encode(b"x:s3cre").decode()
        for headers in ([], ["Authorization: Bearer s3cre"], [f"Authorization: Basic {bad}"],
                        ["Authorization: Basic %%%"], ["Authorization: s3cret"]):
            r = get(p.port, "/snapshot", *headers)
            assert r.status == 401 and r.headers["www-authenticate"].startswith("Basic realm="), r
        assert get(p.port, "/snapshot?token=s3cretx").status == 401
        assert get(p.port, "/snapshot?token=s3cret").status == 200
        assert get(p.port, "/snapshot?a=b&token=s3%63ret").status == 200
        assert get(p.port, "/snapshot", "Authorization: Bearer s3cret").status == 200
        good = base64.b64encode(b"anybody:s3cret").decode()
        assert get(p.port, "/snapshot", f"authorization: basic {good}").status == 200
        p.stop()


def test_a_token_is_made_on_this_machine_too_when_asked_for(tmp_path):
    """Behind a proxy everybody comes from this machine."""
    env = {"STATE_DIRECTORY": str(tmp_path)}
    with site("--auth-token", "auto", env=env) as p:
        token = p.wait_log(r"\?token=([0-9a-f]{32})")
        assert get(p.port, "/snapshot").status == 401
        assert get(p.port, f"/snapshot?token={token}").status == 200
        p.stop()
    with Program(SENDER, "--source", "test", "--http-port", f"unix:{tmp_path}/s", "--auth-token", "auto",
                 env=env) as p:
        p.wait_log(f"listening on .*, token {token}")
        p.stop()
    with Program(SENDER, "--source", "test", "--http-port", 0, "--auth-token", "") as p:
        assert p.end()[0] == 2 and "--auth-token" in p.log


def test_others_than_this_machine_need_a_token_that_is_made_and_kept(tmp_path):
    env = {"STATE_DIRECTORY": str(tmp_path / "state" / "deep")}
    seen = set()
    for _ in range(2):
        with site("--address", "0.0.0.0", env=env) as p:
            token = p.wait_log(r"\?token=([0-9a-f]{32})")
            seen.add(token)
            assert get(p.port, "/snapshot").status == 401
            assert get(p.port, f"/snapshot?token={token}").status == 200
            p.stop()
    assert len(seen) == 1
    mode = os.stat(tmp_path / "state" / "deep" / "token").st_mode
    assert stat.S_IMODE(mode) == 0o600
    with site("--address", "0.0.0.0", "--auth-token", "none") as p:
        p.wait_log("warn.*anybody")
        assert get(p.port, "/snapshot").status == 200
        p.stop()


def test_pages_of_other_sites_are_kept_out_of_websockets():
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="]
    with site("--allow-origin", "https://good.example") as p:
        def status(origin):
            with visit(p.port) as v:
                v.ask("/ws", *upgrade, f"Origin: {origin}")
                return v.head().status
        assert status("http://evil.example") == 403
        assert status("null") == 403
        assert status("http://localhost.evil.example") == 403
        assert status("https://good.example") == 101
        assert status("http://localhost") == 101
        p.stop()


def test_pages_of_named_sites_may_ask_and_read():
    """Fetch's CORS: the browser asks first, without the token, and shows the page only what it is allowed."""
    good, evil = "Origin: https://good.example", "Origin: https://evil.example"
    with site("--allow-origin", "https://good.example", "--auth-token", "s3cret") as p:
        r = get(p.port, "/api/v1/settings", good, "Access-Control-Request-Method: PATCH", method="OPTIONS")
        assert r.status == 204 and r.headers["access-control-allow-origin"] == "https://good.example", r
        assert "PATCH" in r.headers["access-control-allow-methods"]
        assert "Authorization" in r.headers["access-control-allow-headers"]
        assert get(p.port, "/api/v1/settings", evil, method="OPTIONS").status == 403
        for path, origin, known in (("/snapshot", good, True), ("/snapshot", evil, False), ("/stream", good, True)):
            with visit(p.port) as v:
                v.ask(path, origin, "Authorization: Bearer s3cret")
                r = v.head()
                assert r.status == 200 and ("access-control-allow-origin" in r.headers) == known, r
        p.stop()


def test_what_the_browser_has_is_not_sent_again():
    with site() as p:
        page = get(p.port, "/", "Accept: text/html")
        tag = page.headers["etag"]
        for known in (tag, f'"x", {tag}', "*"):
            r = get(p.port, "/", "Accept: text/html", f"If-None-Match: {known}")
            assert r.status == 304 and r.headers["etag"] == tag, r
        assert get(p.port, "/", "Accept: text/html", 'If-None-Match: "x"').status == 200
        assert get(p.port, "/", "Accept: text/html", "Accept-Encoding: gzip").headers["content-encoding"] == "gzip"
        p.stop()


def test_a_name_that_anybody_may_own_is_not_ours():
    with site("--allow-origin", "https://cam.example.org") as p:
        def status(host):
            with visit(p.port) as v:
                v.send(f"GET /snapshot HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                return v.reply().status
        assert status("rebound.example.com") == 421
        for host in ("localhost:8080", "127.0.0.1", "[::1]:80", "pi.local", "raspberrypi", "cam.example.org"):
            assert status(host) == 200, host
        p.stop()


def test_tls(tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=cert)
    with site("--tls-cert", cert, "--tls-key", key) as p:
        p.wait_log("https://127.0.0.1")
        with context.wrap_socket(connect(p.port), server_hostname="localhost") as s:
            assert s.version() == "TLSv1.3"
            v = Visitor(s)
            v.stream()
            assert all(is_jpeg(v.part()[1]) for _ in range(10))
        with visit(p.port) as v:  # plain HTTP there
            v.ask("/snapshot")
            with contextlib.suppress(ConnectionError):
                assert v.sock.recv(100)[:4] != b"HTTP"
        p.stop()
    with Program(SENDER, "--source", "test", "--http-port", 0, "--tls-cert", cert, "--tls-key", cert) as p:
        assert p.end()[0] == 1 and "--tls-key" in p.log


# ---- bad requests ----

BAD = {
    "no version": (b"GET /\r\n\r\n", 400),
    "version 2": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "version nonsense": (b"GET / HTTP/x\r\n\r\n", 400),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "folded line": (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
    "blank before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nxyz\r\n\r\n", 400),
    "NUL": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    "bare CR": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    "bare LF among CR LF": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 1\r\n\r\n", 400),
    "empty lines without end": (b"\r\n" * 1000, 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
    "bad length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
    "smuggled": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "chunked": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    "long body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n", 413),
    "endless body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
    "relative path": (b"GET stream HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "parents": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "coded parents": (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "coded NUL": (b"GET /stream%00.txt HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "backslash": (b"GET /..\\..\\x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "broken code": (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bad UTF-8": (b"GET /%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "giant head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70000 + b"\r\n\r\n", 431),
    "giant line": (b"GET /" + b"y" * 70000, 431),
    "many lines": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
}


@pytest.fixture(scope="module")
def shared():
    with site() as p:
        wait_for(lambda: get(p.port, "/healthz").status == 200, "frames")
        yield p
        p.stop()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_so(shared, name):
    data, status = BAD[name]
    with visit(shared.port) as v:
        v.send(data)
        r = v.reply()
        assert r.status == status, r
        if status != 404:
            assert r.headers["connection"] == "close"
    assert get(shared.port, "/healthz").status == 200


def test_a_header_injected_by_a_query_stays_there(shared):
    r = get(shared.port, "/nowhere?x=%0d%0aSet-Cookie:%20a=b")
    assert r.status == 404 and "set-cookie" not in r.headers


@pytest.mark.waits
def test_slow_requests_are_given_up(shared, tmp_path):
    """Heads, bodies and handshakes: a byte now and then does not help."""
    cert, key = certificate(tmp_path)
    with site("--tls-cert", cert, "--tls-key", key) as secure, contextlib.ExitStack() as stack:
        began = time.monotonic()
        silent, head, body = (stack.enter_context(visit(shared.port, timeout=20)) for _ in range(3))
        mute, hello = (stack.enter_context(visit(secure.port, timeout=20)) for _ in range(2))
        head.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        body.send(b"PATCH /api/v1/settings HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        hello.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        waiting = {head, body, hello}
        for v in waiting:
            v.sock.settimeout(0.1)
        while waiting and time.monotonic() - began < 15 * SLOW:
            for v in list(waiting):
                with contextlib.suppress(TimeoutError):
                    try:
                        v.send(b"X")
                        v.more()
                        waiting.remove(v)
                    except ConnectionError:
                        waiting.remove(v)
        assert not waiting and 8 < time.monotonic() - began < 14 * SLOW
        for v in (head, body):
            v.sock.settimeout(5 * SLOW)
            assert v.reply().status == 408
        assert silent.closed() and mute.closed() and hello.closed()
        assert secure.stop()


# ---- many, slow and dead visitors ----

def test_one_viewer_too_many_is_turned_away():
    with site("--max-clients", 2) as p:
        viewers = [visit(p.port) for _ in range(2)]
        for v in viewers:
            v.stream()
        r = get(p.port, "/stream")
        assert r.status == 503, r
        assert get(p.port, "/nowhere").status == 404  # that is no viewer
        viewers[0].close()

        def let_in():
            with visit(p.port) as v:
                v.ask("/stream")
                return v.head().status == 200
        wait_for(let_in, "a free place")
        viewers[1].close()
        summary = p.stop()
    assert summary["outputs"][0]["rejected"] >= 1


def test_each_kind_of_viewer_has_its_places():
    with site("--max-clients", 1, ws=True) as p, visit(p.port) as mjpeg, visit(p.ws) as ws:
        mjpeg.stream()
        assert ws.upgrade().status == 101
        assert get(p.port, "/stream").status == 503
        with visit(p.port) as v:  # the same kind by the other port
            assert v.upgrade("/ws").status == 503
        p.stop()


def test_a_frozen_viewer_disturbs_nobody_and_is_closed():
    with site("-v", size=("--width", 1280, "--height", 720)) as p:
        frozen = visit(p.port, receive_bytes=4096)
        frozen.ask("/stream")
        began = time.monotonic()
        with visit(p.port) as v:
            v.stream()
            numbers, ages = [], []
            while time.monotonic() - began < 6:
                headers, _ = v.part()
                numbers.append(int(headers["X-Frame-Number"]))
                ages.append(time.time() - float(headers["X-Timestamp"]))
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "no picture is missed"
            assert sorted(ages)[len(ages) // 2] < 0.2 * SLOW
            deadline = time.monotonic() + 12 * SLOW
            while "has left" not in p.log:
                v.part()
                assert time.monotonic() < deadline, "the frozen viewer is kept"
        with contextlib.suppress(ConnectionError):  # what is in its socket can still be read, then it is over
            while frozen.sock.recv(1 << 20):
                pass
        frozen.close()
        p.stop()


def test_a_slow_viewer_gets_the_newest():
    """It takes a tenth of what is sent: pictures are skipped, and those that come are young."""
    with site(size=("--width", 640, "--height", 480)) as p:
        with visit(p.port, receive_bytes=8192) as v:
            v.stream()
            headers, picture = v.part()
            rate = len(picture) * 3  # bytes a second: three pictures of thirty
            ages, taken, began = [], 0, time.monotonic()
            while time.monotonic() - began < 5 * SLOW and len(ages) < 10:
                chunk = v.sock.recv(4096)
                assert chunk
                taken += len(chunk)
                v.rest += chunk
                time.sleep(max(0, taken / rate - (time.monotonic() - began)))  # that is what slow means
                while b"\r\n\r\n" in v.rest:
                    head = v.rest.split(b"\r\n\r\n", 1)[0].decode()
                    fields = dict(line.split(": ", 1) for line in head.split("\r\n"))
                    size = len(head) + 4 + int(fields["Content-Length"]) + len(v.boundary) + 6
                    if len(v.rest) < size:
                        break
                    v.rest = v.rest[size:]
                    ages.append(time.time() - float(fields["X-Timestamp"]))
        assert len(ages) >= 5 and max(ages[2:]) < 2 * SLOW, ages
        summary = p.stop()
    assert SANITIZED or summary["outputs"][0]["skipped"] > 5


# ---- what people use ----

def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, timeout=60 * SLOW)


def test_programs_understand_it(tmp_path):
    """Found out by themselves: nobody tells them what comes. With a password as URLs have it."""
    with site("--auth-token", "secret") as p:
        url = f"http://anybody:secret@127.0.0.1:{p.port}"
        for fetch in (("curl", "-sSf", f"{url}/snapshot", "-o", tmp_path / "s.jpg"),
                      ("wget", "-q", f"{url}/snapshot", "-O", tmp_path / "s.jpg"),
                      ("ffmpeg", "-v", "error", "-y", "-i", f"{url}/snapshot", tmp_path / "s.jpg")):
            if not shutil.which(fetch[0]):
                continue
            out = run(*fetch)
            assert out.returncode == 0 and is_jpeg((tmp_path / "s.jpg").read_bytes()), out
        for path in ("/stream", "/"):
            out = run("ffmpeg", "-v", "error", "-i", url + path, "-frames:v", 10, "-f", "null", "-")
            lines = [l for l in out.stderr.decode().splitlines() if "deprecated" not in l]
            assert out.returncode == 0 and not lines, out
        out = run("ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0",
                  f"{url}/stream")
        assert out.stdout.split() == [b"mjpeg,320,240"], out
        p.stop()


def test_opencv_understands_it():
    if run("/usr/bin/python3", "-c", "import cv2").returncode != 0:
        pytest.skip("python3-opencv is not installed")
    watch = ("import cv2, sys\n"
             "seen = cv2.VideoCapture(sys.argv[1])\n"
             "print(*(seen.read()[1].shape for _ in range(5)))\n")
    with site() as p:
        out = run("/usr/bin/python3", "-c", watch, f"http://127.0.0.1:{p.port}/stream")
        assert out.stdout.decode().strip() == " ".join(["(240, 320, 3)"] * 5), out
        p.stop()


def test_urllib_and_a_line_oriented_reader_understand_it():
    """As Home Assistant and many scripts do: by the boundary and Content-Length of each part."""
    with site() as p, urllib.request.urlopen(f"http://127.0.0.1:{p.port}/stream", timeout=10 * SLOW) as r:
        boundary = r.headers.get_boundary().encode()
        for _ in range(3):
            while r.readline().strip() != b"--" + boundary:
                pass
            head = email.message_from_string("".join(iter(lambda: r.readline().decode(), "\r\n")))
            assert head.get_content_type() == "image/jpeg"
            assert is_jpeg(r.read(int(head["Content-Length"])))
        p.stop()
