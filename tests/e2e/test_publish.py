# SPDX-License-Identifier: MIT
"""--publish: servers and players of others take the stream, and what happens when they go away."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import web
from pcs import (FAKE, SENDER, SLOW, Program, check_sums, decodes_cleanly, fake_camera, free_port, markers, packets,
                 probe, wait_for)

SMALL = ("--width", 320, "--height", 240, "--fps", 30, "--gop", 15)
ENOUGH = 500000  # bytes: about 28 pictures
RTMP_MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"


def publisher(*urls, args=(), **kw):
    publish = [a for url in urls for a in ("--publish", url)]
    return Program(SENDER, "--source", "test", *SMALL, "--name", "cam", *publish, *args, **kw)


def peer(*args):
    """ffmpeg as the server or player at the other end, writing what it gets to the last argument."""
    return Program("ffmpeg", "-v", "error", "-nostdin", "-y", *args)


def has_protocol(name):
    out = subprocess.run(["ffmpeg", "-hide_banner", "-protocols"], capture_output=True, text=True).stdout
    return name in out.split()


def port_is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def is_listening(port, kind="tcp"):
    """Without connecting: some servers take one connection only."""
    with open(f"/proc/net/{kind}") as f:
        return re.search(rf":{port:04X} [0-9A-F]+:[0-9A-F]+ 0[7A]", f.read())


def numbers(path):
    return [m[0] for m in markers(path) if m]


def size(path):
    return path.stat().st_size if path.exists() else 0


def assert_video(path, least):
    """It plays, from a key frame on, with the camera's own time between the pictures."""
    seen = [m for m in markers(path) if m]
    times = [t for t, _ in packets(path)]
    assert packets(path)[0][1] and len(seen) >= least
    assert seen == sorted(set(seen))
    shown, passed = times[-1] - times[0], (seen[-1][1] - seen[0][1]) / 1e6
    assert abs(shown - passed) < 0.1 * SLOW, (shown, passed)


# ---- files ----

@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts", "flv", "h264"])
def test_file(tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    with publisher(out, args=("--frames", 45)) as s:
        status, sent = s.end(30)
    check_sums(sent)
    output, = sent["outputs"]
    assert status == 0 and output["kind"] == "publish" and output["target"] == str(out)
    assert output["sent"] == sent["encoded"] == len(numbers(out))
    assert probe(out)["codec_name"] == "h264"


def test_file_of_what_the_stream_is(tmp_path):
    with publisher(tmp_path / "a.mkv", tmp_path / "b.ts", args=("--codec", "mjpeg", "--frames", 30)) as s:
        _, sent = s.end(30)
    assert probe(tmp_path / "a.mkv")["codec_name"] == "mjpeg"
    assert probe(tmp_path / "b.ts")["codec_name"] == "h264"
    assert sent["outputs"][0]["sent"] == len(numbers(tmp_path / "a.mkv")) == sent["encoded"]
    assert decodes_cleanly(tmp_path / "a.mkv")[0] and numbers(tmp_path / "b.ts")


def test_a_file_is_never_overwritten(tmp_path):
    out = tmp_path / "out.mkv"
    out.write_text("precious")
    with publisher(out, args=("--frames", 10)) as s:
        s.end(30)
    assert out.read_text() == "precious" and numbers(tmp_path / "out-1.mkv")


def test_a_pipe(tmp_path):
    """Who reads it is not waited for, neither to come nor to read on."""
    pipe, got = tmp_path / "pipe.ts", tmp_path / "got.ts"
    os.mkfifo(pipe)
    with publisher(pipe) as s:
        s.wait_log("cannot publish to .*pipe.ts.*nobody reads it")
        s.stop(seconds=4)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as frozen, publisher(pipe) as s:
        s.wait_log("publishing to .*pipe.ts")
        s.wait_log("lost the connection.*no answer for 10 s", 30)
        s.stop(seconds=4)
        assert frozen
    with peer("-i", pipe, "-c", "copy", "-f", "mpegts", got), publisher(pipe) as s:
        wait_for(lambda: size(got) > ENOUGH, "video", 30)
        s.stop()
    assert_video(got, 15)


def test_a_full_disk(tmp_path):
    """What could be written stays; the attempts after it leave nothing behind."""
    mount = 'mount -t tmpfs -o size=300k tmpfs "$0" && exec "$@"'
    if subprocess.run(["unshare", "-m", "sh", "-c", mount, tmp_path, "true"], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    with Program("unshare", "-m", "sh", "-c", mount, tmp_path, SENDER, "--source", "test", *SMALL, "--publish",
                 tmp_path / "out.ts") as s:
        s.wait_log("publishing to .*out", 30, count=4)
        folder = Path(f"/proc/{s.pid}/root{tmp_path}")
        assert [f.name for f in folder.iterdir() if f.stat().st_size > 0] == ["out.ts"]
        assert len(list(folder.iterdir())) <= 2  # one may be under way
        s.stop()


def test_what_cannot_be_is_said(tmp_path):
    for url, status, why in (("http://h/x", 2, "neither a file nor"), ("rtmp://", 2, "neither a file nor"),
                             (tmp_path / "out.xyz", 1, "name must end"), (tmp_path / "no/out.mkv", 1, "No such file"),
                             (tmp_path / "out.wav", 1, "out.wav")):
        with publisher(url) as s:
            assert s.end()[0] == status and why in s.log, s.log


# ---- peers ----

def test_rtmp_to_a_listening_ffmpeg(tmp_path):
    port, got = free_port(), tmp_path / "got.flv"
    with peer("-listen", 1, "-i", f"rtmp://127.0.0.1:{port}/live/x", "-c", "copy", got):
        wait_for(lambda: is_listening(port), "the server")
        with publisher(f"rtmp://127.0.0.1:{port}/live/secret", args=("--log-level", "trace")) as s:
            wait_for(lambda: size(got) > ENOUGH, "video", 30)
            sent = s.stop()
            assert "secret" not in s.log and "secret" not in str(sent)
    check_sums(sent)
    assert_video(got, 20)


def first_bytes(server, context):
    """Of a client that accepts the server's certificate; b"" of one that does not."""
    try:
        with context.wrap_socket(server.accept()[0], server_side=True) as peer:
            return peer.recv(1)
    except OSError:
        return b""


def test_rtmps_asks_who_the_server_is(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*web.certificate(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtmps://127.0.0.1:{server.getsockname()[1]}/live/secret"
        with publisher(url) as s:
            assert first_bytes(server, context) == b""
            s.wait_log("cannot publish to rtmps://.*cannot connect")
            s.stop(seconds=4)
        with publisher(url + "?tls_verify=0") as s:
            assert first_bytes(server, context) == b"\x03"  # RTMP's version
            s.stop(seconds=4)


def test_rtsp_to_a_listening_ffmpeg(tmp_path):
    port, got = free_port(), tmp_path / "got.mkv"
    with peer("-rtsp_flags", "listen", "-i", f"rtsp://127.0.0.1:{port}/live", "-c", "copy", got):
        wait_for(lambda: is_listening(port), "the server")
        with publisher(f"rtsp://127.0.0.1:{port}/live") as s:
            wait_for(lambda: size(got) > ENOUGH, "video", 30)
            sent = s.stop()
    check_sums(sent)
    assert_video(got, 20)


@pytest.mark.skipif(not has_protocol("srt"), reason="this ffmpeg has no SRT")
@pytest.mark.skipif(os.environ.get("PCS_SANITIZE") == "thread", reason="libsrt has races of its own")
def test_srt_both_ways_round(tmp_path):
    """We call a listener; and a player calls us."""
    ports, got = (free_port(), free_port()), (tmp_path / "a.ts", tmp_path / "b.ts")
    with peer("-i", f"srt://127.0.0.1:{ports[0]}?mode=listener", "-c", "copy", got[0]):
        wait_for(lambda: is_listening(ports[0], "udp"), "the listener")
        with publisher(f"srt://127.0.0.1:{ports[0]}", f"srt://:{ports[1]}?mode=listener") as s:
            wait_for(lambda: is_listening(ports[1], "udp"), "our listener")
            with peer("-i", f"srt://127.0.0.1:{ports[1]}", "-c", "copy", got[1]):
                for path in got:
                    wait_for(lambda: size(path) > ENOUGH, "video", 30)
                s.stop()
    for path in got:
        assert len(numbers(path)) > 15


def test_a_listener_that_nobody_calls():
    """Costs no encoder, and the end does not wait for it."""
    with publisher(f"tcp://127.0.0.1:{free_port()}?listen=1", args=("--frames", 90)) as s:
        status, sent = s.end(20)
    check_sums(sent)
    assert status == 0 and sent["encoded"] < 30, sent


def test_udp_to_ffmpeg(tmp_path):
    port, got = free_port(), tmp_path / "got.ts"
    with peer("-i", f"udp://127.0.0.1:{port}", "-c", "copy", got):
        wait_for(lambda: is_listening(port, "udp"), "the player")
        with publisher(f"udp://127.0.0.1:{port}") as s:
            wait_for(lambda: size(got) > ENOUGH, "video", 30)
            s.stop()
    assert_video(got, 15)


def even_port():
    """RTP wants one, and RTCP gets the next. The kernel hands out odd ones first."""
    return free_port() // 2 * 2


def test_rtp_with_the_sdp_that_is_written(tmp_path):
    port, got = even_port(), tmp_path / "got.mkv"
    sdp = tmp_path / f"cam-{port}.sdp"
    with publisher(f"rtp://127.0.0.1:{port}", cwd=tmp_path) as s:
        s.wait_log("sdp: m=video")
        s.wait_log("sdp: a=fmtp")
        assert sdp.read_text().splitlines() == re.findall(r"publish: sdp: (.*)", s.log)
        with peer("-protocol_whitelist", "file,udp,rtp", "-i", sdp, "-c", "copy", "-frames:v", 45, got) as player:
            assert player.end(60)[0] == 0, player.log
        s.stop()
    assert_video(got, 15)
    assert "s=cam" in sdp.read_text()


def gst_has(*elements):
    return shutil.which("gst-inspect-1.0") and all(
        subprocess.run(["gst-inspect-1.0", e], capture_output=True).returncode == 0 for e in elements)


@pytest.mark.skipif(not gst_has("udpsrc", "rtph264depay"), reason="needs gst-launch-1.0 with its good plugins")
def test_rtp_to_gstreamer(tmp_path):
    port, got = even_port(), tmp_path / "got.h264"
    caps = "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000"
    with Program("gst-launch-1.0", "-q", "udpsrc", f"port={port}", f"caps={caps}", "!", "rtpjitterbuffer", "!",
                 "rtph264depay", "!", "video/x-h264,stream-format=byte-stream", "!", "filesink", f"location={got}",
                 "buffer-mode=2"):
        wait_for(lambda: is_listening(port, "udp"), "gst-launch")
        with publisher(f"rtp://127.0.0.1:{port}", cwd=tmp_path) as s:
            wait_for(lambda: size(got) > ENOUGH, "video", 30)
            s.stop()
    assert len(numbers(got)) > 15


def nginx_conf(folder, rtmp_port, http_port):
    """The example that users get, with this test's places."""
    text = (Path(__file__).parents[2] / "examples/nginx/rtmp-hls.conf").read_text(encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    for old, new in (("user www-data;", user), ("/run/nginx.pid", f"{folder}/pid"),
                     ("/var/log/nginx/error.log", f"{folder}/error.log"), ("/var/www", str(folder)),
                     ("listen 1935;", f"listen 127.0.0.1:{rtmp_port};"),
                     ("listen 8080;", f"listen 127.0.0.1:{http_port};"), ("http {\n", f"http {{\n{temporary}")):
        assert old in text
        text = text.replace(old, new)
    conf = folder / "nginx.conf"
    conf.write_text(text)
    return conf


@pytest.fixture
def nginx(tmp_path):
    if not shutil.which("nginx") or not os.path.exists(RTMP_MODULE):
        pytest.skip("needs nginx and libnginx-mod-rtmp")
    rtmp, http = free_port(), free_port()
    conf = nginx_conf(tmp_path, rtmp, http)
    with Program("nginx", "-p", tmp_path, "-c", conf, "-g", "daemon off; master_process off;") as server:
        wait_for(lambda: port_is_open(rtmp) and port_is_open(http), "nginx")
        yield rtmp, f"http://127.0.0.1:{http}/hls/"
        server.kill()


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError:
        return "", {}


def test_nginx_makes_hls_of_it(nginx):
    port, hls = nginx
    with publisher(f"rtmp://127.0.0.1:{port}/live/cam") as s:
        wait_for(lambda: fetch(hls + "cam.m3u8")[0].count(".ts") >= 2, "the playlist", 40)
        text, headers = fetch(hls + "cam.m3u8")
        assert headers["Content-Type"] == "application/vnd.apple.mpegurl" and "max-age=1" in headers["Cache-Control"]
        for name in [l for l in text.split("\n") if l.endswith(".ts")][:2]:
            assert packets(hls + name)[0][1] and len(numbers(hls + name)) > 10
        sent = s.stop()
    check_sums(sent)
    assert sent["outputs"][0]["sent"] > 60


# ---- trouble ----

def test_a_server_killed_and_back(tmp_path):
    port, files = free_port(), (tmp_path / "a.flv", tmp_path / "b.flv")
    url = f"rtmp://127.0.0.1:{port}/live/x"
    with peer("-listen", 1, "-i", url, "-c", "copy", files[0]) as server:
        wait_for(lambda: is_listening(port), "the server")
        with publisher(url, tmp_path / "out.mkv") as s:
            wait_for(lambda: size(files[0]) > 100000, "video", 30)
            server.kill()
            s.wait_log("lost the connection to rtmp://127.0.0.1", 30)
            with peer("-listen", 1, "-i", url, "-c", "copy", files[1]):
                wait_for(lambda: size(files[1]) > 100000, "video again", 60)
                sent = s.stop()
    rtmp, file = sent["outputs"]
    check_sums(sent)
    assert rtmp["reconnects"] >= 1 and rtmp["dropped"] > 0
    assert file["sent"] == sent["encoded"] and file["dropped"] == 0, "the file missed nothing meanwhile"
    assert_video(files[1], 5)


@pytest.mark.skipif(not FAKE, reason="the emulated camera was not built")
def test_a_camera_that_changes_its_size(tmp_path):
    """What was announced holds no more: another file, and the server is told anew."""
    control, port, got = tmp_path / "control", free_port(), tmp_path / "got.ts"
    control.write_text("")
    with peer("-i", f"udp://127.0.0.1:{port}", "-c", "copy", got), \
            Program(SENDER, "--device", "/dev/video-fake", "--format", "YUYV", "--width", 320, "--height", 240,
                    "--publish", tmp_path / "out.mkv", "--publish", f"udp://127.0.0.1:{port}",
                    env=fake_camera(control=control)) as s:
        wait_for(lambda: size(tmp_path / "out.mkv") > 50000, "the first file to grow")
        control.write_text("resize 640x480\n")
        wait_for(lambda: size(tmp_path / "out-1.mkv") > 50000, "another file", 30)
        s.wait_log("publishing to udp", count=2)
        sent = s.stop()
    check_sums(sent)
    files = [probe(tmp_path / name) for name in ("out.mkv", "out-1.mkv")]
    assert [(f["width"], f["height"]) for f in files] == [(320, 240), (640, 480)]
    assert sum(int(f["nb_read_packets"]) for f in files) == sent["encoded"], "not one is missing"


def test_nobody_there(tmp_path):
    """It keeps trying, encodes nothing for it, and is gone at once when told to."""
    with publisher(f"rtmp://127.0.0.1:{free_port()}/live/x", args=("--stats-interval", "100ms")) as s:
        s.wait_log("cannot publish to rtmp://127.0.0.1:.*Connection refused")
        encoded = re.findall(r"encoded (\d+)", s.log)[-1:] or ["0"]
        s.wait_log(r"captured [6-9]\d,", 30)
        began = time.monotonic()
        sent = s.stop(seconds=4)
    assert time.monotonic() - began < 2 * 5
    assert sent["encoded"] < int(encoded[0]) + 20, "the encoder rests between the attempts"
    check_sums(sent)


def test_a_server_that_says_nothing(tmp_path):
    """Accepts, and that is all: nothing else notices, and the end does not wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        out = tmp_path / "out.mkv"
        with publisher(f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/x", out) as s:
            conn, _ = server.accept()
            wait_for(lambda: size(out) > ENOUGH, "the file to grow")
            began = time.monotonic()
            sent = s.stop(seconds=4)
            took = time.monotonic() - began
            conn.close()
    assert took < 2 * 5
    assert sent["outputs"][1]["sent"] == sent["encoded"] == len(numbers(out))


@pytest.mark.waits
def test_a_server_that_freezes(tmp_path):
    """In the middle of the stream: it alone is given up after 10 s, and tried again."""
    port, got, out = free_port(), tmp_path / "got.flv", tmp_path / "out.mkv"
    url = f"rtmp://127.0.0.1:{port}/live/x"
    with peer("-listen", 1, "-i", url, "-c", "copy", got) as server:
        wait_for(lambda: is_listening(port), "the server")
        with publisher(url, out, args=("--bitrate", "20M")) as s:
            wait_for(lambda: size(got) > ENOUGH, "video", 30)
            server.send_signal(signal.SIGSTOP)
            s.wait_log("lost the connection to rtmp.*no answer for 10 s", 60)
            sent = s.stop(seconds=4)
        server.send_signal(signal.SIGCONT)
    check_sums(sent)
    assert sent["outputs"][0]["dropped"] > 0 and sent["outputs"][1]["dropped"] == 0
