# SPDX-License-Identifier: MIT
"""The camera command: real programs, and programs that behave badly."""
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
import uuid

import pytest
from pcs import (SENDER, SLOW, Program, check_sums, free_port, markers, packets, probe, receiver,
                 sender, wait_for)

FFMPEG = "ffmpeg -v error -re -f lavfi -i testsrc2=s=320x240:r=30"
MJPEG = f"{FFMPEG} -c:v mjpeg -f mjpeg -"
H264 = f"{FFMPEG} -c:v libx264 -preset ultrafast -tune zerolatency -g 15 -f h264 -"


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A second of our own test source, so that every picture has its number: the files, and the numbers."""
    folder = tmp_path_factory.mktemp("clips")
    made = {"numbers": {}}
    for codec, name in (("mjpeg", "cam.mjpg"), ("h264", "cam.h264")):
        mp4 = folder / f"{codec}.mp4"
        with receiver(mp4, "--once") as r, sender(r.port, "--codec", codec, "--width", 320, "--height", 240,
                                                  "--fps", 60, "--frames", 60) as s:
            assert s.end(20)[0] == 0, s.log
            r.end()
        extra = ["-bsf:v", "h264_mp4toannexb"] if codec == "h264" else []
        made["numbers"][codec] = [m[0] for m in markers(mp4)]
        made[codec] = folder / name
        subprocess.run(["ffmpeg", "-v", "error", "-i", mp4, "-c", "copy", *extra, "-f", codec, made[codec]], check=True)
    return made


def script(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def python_script(path, body):
    return script(path, f"#!{sys.executable}\nimport os, sys, time, signal\n{body}\n")


def shell_script(path, body):
    return script(path, f"#!/bin/sh\n{body}\n")


def command(cmd, *args, port=None, env=None, **kw):
    return Program(SENDER, "--dest-ip", "127.0.0.1", "--port", port or free_port(), "--standby", "off",
                   "--camera-cmd", cmd, *args, env=env, **kw)


def processes_with(text):
    """Process ids with this in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if text.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass  # it has just ended
    return found


def decodes(path):
    """Every picture; of bursts, whose times are as they came, ffmpeg says more than that at its usual level."""
    out = subprocess.run(["ffmpeg", "-v", "error", "-xerror", "-i", path, "-fps_mode", "passthrough", "-enc_time_base",
                          "1/90000", "-f", "null", "-"], capture_output=True, text=True)
    assert out.returncode == 0 and not out.stderr, out.stderr


def records(tmp_path, cmd, codec, *args, frames=45):
    """That many pictures go into a file."""
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, command(cmd, "--frames", frames, *args, port=r.port) as s:
        status, sent = s.end(30)
        assert status == 0, s.log
        _, got = r.end()
    check_sums(sent, got)
    assert sent["captured"] == frames
    if "--codec" not in args:  # where it encodes, the newest goes first
        assert sent["dropped"] == 0
    assert probe(out)["codec_name"] == codec and int(probe(out)["nb_read_packets"]) == sent["encoded"] > 0
    decodes(out)
    return s, out


# ---- programs that people use ----

@pytest.mark.parametrize("cmd,codec", [(MJPEG, "mjpeg"), (H264, "h264")])
def test_ffmpeg(tmp_path, cmd, codec):
    s, out = records(tmp_path, cmd, codec)
    times = [p for p, _ in packets(out)]
    assert times[-1] - times[0] > 44 / 30 / 2 and "320x240" in s.log


def test_ffmpeg_jpeg_becomes_h264(tmp_path):
    records(tmp_path, MJPEG, "h264", "--codec", "h264")


@pytest.mark.parametrize("encoder,codec", [("jpegenc", "mjpeg"),
                                           ("x264enc tune=zerolatency byte-stream=true key-int-max=15", "h264")])
def test_gstreamer(tmp_path, encoder, codec):
    element = encoder.split()[0]
    try:
        known = subprocess.run(["gst-inspect-1.0", element], capture_output=True).returncode == 0
    except FileNotFoundError:
        known = False
    if not known:
        pytest.skip(f"gst-launch-1.0 or its {element} is not installed")
    records(tmp_path, f"gst-launch-1.0 -q videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 "
            f"! {encoder} ! fdsink", codec)


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
@pytest.mark.parametrize("pieces", ["one byte", "random"])
def test_whatever_the_read_boundaries(tmp_path, clips, codec, pieces):
    """Every picture, once, whole and in order."""
    size = "1" if pieces == "one byte" else "random.choice((1, 2, 3, 5, 100, 4096, 70000))"
    bare = python_script(tmp_path / "cam", "import random\nrandom.seed(1)\n"
                         f"data = open({str(clips[codec])!r}, 'rb').read()\nat = 0\n"
                         f"while at < len(data):\n    n = {size}\n    os.write(1, data[at:at + n])\n    at += n\n")
    numbers = clips["numbers"][codec]
    _, out = records(tmp_path, str(bare), codec, "--camera-args", "", frames=len(numbers))
    assert [m[0] for m in markers(out)] == numbers


# ---- which program, and with which arguments ----

FAKE_CAMERA = """
import json
with open({log!r}, "w") as f:
    json.dump(sys.argv, f)
data = open({clip!r}, "rb").read()
while True:
    os.write(1, data)
    time.sleep(0.5)  # the camera's own pace
"""


def asked(tmp_path, clips, name, *args, kind="mjpeg", cmd=None):
    """The arguments that a camera program of this name gets."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    log = tmp_path / "argv"
    python_script(folder / name, FAKE_CAMERA.format(log=str(log), clip=str(clips[kind])))
    full = ["--camera-cmd", cmd] if cmd else ["--source", "command"]
    with Program(SENDER, "--dest-ip", "127.0.0.1", "--port", free_port(), *full, *args,
                 env={"PATH": f"{folder}:/usr/bin:/bin"}) as s:
        s.wait_log(f"{name}: 320x240")
        s.stop()
    return json.loads(log.read_text())[1:]


@pytest.mark.parametrize("name", ["rpicam-vid", "libcamera-vid"])
def test_usual_arguments(tmp_path, clips, name):
    usual = ["-t", "0", "--nopreview", "--codec", "mjpeg", "-o", "-"]
    assert asked(tmp_path, clips, name) == usual
    assert asked(tmp_path, clips, name, "--width", 640, "--height", 480, "--fps", 25) == \
        usual + ["--width", "640", "--height", "480", "--framerate", "25"]
    assert asked(tmp_path, clips, name, "--rotate", 180) == usual + ["--hflip", "--vflip"]
    assert asked(tmp_path, clips, name, "--width", 640, "--camera-args", "-o - --width=800 -t 0") == \
        ["-o", "-", "--width=800", "-t", "0"]
    h264 = asked(tmp_path, clips, name, "--codec", "h264", kind="h264")
    assert h264 == ["-t", "0", "--nopreview", "--codec", "h264", "--inline", "--flush", "-o", "-"]


def test_raspivid(tmp_path, clips):
    assert asked(tmp_path, clips, "raspivid", "--width", 640, "--fps", 25) == \
        ["-t", "0", "-n", "-cd", "MJPEG", "-o", "-", "-w", "640", "-fps", "25"]
    assert asked(tmp_path, clips, "raspivid", "--codec", "h264", kind="h264") == \
        ["-t", "0", "-n", "-ih", "-fl", "-o", "-"]


def test_the_first_that_is_installed(tmp_path, clips):
    asked(tmp_path, clips, "raspivid")
    asked(tmp_path, clips, "libcamera-vid")  # both are there now


def test_words_and_names(tmp_path, clips):
    assert asked(tmp_path, clips, "my cam", cmd=str(tmp_path / "bin" / "my cam"))[:2] == ["-t", "0"]
    assert asked(tmp_path, clips, "mycam", cmd="mycam 'a b' \"c \\\"d\" e\\ f $HOME *") == \
        ["a b", 'c "d', "e f", "$HOME", "*"]
    assert asked(tmp_path, clips, "mycam", "--camera-args", "-x ''", cmd="mycam") == ["-x", ""]


@pytest.mark.parametrize("option,text", [("--camera-cmd", "ffmpeg 'a"), ("--camera-args", 'x "y'),
                                         ("--camera-args", "x\\"), ("--camera-cmd", " ")])
def test_quotes_that_are_not_closed(option, text):
    out = subprocess.run([SENDER, option, text], capture_output=True, text=True)
    assert out.returncode == 2 and option in out.stderr and out.stderr.count("\n") == 1, out.stderr


@pytest.mark.parametrize("cmd,why", [("no-such-program-here", "no such program"),
                                     ("/etc/passwd", "cannot be run"), ("/etc", "cannot be run")])
def test_no_program(cmd, why):
    with command(cmd) as s:
        status, _ = s.end()
    assert status == 1 and why in s.log and cmd in s.log


def test_script_without_its_interpreter(tmp_path):
    with command(str(script(tmp_path / "cam", "#!/no/such/thing\n"))) as s:
        status, _ = s.end()
    assert status == 1 and "cannot be run" in s.log


# ---- programs that fail ----

@pytest.mark.parametrize("body,line", [
    ("echo 'no camera there' >&2; exit 3", "ended with status 3; its last words: no camera there"),
    ("kill -SEGV $$", "was ended by SIGSEGV"),
    ("echo usage; exit 1", 'ended with status 1, having printed text: "usage"'),
    ("exec yes hello", 'prints no JPEG or H.264 pictures but text: "hello hello'),
    ("exec cat /dev/urandom", "prints no JPEG or H.264 pictures but bytes that begin with"),
    ("exec cat /dev/zero", "prints no JPEG or H.264 pictures but bytes that begin with 00 00 00 00"),
    # 40 bytes of it are quoted, which ends in the middle of a letter
    ("printf '\\001'; exec yes " + 40 * "\u00e9", "pictures but bytes that begin with 01 c3 a9 c3"),
    ("echo waiting for the camera; sleep 60", 'pictures but text: "waiting for the camera"'),
    (f"exec {FFMPEG} -c:v libx264 -f mpegts -", "pictures but MPEG-TS"),
])
def test_no_pictures(tmp_path, body, line):
    cam = shell_script(tmp_path / "cam", body)
    with command(str(cam)) as s:
        s.wait_log(re.escape(line), 15)
        assert s.rss_kb() < (1500 if os.environ.get("PCS_SANITIZE") else 150) * 1024
        s.wait_log("starting", 15, count=2)  # again, by itself
        s.stop()


@pytest.mark.waits
def test_silence_ends_it(tmp_path, clips):
    cam = shell_script(tmp_path / "cam", f"cat {clips['mjpeg']}; sleep 1000")
    with command(str(cam)) as s:
        s.wait_log("cam: no picture for 5 s", 15)
        s.wait_log("pictures again", 15)
        s.stop()


def pipes(s):
    """Open ones; sockets come and go with the receiver that is not there."""
    found = 0
    for fd in os.listdir(f"/proc/{s.pid}/fd"):
        try:
            found += os.readlink(f"/proc/{s.pid}/fd/{fd}").startswith("pipe:")
        except OSError:
            pass
    return found


def test_restarts_back_off_and_leak_nothing(tmp_path, clips):
    cam = shell_script(tmp_path / "cam", "exit 1")
    with command(str(cam), "--log-level", "debug") as s:
        s.wait_log("starting", 30, count=2)
        s.wait_log("starting", 30, count=4)
        times = [60 * int(m) + float(t) for m, t in re.findall(r"\d\d:(\d\d):(\d\d\.\d+) info +capture: starting", s.log)]
        gaps = [b - a for a, b in zip(times, times[1:])]
        for gap, base in zip(gaps, (1, 2, 4)):
            assert base * 0.79 < gap < base * 1.2 + 0.5 * SLOW, gaps
        wait_for(lambda: pipes(s) == 2 and not children(s.pid), "no pipe but its own two, and no zombie")
        s.stop()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        found = f.read().split()
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            found += f.read().split()
    return found


def test_pictures_come_back_after_its_death(tmp_path):
    with command(MJPEG) as s:
        s.wait_log("ffmpeg: 320x240")
        count = pipes(s)
        for n in (2, 3, 4):
            victim = [p for p in processes_with("testsrc2=s=320x240:r=30")
                      if os.readlink(f"/proc/{p}/exe").endswith("ffmpeg") and is_descendant(p, s.pid)]
            os.kill(victim[0], signal.SIGKILL)
            s.wait_log("ffmpeg was ended by SIGKILL")
            s.wait_log("pictures again", 15, count=n - 1)
            assert pipes(s) == count
        summary = s.stop()
    assert summary["captured"] > 0
    check_sums(summary)


def is_descendant(pid, ancestor):
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat") as f:
                pid = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
        if pid == ancestor:
            return True
    return False


def test_its_stderr_is_in_our_log(tmp_path, clips):
    cam = python_script(tmp_path / "cam", "os.write(2, b'first\\rsecond\\n\\n\\x1b[31mred\\n' + b'x' * 100000 + b'\\n')\n"
                        "for i in range(100):\n    os.write(2, b'frame %d\\n' % i)\n"
                        "os.write(2, b'ERROR: the sensor is gone\\n')\n"
                        f"os.write(1, open({str(clips['mjpeg'])!r}, 'rb').read())\ntime.sleep(100)\n")
    with command(str(cam), "--camera-args", "") as s:
        s.wait_log("cam: first$|cam: first\n")
        s.wait_log("cam: second")
        s.wait_log(r"cam: \?\[31mred")
        s.wait_log("warn .*cam: ERROR: the sensor is gone")
        s.wait_log("cam: 320x240")
        s.stop()
    assert max(len(line) for line in s.lines) < 500
    assert len([line for line in s.lines if "cam: frame" in line]) < 25


# ---- nothing of it stays ----

WRAPPERS = {
    "plain": "exec {cmd}",
    "forks": "{cmd} & wait",
    "forks and dies": "{cmd} & sleep 0.5",
    "another session": "setsid {cmd} & wait",
    "deaf": "trap '' TERM INT HUP; {cmd} & wait; sleep 100",
    "pipeline": "{cmd} | cat",
    # what writes nothing is not ended by the end of our pipe
    "hides another": "setsid sh -c 'while :; do sleep 1; done' {marker} & {cmd} & wait",
    "hides one that is deaf": "setsid sh -c 'trap : TERM INT; while :; do sleep 1; done' {marker} & {cmd}",
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_orphans(tmp_path, wrapper, end):
    marker = f"pcs-{uuid.uuid4()}"
    cmd = MJPEG.replace("-f mjpeg", f"-metadata title={marker} -f mjpeg")
    with command(f"sh -c {shlex.quote(WRAPPERS[wrapper].format(cmd=cmd, marker=marker))}") as s:
        s.wait_log("sh: 320x240")
        assert len(processes_with(marker)) >= 3  # we, the supervisor, the program
        began = time.monotonic()
        s.send_signal(end)
        s.process.wait(10 * SLOW)
        if end == signal.SIGINT:
            assert time.monotonic() - began < 2 * SLOW and s.process.returncode == 0, s.log
        wait_for(lambda: not processes_with(marker), "everything to be gone", 5)


def test_the_supervisor_is_killed(tmp_path):
    """Nothing stays of that either, and the camera comes back."""
    marker = f"pcs-{uuid.uuid4()}"
    with command(f"sh -c '{MJPEG} & : {marker}; wait'") as s:
        s.wait_log("sh: 320x240")
        with open(f"/proc/{s.pid}/task/{capture_task(s.pid)}/children") as f:
            os.kill(int(f.read()), signal.SIGKILL)
        s.wait_log("pictures again", 15)
        s.stop()
    wait_for(lambda: not processes_with(marker), "everything to be gone", 5)


def capture_task(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as f:
            if f.read().strip() == "capture":
                return task
    raise AssertionError("no capture thread")


def test_what_the_program_inherits(tmp_path, clips):
    """Folder, environment and umask; no signal blocked or ignored, no file but the standard ones."""
    seen = tmp_path / "seen"
    cam = python_script(tmp_path / "cam", "import json\n"
                        "status = open('/proc/self/status').read()\n"
                        "fds = [f for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)]\n"
                        "mask = os.umask(0)\n"
                        "json.dump({'cwd': os.getcwd(), 'env': os.environ.get('PCS_TRY'), 'umask': mask, 'fds': fds,\n"
                        "  'in': os.readlink('/proc/self/fd/0'), 'status': status}, open(%r, 'w'))\n"
                        "os.write(1, open(%r, 'rb').read())\ntime.sleep(100)\n" % (str(seen), str(clips["mjpeg"])))
    os.umask(0o027)
    try:
        with command(str(cam), env={"PCS_TRY": "yes"}, cwd=tmp_path) as s:
            s.wait_log("cam: 320x240")
            s.stop()
    finally:
        os.umask(0o022)
    got = json.loads(seen.read_text())
    assert got["cwd"] == str(tmp_path) and got["env"] == "yes" and got["umask"] == 0o027
    assert got["in"] == "/dev/null" and set(got["fds"]) <= {"0", "1", "2", "3"}, got["fds"]
    status = dict(line.split(":\t", 1) for line in got["status"].splitlines() if ":\t" in line)
    assert int(status["SigBlk"], 16) == 0
    assert int(status["SigIgn"], 16) & ~(1 << 12 | 1 << 24) == 0  # python itself ignores PIPE and XFSZ
