# SPDX-License-Identifier: MIT
"""Crowds of web visitors, those who never stop, and those who only take up room: streams and others go on, and
nothing is left behind."""
import contextlib
import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from pcs import SANITIZED, SLOW, wait_for
from web import Visitor, certificate, connect, get, site, visit


@contextlib.contextmanager
def encrypted(folder, yes):
    """(options of a sender, how to visit it) with TLS or without."""
    if not yes:
        yield (), visit
        return
    cert, key = certificate(folder)
    context = ssl.create_default_context(cafile=cert)

    def visit_tls(port, **kw):
        return Visitor(context.wrap_socket(connect(port, **kw), server_hostname="localhost"))
    yield ("--tls-cert", cert, "--tls-key", key), visit_tls


def visit_somehow(visit_it, port, i):
    """One of the ways to come and go."""
    with visit_it(port) as v:
        if i % 6 == 0:
            v.ask("/stream")
            v.head()
        elif i % 6 == 1:
            assert v.upgrade("/ws").status == 101
        elif i % 6 == 2:
            v.ask("/healthz")
            v.reply()
        elif i % 6 == 3:
            v.ask("/snapshot")  # and does not wait for it
        elif i % 6 == 4:
            v.send(b"POST /api/v1/settings HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + bytes(30000))


def own_kb(p):
    """What it has allocated, without pages of libraries, which come when an encoder is first used."""
    with open(f"/proc/{p.pid}/status") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


@pytest.mark.parametrize("tls", [False, True])
def test_memory_and_descriptors_stay_after_a_thousand_visits(tmp_path, tls):
    with encrypted(tmp_path, tls) as (options, visit_it), site("--max-clients", 1000, *options) as p:
        def visits(n):
            for i in range(n):
                visit_somehow(visit_it, p.port, i)
            wait_for(lambda: p.fds() < 40, "closed connections")
        visits(1000)  # what is kept for the next ones is there then
        fds, kept = p.fds(), own_kb(p)
        visits(1000)
        wait_for(lambda: p.fds() <= fds + 2, "closed connections")
        assert SANITIZED or own_kb(p) < kept + 4000
        p.stop()


class Watcher:
    """A viewer with a thread of its own: numbers and ages of all pictures that come."""

    def __init__(self, visitor):
        self.visitor, self.numbers, self.ages = visitor, [], []
        visitor.stream()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self):
        with contextlib.suppress(OSError, EOFError, ValueError):
            while True:
                headers, _ = self.visitor.part()
                self.ages.append(time.time() - float(headers["X-Timestamp"]))
                self.numbers.append(int(headers["X-Frame-Number"]))

    def wait_for(self, count):
        wanted = len(self.numbers) + count
        wait_for(lambda: len(self.numbers) >= wanted, f"{count} pictures")

    def close(self):
        self.visitor.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.visitor.close()


@contextlib.contextmanager
def descriptors(count):
    """So many for this process, and for each that it starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, before[1])))
    except (ValueError, OSError):
        pytest.skip(f"{count} descriptors are not to be had: ulimit -Hn is {before[1]}")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], max(count, before[1])))


def crowd_of(count, port, watcher):
    """Connections that say nothing, or only ever a part of a request."""
    crowd = []
    for i in range(count):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        crowd.append(s)
        if i % 100 == 99:
            watcher.wait_for(1)  # the listener's backlog is not without end
    for byte in (b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"X:"):
        for s in crowd[::2]:
            with contextlib.suppress(OSError):
                s.send(byte)
    return crowd


@pytest.mark.parametrize("tls", [False, True])
def test_ten_thousand_idle_and_slow_connections_leave_the_streams_alone(tmp_path, tls):
    """Three viewers: so many are served by the thread that has the crowd to deal with."""
    if SANITIZED:
        pytest.skip("a matter of speed")
    with descriptors(10500), encrypted(tmp_path, tls) as (options, visit_it), site(*options) as p:
        watchers = [Watcher(visit_it(p.port)) for _ in range(3)]
        crowd = []
        try:
            watchers[0].wait_for(30)
            fds, rss = p.fds(), p.rss_kb()
            crowd = crowd_of(10000, p.port, watchers[0])
            watchers[0].wait_for(30)
            assert tls or p.fds() >= fds + 10000
            assert p.rss_kb() < rss + 30000, (rss, p.rss_kb())
            with visit_it(p.port) as v:
                v.ask("/healthz")
                assert v.reply().status == 200
            for s in crowd:
                s.close()
            wait_for(lambda: p.fds() <= fds + 2, "all to be gone")
            watchers[0].wait_for(10)
        finally:
            for s in (*crowd, *watchers):
                s.close()
        p.stop()
        for w in watchers:
            missed = w.numbers[-1] - w.numbers[0] + 1 - len(w.numbers)
            assert missed <= len(w.numbers) // 20, (missed, len(w.numbers))  # by the watcher, on a busy machine
            assert sorted(w.ages)[len(w.ages) * 9 // 10] < 0.1, sorted(w.ages)[-20:]


FLOOD = """
import os, socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def drain():
    while s.recv(1 << 20):
        pass
threading.Thread(target=drain, daemon=True).start()
first, more = (a.encode().decode("unicode_escape").encode("latin-1") for a in sys.argv[2:4])
s.sendall(first)
print("on", flush=True)
while True:
    s.sendall(more * 1000)
"""
HOST = r"Host: localhost\r\n"
FLOODS = {
    "requests": ("", rf"HEAD /healthz HTTP/1.1\r\n{HOST}\r\n"),
    "a viewer that talks": (rf"GET /stream HTTP/1.1\r\n{HOST}\r\n", "x" * 100),
    "a WebSocket that talks": (rf"GET /ws HTTP/1.1\r\n{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               r"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
                               r"\x8a\x81xxxx?"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_who_never_stops_talking_holds_nobody_up(tmp_path, name):
    """As fast as it is read, on one connection: streams, other visitors, the watchdog and the end go on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(2000000 * SLOW)}
        with site(env=env) as p:
            watchers = [Watcher(visit(p.port)) for _ in range(3)]
            flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(p.port), *FLOODS[name]],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                flood.stdout.readline()
                watchers[0].wait_for(90)
                assert get(p.port, "/healthz").status == 200
                assert flood.poll() is None
                summary = p.stop()
            finally:
                flood.kill()
                flood.communicate()
                for w in watchers:
                    w.close()
        assert "hangs" not in p.log
    assert sorted(watchers[0].ages)[len(watchers[0].ages) // 2] < 0.1 * SLOW
    assert summary["outputs"][0]["delivered"] > 250


def test_without_descriptors_visitors_wait_and_nothing_spins():
    with site() as p, visit(p.port) as v:
        v.stream()
        v.part()
        limit = resource.prlimit(p.pid, resource.RLIMIT_NOFILE)
        taken = {int(n) for n in os.listdir(f"/proc/{p.pid}/fd")}
        free = min(set(range(len(taken) + 1)) - taken)
        resource.prlimit(p.pid, resource.RLIMIT_NOFILE, (free, limit[1]))
        with visit(p.port) as late:
            late.ask("/healthz")
            p.wait_log("warn.*visitors have to wait")
            numbers = [int(v.part()[0]["X-Frame-Number"]) for _ in range(10)]
            assert p.cpu_share(1) < 0.2 * SLOW
            resource.prlimit(p.pid, resource.RLIMIT_NOFILE, limit)
            assert late.reply().status == 200
        assert numbers == list(range(numbers[0], numbers[0] + 10))
        p.stop()
