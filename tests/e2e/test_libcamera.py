# SPDX-License-Identifier: MIT
"""libcamera's virtual cameras (0.4 and later), or what is said without libcamera.

The shim in front of the sender says where virtual.yaml is and stands in for /dev/udmabuf. The virtual camera of 0.4
does not keep its rate; how fast pictures come is nothing to test here.
"""
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pcs import SENDER, Program, check_sums, decodes_cleanly, probe, receiver, sender

BUILD = Path(SENDER).resolve().parent
MODULE = BUILD / "source-libcamera.so"
SHIM = BUILD / "libcamera_shim.so"
YAML = """%YAML 1.1
---
"Front0":
  supported_formats:
  - { width: 640, height: 480, frame_rates: [30, 60] }
  - { width: 1280, height: 720, frame_rates: [30] }
  test_pattern: "bars"
  location: "CameraLocationFront"
  model: "Bars"
"Back0":
  supported_formats:
  - { width: 400, height: 300, frame_rates: [30] }
  test_pattern: "lines"
  location: "CameraLocationBack"
  model: "Lines"
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    if not MODULE.exists():
        pytest.skip("this build has no libcamera")
    yaml = tmp_path_factory.mktemp("libcamera") / "virtual.yaml"
    yaml.write_text(YAML)
    supp = Path(__file__).parent.parent / "libcamera" / "tsan.supp"
    env = {"LD_PRELOAD": str(SHIM), "PCS_VIRTUAL_YAML": str(yaml),
           "TSAN_OPTIONS": f"halt_on_error=1 exitcode=66 suppressions={supp}"}
    full = dict(os.environ, ASAN_OPTIONS="verify_asan_link_order=0", **env)
    listed = subprocess.run([SENDER, "--list-devices"], env=full, capture_output=True, text=True, timeout=60,
                            check=True).stdout
    if "Front0" not in listed:
        pytest.skip("the installed libcamera has no virtual pipeline handler (0.4 and later)")
    env["LISTED"] = listed
    return env


def camera(port, env, *args):
    return sender(port, "--frames", 60, *args, source=None, env=env)


def luma_of_bars(path):
    """The middle row of the first picture, in the middle of each of its eight bars."""
    info = probe(path)
    width, height = info["width"], info["height"]
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt",
                          "gray", "-"], capture_output=True, check=True).stdout
    picture = np.frombuffer(raw, np.uint8).reshape(height, width).astype(int)
    columns = [width * (2 * i + 1) // 16 for i in range(8)]
    assert all(np.ptp(picture[:, c]) < 12 for c in columns), "the rows are not one above the other"
    return picture[height // 2, columns]


def test_list(env):
    listed = env["LISTED"]
    assert "libcamera 0: Front0" in listed or "libcamera 1: Front0" in listed
    assert "model Bars" in listed and "location front" in listed and "NV12 400x300" in listed
    assert "FrameDurationLimits" in listed


@pytest.mark.parametrize("size", [(1280, 720), (640, 480)])
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_pictures_end_to_end(env, tmp_path, size, codec):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, env, "--camera", "Front0", "--codec", codec, "--width", size[0], "--height", size[1]) as s:
        status, sent = s.end(30)
        assert status == 0, s.log
        assert f"Front0: {size[0]}x{size[1]} NV12 @ 30" in s.log
        _, got = r.end()
    check_sums(sent, got)
    assert sent["camera"]["source"] == "libcamera"
    assert decodes_cleanly(out)[0]
    assert (probe(out)["width"], probe(out)["height"]) == size
    bars = luma_of_bars(out)  # white, yellow, cyan, green, magenta, red, blue, black
    if size[1] < 720:  # its colours are BT.601's at every size, whatever is asked of it and it agrees to
        assert all(a > b + 5 for a, b in zip(bars, bars[1:])), bars
    assert bars[0] > 200 and bars[-1] < 40, bars


@pytest.mark.parametrize("turn", ["--hflip", "--rotate=180"])
def test_what_the_camera_cannot_turn_is_turned_here(env, tmp_path, turn):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            camera(r.port, env, "--camera", "Front0", "--width", 640, "--height", 480, turn) as s:
        assert s.end(30)[0] == 0, s.log
        r.end()
    bars = luma_of_bars(out)
    assert all(a + 5 < b for a, b in zip(bars, bars[1:])), bars


@pytest.mark.parametrize("name", ["Lines", "back", "1"])
def test_cameras_by_name(env, tmp_path, name):
    index = "libcamera 1: Back0" in env["LISTED"]
    if name == "1" and not index:
        name = "0"
    with receiver(tmp_path / "out.mp4", "--once") as r, camera(r.port, env, "--camera", name) as s:
        status, _ = s.end(30)
        assert status == 0, s.log
        assert "Back0: 400x300" in s.log
        r.end()


@pytest.mark.parametrize("control,says", [
    ("Sharpness=1", "Back0 has none of that name"),
    ("FrameDurationLimits=5", "FrameDurationLimits: 5: say whole numbers separated by commas, 2 of them"),
    ("FrameDurationLimits=1,2", "FrameDurationLimits: 1 is not within"),
    ("FaceDetectMode=maybe", "FaceDetectMode: maybe is none of 0=Off"),
])
def test_controls_are_refused_in_one_line(env, tmp_path, control, says):
    with receiver(tmp_path / "out.mp4") as r, camera(r.port, env, "--camera", "Back0", "--control", control) as s:
        status, _ = s.end(30)
        assert status == 1
        errors = [line for line in s.lines if " error " in line]
        assert len(errors) == 1 and says in errors[0], s.log
        r.stop()


def test_a_camera_that_is_not_there_is_waited_for(env, tmp_path):
    with receiver(tmp_path / "out.mp4") as r, camera(r.port, env, "--camera", "imx708") as s:
        s.wait_log("libcamera: no camera imx708; there are: .*; trying again", 30)
        s.stop()
        r.stop()


def test_without_the_module(tmp_path):
    """A copy of the program alone is a build without libcamera."""
    alone = shutil.copy(SENDER, tmp_path / "pi-camera-streamer")
    with receiver(tmp_path / "out.mp4") as r, \
            Program(alone, "--source", "libcamera", "--dest-ip", "127.0.0.1", "--port", r.port) as s:
        status, _ = s.end(10)
        assert status == 1
        assert "this build has no libcamera" in s.log
        r.stop()


def test_a_module_that_does_not_load(tmp_path):
    """As after an upgrade of libcamera to another ABI: everything else goes on working."""
    alone = shutil.copy(SENDER, tmp_path / "pi-camera-streamer")
    (tmp_path / "source-libcamera.so").write_bytes(b"\x7fELF of another time")
    with receiver(tmp_path / "out.mp4", "--once") as r, \
            Program(alone, "--source", "libcamera", "--dest-ip", "127.0.0.1", "--port", r.port) as s, \
            Program(alone, "--source", "test", "--frames", 5, "--dest-ip", "127.0.0.1", "--port", r.port) as other:
        assert s.end(10)[0] == 1
        assert "libcamera: cannot be loaded: " in s.log
        assert other.end(20)[0] == 0
        r.end()


def test_nothing_to_complain_about(env, tmp_path):
    with receiver(tmp_path / "out.mp4", "--once") as r, camera(r.port, env, "--source", "libcamera") as s:
        assert s.end(30)[0] == 0, s.log
        assert " warn " not in s.log and " error " not in s.log, s.log
        r.end()
