# SPDX-License-Identifier: MIT
"""The API of the sender: /stats, /metrics and /api/v1 (contract, 2.2), each answer held against the OpenAPI
file that the program serves."""
import base64
import contextlib
import functools
import http.client
import json
import os
import shutil
import re
import signal
import socket
import subprocess
import threading
import time

import jsonschema
import pytest
from pcs import SENDER, SLOW, Program, check_sums, decodes_cleanly, fake_camera, free_port, wait_for

JSON = "application/json"
SMALL = ("--source", "test", "--width", 320, "--height", 240)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @functools.cached_property
    def json(self):
        assert self.headers["content-type"] == JSON, self
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]}"


class Site:
    def __init__(self, program):
        self.program = program
        self.port = int(program.wait_log(r"http: listening on .* port (\d+)"))
        self.openapi = None

    def ask(self, method, path, body=None, checked=True, **headers):
        """One request; its answer, which the OpenAPI file must know."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("content_type", JSON)
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOW)
        with contextlib.closing(c):
            c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items() if v})
            r = c.getresponse()
            a = Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        if checked:
            self.check(method, path, a)
        return a

    def get(self, path, **kw):
        return self.ask("GET", path, **kw)

    def patch(self, path, body, **kw):
        return self.ask("PATCH", path, body, **kw)

    def post(self, path, body=None, **kw):
        return self.ask("POST", path, body, **kw)

    # ---- against its own description ----

    def description(self):
        if self.openapi is None:
            self.openapi = self.ask("GET", "/api/v1/openapi.json", checked=False).json
        return self.openapi

    def resolve(self, thing):
        while "$ref" in thing:
            thing = functools.reduce(lambda o, k: o[k], thing["$ref"][2:].split("/"), self.openapi)
        return thing

    def check(self, method, path, answer):
        operation = self.description()["paths"][path.split("?")[0]][method.lower()]
        assert str(answer.status) in operation["responses"], (method, path, answer)
        response = self.resolve(operation["responses"][str(answer.status)])
        kind = answer.headers["content-type"].split(";")[0]
        assert kind in response["content"], (method, path, answer)
        schema = response["content"][kind].get("schema")
        if kind == JSON:
            whole = dict(schema, components=self.openapi["components"])
            jsonschema.Draft202012Validator(whole).validate(answer.json)

    # ---- shortcuts ----

    def settings(self):
        return {s["name"]: s for s in self.get("/api/v1/settings").json["settings"]}

    def value(self, name):
        return self.settings()[name]["value"]

    def controls(self):
        return {c["name"]: c for c in self.get("/api/v1/controls").json["controls"]}

    def refused(self, path, body, status, error, field=None, method="PATCH", **kw):
        a = self.ask(method, path, body, **kw)
        assert a.status == status, (body, a)
        assert error in a.json["error"] and a.json.get("field") == field, (body, a)


@contextlib.contextmanager
def site(*args, source=SMALL, env=None):
    with Program(SENDER, *source, "--http-port", 0, *args, env=env) as p:
        yield Site(p)
        if p.process.poll() is None:
            p.stop()


@contextlib.contextmanager
def camera(**settings):
    """With the emulated camera, live."""
    with site(source=("--device", "/dev/video-fake", "--width", 320, "--height", 240),
              env=fake_camera(**settings)) as s:
        wait_for(lambda: s.get("/stats").json["camera"]["state"] == "live", "the camera")
        yield s


@contextlib.contextmanager
def watch(s, path="/stream"):
    """With a viewer, who reads all that comes."""
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
    c.request("GET", path)
    sock = c.sock
    r = c.getresponse()

    def read():
        with contextlib.suppress(OSError, ValueError):
            while r.read1(65536):
                pass
    reader = threading.Thread(target=read)
    reader.start()
    yield
    sock.shutdown(socket.SHUT_RDWR)
    reader.join()
    r.close()
    c.close()


# ---- figures ----

def test_the_description_is_what_it_says_it_is():
    with site() as s:
        d = s.description()
        assert d["openapi"].startswith("3.1") and "/api/v1/settings" in d["paths"]
        for schema in d["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        text = json.dumps(d)
        for name in d["components"]["schemas"]:
            assert f"#/components/schemas/{name}\"" in text, f"{name} is used nowhere"
        ids = [o["operationId"] for p in d["paths"].values() for o in p.values()]
        assert len(ids) == len(set(ids))


def test_stats_begin_as_promised_and_tell_of_everything():
    with site("--ws-port", 0) as s, watch(s):
        wait_for(lambda: s.get("/stats").json["frames_served"] > 3, "frames")
        stats = s.get("/stats").json
        assert list(stats)[:6] == ["version", "active_connections", "total_connections", "rejected_connections",
                                   "frames_served", "bytes_sent"]
        before, now, after = time.time(), s.get("/stats").json["now_ms"] / 1000, time.time()
        assert before - 0.001 <= now <= after + 0.001
        assert stats["active_connections"] == stats["total_connections"] == 1
        assert stats["bytes_sent"] > 10000 and stats["rejected_connections"] == 0
        camera_ = stats["camera"]
        assert (camera_["state"], camera_["source"], camera_["width"], camera_["fps"]) == ("live", "test", 320, 30)
        assert abs(camera_["since"] - time.time()) < 30 * SLOW and abs(camera_["last_frame"] - time.time()) < 5 * SLOW
        encoders = {e["codec"]: e for e in stats["encoders"]}
        assert encoders["mjpeg"]["encoded"] > 3 and encoders["h264"]["encoded"] == 0
        assert [o["kind"] for o in stats["outputs"]] == ["http", "ws"]
        client = stats["clients"][0]
        assert client["kind"] == "mjpeg" and client["frames"] > 3 and client["address"].startswith("127.0.0.1:")
        for stage in ("capture", "mjpeg"):
            assert stats["latency_ms"][stage]["max"] > 0
        host = stats["host"]
        assert host["memory"]["available_bytes"] > 0 and host["process"]["memory_bytes"] > 1 << 20
        wait_for(lambda: s.get("/stats").json["host"]["uptime_seconds"] > host["uptime_seconds"], "a newer reading")


def test_figures_are_there_until_the_last_frame_is_delivered():
    """The source has ended by itself, a receiver is awaited: main does nothing for others any more."""
    with site("--frames", 10, "--dest-ip", "127.0.0.1", "--port", free_port()) as s:
        wait_for(lambda: s.get("/stats").json["camera"]["state"] == "ended", "the end")
        wait_for(lambda: s.ask("GET", "/api/v1/settings").status == 503, "main to be busy otherwise")
        for _ in range(3):
            assert s.get("/stats").status == s.get("/metrics").status == 200
            assert s.get("/api/v1/controls").status == 503
        s.program.send_signal(signal.SIGINT)
        s.program.end()


def test_stats_say_why_there_is_no_picture():
    with site(source=("--device", "/dev/video-none")) as s:
        wait_for(lambda: s.get("/stats").json["camera"]["state"] == "failed", "the failure")
        assert "video-none" in s.get("/stats").json["camera"]["why"]


def samples(text):
    """{name and labels: value} of a page of metrics."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_metrics_are_the_same_figures():
    with site("--ws-port", 0) as s, watch(s):
        wait_for(lambda: s.get("/stats").json["frames_served"] > 3, "frames")
        a = s.get("/metrics")
        assert a.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        m = samples(a.body.decode())
        assert m["pcs_web_clients"] == 1 and m['pcs_camera_state{state="live"}'] == 1
        assert m["pcs_camera_frames_total"] > 3 and m['pcs_encoded_frames_total{codec="mjpeg"}'] > 3
        assert m['pcs_output_sent_frames_total{output="http"}'] > 3
        assert m['pcs_output_sent_frames_total{output="ws"}'] == 0
        stream = 'pcs_web_delivery_latency_seconds_bucket{stream="mjpeg",le="%s"}'
        assert 3 < m[stream % "+Inf"] == m['pcs_web_delivery_latency_seconds_count{stream="mjpeg"}']
        edges = [v for k, v in m.items() if k.startswith('pcs_capture_latency_seconds_bucket')]
        assert edges == sorted(edges)
        assert all(name.startswith("pcs_") for name in m)


def test_counters_never_go_back():
    """Some are differences of others, read while frames are on their way."""
    with site("--ws-port", 0, "--udp-port", 0, "--tcp-port", 0, "--fps", 200) as s, watch(s), watch(s):
        before = {}
        for _ in range(200):
            now = samples(s.get("/metrics", checked=False).body.decode())
            for name, value in now.items():
                if re.search(r"_(total|count|sum|bucket)({|$)", name):
                    assert value >= before.get(name, 0), name
            before = now
        assert before['pcs_output_dropped_frames_total{output="ws"}'] > 0, "nobody watched it"
        assert 'pcs_web_skipped_frames_total{stream="mjpeg"}' in before


def test_names_may_be_anything(tmp_path):
    """Bytes that are no text must not spoil the whole of an answer."""
    folder = tmp_path / "f\udcffolder"
    folder.mkdir()
    with site("--name", "na\udcffme", "--archive", folder) as s:
        wait_for(lambda: s.get("/api/v1/recording").json["file"], "a segment")
        assert s.get("/stats").json["name"] == "na?me"
        assert 'name="na?me"' in s.get("/metrics").body.decode()
        summary = s.program.stop()
    assert summary["outputs"][0]["target"] == str(tmp_path / "f?older")


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_promtool_has_nothing_to_say(tmp_path):
    with site("--ws-port", 0, "--name", 'na"m\\e', "--archive", tmp_path) as s, watch(s):
        text = s.get("/metrics").body
        out = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        assert out.returncode == 0 and not out.stdout + out.stderr, out


# ---- settings ----

def test_settings_are_the_live_options():
    with site("--bitrate", "3M") as s:
        settings = s.settings()
        assert {"bitrate", "quality", "overlay", "stats-interval", "max-latency", "log-level"} <= set(settings)
        assert "width" not in settings and "auth-token" not in settings
        b = settings["bitrate"]
        assert (b["value"], b["default"], b["unit"], b["min"], b["changed"]) == (3000000, "4M", "bits/s", 16000, False)
        assert settings["log-level"]["choices"][0] == "error" and settings["stats-interval"]["value"] == 30
        assert settings["control"]["value"] == [] and settings["overlay"]["value"] is None


def test_settings_take_effect_at_once():
    with site() as s, watch(s):
        changed = s.patch("/api/v1/settings", {"quality": 1, "bitrate": "2M", "stats-interval": 0.1,
                                               "overlay": "ü %H", "log-level": "debug"})
        assert changed.status == 200
        new = {x["name"]: x for x in changed.json["settings"]}
        assert new["quality"]["value"] == 1 and new["bitrate"]["value"] == 2000000 and new["quality"]["changed"]
        assert new["overlay"]["value"] == "ü %H" and new["stats-interval"]["value"] == 0.1
        s.program.wait_log(r"captured \d+, encoded", count=2)  # the health line, ten times a second
        s.program.wait_log(r"quality has a new value, by 127\.0\.0\.1")
        coarse = wait_for(lambda: (size := picture(s)) < 6000 and size, "coarse pictures")
        assert s.patch("/api/v1/settings", {"quality": 95}).status == 200
        wait_for(lambda: picture(s) > 3 * coarse, "fine pictures")
        assert s.patch("/api/v1/settings", {"quality": None, "overlay": None}).status == 200
        assert s.value("quality") == 80 and s.value("overlay") is None


def picture(s):
    a = s.get("/snapshot")
    assert a.status == 200
    return len(a.body)


def test_settings_are_changed_all_or_none():
    with site() as s:
        wrong = [
            ({"quality": 101}, 422, "1 to 100"),
            ({"quality": 0}, 422, "1 to 100"),
            ({"quality": 1.5}, 422, "not allowed"),
            ({"quality": "7"}, 422, "of its type, integer"),
            ({"quality": True}, 422, "of its type"),
            ({"quality": {}}, 422, "of its type"),
            ({"quality": 1e300}, 422, "of its type"),
            ({"bitrate": "fast"}, 422, "16k to 1G"),
            ({"bitrate": -1}, 422, "16k to 1G"),
            ({"overlay": 7}, 422, "of its type, string"),
            ({"overlay": ["x"]}, 422, "of its type"),
            ({"log-level": "loud"}, 422, "error, warn"),
            ({"control": "brightness=1"}, 422, "of its type, list"),
            ({"control": [1]}, 422, "of its type"),
            ({"stats-interval": -1}, 422, "not allowed"),
            ({"nothing": 1}, 422, "no option 'nothing'"),
            ({"": 1}, 422, "no option ''"),
            ({"check-config": True}, 422, "no option"),
            ({"width": 640}, 409, "restart"),
            ({"auth-token": "none"}, 409, "restart"),
        ]
        for body, status, error in wrong:
            s.refused("/api/v1/settings", {"bitrate": "1M"} | body, status, error, field=list(body)[0])
            assert s.value("bitrate") == (4000000), body
        s.refused("/api/v1/settings", {"control": ["bad"]}, 422, "NAME=VALUE")
        assert s.patch("/api/v1/settings", {}).status == 200


def test_a_hang_up_goes_beside_it(tmp_path):
    file = tmp_path / "x.ini"
    file.write_text("bitrate = 1M\nquality = 50\n")
    with site("--config", file) as s:
        assert s.patch("/api/v1/settings", {"bitrate": "2M", "quality": 60}).status == 200
        assert file.read_text() == "bitrate = 1M\nquality = 50\n"
        file.write_text("bitrate = 3M\nquality = 50\n")  # the newer word counts
        s.program.send_signal(signal.SIGHUP)
        s.program.wait_log("configuration reloaded")
        assert (s.value("bitrate"), s.value("quality")) == (3000000, 60)
        assert s.patch("/api/v1/settings", {"quality": None}).status == 200
        assert s.value("quality") == 50


def test_bodies_that_are_not_what_is_wanted():
    with site() as s:
        for path in ("/api/v1/settings", "/api/v1/controls"):
            for body in ("", "{", "[]", "1", "null", '{"a":1,"a":2}', '{"a":"\\u0000"}', '{"a":1}{', "{'a':1}",
                         '{"a":' + "[" * 1000 + "]" * 1000 + "}", b'{"a":"\xff"}', b"\0", b'{"a":1}\0'):
                s.refused(path, body, 400, "this", None)
            for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", None):
                s.refused(path, '{"a":1}', 415, "application/json", None, content_type=kind)
            many = {str(i): 1 for i in range(65)}
            s.refused(path, many, 400, "more than 64", None)
            a = s.patch(path, {"overlay": "x" * 70000})
            assert a.status == 413
            assert s.patch(path, {}, content_type="application/json; charset=utf-8").status in (200, 503)
        assert s.program.process.poll() is None


def test_elsewhere_and_otherwise():
    with site() as s:
        for path in ("/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/settings/", "/api/v1/settings/bitrate"):
            a = s.get(path, checked=False)
            assert a.status == 404 and "openapi.json" in a.json["error"], (path, a)
        assert s.get("/api/v2/settings", checked=False).status == 404
        for method, path, allow in (("POST", "settings", "GET, HEAD, PATCH"), ("DELETE", "controls", "GET, HEAD, PATCH"),
                                    ("GET", "keyframe", "POST"), ("PUT", "openapi.json", "GET, HEAD")):
            a = s.ask(method, "/api/v1/" + path, checked=False)
            assert a.status == 405 and a.headers["allow"] == allow and a.json["error"], a
        head = s.ask("HEAD", "/api/v1/settings", checked=False)
        assert head.status == 200 and not head.body and int(head.headers["content-length"]) > 100


def test_other_sites_and_other_people_are_kept_out():
    with site("--auth-token", "secret") as s:
        s.openapi = json.loads(s.ask("GET", "/api/v1/openapi.json?token=secret", checked=False).body)
        wait_for(lambda: s.ask("GET", "/healthz", checked=False).status == 200, "frames")
        for path in ("/stats", "/metrics", "/api/v1/settings", "/api/v1/controls"):
            assert s.get(path).status == 401
            assert s.get(path, authorization="Bearer secret").status == 200
        assert s.post("/api/v1/keyframe").status == 401
        for method, path in (("GET", "/api/v1/settings"), ("PATCH", "/api/v1/settings"), ("POST", "/api/v1/keyframe")):
            a = s.ask(method, path, "{}", authorization="Bearer secret", origin="http://evil.example")
            assert a.status == 403, a
        own = s.patch("/api/v1/settings", {}, authorization="Bearer secret", origin=f"http://127.0.0.1:{s.port}",
                      host=f"127.0.0.1:{s.port}")
        assert own.status == 200


# ---- controls ----

def test_controls_of_a_camera():
    with camera() as s:
        controls = s.controls()
        brightness = controls["brightness"]
        assert brightness["type"] == "integer" and brightness["min"] <= brightness["value"] <= brightness["max"]
        wanted = brightness["max"] - brightness.get("step", 1)
        a = s.patch("/api/v1/controls", {"brightness": wanted})
        assert a.status == 200, a
        assert {c["name"]: c["value"] for c in a.json["controls"]}["brightness"] == wanted
        assert s.controls()["brightness"]["value"] == wanted
        assert s.patch("/api/v1/controls", {"Brightness": str(brightness["default"])}).status == 200
        assert s.controls()["brightness"]["value"] == brightness["default"]
        s.refused("/api/v1/controls", {"brightness": brightness["max"] + 1}, 422, "brightness", "brightness")
        s.refused("/api/v1/controls", {"brightness": "much"}, 422, "brightness", "brightness")
        s.refused("/api/v1/controls", {"brightness": None}, 422, "brightness", "brightness")
        s.refused("/api/v1/controls", {"brightness": [1]}, 422, "brightness", "brightness")
        s.refused("/api/v1/controls", {"no such": 1}, 422, "no such", "no such")
        assert s.controls()["brightness"]["value"] == brightness["default"]


def test_every_control_may_be_set_to_what_it_is():
    with camera() as s:
        for c in s.controls().values():
            if c["read_only"] or c["inactive"] or c["value"] is None:
                continue
            a = s.patch("/api/v1/controls", {c["name"]: c["value"]})
            assert a.status == 200 or "while the camera streams" in a.json["error"], (c, a)


def test_the_test_source_has_no_controls():
    with site() as s:
        wait_for(lambda: s.get("/stats").json["camera"]["state"] == "live", "the source")
        assert s.controls() == {}
        s.refused("/api/v1/controls", {"brightness": 1}, 409, "no controls", "brightness")


def test_without_a_camera_there_are_no_controls():
    with site(source=("--device", "/dev/video-none")) as s:
        wait_for(lambda: s.get("/stats").json["camera"]["state"] == "failed", "the failure")
        assert s.get("/api/v1/controls").status == 503
        s.refused("/api/v1/controls", {"brightness": 1}, 503, "no camera", "brightness")


# ---- the rest ----

def test_a_key_frame_on_request():
    with site("--gop", 100000, "--ws-port", 0) as s:
        port = int(s.program.wait_log(r"ws: listening on .* port (\d+)"))
        with socket.create_connection(("127.0.0.1", port), 20 * SLOW) as c:
            key = base64.b64encode(os.urandom(16)).decode()
            c.sendall((f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
            seen = b""
            keys = lambda: seen.count(b"\x00\x00\x00\x01\x67")  # sequence parameter sets
            def more():
                nonlocal seen
                seen += c.recv(65536)
                return True
            wait_for(lambda: more() and keys() == 1 and len(seen) > 40000, "pictures behind the first key frame")
            assert s.post("/api/v1/keyframe").status == 202
            wait_for(lambda: more() and keys() == 2, "another key frame")


def test_many_at_once_and_the_end_meanwhile():
    with site() as s:
        answers, done = [], threading.Event()

        def nag():
            while not done.is_set():
                for path in ("/api/v1/settings", "/api/v1/controls", "/stats", "/metrics"):
                    try:
                        answers.append(s.get(path, checked=False).status)
                    except (OSError, http.client.HTTPException):
                        return  # it has ended
        threads = [threading.Thread(target=nag) for _ in range(8)]
        for t in threads:
            t.start()
        wait_for(lambda: len(answers) > 200, "answers")
        began = time.monotonic()
        s.program.stop()
        assert time.monotonic() - began < 3 * SLOW
        done.set()
        for t in threads:
            t.join()
        assert set(answers) <= {200, 503}


# ---- recording ----

def test_recording_is_started_and_stopped(tmp_path):
    with site("--archive", tmp_path, "--archive-ram", "8M", "--gop", 15) as s:
        wait_for(lambda: s.get("/api/v1/recording").json["written"] > 3, "frames")
        state = s.get("/api/v1/recording").json
        assert state["state"] == "recording" and state["recording"] and state["file"].startswith(str(tmp_path))
        assert s.post("/api/v1/recording", {"action": "stop"}).status == 202
        wait_for(lambda: s.get("/api/v1/recording").json["state"] == "off", "its end")
        assert s.post("/api/v1/recording", {"action": "start"}).status == 202
        wait_for(lambda: s.get("/api/v1/recording").json["segments"] > state["segments"], "another segment")
        s.refused("/api/v1/recording", {"action": "pause"}, 422, "start", "action", method="POST")
        s.refused("/api/v1/recording", {"recording": True}, 422, "start", "action", method="POST")
        s.refused("/api/v1/recording", {}, 422, "start", "action", method="POST")
        s.refused("/api/v1/recording", "[", 400, "this", method="POST")

        wait_for(lambda: s.get("/api/v1/recording").json["ram"]["frames"] > 3, "frames in memory")
        assert s.post("/api/v1/archive/dump").status == 202
        done = wait_for(lambda: (r := s.get("/api/v1/recording").json["ram"])["dumps"] == 1 and r, "the dump")
        assert os.path.getsize(done["file"]) > 1000 and done["problem"] is None


def test_dumps_by_signal_and_api_at_the_same_time(tmp_path):
    with site("--archive", tmp_path, "--archive-ram", "4M", "--gop", 15, "--name", "cam") as s:
        ram = lambda: s.get("/api/v1/recording").json["ram"]
        wait_for(lambda: ram()["frames"] > 30, "frames in memory")
        for _ in range(50):
            s.program.send_signal(signal.SIGUSR1)
            assert s.post("/api/v1/archive/dump").status in (202, 409)
        done = wait_for(lambda: not (r := ram())["dumping"] and r, "the last dump")
        files = [p for p in tmp_path.iterdir() if p.name.startswith("cam-ram-")]
        assert 1 <= done["dumps"] == len(files) and done["problem"] is None
        s.program.stop()
    for p in files:
        assert decodes_cleanly(p)[0], p
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".tmp"]


def test_limits_of_the_archive_are_live(tmp_path):
    file = tmp_path / "x.ini"
    file.write_text("segment-time = 1h\n")
    with site("--archive", tmp_path, "--gop", 1000, "--config", file) as s:
        recording = lambda: s.get("/api/v1/recording").json
        wait_for(lambda: recording()["segments"] == 1, "a segment")
        assert s.patch("/api/v1/settings", {"archive-size": "64M", "segment-time": 0.5}).status == 200
        wait_for(lambda: recording()["segments"] >= 3, "more of them, by key frames that were asked for", 30)
        assert recording()["limit_bytes"] == 64 << 20
        s.refused("/api/v1/settings", {"archive-size": "1M"}, 422, "less than 4M")
        s.refused("/api/v1/settings", {"archive": "/"}, 409, "restart", "archive")
        assert recording()["limit_bytes"] == 64 << 20
        file.write_text("segment-time = 1h\narchive-size = 32M\n")
        s.program.send_signal(signal.SIGHUP)
        wait_for(lambda: recording()["limit_bytes"] == 32 << 20, "what the file says")
        sent = s.program.stop()
    check_sums(sent)


def test_a_folder_that_goes_while_recording_is_off(tmp_path):
    folder = tmp_path / "card"
    folder.mkdir()
    with site("--archive", folder) as s:
        state = lambda: s.get("/api/v1/recording").json
        wait_for(lambda: state()["segments"] == 1, "a segment")
        assert s.post("/api/v1/recording", {"action": "stop"}).status == 202
        wait_for(lambda: state()["state"] == "off", "its end")
        folder.rename(tmp_path / "away")
        assert s.post("/api/v1/recording", {"action": "start"}).status == 202
        wait_for(lambda: state()["state"] == "paused", "the problem")
        assert "does not exist" in state()["problem"]
        (tmp_path / "away").rename(folder)
        wait_for(lambda: state()["segments"] == 2, "another segment", 20)
        assert state()["problem"] is None and state()["state"] == "recording"
        assert s.program.log.count("does not exist") == 1 and "archive: archive:" not in s.program.log
        check_sums(s.program.stop())


def test_without_an_archive_nothing_is_recorded():
    with site() as s:
        state = s.get("/api/v1/recording").json
        assert state["state"] == "none" and not state["recording"] and state["ram"] is None
        s.refused("/api/v1/recording", {"action": "start"}, 409, "--archive", method="POST")
        s.refused("/api/v1/archive/dump", None, 409, "--archive-ram", method="POST")


def test_every_output_is_in_the_figures(tmp_path):
    with site("--archive", tmp_path, "--publish", tmp_path / "x.mkv", "--publish", tmp_path / "y.mkv",
              "--dest-ip", "127.0.0.1", "--port", free_port(), "--ws-port", 0) as s:
        outputs = s.get("/stats").json["outputs"]
        for o in outputs:
            assert {"sent", "dropped", "queued", "connected"} <= set(o), o
        assert sorted(o["kind"] for o in outputs) == ["archive", "http", "publish", "publish", "push", "ws"]
        assert not next(o for o in outputs if o["kind"] == "push")["connected"]
        text = s.get("/metrics").body.decode()
        assert 'pcs_archive_state{state="none"} 0' in text and "pcs_archive_limit_bytes 4294967296" in text
        assert text.count("pcs_output_connected{") == 5


def test_the_sums_hold_for_every_output(tmp_path):
    """captured = encoded + dropped; encoded = sent + dropped of each output, of whichever codec, with whoever watches."""
    with site("--archive", tmp_path, "--archive-ram", "1M", "--publish", tmp_path / "x.mkv", "--publish",
              tmp_path / "y.mkv", "--ws-port", 0, "--udp-port", 0, "--tcp-port", 0, "--shm", f"/pcs-sums-{os.getpid()}",
              "--dest-ip", "127.0.0.1", "--port", free_port()) as s:
        with watch(s):
            wait_for(lambda: s.get("/stats").json["frames_served"] > 10, "frames")
        wait_for(lambda: s.get("/stats").json["active_connections"] == 0, "the viewer to have gone")
        count = s.get("/stats").json["camera"]["captured"]
        wait_for(lambda: s.get("/stats").json["camera"]["captured"] > count + 5, "pictures without a viewer")
        stats = s.get("/stats").json
        encoded = max(e["encoded"] for e in stats["encoders"])
        for o in stats["outputs"]:
            assert abs(o["sent"] + o["dropped"] + o["queued"] - encoded) <= 6, (o, encoded)
        sent = s.program.stop()
    check_sums(sent)
    by_kind = {o["kind"]: o for o in sent["outputs"]}
    assert len(by_kind) == 8
    assert 10 < by_kind["http"]["sent"] < sent["encoded"] == by_kind["archive"]["sent"]
    assert by_kind["ws"]["sent"] == by_kind["udp"]["sent"] == by_kind["tcp"]["sent"] == 0


def test_only_viewers_of_the_other_codec():
    """Nothing but JPEG is encoded, for a browser; then the sum is about JPEG."""
    with site() as s:
        with watch(s):
            wait_for(lambda: s.get("/stats").json["frames_served"] > 10, "frames")
        sent = s.program.stop()
    check_sums(sent)
    output, = sent["outputs"]
    assert output["sent"] > 10 and sent["encoded"] >= output["sent"]
