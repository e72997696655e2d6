# SPDX-License-Identifier: MIT
"""The wire in Python, written from docs/protocol.md alone: a second implementation to test against."""
import contextlib
import os
import socket
import struct
import time

MAGIC, VERSION = 0x50435357, 1
HELLO, WELCOME, FRAME, FORMAT, BYE, ACK, PING, PONG, KEY, REPLAY, ERROR = range(1, 12)
IS_KEY, AGAIN, REWOUND = 1, 2, 4
JPEG, H264 = 1, 2


def message(kind, body=b""):
    return struct.pack(">IB", len(body) + 1, kind) + body


def text(value):
    raw = value.encode()
    return bytes([len(raw)]) + raw


def format_block(codec, width, height, fps=30):
    return struct.pack(">BBBBHHII", codec, 0, 0, 0, width, height, fps, 1)


def hello(session, codec=JPEG, width=64, height=48, name="python", first=1, next_=1, version=VERSION):
    return message(HELLO, struct.pack(">IHH", MAGIC, version, 0) + session +
                   struct.pack(">QQqq", first, next_, time.monotonic_ns() // 1000,
                               time.time_ns() // 1000) +
                   format_block(codec, width, height) + text(name) + text("tests"))


def frame(seq, payload, key=True, capture_us=None, skipped=0, flags=0):
    capture_us = seq * 33333 if capture_us is None else capture_us
    return message(FRAME, struct.pack(">BHQqIIII", (IS_KEY if key else 0) | flags, 0, seq, capture_us,
                                      0, 10, 20, skipped) + payload)


def bye(next_seq, skipped=0):
    return message(BYE, struct.pack(">QI", next_seq, skipped))


def welcome(from_seq=0, need_key=True, version=VERSION):
    return message(WELCOME, struct.pack(">IHHQ", MAGIC, version, 1 if need_key else 0, from_seq) +
                   text("python") + text("tests"))


def ack(synced, received):
    return message(ACK, struct.pack(">QQ", synced, received))


class Peer:
    """One end of a connection, blocking, with deadlines."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(20)
        self.buffer = b""

    @classmethod
    def connect(cls, port):
        peer = cls(socket.create_connection(("127.0.0.1", port)))
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a reset loses nothing sent
        return peer

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        """(type, body) of the next message; None at the end of the stream."""
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack(">I", self.buffer[:4])[0]:
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.buffer += data
        size = struct.unpack(">I", self.buffer[:4])[0]
        body, self.buffer = self.buffer[4:4 + size], self.buffer[4 + size:]
        return body[0], body[1:]

    def expect(self, kind, answer_pings=True):
        """The body of the next message of this type; others are passed over, pings answered."""
        while True:
            got = self.receive()
            assert got is not None, f"closed while waiting for message {kind}"
            if got[0] == kind:
                return got[1]
            assert got[0] != ERROR, got[1][3:]
            if got[0] == PING and answer_pings:
                self.pong(got[1])

    def pong(self, body):
        now = struct.pack(">qq", *[time.monotonic_ns() // 1000] * 2)
        self.send(message(PONG, body + now))

    def greet(self, session=None, **kw):
        """Say hello as a sender; the (from_seq, need_key) of the welcome."""
        self.session = session or os.urandom(16)
        self.send(hello(self.session, **kw))
        body = self.expect(WELCOME)
        magic, version, flags, from_seq = struct.unpack(">IHHQ", body[:16])
        assert (magic, version) == (MAGIC, VERSION)
        return from_seq, bool(flags & 1)

    def close(self):
        self.sock.close()

    def end(self):
        """Close so that all that was sent arrives: what is unread at a close would make it a reset."""
        self.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def jpeg(width=64, height=48, value=128):
    import cv2
    import numpy as np
    picture = np.full((height, width, 3), value, np.uint8)
    picture[::8] ^= 0x55
    return cv2.imencode(".jpg", picture)[1].tobytes()
