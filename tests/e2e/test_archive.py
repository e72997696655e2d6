# SPDX-License-Identifier: MIT
"""--archive and --archive-ram: what is on disk while the program runs, after kill -9, when the disk is full."""
import os
import re
import shutil
import signal
import subprocess

import pytest
from pcs import (SENDER, Program, check_sums, decodes_cleanly, markers, packets, receiver, top_boxes, wait_for)

SMALL = ("--width", 320, "--height", 240, "--fps", 30, "--gop", 10)


def archive(folder, *args, source="test", **kw):
    return Program(SENDER, "--source", source, *SMALL, "--name", "cam", "--archive", folder, *args, **kw)


NAME = re.compile(r"cam-(\d{8}-\d{6})-?(\d*)\.mp4")


def segments(folder):
    """In the order of recording: the second segment of one second has a number behind its name."""
    found = {p: NAME.fullmatch(p.name) for p in folder.iterdir()}
    return sorted((p for p in found if found[p]), key=lambda p: (found[p][1], int(found[p][2] or 0)))


def total(folder):
    size = 0
    for path in folder.iterdir():
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            pass  # it has just gone
    return size


def numbers(paths):
    seen = [m for p in paths for m in markers(p)]
    assert None not in seen
    return [n for n, _ in seen]


def assert_no_hole(seen, sent):
    """The numbers in the pictures are the camera's: one that the encoder had no time for is missing, and counted."""
    missing = seen[-1] - seen[0] + 1 - len(seen)
    assert seen == sorted(set(seen)) and missing <= sent["dropped"] + sent["lost"], (seen, sent)


def test_segments_lose_nothing(tmp_path):
    with archive(tmp_path, "--segment-time", "1s", "--frames", 120) as s:
        _, sent = s.end(30)
    check_sums(sent)
    output, = sent["outputs"]
    files = segments(tmp_path)
    assert output["kind"] == "archive" and output["target"] == str(tmp_path)
    assert output["sent"] == output["acked"] == sent["encoded"] and output["segments"] == len(files) >= 3
    for path in files:
        assert "moof" not in top_boxes(path)
        assert packets(path)[0][1] and decodes_cleanly(path)[0]
    seen = numbers(files)
    assert seen == sorted(set(seen)) and len(seen) == sent["encoded"]


def test_jpeg_is_archived_as_it_is(tmp_path):
    with archive(tmp_path, "--codec", "mjpeg", "--frames", 40) as s:
        _, sent = s.end(30)
    check_sums(sent)
    path, = segments(tmp_path)
    assert len(numbers([path])) == sent["encoded"] and decodes_cleanly(path)[0]


def test_the_bound_holds_and_other_files_stay(tmp_path):
    """Checked all the time: closed segments, the growing one and temporary copies together."""
    limit = 4 << 20
    others = {}
    for name in ("holiday.mp4", "cam-20200101-000000.mp4", "cam-2-20200101-000000.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode() * 20000)
        os.utime(tmp_path / name, (1, 1))
        others[name] = (tmp_path / name).stat().st_size
    foreign = sum(others.values())
    most = 0
    with archive(tmp_path, "--archive-size", "4M", "--bitrate", "16M", "--fps", 60) as s:
        def removed():
            nonlocal most
            most = max(most, total(tmp_path) - foreign)
            return len(re.findall("the oldest recording had to go", s.log)) >= 20
        wait_for(removed, "segments to go", 60)
        sent = s.stop()
    assert most <= limit
    assert most > limit * 3 // 4, "the bound is used"
    for name, size in others.items():
        assert (tmp_path / name).read_bytes() == name.encode() * 20000, size
    ours = [p for p in segments(tmp_path) if p.name not in others]
    assert sent["outputs"][0]["removed"] >= 20
    for path in ours[-3:]:
        assert decodes_cleanly(path)[0]
    seen = numbers(ours)
    assert_no_hole(seen, sent)


def test_segments_of_an_earlier_run_count(tmp_path):
    with archive(tmp_path, "--segment-time", "500ms", "--bitrate", "8M") as s:
        wait_for(lambda: total(tmp_path) > 3 << 20, "segments", 30)
        s.stop()
    before = segments(tmp_path)
    with archive(tmp_path, "--archive-size", "4M", "--bitrate", "8M") as s:
        s.wait_log("had to go", 30)
        s.stop()
    assert not before[0].exists()


def test_a_smaller_bound_keeps_what_fits(tmp_path):
    """Large segments of an earlier run do not make it believe that the next ones will be as large."""
    large = ("--codec", "mjpeg", "--width", 640, "--height", 480, "--fps", 60)
    with archive(tmp_path, "--archive-size", "48M", *large) as s:
        wait_for(lambda: len(segments(tmp_path)) >= 6, "segments", 30)
        s.stop()
    before = segments(tmp_path)
    sizes = [p.stat().st_size for p in before]
    assert max(sizes) > 1 << 20 and sum(sizes) > 5 << 20
    with archive(tmp_path, "--archive-size", "4M") as s:
        s.wait_log("had to go", 30)
        wait_for(lambda: s.log.count("recording to") >= 2, "the folder to be looked at again", 60)
        wait_for(lambda: total(tmp_path) < 4 << 20, "the bound")
        s.stop()
    kept = [p for p in before if p.exists() and p.stat().st_size > 1 << 20]  # names may be taken anew
    assert kept and not before[0].exists()


def test_killed_and_started_again(tmp_path):
    with archive(tmp_path, "--segment-time", "1h") as s:
        s.wait_log("recording to")
        path, = segments(tmp_path)
        wait_for(lambda: path.stat().st_size > 200000, "the file to grow")
        s.kill()
    assert "moof" in top_boxes(path) and decodes_cleanly(path)[0]
    held = numbers([path])
    with archive(tmp_path) as s:
        s.wait_log("are whole again")
        s.stop()
    assert "moof" not in top_boxes(path) and decodes_cleanly(path)[0]
    assert numbers([path])[:len(held)] == held
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".tmp"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_disk_full_and_space_again(tmp_path):
    """The archive pauses and goes on; a receiver gets every frame meanwhile."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(32000000))
        with receiver(tmp_path / "out.mp4", "--once") as r:
            with archive(disk, "--archive-size", "0", "--segment-time", "1h", "--dest-ip", "127.0.0.1",
                         "--port", r.port) as s:
                s.wait_log("recording pauses: .*No space left", 30)
                out = tmp_path / "out.mp4"
                wait_for(out.exists, "the receiver's file")
                grown = out.stat().st_size
                wait_for(lambda: out.stat().st_size > grown, "streaming to go on")
                ballast.unlink()
                s.wait_log("recording goes on", 30)
                path, = segments(disk)
                before = path.stat().st_size
                wait_for(lambda: path.stat().st_size > before, "the segment to grow again")
                sent = s.stop()
            _, got = r.end()
        check_sums(sent)
        by_kind = {o["kind"]: o for o in sent["outputs"]}
        assert by_kind["push"]["acked"] == sent["encoded"] == got["streams"][0]["written"]
        assert by_kind["archive"]["dropped"] == 0, "32 MB were not full"
        assert len(numbers([path])) == sent["encoded"]
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_bound_that_the_disk_has_not_is_said(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        with archive(tmp_path) as s:
            s.wait_log(r"--archive-size 4096 MB is more than fits into '.*', \d+ MB: when the disk is full")
            s.stop()
        with archive(tmp_path, "--archive-size", "8M") as s:
            s.wait_log("record: recording to")
            s.stop()
            assert "more than fits" not in s.log
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=False)


def test_folder_gone_and_back(tmp_path):
    folder = tmp_path / "card"
    folder.mkdir()
    with archive(folder, "--segment-time", "1h") as s:
        s.wait_log("record: recording to")
        folder.rename(tmp_path / "away")
        shutil.rmtree(tmp_path / "away")
        s.wait_log("recording pauses", 30)
        folder.mkdir()
        s.wait_log("recording goes on", 30)
        sent = s.stop()
    check_sums(sent)
    path, = segments(folder)
    assert packets(path)[0][1] and decodes_cleanly(path)[0]


def test_a_folder_that_is_not_there(tmp_path):
    for args, status, why in ((["--archive", tmp_path / "no"], 1, f"folder '{tmp_path}/no'"),
                              (["--archive", ""], 2, "is not a folder"),
                              (["--archive", tmp_path, "--archive-size", "1M"], 2, "less than 4M")):
        p = Program(SENDER, "--source", "test", *args)
        assert p.end()[0] == status and p.log.count(why) == 1, p.log


# ---- memory ----

def dump_of(program, count=1):
    program.send_signal(signal.SIGUSR1)
    path = program.wait_log(r"memory is being written to '(.*)'", count=count)
    program.wait_log(r"dumped \d+ frames", count=count)
    return path


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_memory_is_dumped_while_it_goes_on(tmp_path, codec):
    with Program(SENDER, "--source", "test", *SMALL, "--name", "cam", "--codec", codec, "--archive-ram", "1M", "--fps", 60,
                 "--bitrate", "8M", "--stats-interval", "100ms", cwd=tmp_path) as s:
        s.wait_log(r"encoded [1-9]\d\d", 30)  # twice what it holds
        first = tmp_path / dump_of(s)
        seen = numbers([first])
        second = tmp_path / dump_of(s, 2)
        sent = s.stop()
    check_sums(sent)
    assert packets(first)[0][1] and "moof" not in top_boxes(first)
    assert decodes_cleanly(first)[0] and decodes_cleanly(second)[0]
    assert_no_hole(seen, sent)
    assert len(seen) > 10 and seen[0] > 1, "the oldest are gone, the newest are there"
    assert first.stat().st_size <= (1 << 20) + 16384, "payload and its index"
    ram = sent["outputs"][0]["ram"]
    assert ram["dumps"] == 2 and 0 < ram["bytes"] <= 1 << 20 and ram["seconds"] > 0


def test_dumps_are_beside_the_segments_and_stay(tmp_path):
    with archive(tmp_path, "--archive-size", "4M", "--bitrate", "8M", "--archive-ram", "500k") as s:
        s.wait_log("record: recording to")
        path = tmp_path / dump_of(s).rsplit("/", 1)[1]
        os.utime(path, (1, 1))
        s.wait_log("had to go", 60)
        s.stop()
    assert path.name.startswith("cam-ram-") and decodes_cleanly(path)[0]


def test_sigusr1_without_memory(tmp_path):
    with archive(tmp_path) as s:
        s.wait_log("record: recording to")
        s.send_signal(signal.SIGUSR1)
        s.wait_log("SIGUSR1: nothing is held in memory")
        s.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_dump_onto_a_full_disk(tmp_path):
    """It fails, says so, leaves nothing behind; the next one, with space, is whole."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        with Program(SENDER, "--source", "test", *SMALL, "--name", "cam", "--archive-ram", "2M", "--stats-interval",
                     "100ms", cwd=tmp_path) as s:
            s.wait_log(r"captured [3-9]\d", 30)
            ballast = tmp_path / "ballast"
            with open(ballast, "wb", buffering=0) as f, pytest.raises(OSError):
                while True:
                    f.write(bytes(65536))
            for i in range(1, 4):
                s.send_signal(signal.SIGUSR1)
                s.wait_log(r"the dump of \d+ frames failed: .*No space left", count=i)
            assert [p.name for p in tmp_path.iterdir()] == ["ballast"]
            ballast.unlink()
            path = tmp_path / dump_of(s)
            sent = s.stop()
        assert decodes_cleanly(path)[0] and sent["outputs"][0]["ram"]["dumps"] == 1
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=False)


def test_memory_stays_bounded(tmp_path):
    """What is let go of comes back to the pool: no growth once memory is full."""
    with Program(SENDER, "--source", "test", "--width", 640, "--height", 480, "--fps", 120, "--codec", "mjpeg",
                 "--archive-ram", "8M", "--stats-interval", "100ms", cwd=tmp_path) as s:
        s.wait_log(r"captured [2-9]\d\d", 30)
        before = s.rss_kb()
        s.wait_log(r"captured [6-9]\d\d", 60)
        assert s.rss_kb() < before + 4096
        s.stop()
