# SPDX-License-Identifier: MIT
"""A sender that serves, and visitors of its ports: raw HTTP/1.1 and WebSocket over sockets, so that they can
be as slow, as rude and as wrong as they like."""
import base64
import contextlib
import os
import re
import socket
import struct
import subprocess

from pcs import SENDER, SLOW, Program

SMALL = ("--width", 320, "--height", 240)


@contextlib.contextmanager
def site(*args, source="test", ws=False, env=None, size=SMALL):
    """A running sender with .port (HTTP) and, if wished, .ws."""
    more = ["--ws-port", 0] if ws else []
    source = ["--source", source] if source else []
    with Program(SENDER, *source, *size, "--http-port", 0, *more, *args, env=env) as p:
        p.port = int(p.wait_log(r"http: listening on .* port (\d+)"))
        p.ws = int(p.wait_log(r"ws: listening on .* port (\d+)")) if ws else None
        yield p


def connect(port, host="127.0.0.1", timeout=10, receive_bytes=0):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if receive_bytes:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.settimeout(timeout * SLOW)
    s.connect((host, port))
    return s


class Reply:
    def __init__(self, status, headers, body=b""):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]}"


class Visitor:
    """One connection, and what is read from it."""

    def __init__(self, sock):
        self.sock = sock
        self.rest = b""

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, path, *headers, method="GET", body=b"", version="1.1"):
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def more(self):
        data = self.sock.recv(65536)
        self.rest += data
        return bool(data)

    def take(self, size):
        while len(self.rest) < size:
            if not self.more():
                raise EOFError(f"{size} bytes wanted, {len(self.rest)} came")
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def until(self, end):
        while end not in self.rest:
            if not self.more():
                raise EOFError(f"no {end!r} in {self.rest[:300]!r}")
        data, self.rest = self.rest.split(end, 1)
        return data

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d{3} .+", lines[0]), lines[0]
        headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            headers[name.lower()] = value
        return Reply(int(lines[0].split()[1]), headers)

    def reply(self, head=False):
        r = self.head()
        if not head and r.status not in (204, 304):
            r.body = self.take(int(r.headers.get("content-length", 0)))
        return r

    def closed(self):
        """Does the other side end it (by a FIN or a reset) without another byte?"""
        try:
            return self.rest == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- MJPEG ----

    def stream(self, path="/stream", *headers):
        self.ask(path, *headers)
        head = self.head()
        assert head.status == 200, head
        self.boundary = re.fullmatch(r'multipart/x-mixed-replace; ?boundary="?([^"]+)"?',
                                     head.headers["content-type"])[1].encode()
        self.until(b"--" + self.boundary + b"\r\n")
        return head

    def part(self):
        """(headers, bytes) of the next picture."""
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        picture = self.take(int(headers["Content-Length"]))
        assert self.take(len(self.boundary) + 6) == b"\r\n--" + self.boundary + b"\r\n"
        return headers, picture

    # ---- WebSocket ----

    def upgrade(self, path="/", *headers):
        key = base64.b64encode(os.urandom(16)).decode()
        self.ask(path, "Upgrade: websocket", "Connection: keep-alive, Upgrade",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers)
        return self.head()

    def frame(self):
        """(opcode, payload) of the next WebSocket frame."""
        first, length = self.take(2)
        assert first & 0x80 and not length & 0x80, "whole and unmasked"
        if length == 126:
            length = struct.unpack(">H", self.take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(length)

    def say(self, opcode, payload=b"", fin=True, mask=b"\x01\x02\x03\x04", rsv=0, length=None):
        n = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if mask else 0
        head += (bytes([bit | n]) if n < 126 else bytes([bit | 126]) + struct.pack(">H", n) if n < 65536
                 else bytes([bit | 127]) + struct.pack(">Q", n))
        if mask:
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.send(head + mask + payload)

    def access_unit(self):
        """(bytes, Unix ms) of the next binary message; others are skipped."""
        while True:
            opcode, payload = self.frame()
            if opcode == 2:
                return payload[:-8], struct.unpack("<Q", payload[-8:])[0]
            assert opcode != 8, f"closed: {payload!r}"


def visit(port, host="127.0.0.1", **kw):
    return Visitor(connect(port, host, **kw))


def get(port, path, *headers, **kw):
    with visit(port) as v:
        v.ask(path, "Connection: close", *headers, **kw)
        return v.reply(head=kw.get("method") == "HEAD")


def nal_types(unit):
    return [unit[m.end()] & 31 for m in re.finditer(b"\x00\x00\x01", unit)]


def certificate(folder):
    """(certificate, key) for localhost."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key
