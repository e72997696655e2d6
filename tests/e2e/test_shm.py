# SPDX-License-Identifier: MIT
"""Shared memory: what local programs see, and that nothing they do is felt by anybody else."""
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from pcs import SANITIZED, SENDER, SLOW, Program, check_sums, decodes_cleanly, probe, read_marker, wait_for

BUILD = Path(SENDER).resolve().parent
CONSUMER = BUILD / "video_consumer"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL = ("--width", 320, "--height", 240, "--fps", 30)
LONG = 20000 * SLOW  # ms: a wait that ends sooner, or the test fails


@pytest.fixture
def name():
    name = f"/pcs-e2e-{os.getpid()}-{random.randrange(10**9)}"
    yield name
    for path in Path("/dev/shm").glob(name[1:] + "*"):
        path.unlink()


def place(name):
    return Path("/dev/shm" + name)


def camera(name, *args, **kw):
    """A sender with its stream there."""
    p = Program(SENDER, "--source", "test", *SMALL, "--shm", name, *args, **kw)
    p.wait_log("shared memory .*the stream")
    return p


def consumer(name, *args):
    return Program(CONSUMER, "-s", "-t", LONG, *args, name)


def result(program, seconds=30):
    """(exit status, frames, missed, overwritten) as the consumer counts them."""
    status, _ = program.end(seconds)
    found = re.search(r"^all .*: (\d+) frames, .* missed (\d+), overwritten (\d+)", program.log, re.MULTILINE)
    assert found, program.log
    return status, *map(int, found.groups())


def frames(program):
    """How many it has had so far, as its statistics say each second."""
    return sum(int(n) for n in re.findall(r"^now .*: (\d+) frames", program.log, re.MULTILINE))


def flowing(program, more=1):
    before = frames(program)
    wait_for(lambda: frames(program) >= before + more, "frames", 20)


# ---- what is read ----

@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_the_stream(tmp_path, name, codec):
    out = tmp_path / "out"
    with camera(name, "--codec", codec) as s:
        status, count, missed, torn = result(consumer(name, "-c", 45, "-o", out))
        assert (status, count, missed, torn) == (0, 45, 0, 0)
        summary = s.stop()
    check_sums(summary)
    output = summary["outputs"][0]
    assert output["kind"] == "shm" and output["target"] == name and output["sent"] >= 45
    if codec == "h264":
        ok, text = decodes_cleanly(out)
        assert ok, text
        assert int(probe(out)["nb_read_packets"]) == 45  # from a key frame on
    else:
        assert out.read_bytes().count(b"\xff\xd8\xff") == 45
    assert not place(name).exists()


def test_raw_pictures(tmp_path, name):
    out = tmp_path / "out"
    with Program(SENDER, "--source", "test", *SMALL, "--format", "YU12", "--shm-raw", name) as s:
        s.wait_log("raw pictures")
        status, count, _, _ = result(consumer(name, "-c", 20, "-o", out))
        assert (status, count) == (0, 20)
        summary = s.stop()
    assert summary["encoded"] == 0
    assert summary["outputs"][0]["raw"]["sent"] >= 20
    pictures = np.frombuffer(out.read_bytes(), np.uint8).reshape(20, 360, 320)
    numbers = [read_marker(p[:240])[0] for p in pictures]
    assert numbers == sorted(set(numbers)), numbers


def test_both_at_once(name):
    with camera(name, "--shm-raw", name + "-raw") as s:
        a, b = consumer(name, "-c", 20), consumer(name + "-raw", "-c", 20)
        assert result(a)[:2] == (0, 20) and result(b)[:2] == (0, 20)
        check_sums(s.stop())


def test_nobody_reads_nothing_is_encoded(name):
    with camera(name, "-v", "--stats-interval", "200ms") as s:
        s.wait_log(r"captured [1-9]\d, encoded 0,")
        assert result(consumer(name, "-c", 10))[1] == 10
        s.wait_log("nobody reads it")
        assert result(consumer(name, "-c", 10))[1] == 10  # it begins anew, with a key frame
        s.wait_log("nobody reads it", count=2)
        encoded = int(s.wait_log(r"encoded (\d+),", count=len(re.findall(r"encoded \d+,", s.log)) + 1))
        later = int(s.wait_log(r"encoded (\d+),", count=len(re.findall(r"encoded \d+,", s.log)) + 2))
        assert encoded == later
        check_sums(s.stop())


def test_a_consumer_may_come_first(name):
    with consumer(name, "-c", 10) as c:
        with camera(name) as s:
            assert result(c)[:2] == (0, 10)
            s.stop()


def test_the_end_is_noticed(name):
    """And all that came before it is read."""
    with camera(name, "--codec", "mjpeg", "--frames", 60) as s, Program(CONSUMER, "-s", "-t", 1500 * SLOW, name) as c:
        status, summary = s.end(30)
        assert status == 0
        flow = result(c)
        assert flow[0] == 3 and flow[2] == 0
        # it began with the newest there was, when it had got that far
        assert 0 <= summary["outputs"][0]["sent"] - flow[1] < 10 < flow[1]


# ---- nobody disturbs anybody ----

def test_a_frozen_reader_changes_nothing(name):
    with camera(name, "--codec", "mjpeg", "--fps", 60) as s:
        readers = [consumer(name) for _ in range(4)]
        for r in readers:
            flowing(r)
        frozen = readers[0]
        frozen.send_signal(signal.SIGSTOP)
        flowing(readers[1], 120)
        frozen.send_signal(signal.SIGCONT)
        flowing(frozen, 60)
        for r in readers:
            r.send_signal(signal.SIGINT)
        results = [result(r) for r in readers]
        summary = s.stop()
    assert all(r[0] == 0 and r[2] == 0 and r[3] == 0 for r in results[1:]), results
    assert results[0][0] == 0
    assert summary["outputs"][0]["refused"] == 0
    check_sums(summary)


def test_readers_are_killed_anywhere(name):
    with camera(name, "--codec", "mjpeg", "--fps", 60) as s, consumer(name) as steady:
        flowing(steady)
        for _ in range(40):
            p = subprocess.Popen([CONSUMER, "-t", "0", name], stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + random.random() * 0.05  # anywhere in its life
            while time.monotonic() < deadline:
                pass
            p.kill()
            p.wait()
        flowing(steady, 30)
        fds = s.fds()
        steady.send_signal(signal.SIGINT)
        assert result(steady)[2:] == (0, 0)
        assert s.fds() <= fds
        check_sums(s.stop())


def test_damaged_memory_hurts_nobody(name):
    """Who may write the segment can spoil it. Readers say so or read on; they do not crash."""
    with camera(name, "--codec", "mjpeg") as s:
        chance = random.Random(4)
        for _ in range(12):
            readers = [Program(CONSUMER, "-s", "-c", 15, "-t", 300, "-o", "/dev/null", name) for _ in range(2)]
            with open(place(name), "r+b", buffering=0) as f:
                while any(r.process.poll() is None for r in readers):
                    f.seek(chance.randrange(128, 200_000) if chance.random() < 0.5 else chance.randrange(128, 160))
                    f.write(bytes(chance.randrange(256) for _ in range(4)))
            for r in readers:
                assert r.end(20)[0] in (0, 1, 3), r.log
        check_sums(s.stop())


def test_a_fifo_in_its_place(name):
    os.mkfifo(place(name))
    for args in ([CONSUMER, "-t", "200", name], [SENDER, "--source", "test", "--shm", name]):
        r = subprocess.run(args, capture_output=True, text=True, timeout=10 * SLOW)
        assert r.returncode == 1, r.stderr


@pytest.mark.parametrize("content", [b"", b"pcs-shm\0", b"x" * 100_000, b"pcs-shm\0" + b"\xff" * 100_000],
                         ids=["empty", "short", "foreign", "nonsense"])
def test_a_file_of_something_else(name, content):
    place(name).write_bytes(content)
    r = subprocess.run([CONSUMER, "-t", "200", name], capture_output=True, text=True)
    assert r.returncode == 1, r.stderr
    if not content.startswith(b"pcs-shm"):
        s = subprocess.run([SENDER, "--source", "test", "--shm", name], capture_output=True, text=True)
        assert s.returncode == 1 and name in s.stderr and "no video stream" in s.stderr, s.stderr
        assert place(name).read_bytes() == content


# ---- producers come and go ----

def test_a_restarted_producer_is_noticed(name):
    with consumer(name) as c:
        for i in range(3):
            with camera(name, "--codec", "mjpeg") as s:
                flowing(c, 10)
                if i < 2:
                    s.kill()
                    assert place(name).exists()  # the next one replaces it
                else:
                    s.stop()
        c.send_signal(signal.SIGINT)
        assert result(c)[0] == 0
    assert not place(name).exists()


def test_a_vanished_producer_is_noticed(name):
    with camera(name) as s, Program(CONSUMER, "-s", "-t", 2500 * SLOW, name) as c:
        flowing(c)
        s.kill()
        assert result(c)[0] == 3


def test_the_file_is_removed(name):
    """By logind, when its user logs out, or by hand: there is another one, and readers go over to it."""
    with camera(name, "--codec", "mjpeg") as s, consumer(name) as c:
        flowing(c)
        place(name).unlink()
        s.wait_log("made anew")
        assert result(consumer(name, "-c", 10))[:2] == (0, 10)
        flowing(c, 40)
        c.send_signal(signal.SIGINT)
        assert result(c)[0] == 0
        place(name).unlink()
        s.wait_log("made anew", count=2)
        check_sums(s.stop())
    assert not place(name).exists()


def test_the_file_is_removed_and_its_place_taken(name):
    """As long as something else stands there; then it comes back by itself."""
    with camera(name, "--codec", "mjpeg") as s, consumer(name) as c:
        flowing(c)
        other = place(name + "-other")
        other.write_text("not ours")
        other.replace(place(name))
        s.wait_log("no video stream")
        flowing(c, 100)  # who had it goes on; meanwhile it was tried again some times
        place(name).unlink()
        s.wait_log("made anew")
        assert result(consumer(name, "-c", 10))[:2] == (0, 10)
        s.stop()


def test_the_name_is_taken(name):
    with camera(name) as s, consumer(name) as c:
        flowing(c)
        second = subprocess.run([SENDER, "--source", "test", "--shm", name], capture_output=True, text=True)
        assert second.returncode == 1 and "another program" in second.stderr, second.stderr
        flowing(c, 10)
        c.send_signal(signal.SIGINT)
        assert result(c)[2] == 0
        s.stop()


def test_two_that_start_at_once_over_a_dead_one(name):
    with camera(name) as s:
        s.kill()
    for _ in range(5):
        both = [Program(SENDER, "--source", "test", *SMALL, "--shm", name) for _ in range(2)]
        wait_for(lambda: sum("the stream" in p.log or p.process.poll() is not None for p in both) == 2, "both")
        alive = [p for p in both if "the stream" in p.log]
        assert len(alive) == 1, [p.log for p in both]
        assert result(consumer(name, "-c", 3))[:2] == (0, 3)
        for p in both:
            p.kill()


# ---- options, memory, rights ----

@pytest.mark.parametrize("args", [("--shm", ""), ("--shm", "a/b"), ("--shm", "/.."), ("--shm", "x" * 250),
                                  ("--shm-raw", "/"), ("--shm", "/same", "--shm-raw", "same")])
def test_names_that_cannot_be(args):
    r = subprocess.run([SENDER, "--source", "test", *args], capture_output=True, text=True)
    assert r.returncode == 2 and r.stderr.count("\n") == 1 and "--shm" in r.stderr, r.stderr


def test_serve_has_the_usual_place():
    r = subprocess.run([SENDER, "--serve", "--check-config"], capture_output=True, text=True)
    assert r.returncode == 0 and re.search(r"^shm *= */video_stream$", r.stdout, re.MULTILINE), r.stdout


def test_its_file(name):
    with camera(name) as s:
        st = place(name).stat()
        assert stat.S_IMODE(st.st_mode) == 0o640
        assert 14 << 20 < st.st_blocks * 512 <= st.st_size <= 16 << 20
        s.stop()


def test_no_room(name):
    """A full /dev/shm is an error at the start, not a SIGBUS later."""
    small = "mount -t tmpfs -o size=4m tmpfs /dev/shm && exec \"$@\""
    if subprocess.run(["unshare", "-m", "sh", "-c", small, "sh", "true"], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    r = subprocess.run(["unshare", "-m", "sh", "-c", small, "sh", SENDER, "--source", "test", "--shm", name],
                       capture_output=True, text=True)
    assert r.returncode == 1 and "/dev/shm is full" in r.stderr, r.stderr


# ---- the examples ----

def build_example(tmp_path, *args, env=None):
    for file in ("Makefile", "video_consumer.c"):
        shutil.copy(EXAMPLES / file, tmp_path)
    flags = f"-fsanitize={os.environ['PCS_SANITIZE']}" if SANITIZED else ""
    subprocess.run(["make", "-C", tmp_path, *args, f"CFLAGS=-O1 -Wall -Wextra -Werror {flags}"], check=True,
                   capture_output=True, env=dict(os.environ, **(env or {})))
    return tmp_path / "video_consumer"


def test_make_against_the_build(tmp_path, name):
    shutil.copytree(EXAMPLES.parent / "include", tmp_path / "include")
    (tmp_path / "examples").mkdir()
    program = build_example(tmp_path / "examples", f"BUILD={BUILD}")
    with camera(name) as s:
        assert subprocess.run([program, "-c", "5", name]).returncode == 0
        s.stop()


def test_make_against_the_installed_library(tmp_path, name):
    if not shutil.which("pkg-config"):
        pytest.skip("no pkg-config")
    prefix = tmp_path / "prefix"
    for component in ("runtime", "development"):
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix, "--component", component], check=True,
                       capture_output=True)
    pc = next(prefix.rglob("pcs_shm.pc")).parent
    library = next(prefix.rglob("libpcs_shm.so.0")).parent
    (tmp_path / "example").mkdir()
    program = build_example(tmp_path / "example", env={"PKG_CONFIG_PATH": str(pc)})
    with camera(name) as s:
        assert subprocess.run([program, "-c", "5", name], env={"LD_LIBRARY_PATH": str(library)}).returncode == 0
        s.stop()


@pytest.mark.skipif(SANITIZED, reason="Python is not sanitized")
@pytest.mark.parametrize("args", [("--shm-raw", "--format", "YUYV"), ("--shm-raw", "--format", "NV12"),
                                  ("--shm", "--codec", "mjpeg")])
def test_opencv(name, args):
    with Program(SENDER, "--source", "test", *SMALL, args[0], name, *args[1:]) as s:
        s.wait_log("shared memory")
        r = subprocess.run(["/usr/bin/python3", EXAMPLES / "opencv_consumer.py", "-c", "5", name], text=True,
                           capture_output=True, env=dict(os.environ, PCS_SHM_LIBRARY=str(BUILD / "libpcs_shm.so.0")))
        assert r.returncode == 0 and r.stdout.startswith("320x240"), r.stderr
        assert 60 < float(re.search(r"brightness ([\d.]+)", r.stdout)[1]) < 190
        s.stop()
