# SPDX-License-Identifier: MIT
"""Cameras beyond the webcam: planes in memories of their own, HDMI bridges, colours."""
import json
import subprocess

import pytest
from pcs import FAKE, check_sums, decodes_cleanly, fake_camera, markers, probe, receiver, sender, wait_for

pytestmark = pytest.mark.skipif(not FAKE, reason="the emulated camera was not built")
NODE = "/dev/video-fake"


def camera(port, *args, **settings):
    return sender(port, "--device", NODE, *args, source=None, env=fake_camera(NODE, **settings))


@pytest.mark.parametrize("fourcc,codec,front", [
    ("NM12", "h264", 0), ("NM12", "mjpeg", 0), ("YM12", "h264", 64), ("YM12", "mjpeg", 64),
    ("NM21", "h264", 0), ("YM16", "mjpeg", 0), ("NM16", "h264", 64), ("YUYV", "h264", 64),
])
def test_multi_planar_pictures_arrive(tmp_path, fourcc, codec, front):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, "--codec", codec, "--width", 320, "--height", 240, "--frames", 30,
                   kind="mplane", formats=fourcc, front=front) as s:
        status, sent = s.end(20)
        assert status == 0, s.log
        _, got = r.end()
    check_sums(sent, got)
    seen = markers(out)
    assert None not in seen and len(seen) == sent["encoded"]
    clean, why = decodes_cleanly(out)
    assert clean, why


@pytest.mark.parametrize("fourcc", ["NM12", "YM12"])
def test_chroma_of_other_memories_is_seen(tmp_path, fourcc):
    """The emulated sensor is grey: chroma read from anywhere else would not be neutral."""
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, "--codec", "h264", "--width", 320, "--height", 240, "--frames", 10,
                   kind="mplane", formats=fourcc, front=128) as s:
        assert s.end(20)[0] == 0, s.log
        r.end()
    chroma = subprocess.run(["ffmpeg", "-v", "error", "-i", out, "-vf", "extractplanes=u", "-f", "rawvideo", "-"],
                            capture_output=True, check=True).stdout
    assert len(chroma) >= 160 * 120 and min(chroma) > 120 and max(chroma) < 136


def command(tmp_path, line):
    with open(tmp_path / "control", "a") as f:
        f.write(line + "\n")


def grown(path, size):
    wait_for(lambda: path.exists() and path.stat().st_size > size, f"{path} to grow", 30)


def test_an_hdmi_source_changes_goes_and_comes_back(tmp_path):
    (tmp_path / "control").write_text("")
    out, second = tmp_path / "out.mp4", tmp_path / "out-1.mp4"
    with receiver(out, "--sync", "200ms") as r, \
            camera(r.port, "--codec", "mjpeg", "--standby", "off", kind="hdmi", formats="UYVY",
                   control=tmp_path / "control") as s:
        s.wait_log("1280x720 UYVY @ 60 as it arrives")
        grown(out, 20000)
        command(tmp_path, "signal 640x480@30")
        s.wait_log("640x480 UYVY @ 30 as it arrives")
        grown(second, 20000)
        command(tmp_path, "nosignal")
        s.wait_log('no HDMI signal \\(input "HDMI 1"\\); trying again')
        size = second.stat().st_size
        command(tmp_path, "signal 640x480@30")
        grown(second, size + 20000)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    stream, = got["streams"]
    assert stream["files"] == [str(out), str(second)], "what came back goes on where it stopped"
    assert [(probe(f)["width"], probe(f)["height"]) for f in stream["files"]] == [(1280, 720), (640, 480)]


@pytest.mark.parametrize("colors,expected", [
    ("3,0,0,0", ("tv", "bt709", "bt709", "bt709")),
    ("1,0,0,0", ("tv", "smpte170m", "smpte170m", "smpte170m")),
    ("10,0,1,7", ("pc", "bt2020nc", "bt2020", "smpte2084")),
    ("8,2,2,0", ("tv", "bt709", "bt709", "iec61966-2-1")),
])
@pytest.mark.parametrize("kind", ["camera", "mplane"])
def test_the_drivers_colours_are_in_the_recording(tmp_path, kind, colors, expected):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, "--codec", "h264", "--width", 320, "--height", 240, "--frames", 5,
                   kind=kind, formats="NV12", colors=colors) as s:
        assert s.end(20)[0] == 0, s.log
        r.end()
    probed = subprocess.run(["ffprobe", "-v", "error", "-show_streams", "-of", "json", out], capture_output=True,
                            check=True).stdout
    stream = json.loads(probed)["streams"][0]
    assert tuple(stream.get(k) for k in ("color_range", "color_space", "color_primaries",
                                         "color_transfer")) == expected


def test_a_mode_that_the_camera_lacks_is_said(tmp_path):
    with receiver(tmp_path / "out.mp4", "--once") as r, \
            camera(r.port, "--format", "YUYV", "--width", 700, "--height", 500, "--fps", 60, "--frames", 3) as s:
        s.wait_log(r"warn .*640x480 YUYV @ 30, nearest to the 700x500 @ 60 asked for; as --format says")
        s.end(20)
