#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Watch the UDP service of pi-camera-streamer: one socket, pictures as datagrams.

    pi-camera-streamer --udp-port 9999 --address 0.0.0.0
    examples/udp_client.py HOST [PORT] [--frames N] [--raw] [--no-window]

Needs numpy and OpenCV (python3-opencv). docs/udp-service.md says what goes over the wire.
"""
import argparse
import pickle
import socket
import struct
import time

import cv2
import numpy as np


class Client:
    def __init__(self, host, port, raw=False):
        family, _, _, _, self.server = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.settimeout(2)
        self.raw = raw
        self.complete = self.torn = 0
        self.said_us = 0.0

    def say(self, text):
        self.socket.sendto(text.encode(), self.server)
        self.said_us = time.monotonic()

    def register(self):
        self.say("REGISTER_CLIENT raw" if self.raw else "REGISTER_CLIENT")

    def pictures(self):
        """The bytes of each picture that arrived whole."""
        self.register()
        frame_id, size, chunks = None, 0, {}
        while True:
            if time.monotonic() - self.said_us > 15:
                self.say("KEEPALIVE")
            try:
                data = self.socket.recv(2048)
            except socket.timeout:
                self.register()  # the server was restarted, or a datagram was lost
                continue
            if data.startswith(b"PROVE "):
                self.say(data.decode())  # we are not of its network: show that we are where we say
            elif data == b"SERVER_FULL":
                raise SystemExit("the server takes no more clients")
            elif data.startswith(b"FRAME_START"):
                self.torn += bool(chunks)
                frame_id, size, count = struct.unpack("<LLL", data[11:])
                chunks = {}
            elif data.startswith(b"CHUNK"):
                chunk_frame, index = struct.unpack("<LL", data[5:13])
                if chunk_frame != frame_id:
                    continue
                chunks[index] = data[13:]
                if len(chunks) == count:
                    payload = b"".join(chunks[i] for i in range(count))
                    chunks = {}
                    if len(payload) == size:
                        self.complete += 1
                        yield payload

    def decode(self, payload):
        # pickle.loads runs what the server says: only with a server that you trust. --raw needs no pickle.
        data = np.frombuffer(payload, np.uint8) if self.raw else pickle.loads(payload)
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    def close(self):
        self.say("DISCONNECT")
        self.socket.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("host")
    parser.add_argument("port", nargs="?", type=int, default=9999)
    parser.add_argument("--frames", type=int, default=0, help="stop after this many")
    parser.add_argument("--raw", action="store_true", help="bare JPEG instead of a pickle")
    parser.add_argument("--no-window", action="store_true")
    args = parser.parse_args()
    client = Client(args.host, args.port, args.raw)
    try:
        for payload in client.pictures():
            picture = client.decode(payload)
            if picture is not None and not args.no_window:
                cv2.imshow(args.host, picture)
                if cv2.waitKey(1) == ord("q"):
                    break
            if client.complete == args.frames:
                break
    except KeyboardInterrupt:
        pass
    client.close()
    print(f"{client.complete} pictures, {client.torn} incomplete")


main()
