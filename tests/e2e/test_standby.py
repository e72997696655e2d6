# SPDX-License-Identifier: MIT
"""What viewers and recordings get while the camera gives nothing."""
import subprocess
import time

import cv2
import pytest
from pcs import FAKE, check_sums, decodes_cleanly, fake_camera, packets, probe, receiver, sender, wait_for

pytestmark = pytest.mark.skipif(not FAKE, reason="the emulated camera was not built")
NODE = "/dev/video-fake"


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    picture = ["-f", "lavfi", "-i", "testsrc2=s=640x480:r=30", "-t", "3"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-q:v", "5", "-f", "mjpeg", folder / "cam.mjpg"],
                   check=True)
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-c:v", "libx264", "-tune", "zerolatency", "-g",
                    "10", "-bsf:v", "h264_metadata=aud=insert", "-f", "h264", folder / "cam.h264"],
                   check=True)
    return {"MJPG": ("mjpg", folder / "cam.mjpg"), "H264": ("h264", folder / "cam.h264"), "YUYV": None}


class Lab:
    def __init__(self, folder, clip):
        self.control = folder / "control"
        self.control.write_text("")
        self.settings = {"control": self.control}
        if clip:
            self.settings[clip[0]] = clip[1]

    def tell(self, command):
        with open(self.control, "a") as f:
            f.write(command + "\n")

    def sender(self, port, *args):
        return sender(port, "--device", NODE, "--width", 640, "--height", 480, *args, source=None,
                      env=fake_camera(NODE, **self.settings))


def size(path):
    return path.stat().st_size if path.exists() else 0


def growing(path, by, seconds=20):
    before = size(path)
    wait_for(lambda: size(path) > before + by, f"{path} to grow", seconds)


def settled(path):
    """Wait until nothing more comes of the camera; the stand-ins begin a second after it went."""
    seen = [0, time.monotonic()]

    def still():
        if size(path) != seen[0]:
            seen[:] = size(path), time.monotonic()
        return time.monotonic() - seen[1] > 0.6
    wait_for(still, f"{path} to stand still")


def frames(path):
    video = cv2.VideoCapture(str(path))
    while True:
        ok, picture = video.read()
        if not ok:
            return
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def is_standby(picture):
    """Dark, with a few letters in the middle."""
    dark = (picture < 60).mean()
    middle = picture[picture.shape[0] // 4: picture.shape[0] * 3 // 4]
    return dark > 0.8 and (middle > 120).sum() > 200


@pytest.mark.parametrize("fourcc,codec", [("YUYV", "h264"), ("YUYV", "mjpeg"), ("MJPG", "auto"), ("MJPG", "h264")])
def test_the_recording_goes_on_in_one_file(tmp_path, clips, fourcc, codec):
    lab, out = Lab(tmp_path, clips[fourcc]), tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, lab.sender(r.port, "--format", fourcc, "--codec", codec) as s:
        growing(out, 50000)
        lab.tell("unplug")
        s.wait_log("the camera is gone|no such device")
        settled(out)
        growing(out, 2000)
        growing(out, 500)  # more than one of them
        lab.tell("plug")
        s.wait_log("pictures again")
        growing(out, 50000)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    assert sent["standby"] >= 2 and sent["camera"]["state"] == "ended"
    stream, = got["streams"]
    assert stream["files"] == [str(out)], "one time line"
    assert stream["reconnects"] == 0
    clean, why = decodes_cleanly(out)
    assert clean, why
    kinds = [is_standby(p) for p in frames(out)]
    assert sum(kinds) == sent["standby"]
    assert not kinds[0] and not kinds[-1]
    first, last = kinds.index(True), len(kinds) - 1 - kinds[::-1].index(True)
    assert all(kinds[first:last + 1]), "one break, not mixed with pictures"
    pts = [p for p, _ in packets(out)]
    assert all(b > a for a, b in zip(pts, pts[1:]))
    assert max(b - a for a, b in zip(pts, pts[1:])) < 2.5, "no hole much longer than it takes to notice"


def test_a_camera_that_stalls(tmp_path, clips):
    lab, out = Lab(tmp_path, clips["MJPG"]), tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, lab.sender(r.port, "--format", "MJPG") as s:
        growing(out, 50000)
        lab.tell("stall")
        settled(out)  # what was on its way has come
        growing(out, 6000)
        lab.tell("go")
        growing(out, 50000)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    assert sent["standby"] >= 1
    assert got["streams"][0]["files"] == [str(out)]


def test_the_cameras_own_h264(tmp_path, clips):
    """Its parameter sets are not ours: the stand-ins are in a file between two."""
    lab, out = Lab(tmp_path, clips["H264"]), tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, lab.sender(r.port, "--format", "H264") as s:
        growing(out, 20000)
        lab.tell("unplug")
        wait_for(lambda: size(tmp_path / "out-1.mp4") > 1000, "a file of stand-ins", 20)
        lab.tell("plug")
        wait_for(lambda: size(tmp_path / "out-2.mp4") > 20000, "a file of pictures", 20)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    files = got["streams"][0]["files"]
    assert files == [str(tmp_path / f) for f in ("out.mp4", "out-1.mp4", "out-2.mp4")]
    for name, kind in zip(files, (False, True, False)):
        clean, why = decodes_cleanly(name)
        assert clean, why
        assert {is_standby(p) for p in frames(name)} == {kind}


def test_turned_pictures_keep_their_size(tmp_path, clips):
    lab, out = Lab(tmp_path, None), tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, \
            lab.sender(r.port, "--format", "YUYV", "--codec", "mjpeg", "--rotate", 90) as s:
        growing(out, 50000)
        lab.tell("unplug")
        s.wait_log("the camera is gone|no such device")
        growing(out, 6000)
        s.stop()
        got = r.stop()
    assert got["streams"][0]["files"] == [str(out)]
    assert (probe(out)["width"], probe(out)["height"]) == (480, 640)


def test_a_camera_that_never_comes(tmp_path, clips):
    lab, out = Lab(tmp_path, clips["MJPG"]), tmp_path / "out.mp4"
    lab.tell("unplug")
    with receiver(out, "--sync", "200ms") as r, lab.sender(r.port, "--codec", "mjpeg", "--fps", 15) as s:
        growing(out, 6000)
        sent = s.stop()
        r.stop()
    assert sent["captured"] == sent["standby"] > 0
    assert (probe(out)["width"], probe(out)["height"]) == (640, 480)
    assert all(is_standby(p) for p in frames(out))


@pytest.mark.waits
def test_switched_off(tmp_path, clips):
    lab, out = Lab(tmp_path, clips["MJPG"]), tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, \
            lab.sender(r.port, "--format", "MJPG", "--standby", "off") as s:
        growing(out, 50000)
        lab.tell("stall")
        s.wait_log("no usable picture", 20)
        lab.tell("go")
        growing(out, 50000)
        sent = s.stop()
        r.stop()
    assert sent["standby"] == 0
    pts = [p for p, _ in packets(out)]
    assert max(b - a for a, b in zip(pts, pts[1:])) > 3, "the gap is in the time line"
