# SPDX-License-Identifier: MIT
"""The emulated V4L2 camera, and what cameras do to people."""
import os
import subprocess
import time

import pytest
from pcs import (FAKE, RECEIVER, SENDER, Program, check_sums, decodes_cleanly, fake_camera, free_port,
                 markers, packets, probe, receiver, receiver_at, sender, wait_for)

pytestmark = pytest.mark.skipif(not FAKE, reason="the emulated camera was not built")
NODE = "/dev/video-fake"


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A minute of camera output, as a camera would compress it."""
    folder = tmp_path_factory.mktemp("clips")
    picture = ["-f", "lavfi", "-i", "testsrc2=s=640x480:r=30", "-t", "3"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-q:v", "5", "-f", "mjpeg", folder / "cam.mjpg"],
                   check=True)
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-c:v", "libx264", "-tune", "zerolatency", "-g",
                    "30", "-bsf:v", "h264_metadata=aud=insert", "-f", "h264", folder / "cam.h264"],
                   check=True)
    return {"mjpg": folder / "cam.mjpg", "h264": folder / "cam.h264"}


def camera(port, *args, settings=None, **kw):
    return sender(port, "--device", NODE, *args, source=None, env=fake_camera(NODE, **(settings or {})), **kw)


def test_the_quick_start_lines_word_for_word(tmp_path, clips):
    """contract.md: a person with a webcam at /dev/video0."""
    for name, real in (("pi-camera-streamer", SENDER), ("video-receiver", RECEIVER)):
        os.symlink(os.path.abspath(real), tmp_path / name)
    with Program("./video-receiver", "--listen-port", "5000", "--output", "out.mp4", cwd=tmp_path) as r:
        r.wait_log("listening on port 5000")
        with Program("./pi-camera-streamer", "--dest-ip", "127.0.0.1", "--port", "5000", "--device",
                     "/dev/video0", cwd=tmp_path,
                     env=fake_camera("/dev/video0", mjpg=clips["mjpg"])) as s:
            out = tmp_path / "out.mp4"
            wait_for(lambda: out.exists() and out.stat().st_size > 200000, "a file that grows")
            sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    assert int(probe(out)["nb_read_packets"]) == sent["encoded"]
    assert decodes_cleanly(out)[0]


@pytest.mark.parametrize("fourcc", ["YUYV", "UYVY", "NV12", "YU12", "GREY", "RGB3"])
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_every_pixel_format(tmp_path, fourcc, codec):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, "--format", fourcc, "--codec", codec, "--width", 320, "--height", 240,
                   "--frames", 30) as s:
        status, sent = s.end(20)
        assert status == 0, s.log
        _, got = r.end()
    check_sums(sent, got)
    seen = markers(out)
    assert None not in seen and len(seen) == sent["encoded"]
    pts = [p for p, _ in packets(out)]
    for p, (_, t) in zip(pts, seen):
        assert abs((p - pts[0]) - (t - seen[0][1]) / 1e6) < 0.001


@pytest.mark.parametrize("kind,fourcc", [("mjpg", "MJPG"), ("h264", "H264")])
def test_what_the_camera_compressed_passes_untouched(tmp_path, clips, kind, fourcc):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, "--format", fourcc, "--width", 640, "--height", 480, "--frames", 60,
                   settings={kind: clips[kind]}) as s:
        status, sent = s.end(20)
        assert status == 0, s.log
        _, got = r.end()
    check_sums(sent, got)
    assert decodes_cleanly(out)[0]
    raw = tmp_path / "raw"
    extra = ["-bsf:v", "h264_mp4toannexb"] if kind == "h264" else []
    subprocess.run(["ffmpeg", "-v", "error", "-i", out, "-c", "copy", *extra, "-f",
                    {"mjpg": "mjpeg", "h264": "h264"}[kind], raw], check=True)
    ours = _pictures(raw, kind)
    theirs = set(_pictures(clips[kind], kind))
    assert len(ours) == sent["encoded"] and all(p in theirs for p in ours)


def _pictures(path, kind):
    """MD5 of every decoded picture."""
    out = subprocess.run(["ffmpeg", "-v", "error", "-f", {"mjpg": "mjpeg", "h264": "h264"}[kind], "-i", path,
                          "-fps_mode", "passthrough", "-f", "framemd5", "-"], capture_output=True, text=True,
                         check=True)
    return [line.split(",")[-1].strip() for line in out.stdout.splitlines() if not line.startswith("#")]


def test_mjpeg_camera_to_h264(tmp_path, clips):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, "--format", "MJPG", "--codec", "h264", "--width", 640, "--height", 480,
                   "--frames", 60, settings={"mjpg": clips["mjpg"]}) as s:
        status, sent = s.end(30)
        assert status == 0, s.log
        r.end()
    assert probe(out)["codec_name"] == "h264"
    assert int(probe(out)["nb_read_packets"]) == sent["encoded"] > 20


def control(tmp_path, command):
    with open(tmp_path / "control", "a") as f:
        f.write(command + "\n")


@pytest.fixture
def lab(tmp_path, clips):
    (tmp_path / "control").write_text("")
    return {"mjpg": clips["mjpg"], "control": tmp_path / "control"}


def growing(path, by=50000, seconds=20):
    before = path.stat().st_size if path.exists() else 0
    wait_for(lambda: path.exists() and path.stat().st_size > before + by, f"{path} to grow", seconds)


def test_unplugged_and_back(tmp_path, lab):
    out = tmp_path / "out.mp4"
    with receiver(out) as r, camera(r.port, "--format", "MJPG", settings=lab) as s:
        growing(out)
        control(tmp_path, "unplug")
        s.wait_log("warn .*capture|error .*capture")
        control(tmp_path, "plug")
        growing(out)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    stream, = got["streams"]
    assert stream["files"] == [str(out)] and stream["reconnects"] == 0, "the recording went on"
    assert int(probe(out)["nb_read_packets"]) == stream["written"]
    assert decodes_cleanly(out)[0]


@pytest.mark.waits
def test_a_stall_of_ten_seconds(tmp_path, lab):
    """Without stand-ins (test_standby.py) the silence is a gap."""
    out = tmp_path / "out.mp4"
    with receiver(out) as r, camera(r.port, "--format", "MJPG", "--standby", "off", settings=lab) as s:
        growing(out)
        control(tmp_path, "stall")
        s.wait_log("warn .*capture|error .*capture", 20)
        control(tmp_path, "go")
        growing(out)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    pts = [p for p, _ in packets(out)]
    assert max(b - a for a, b in zip(pts, pts[1:])) > 3, "the gap is in the time line"


def test_corrupt_and_short_jpegs_are_dropped(tmp_path, lab):
    out = tmp_path / "out.mp4"
    with receiver(out) as r, camera(r.port, "--format", "MJPG", settings=lab) as s:
        growing(out)
        control(tmp_path, "corrupt 10")
        growing(out)
        sent = s.stop()
        r.stop()
    assert sent["dropped"] >= 5
    assert sent["captured"] == sent["encoded"] + sent["dropped"]
    clean, why = decodes_cleanly(out)
    assert clean, why


def test_no_camera_at_first_then_one(tmp_path, lab):
    control(tmp_path, "unplug")
    out = tmp_path / "out.mp4"
    with receiver(out) as r, camera(r.port, "--format", "MJPG", settings=lab) as s:
        s.wait_log(NODE)
        control(tmp_path, "plug")
        growing(out, 20000)
        s.stop()
        r.stop()


def test_a_busy_camera_is_named(tmp_path, lab):
    control(tmp_path, "busy")
    with camera(free_port(), "--format", "MJPG", settings=lab) as s:
        s.wait_log(f"{NODE}.*in use")
        s.stop()


def test_the_camera_changes_its_size(tmp_path):
    (tmp_path / "control").write_text("")
    out = tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, \
            camera(r.port, "--format", "YUYV", "--codec", "mjpeg", "--width", 320, "--height", 240,
                   settings={"control": tmp_path / "control"}) as s:
        growing(out, 20000)
        control(tmp_path, "resize 640x480")
        wait_for(lambda: (tmp_path / "out-1.mp4").exists() and (tmp_path / "out-1.mp4").stat().st_size > 50000,
                 "a second file", 30)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    stream, = got["streams"]
    assert len(stream["files"]) == 2
    sizes = [(probe(f)["width"], probe(f)["height"]) for f in stream["files"]]
    assert sizes == [(320, 240), (640, 480)]
    assert sum(int(probe(f)["nb_read_packets"]) for f in stream["files"]) == stream["written"]
