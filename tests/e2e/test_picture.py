# SPDX-License-Identifier: MIT
"""What is done to pictures: --overlay, --hflip, --vflip, --rotate.

Orientation is proved by the marker: turned back, the picture must show it readable in its upper left
corner. Text is read back dot by dot.
"""
import pathlib
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from pcs import (FAKE, check_sums, fake_camera, markers, packets, probe, read_marker, receiver, sender,
                 wait_for)

NODE = "/dev/video-fake"
CELL = (6, 10)
GLYPHS = pathlib.Path(__file__).resolve().parents[2] / "src/common/media/draw_text_glyphs.c"
LETTERS = "0123456789:-ABCDEF"


def scale_of(width, height):
    """draw_text_scale in include/pcs/draw_text.h."""
    side = min(width, height)
    scale = (side + 180) // 270
    return scale if scale >= 2 else 1 + (side >= 200)


def lumas(path):
    """Every picture of a file, decoded."""
    info = probe(path)
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-f", "rawvideo",
                          "-pix_fmt", "gray", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(out, np.uint8).reshape(-1, info["height"], info["width"])


def dots(luma, index, line=0):
    """Letter `index` of a line (0: the last) as 10 x 5 dots."""
    height, width = luma.shape
    scale = scale_of(width, height)
    top = height - CELL[1] * scale * (line + 1) - scale
    left = 3 * scale + CELL[0] * scale * index
    middle = scale // 2
    return luma[top + middle:top + CELL[1] * scale:scale, left + middle:left + 5 * scale:scale] > 160


def record(path, *args, frames=15, source="test", env=None):
    with receiver(path, "--once") as r, \
            sender(r.port, *args, "--frames", frames, source=source, env=env) as s:
        status, sent = s.end(60)
        assert status == 0, s.log
        _, got = r.end()
    check_sums(sent, got)
    assert int(probe(path)["nb_read_packets"]) == sent["encoded"] > 0
    return sent


class Alphabet:
    """The letters as the sender's source shows them (draw_text_glyphs.c)."""

    def __init__(self):
        sheets = re.findall(r"first = '(.)'.*?rows = \{(.*?)\}", GLYPHS.read_text(), re.S)
        self.shapes = {}
        for first, drawing in sheets:
            rows = [row.split() for row in re.findall(r'"(.*)"', drawing)][:7]
            for i in range(len(rows[0])):
                lit = np.array([[dot == "#" for dot in row[i]] for row in rows])
                self.shapes[chr(ord(first) + i)] = lit, grown(lit)

    def read(self, luma, count, line=0):
        """The letters that are there; " " where none fits."""
        text = ""
        for i in range(count):
            seen = dots(luma, i, line)[1:8]
            # the letter's dots and its dark rim; what lies beyond is the picture's
            wrong = {c: int((seen != lit)[rim].sum()) for c, (lit, rim) in self.shapes.items() if c in LETTERS}
            best = min(wrong, key=lambda c: (wrong[c], -self.shapes[c][0].sum()))
            text += best if wrong[best] <= 2 else " "
        return text


def grown(lit):
    """The dots that are lit or beside one that is."""
    padded = np.pad(lit, 1)
    return np.logical_or.reduce([padded[y:y + lit.shape[0], x:x + lit.shape[1]] for x in range(3) for y in range(3)])


@pytest.fixture(scope="session")
def alphabet():
    return Alphabet()


@pytest.fixture(scope="session")
def mjpg(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "cam.mjpg"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=640x480:r=30", "-t", "3", "-q:v",
                    "3", "-f", "mjpeg", path], check=True)
    return path


def camera_env(**settings):
    return fake_camera(NODE, **settings)


needs_camera = pytest.mark.skipif(not FAKE, reason="the emulated camera was not built")


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
@pytest.mark.parametrize("size", [(640, 480), (1920, 1080)])
def test_the_clock_in_the_picture_is_right(tmp_path, alphabet, codec, size):
    out = tmp_path / "out.mp4"
    before = time.time() - time.monotonic()
    record(out, "--width", size[0], "--height", size[1], "--codec", codec, "--overlay", "%Y-%m-%d %H:%M:%S",
           frames=25)
    assert probe(out)["codec_name"] == codec
    offset = (before + time.time() - time.monotonic()) / 2
    seen = markers(out)
    assert None not in seen, "the marker must survive"
    readable = 0
    for luma, (_, capture_us) in zip(lumas(out), seen):
        moment = capture_us / 1e6 + offset
        allowed = {time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment + d)) for d in (-0.02, 0, 0.02)}
        text = alphabet.read(luma, 19)
        assert " " in text[:10] + text[11:] or text in allowed, (text, allowed)
        readable += text in allowed
    assert readable >= 0.9 * len(seen), f"{readable} of {len(seen)} pictures are readable"


def test_lines_and_thousandths(tmp_path, alphabet):
    out = tmp_path / "out.mp4"
    record(out, "--width", 640, "--height", 480, "--codec", "mjpeg", "--overlay", r"ABC\n%f", frames=10)
    thousandths = []
    for luma, (_, capture_us) in zip(lumas(out), markers(out)):
        assert alphabet.read(luma, 3, line=1) == "ABC"
        thousandths.append((int(alphabet.read(luma, 3)), capture_us // 1000))
    for (a, t), (b, u) in zip(thousandths, thousandths[1:]):
        assert abs((b - a) % 1000 - (u - t)) <= 2, thousandths


def test_a_hostile_text(tmp_path):
    out = tmp_path / "out.mp4"
    text = "%99999d %" + "%c" * 300 + r"\n\n" + "\u6f22\u00e9%5"
    record(out, "--width", 160, "--height", 120, "--overlay", text, frames=5)
    assert probe(out)["width"] == 160


def back(luma, hflip, vflip, rotate):
    """What the source showed: clockwise turns undone, then the flips."""
    luma = np.rot90(luma, rotate // 90)  # numpy turns the other way
    luma = luma[::-1] if vflip else luma
    return luma[:, ::-1] if hflip else luma


@pytest.mark.parametrize("hflip,vflip,rotate", [
    (False, False, 90), (False, False, 180), (False, False, 270), (True, False, 0), (False, True, 0),
    (True, True, 0), (True, False, 90), (True, True, 270)])
def test_pictures_are_turned(tmp_path, hflip, vflip, rotate):
    out = tmp_path / "out.mp4"
    options = ["--hflip"] * hflip + ["--vflip"] * vflip + ["--rotate", rotate]
    record(out, "--width", 320, "--height", 176, *options, frames=10)
    info = probe(out)
    assert (info["width"], info["height"]) == ((176, 320) if rotate % 180 else (320, 176))
    for number, luma in enumerate(lumas(out), 1):
        assert read_marker(np.ascontiguousarray(back(luma, hflip, vflip, rotate))) is not None, number
        assert read_marker(luma) is None


@pytest.mark.parametrize("codec,size", [("mjpeg", (161, 121)), ("h264", (160, 120))])
def test_odd_sizes_are_turned(tmp_path, codec, size):
    out = tmp_path / "out.mp4"
    record(out, "--width", 161, "--height", 121, "--rotate", 90, "--vflip", "--codec", codec, frames=5)
    info = probe(out)
    assert (info["height"], info["width"]) == size
    if codec == "mjpeg":
        assert all(read_marker(np.ascontiguousarray(back(f, False, True, 90))) for f in lumas(out))


def test_the_text_is_upright_on_a_turned_picture(tmp_path, alphabet):
    out = tmp_path / "out.mp4"
    record(out, "--width", 480, "--height", 640, "--codec", "mjpeg", "--rotate", 90, "--overlay", "BEAD 42",
           frames=5)
    for luma in lumas(out):
        assert luma.shape == (480, 640)
        assert alphabet.read(luma, 7) == "BEAD 42"
        assert read_marker(np.ascontiguousarray(back(luma, False, False, 90)))


LAYOUTS = ["YVYU", "VYUY", "NV21", "YV12", "NV16", "422P", "BGR3", "XR24", "XB24", "RGBP"]


@pytest.mark.parametrize("fourcc", LAYOUTS)
def test_layouts_that_no_encoder_reads(tmp_path, plain, fourcc):
    """The colours are those of the same scene in a layout that needs no conversion."""
    out = tmp_path / "out.mp4"
    scene(out, fourcc)
    assert None not in markers(out)
    # where the balls are differs by the milliseconds of the two starts
    assert np.median(np.abs(colours(out) - plain)) <= 4, fourcc


def scene(path, fourcc):
    record(path, "--width", 322, "--height", 240, "--format", fourcc, "--codec", "mjpeg", "--fps", 10, frames=3)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    scene(path, "YU12")
    return colours(path)


def colours(path):
    """The first picture, 8 times smaller, as RGB."""
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-vf", "scale=40:30:flags=area",
                          "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(out, np.uint8).astype(int)


@needs_camera
@pytest.mark.parametrize("codec,becomes", [("auto", "mjpeg"), ("h264", "h264")])
def test_text_on_what_the_camera_compressed(tmp_path, alphabet, mjpg, codec, becomes):
    out = tmp_path / "out.mp4"
    record(out, "--device", NODE, "--format", "MJPG", "--width", 640, "--height", 480, "--codec", codec,
           "--overlay", "ABC 123", source=None, env=camera_env(mjpg=mjpg))
    assert probe(out)["codec_name"] == becomes
    texts = [alphabet.read(f, 7) for f in lumas(out)]
    assert texts.count("ABC 123") >= 0.9 * len(texts), texts


@needs_camera
def test_jpegs_are_turned(tmp_path, mjpg):
    out, plain = tmp_path / "out.mp4", tmp_path / "plain.mp4"
    common = ["--device", NODE, "--format", "MJPG", "--width", 640, "--height", 480]
    record(out, *common, "--rotate", 90, source=None, env=camera_env(mjpg=mjpg), frames=5)
    record(plain, *common, source=None, env=camera_env(mjpg=mjpg), frames=5)
    info = probe(out)
    assert (info["codec_name"], info["width"], info["height"]) == ("mjpeg", 480, 640)
    straight = lumas(plain).astype(int)
    for luma in lumas(out):
        turned_back = back(luma, False, False, 90).astype(int)
        # the same picture again, but for one more JPEG coding; which of them it is the clip does not say
        assert min(abs(turned_back - s).mean() for s in straight) < 6


@needs_camera
@pytest.mark.parametrize("fourcc", ["YUYV", "NV12", "RGB3", "GREY"])
def test_raw_cameras_are_turned_and_written_on(tmp_path, alphabet, fourcc):
    out = tmp_path / "out.mp4"
    record(out, "--device", NODE, "--format", fourcc, "--width", 480, "--height", 640, "--codec", "mjpeg",
           "--rotate", 90, "--overlay", "CAFE 00", source=None, env=camera_env(), frames=5)
    for luma in lumas(out):
        assert read_marker(np.ascontiguousarray(back(luma, False, False, 90)))
        assert alphabet.read(luma, 7) == "CAFE 00"


@needs_camera
def test_a_broken_jpeg_under_a_text(tmp_path, mjpg):
    """Dropped and counted, and the next one has its text."""
    (tmp_path / "control").write_text("")
    out = tmp_path / "out.mp4"
    env = camera_env(mjpg=mjpg, control=tmp_path / "control")
    with receiver(out) as r, sender(r.port, "--device", NODE, "--format", "MJPG", "--width", 640, "--height",
                                    480, "--overlay", "%T", source=None, env=env) as s:
        wait_for(lambda: out.exists() and out.stat().st_size > 200000, "a file that grows", 20)
        (tmp_path / "control").write_text("corrupt 10\n")
        size = out.stat().st_size
        wait_for(lambda: out.stat().st_size > size + 200000, "it to go on", 20)
        sent = s.stop()
        got = r.stop()
    check_sums(sent, got)
    assert sent["dropped"] >= 5


def test_the_text_changes_by_sighup(tmp_path, alphabet):
    ini, out = tmp_path / "s.ini", tmp_path / "out.mp4"

    def write(text):
        ini.write_text(f"[picture]\nwidth = 640\nheight = 480\noverlay = {text}\n[encode]\ncodec = mjpeg\n")

    def grown():
        before = out.stat().st_size if out.exists() else 0
        wait_for(lambda: out.exists() and out.stat().st_size > before + 500000, "the file to grow", 20)

    write("ABC 111")
    with receiver(out, "--sync", "200ms") as r, sender(r.port, "--config", ini) as s:
        grown()
        write("DEF 222")
        s.send_signal(signal.SIGHUP)
        s.wait_log("configuration reloaded")
        grown()
        write("")
        s.send_signal(signal.SIGHUP)
        s.wait_log("configuration reloaded", count=2)
        grown()
        sent = s.stop()
        r.stop()
    pictures = lumas(out)
    assert len(pictures) == sent["encoded"] == len(packets(out))
    texts = [alphabet.read(f, 7) for f in pictures]
    first, second = texts.index("DEF 222"), len(texts) - texts[::-1].index("DEF 222")
    assert set(texts[:first]) == {"ABC 111"}
    assert set(texts[first:second]) == {"DEF 222"}
    assert second < len(texts) and not any(t.strip() for t in texts[second:]), texts[second:]
