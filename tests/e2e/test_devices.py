# SPDX-License-Identifier: MIT
"""V4L2 devices: which there are, their controls, and the same camera found again."""
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from pcs import FAKE, SENDER, SLOW, fake_camera, free_port, sender, wait_for

pytestmark = pytest.mark.skipif(not FAKE, reason="the emulated camera was not built")
NODE = "/dev/video0"
OPENED = r"info  capture: .* \(\w+.*\): 320x240 YUYV"


class Lab:
    """The emulated camera with its switches, and what the program set in it."""

    def __init__(self, folder):
        self.folder = folder
        self.dev = folder / "dev"
        self.dev.mkdir()
        (folder / "control").write_text("")
        (folder / "set").write_text("")

    def env(self, **settings):
        return fake_camera(NODE, control=self.folder / "control", set=self.folder / "set", dev=self.dev,
                           **settings)

    def command(self, *lines):
        with open(self.folder / "control", "a") as f:
            f.write("".join(line + "\n" for line in lines))

    def node_appears(self, name="video0"):
        """What the kernel and udev do in /dev."""
        path = self.dev / name
        path.touch()
        path.chmod(0o660)

    @property
    def set(self):
        return (self.folder / "set").read_text().split("\n")[:-1]

    def listing(self, **settings):
        done = subprocess.run([SENDER, "--list-devices"], env=dict(os.environ, **self.env(**settings),
                              ASAN_OPTIONS="verify_asan_link_order=0"), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.splitlines()

    def camera(self, *args, device=NODE, **kw):
        named = ["--device", device] if device else ["--source", "auto"]
        return sender(free_port(), *named, "--width", 320, "--height", 240, "--format", "YUYV", *args,
                      source=None, env=self.env(), **kw)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def v4l2_lines(lines):
    """The v4l2 part: other sources have one too."""
    start = [i for i, l in enumerate(lines) if l.startswith("v4l2: ")]
    end = [i for i, l in enumerate(lines) if i > start[-1] and not l.startswith("  ")]
    return lines[start[0]:end[0] if end else None]


# ---- the list ----

def test_the_list_tells_all_of_a_camera(lab):
    lines = v4l2_lines(lab.listing(formats="YUYV,NV12", sizes="640x480,320x240", fps="30,15"))
    assert lines == [
        "v4l2: /dev/video0: Fake camera (driver v4l2fake, bus platform:v4l2fake)",
        "  YUYV 640x480 @ 30 15",
        "  YUYV 320x240 @ 30 15",
        "  NV12 640x480 @ 30 15",
        "  NV12 320x240 @ 30 15",
        "  brightness (int) 0 to 255, default 128, now 128",
        "  contrast (int) 0 to 100, default 50, now 50",
        "  white_balance_automatic (bool), default 1, now 1",
        "  horizontal_flip (bool), default 0, now 0",
        "  power_line_frequency (menu) 0=Disabled, 1=50 Hz, 2=60 Hz, default 1, now 1",
        "  white_balance_temperature (int) 2800 to 6500 step 10, default 4600, now 4600, switched off by "
        "another control",
        "  restore_defaults (button)",
        "  label (text)",
        "  wide (int) -1099511627776 to 9007199254740992, default 5, now 5",
        "  sensor_lanes (int) 0 to 245, default 0x11, now 0x11",
        "  link_speed (menu) 0=456000000, 1=912000000, 2=1024000000, default 0, now 0",
        "  sensor_temperature (int) -40 to 125, default 36, now 36, read only",
        "  auto_exposure (menu) 1=Manual Mode, 3=Aperture Priority Mode, default 3, now 3",
        "  exposure_time_absolute (int) 3 to 2047, default 250, now 250, switched off by another control",
    ]


def test_the_list_has_multi_planar_cameras(lab):
    lines = lab.listing(kind="mplane", formats="NV12", sizes="640x480")
    assert any(re.match(r"  NM12 640x480 @ 30", l) or re.match(r"  NV12 640x480 @ 30", l) for l in lines), lines


@pytest.mark.parametrize("kind", ["meta", "output"])
def test_the_list_passes_over_what_is_no_camera(lab, kind):
    assert v4l2_lines(lab.listing(kind=kind)) == ["v4l2: no camera found"]


def test_the_list_without_a_camera(lab):
    lab.command("unplug")
    assert v4l2_lines(lab.listing()) == ["v4l2: no camera found"]


def test_the_list_says_what_may_not_be_opened(lab):
    lab.command("deny")
    assert v4l2_lines(lab.listing()) == [
        "v4l2: /dev/video0: no permission (the user must be in the group video)"]


# ---- controls ----

def test_controls_are_set_before_the_first_picture(lab):
    controls = ["Brightness=200", "contrast=7", "power-line-frequency=60 Hz", "AutoExposure=1",
                "exposure_time_absolute=100", "white_balance_automatic=off", "white balance temperature=5000",
                "wide=9007199254740993", "sensor_lanes=0x41", "label=front door", "link_speed=912000000",
                "restore_defaults=1"]
    args = [a for c in controls for a in ("--control", c)]
    with lab.camera(*args, "--frames", 5) as s:
        s.wait_log(OPENED)
        assert [l for l in lab.set if not l.startswith("Horizontal Flip")] == [
            "Brightness=200", "Contrast=7", "Power Line Frequency=2", "Auto Exposure=1",
            "Exposure Time, Absolute=100", "White Balance, Automatic=0", "White Balance Temperature=5000",
            "Wide=9007199254740993", "Sensor Lanes=65", "Label=front door", "Link Speed=1",
            "Restore Defaults=0"]


REFUSED = [
    ("brightness=256", "control brightness: 256 is not within 0 to 255"),
    ("brightness=bright", "control brightness: bright is no whole number"),
    ("white_balance_automatic=maybe", "control white_balance_automatic: maybe is neither yes nor no"),
    ("auto_exposure=2", "control auto_exposure: 2 is none of 1=Manual Mode, 3=Aperture Priority Mode"),
    ("exposure_time_absolute=100", "/dev/video0: control exposure_time_absolute is inactive: another control "
                                   "has switched it off"),
    ("sensor_temperature=20", "/dev/video0: control sensor_temperature is read only"),
    ("wide=9007199254740994", "control wide: 9007199254740994 is not within -1099511627776 to 9007199254740993"),
    ("sensor_lanes=2", "control sensor_lanes: 2 has bits that are not in 0xf5"),
    ("label=" + 40 * "x", "control label: 40 characters are not within 0 to 31"),
    ("zoom=1", "/dev/video0: no control zoom; it has brightness, contrast, white_balance_automatic, "
               "horizontal_flip, power_line_frequency, white_balance_temperature, restore_defaults, label, wide, "
               "sensor_lanes, link_speed, sensor_temperature, auto_exposure, exposure_time_absolute"),
]


@pytest.mark.parametrize("setting,why", REFUSED, ids=[s.split("=")[0] + str(i) for i, (s, _) in enumerate(REFUSED)])
def test_a_control_that_cannot_be_ends_with_one_line(lab, setting, why):
    with lab.camera("--control", setting) as s:
        status, _ = s.end()
    assert status == 1
    errors = [l for l in s.lines if " error " in l or " warn " in l]
    assert len(errors) == 1 and errors[0].endswith(f"capture: {why}"), s.log


def test_sighup_sets_controls_while_it_streams(lab):
    config = lab.folder / "streamer.ini"
    config.write_text("[picture]\ncontrol = brightness=10\n")
    with lab.camera("--config", config) as s:
        s.wait_log(OPENED)
        assert "Brightness=10" in lab.set
        config.write_text("[picture]\ncontrol = brightness=20\n")
        s.send_signal(signal.SIGHUP)
        wait_for(lambda: lab.set[-1] == "Brightness=20", "the new value")
        config.write_text("[picture]\ncontrol = sensor_lanes=0x41\n")
        s.send_signal(signal.SIGHUP)
        s.wait_log("warn .*control sensor_lanes cannot be changed while the camera streams")
        config.write_text("[picture]\ncontrol = brightness=999\n")
        s.send_signal(signal.SIGHUP)
        s.wait_log("warn .*control brightness: 999 is not within 0 to 255")
        assert lab.set[-1] == "Brightness=20"
        s.stop()


def test_controls_are_set_again_after_a_replug(lab):
    with lab.camera("--control", "brightness=33") as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        lab.command("plug")
        s.wait_log(OPENED, count=2)
        assert lab.set.count("Brightness=33") == 2
        s.stop()


def test_flips_are_done_by_the_camera_where_it_can(lab):
    with lab.camera("--hflip", "--vflip", "--frames", 3) as s:
        s.wait_log(OPENED)
        assert "Horizontal Flip=1" in lab.set
    with lab.camera("--frames", 3) as s:
        s.wait_log(OPENED)
        assert lab.set[-1] == "Horizontal Flip=0", "what an earlier program left on is undone"
    with lab.camera("--control", "horizontal_flip=1", "--frames", 3) as s:
        s.wait_log(OPENED)
        assert lab.set[-1] == "Horizontal Flip=1", "… but not what the user sets"


# ---- found again ----

def test_back_under_another_number(lab):
    with lab.camera() as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        lab.command("node /dev/video2", "plug")
        s.wait_log("info .*Fake camera came back as /dev/video2")
        lab.command("unplug")
        s.wait_log("the camera is gone", count=2)
        lab.command("node /dev/video0", "plug")
        s.wait_log("info .*Fake camera came back as /dev/video0")
        s.stop()


def test_auto_finds_it_under_another_number(lab):
    with lab.camera(device=None) as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("trying again")
        lab.command("node /dev/video7", "plug")
        s.wait_log("info .*Fake camera came back as /dev/video7")
        s.stop()


@pytest.mark.parametrize("device", [NODE, None])
def test_another_camera_is_taken_only_when_ours_stays_away(lab, device):
    with lab.camera(device=device) as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        start = time.monotonic()
        lab.command("card Other", "bus usb-2", "plug")
        s.wait_log(r"warn .*/dev/video0: another camera \(Other\), not Fake camera, which is gone")
        s.wait_log(r"warn .*Fake camera has not come back: /dev/video0 \(Other\) takes its place", 15)
        assert time.monotonic() - start > 2.5, "it was waited for"
        s.stop()


def test_ours_is_preferred_when_it_comes_late(lab):
    with lab.camera() as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        lab.command("card Other", "bus usb-2", "plug")
        s.wait_log(r"another camera \(Other\), not Fake camera")
        lab.command("unplug", "card Fake camera", "bus platform:v4l2fake", "node /dev/video3", "plug")
        s.wait_log(OPENED, count=2)
        s.wait_log("Fake camera came back as /dev/video3")
        s.stop()
    assert "takes its place" not in s.log


def test_without_a_serial_number_the_same_model_at_the_same_node_will_do(lab):
    with lab.camera() as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        lab.command("bus usb-2", "plug")
        s.wait_log(OPENED, count=2)
        s.stop()
    assert "another camera" not in s.log and "takes its place" not in s.log


def test_a_link_is_followed_afresh(lab):
    link = lab.folder / "by-id-camera"
    link.symlink_to(NODE)
    with lab.camera(device=link) as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        lab.command("node /dev/video5", "card Other", "plug")
        link.unlink()
        link.symlink_to("/dev/video5")
        s.wait_log(OPENED, count=2)
        s.stop()


def since_absence(lab, s, seconds):
    """Gone until the back-off is long, then back: how long that takes."""
    lab.command("unplug")
    s.wait_log("the camera is gone")
    time.sleep(seconds)  # the absence
    start = time.monotonic()
    lab.command("plug")
    lab.node_appears()
    s.wait_log(OPENED, count=2)
    return time.monotonic() - start


@pytest.mark.parametrize("device", [NODE, None])
def test_back_within_a_second_after_a_long_absence(lab, device):
    with lab.camera(device=device) as s:
        s.wait_log(OPENED)
        took = since_absence(lab, s, 4)
        assert took < 0.5 * SLOW, took
        s.stop()


def test_auto_hears_of_a_camera_while_it_tries_a_command_in_vain(lab, monkeypatch):
    """Raspberry Pi OS has rpicam-vid, whether there is a camera for it or not; its back-off is long."""
    (lab.folder / "rpicam-vid").write_text("#!/bin/sh\nexit 1\n")
    (lab.folder / "rpicam-vid").chmod(0o755)
    monkeypatch.setenv("PATH", f"{lab.folder}:{os.environ['PATH']}")
    lab.command("unplug")
    with sender(free_port(), "--source", "auto", source=None, env=lab.env()) as s:
        s.wait_log("rpicam-vid.*trying again")
        start = time.monotonic()
        lab.command("plug")
        lab.node_appears()
        s.wait_log(r"\(Fake camera\): 1280x720")
        assert time.monotonic() - start < 0.7 * SLOW
        tried = s.log.count("rpicam-vid")
        lab.command("unplug")
        s.wait_log("no camera: no /dev/video device")
        lab.command("plug")
        lab.node_appears()
        s.wait_log(r"\(Fake camera\): 1280x720", count=2)
        assert s.log.count("rpicam-vid") == tried, "ours is waited for"
        s.stop()


def test_a_node_that_may_be_opened_only_a_moment_later(lab):
    with lab.camera() as s:
        s.wait_log(OPENED)
        lab.command("unplug")
        s.wait_log("the camera is gone")
        s.wait_log("no such device")
        lab.command("deny", "plug")
        (lab.dev / "video0").touch()
        s.wait_log("no permission")
        start = time.monotonic()
        lab.command("allow")
        (lab.dev / "video0").chmod(0o666)
        s.wait_log(OPENED, count=2)
        assert time.monotonic() - start < 1 * SLOW
        s.stop()


def test_many_changes_in_dev_do_not_make_it_spin(lab):
    lab.command("unplug")
    over = threading.Event()

    def disturb():
        path = lab.dev / "video9"
        while not over.wait(0.001):
            path.touch()
            path.unlink()
    with lab.camera() as s:
        s.wait_log("no such device")
        thread = threading.Thread(target=disturb)
        thread.start()
        share = s.cpu_share(1)
        over.set()
        thread.join()
        assert share < 0.1 * SLOW
        s.stop()


# ---- bad input ----

@pytest.mark.parametrize("path", ["/dev/null", "/dev", os.path.abspath(__file__)], ids=["null", "folder", "file"])
def test_what_is_no_camera_ends_with_one_line(path):
    with sender(free_port(), "--device", path, source=None) as s:
        status, _ = s.end()
    assert status == 1
    errors = [l for l in s.lines if " error " in l]
    assert len(errors) == 1 and errors[0].endswith(f"capture: {path}: not a video device"), s.log


def test_a_metadata_node_ends_with_one_line(lab):
    with sender(free_port(), "--device", NODE, source=None, env=lab.env(kind="meta")) as s:
        status, _ = s.end()
    assert status == 1
    assert s.log.count("/dev/video0: not a camera but the metadata of one; name its other node") == 1, s.log


def test_no_permission_and_busy_are_said_and_waited_for(lab):
    lab.command("deny")
    with lab.camera() as s:
        s.wait_log("/dev/video0: no permission")
        lab.command("busy", "allow")
        s.wait_log("/dev/video0: in use by another program")
        lab.command("free")
        s.wait_log("pictures again")
        s.stop()
