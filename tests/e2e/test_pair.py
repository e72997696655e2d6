# SPDX-License-Identifier: MIT
"""The main job: test source → H.264 or JPEG → TCP → MP4, and everything adds up."""
import signal

import pytest
from pcs import (check_sums, decodes_cleanly, markers, packets, probe, receiver, sender, top_boxes)


@pytest.mark.parametrize("codec,name", [("h264", "h264"), ("mjpeg", "mjpeg")])
def test_every_frame_is_in_the_file_with_its_time(tmp_path, codec, name):
    out = tmp_path / "out.mp4"
    with receiver(out, "--once") as r, \
            sender(r.port, "--codec", codec, "--width", 640, "--height", 360, "--fps", 30,
                   "--frames", 90, "--name", "cam") as s:
        status, sent = s.end(20)
        assert status == 0, s.log
        status, got = r.end(10)
        assert status == 0, r.log
    check_sums(sent, got)
    stream, = got["streams"]
    assert stream["name"] == "cam"
    assert stream["files"] == [str(out)]
    assert sent["captured"] == 90 and sent["outputs"][0]["acked"] == sent["encoded"]
    assert stream["received"] == stream["written"] == sent["encoded"]
    info = probe(out)
    assert info["codec_name"] == name
    assert int(info["nb_read_packets"]) == stream["written"]
    clean, why = decodes_cleanly(out)
    assert clean, why
    # the pixels' own numbers and times agree with the file's
    seen = markers(out)
    assert None not in seen
    numbers = [n for n, _ in seen]
    assert numbers == sorted(set(numbers)) and len(numbers) == stream["written"]
    times = [t for _, t in seen]
    pts = [p for p, _ in packets(out)]
    for p, t in zip(pts, times):
        assert abs((p - pts[0]) - (t - times[0]) / 1e6) < 0.0002
    # plain, with the index in front
    boxes = top_boxes(out)
    assert "moof" not in boxes and boxes.index("moov") < boxes.index("mdat")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_growing_file_plays(tmp_path):
    out = tmp_path / "out.mp4"
    with receiver(out, "--sync", "200ms") as r, \
            sender(r.port, "--width", 320, "--height", 240, "--fps", 30) as s:
        from pcs import wait_for
        wait_for(lambda: out.exists() and top_boxes(out).count("moof") >= 3, "three fragments")
        clean, why = decodes_cleanly(out)
        assert clean, why
        assert int(probe(out)["nb_read_packets"]) > 3
        s.stop()
        r.stop()


def test_several_senders_each_in_its_own_file(tmp_path):
    with receiver(tmp_path / "%n-%s.mp4") as r:
        senders = [sender(r.port, "--width", 160, "--height", 120, "--frames", 30, "--name", f"cam{i % 2}")
                   for i in range(3)]
        sent = [s.end(20)[1] for s in senders]
        got = r.stop()
    files = [f for s in got["streams"] for f in s["files"]]
    assert len(files) == len(set(files)) == 3
    for s in got["streams"]:
        assert s["received"] == s["written"]
        assert int(probe(s["files"][0])["nb_read_packets"]) == s["written"]
    assert sorted(s["encoded"] for s in sent) == sorted(s["received"] for s in got["streams"])


def test_one_name_never_overwrites_another(tmp_path):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"somebody else's")
    with receiver(out, "--once") as r, \
            sender(r.port, "--width", 160, "--height", 120, "--frames", 10) as s:
        status, sent = s.end()
        assert status == 0
        _, got = r.end()
    assert out.read_bytes() == b"somebody else's"
    assert got["streams"][0]["files"] != [str(out)]
    assert int(probe(got["streams"][0]["files"][0])["nb_read_packets"]) == sent["encoded"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_stop_cleanly(tmp_path, number):
    out = tmp_path / "out.mp4"
    with receiver(out) as r, sender(r.port, "--width", 320, "--height", 240) as s:
        r.wait_log("connected: ")
        from pcs import wait_for
        wait_for(lambda: out.exists() and out.stat().st_size > 20000, "a file that grows")
        sent = s.stop(number, 2)
        got = r.stop(number, 2)
    check_sums(sent, got)
    assert int(probe(out)["nb_read_packets"]) == got["streams"][0]["written"]
    assert sent["outputs"][0]["sent"] == got["streams"][0]["written"]
