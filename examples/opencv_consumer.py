#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pictures of pi-camera-streamer in OpenCV, from shared memory.

    pi-camera-streamer --device /dev/video0 --shm-raw /pictures        # raw: no encoder, no decoder
    opencv_consumer.py /pictures

    pi-camera-streamer --device /dev/video0 --codec mjpeg --shm /video_stream
    opencv_consumer.py /video_stream

Options: -c N end after N pictures, -w show them in a window. H.264 is not for OpenCV: it decodes no packets.
A raw picture lies in place (`planes()` are views of the producer's memory, without a copy), so look at it,
or turn it into one of your own as `to_bgr()` does, and then ask `valid()`.
"""
import argparse
import ctypes as c
import errno
import os
import sys

import cv2
import numpy as np

NEWEST = 2  # a program that looks at pictures wants the newest, not each


class Plane(c.Structure):
    _fields_ = [("data", c.POINTER(c.c_uint8)), ("stride", c.c_uint32), ("row_bytes", c.c_uint32),
                ("rows", c.c_uint32)]


class Frame(c.Structure):  # struct pcs_shm_frame
    _fields_ = [("data", c.POINTER(c.c_uint8)), ("size", c.c_uint64), ("missed", c.c_uint64), ("number", c.c_uint64),
                ("seq", c.c_uint64), ("capture_us", c.c_int64), ("wall_us", c.c_int64), ("published_us", c.c_int64),
                ("flags", c.c_uint32), ("fourcc_code", c.c_uint32), ("width", c.c_uint32), ("height", c.c_uint32),
                ("fps_num", c.c_uint32), ("fps_den", c.c_uint32), ("primaries", c.c_uint32), ("transfer", c.c_uint32),
                ("matrix", c.c_uint32), ("full_range", c.c_uint32), ("transform", c.c_uint32),
                ("plane_count", c.c_uint32), ("plane", Plane * 3), ("index", c.c_uint32), ("attachment", c.c_uint32),
                ("reserved", c.c_uint32 * 6)]

    @property
    def fourcc(self):
        return self.fourcc_code.to_bytes(4, "little").decode("ascii", "replace")

    def bytes(self):
        return np.ctypeslib.as_array(self.data, (self.size,))

    def planes(self):
        """One view of rows for each plane; no copy."""
        return [np.ctypeslib.as_array(p.data, (p.rows, p.stride))[:, :p.row_bytes] for p in self.plane[:self.plane_count]]


class Reader:
    """with Reader("/pictures") as r: for frame in r: …"""

    def __init__(self, name, flags=NEWEST, timeout_ms=5000):
        self.lib = c.CDLL(os.environ.get("PCS_SHM_LIBRARY", "libpcs_shm.so.0"))
        self.timeout_ms = timeout_ms
        self.shm = c.c_void_p()
        self._check(self.lib.pcs_shm_open(c.byref(self.shm), name.encode(), flags, timeout_ms), name)

    @staticmethod
    def _check(code, what):
        if code < 0:
            raise OSError(-code, os.strerror(-code), what)

    def __iter__(self):
        frame = Frame()
        while True:
            code = self.lib.pcs_shm_next(self.shm, c.byref(frame), self.timeout_ms)
            if code in (-errno.ESTALE, -errno.EPIPE):  # started again, or about to be
                self._check(self.lib.pcs_shm_reopen(self.shm, self.timeout_ms), "producer gone")
                continue
            self._check(code, "next frame")
            yield frame

    def valid(self, frame):
        return bool(self.lib.pcs_shm_valid(self.shm, c.byref(frame)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lib.pcs_shm_close(self.shm)


PACKED = {"YUYV": cv2.COLOR_YUV2BGR_YUYV, "UYVY": cv2.COLOR_YUV2BGR_UYVY, "YVYU": cv2.COLOR_YUV2BGR_YVYU}
BYTES = {"RGB3": (3, cv2.COLOR_RGB2BGR), "BGR3": (3, None), "XR24": (4, cv2.COLOR_BGRA2BGR), "XB24": (4, cv2.COLOR_RGBA2BGR)}
PLANAR = {"YU12": cv2.COLOR_YUV2BGR_I420, "YV12": cv2.COLOR_YUV2BGR_YV12}
TWO = {"NV12": cv2.COLOR_YUV2BGR_NV12, "NV21": cv2.COLOR_YUV2BGR_NV21}


def to_bgr(frame):
    """A picture of our own, or None when its bytes are no picture. What it says of itself is not believed: a shape
    that does not fit is an exception of numpy or OpenCV."""
    kind, planes = frame.fourcc, frame.planes()
    if kind == "MJPG":
        return cv2.imdecode(frame.bytes(), cv2.IMREAD_COLOR)
    if kind == "GREY":
        return cv2.cvtColor(planes[0], cv2.COLOR_GRAY2BGR)
    if kind in PACKED:
        return cv2.cvtColor(planes[0].reshape(frame.height, -1, 2), PACKED[kind])
    if kind in BYTES:
        channels, code = BYTES[kind]
        picture = planes[0].reshape(frame.height, -1, channels)
        return picture.copy() if code is None else cv2.cvtColor(picture, code)
    if kind in PLANAR:  # rows without gaps, so all three are one picture of 3/2 the height
        return cv2.cvtColor(frame.bytes().reshape(-1, frame.width), PLANAR[kind])
    if kind in TWO:
        return cv2.cvtColorTwoPlane(planes[0], planes[1].reshape(planes[1].shape[0], -1, 2), TWO[kind])
    sys.exit(f"{kind} is not for OpenCV: use --shm-raw, or --codec mjpeg")


def look(args):
    shown = missed = torn = 0
    with Reader(args.name) as reader:
        for frame in reader:
            picture = to_bgr(frame)
            if not reader.valid(frame):
                torn += 1  # written over while we converted it: we are too slow
                continue
            missed += frame.missed
            shown += 1
            if shown == 1:
                print(f"{frame.width}x{frame.height} {frame.fourcc}, brightness {picture.mean():.1f}")
            if args.window:
                cv2.imshow(args.name, picture)
                if cv2.waitKey(1) == 27:
                    break
            if args.count and shown >= args.count:
                break
    print(f"{shown} pictures, {missed} skipped, {torn} written over")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="/video_stream")
    parser.add_argument("-c", "--count", type=int, default=0)
    parser.add_argument("-w", "--window", action="store_true")
    try:
        look(parser.parse_args())
    except OSError as e:
        sys.exit(str(e))


if __name__ == "__main__":
    main()
