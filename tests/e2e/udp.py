# SPDX-License-Identifier: MIT
"""The client of the UDP service as users have it, written from the contract: one socket with the buffer that
the system gives, struct, pickle and OpenCV."""
import pickle
import socket
import struct
import time

import cv2


class Client:
    def __init__(self, port, host="127.0.0.1", request=b"REGISTER_CLIENT", make=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = make() if make else socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.server = (host, port)
        self.ids, self.sizes = [], []
        self.say(request)

    def say(self, data):
        self.socket.sendto(data, self.server)

    def receive(self):
        data, address = self.socket.recvfrom(2048)
        assert address[:2] == self.server, address
        return data

    def registered(self):
        assert self.receive() == b"REGISTERED"
        return self

    def answer(self):
        """What was said to it up to now, pictures apart; None: nothing."""
        self.socket.settimeout(0.01)
        try:
            while (data := self.receive()).startswith((b"FRAME_START", b"CHUNK")):
                pass
            return data
        except socket.timeout:
            return None
        finally:
            self.socket.settimeout(20)

    def payload(self):
        """The next picture that comes whole."""
        frame_id, parts, size, count = None, {}, 0, 0
        while True:
            data = self.receive()
            if data.startswith(b"FRAME_START"):
                assert len(data) == 23
                frame_id, size, count = struct.unpack("<LLL", data[11:23])
                assert count == (size + 1199) // 1200
                self.ids.append(frame_id)
                parts = {}
            elif data.startswith(b"CHUNK"):
                got_id, index = struct.unpack("<LL", data[5:13])
                assert len(data) <= 1213
                if got_id == frame_id:
                    parts[index] = data[13:]
                if count and len(parts) == count:
                    joined = b"".join(parts[i] for i in range(count))
                    assert len(joined) == size
                    self.sizes.append(size)
                    return joined

    def picture(self):
        return cv2.imdecode(pickle.loads(self.payload()), cv2.IMREAD_COLOR)

    def silent_for(self, seconds):
        """Does nothing come for that long?"""
        deadline = time.monotonic() + seconds
        self.socket.settimeout(0.05)
        last = time.monotonic()
        while time.monotonic() < deadline:
            try:
                self.socket.recv(2048)
                last = time.monotonic()
            except socket.timeout:
                if time.monotonic() - last > 0.5:
                    return True
        return False

    def close(self):
        self.socket.close()
