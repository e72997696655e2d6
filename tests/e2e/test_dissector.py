# SPDX-License-Identifier: MIT
"""docs/pcsw.lua against tests/data/wire: tshark shows every field of every golden message, however TCP cut
it up, and answers nonsense with expert infos, never with a Lua error."""
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LUA = ROOT / "docs" / "pcsw.lua"
DATA = ROOT / "tests" / "data" / "wire"
TEXTS = {"pcsw.name", "pcsw.software", "pcsw.error.text"}
SENDER, RECEIVER = ">", "<"
CLIENT = 54321  # a port that no dissector of any Wireshark claims


class Message:
    def __init__(self, side):
        self.side, self.bytes, self.fields = side, b"", []

    def add_line(self, line):
        data, _, comment = line.partition("#")
        self.bytes += bytes.fromhex(data)
        for match in re.finditer(r"(pcsw\.[\w.]+) = ", comment):
            value = comment[match.end():].rstrip("\n")
            if match[1] not in TEXTS:
                value = value.split(",")[0].strip()
            self.fields.append((match[1], value))


def load(path):
    messages = []
    for line in path.read_text().splitlines():
        if line[:1] in (SENDER, RECEIVER):
            messages.append(Message(line[0]))
        elif line.strip() and not line.startswith("#"):
            messages[-1].add_line(line)
    return messages


def golden():
    """Every file, the sessions last; as one conversation."""
    paths = sorted(DATA.glob("*.hex"))
    assert len(paths) > 10
    return [message for path in paths for message in load(path)]


# ---- a capture file, as the pcap format and RFC 791 and 9293 have it ----

def packet(side, seq, payload, port):
    ports = (CLIENT, port) if side == SENDER else (port, CLIENT)
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, 1, 5 << 4, 0x18, 65535, 0, 0)
    hosts = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
    source, target = hosts if side == SENDER else hosts[::-1]
    length = 20 + len(tcp) + len(payload)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, 6, 0) + source + target
    return ip + tcp + payload


def write_pcap(path, segments, port=5000, snap=65535):
    seq = {SENDER: 1, RECEIVER: 1}
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, snap, 228))
        for i, (side, payload) in enumerate(segments):
            raw = packet(side, seq[side], payload, port)
            out.write(struct.pack("<IIII", 1767225600 + i, 0, min(len(raw), snap), len(raw)))
            out.write(raw[:snap])
            seq[side] += len(payload)


def runs(messages):
    """What one side says before the other answers, as one piece."""
    pieces = []
    for message in messages:
        if pieces and pieces[-1][0] == message.side:
            pieces[-1] = (message.side, pieces[-1][1] + message.bytes)
        else:
            pieces.append((message.side, message.bytes))
    return pieces


def cut(pieces, size):
    """`size` gives the length of the next segment."""
    for side, data in pieces:
        while data:
            n = size()
            yield side, data[:n]
            data = data[n:]


@pytest.fixture(autouse=True, scope="module")
def readable_script():
    """Wireshark 4.4 ignores scripts when it runs as root, without a word: root's tests run it as nobody, who
    may not be allowed to look into this tree."""
    global script
    with tempfile.TemporaryDirectory(prefix="pcsw-") as folder:
        os.chmod(folder, 0o755)
        script = shutil.copy(LUA, folder)
        os.chmod(script, 0o644)
        yield


def tshark(pcap, *args):
    someone = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with open(pcap, "rb") as capture:
        done = subprocess.run(["tshark", "-n", "-X", f"lua_script:{script}", "-r", "-", *args],
                              stdin=capture, capture_output=True, timeout=120, cwd="/",
                              env={**os.environ, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}, **someone)
    errors = done.stderr.decode()
    assert done.returncode == 0, errors
    assert "lua" not in errors.lower(), errors
    return done.stdout.decode()


DECODE = ("-d", "tcp.port==5000,pcsw")
TRUTH = {"True": "1", "False": "0"}  # booleans since Wireshark 4.2


def show_fields(pcap, names, *args):
    """For each packet a dictionary of lists of values."""
    wanted = [part for name in names for part in ("-e", name)]
    out = tshark(pcap, *args, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|", *wanted)
    rows = []
    for line in out.splitlines():
        cells = line.split("\t")
        rows.append({name: [TRUTH.get(v, v) for v in cell.split("|")] if cell else []
                     for name, cell in zip(names, cells, strict=True)})
    return rows


def check_fields(pcap, messages, *args):
    """Over the whole capture, each field has the values that stand in the golden files, in order."""
    expected = {}
    for message in messages:
        for name, value in message.fields:
            expected.setdefault(name, []).append(value)
    assert len(expected) > 30
    rows = show_fields(pcap, list(expected), *args)
    for name, values in expected.items():
        assert [value for row in rows for value in row[name]] == values, name


def experts(pcap, *args):
    return [row["_ws.expert.message"] for row in show_fields(pcap, ["_ws.expert.message"], *args)]


def segment_sizes(kind):
    choose = random.Random(kind)
    return {"whole": lambda: 1 << 20, "byte": lambda: 1, "seven": lambda: 7, "head": lambda: 40,
            "random": lambda: choose.randint(1, 90)}[kind]


@pytest.mark.parametrize("kind", ["whole", "byte", "seven", "head", "random"])
def test_every_field_is_shown_however_tcp_cuts(tmp_path, kind):
    messages = golden()
    pcap = tmp_path / "cut.pcap"
    write_pcap(pcap, cut(runs(messages), segment_sizes(kind)))
    check_fields(pcap, messages, *DECODE)


def test_a_session_has_nothing_to_complain_about(tmp_path):
    pcap = tmp_path / "session.pcap"
    write_pcap(pcap, runs(load(DATA / "session.hex")))
    assert sum(experts(pcap, *DECODE), []) == []
    text = tshark(pcap, *DECODE)
    for words in ('HELLO "garden" H.264 640x480, frames 1 to 2', 'WELCOME "nvr" from 0 (key frame)',
                  "FRAME 1 (key, rewound), 23 bytes", "ACK on disk 2, received 4", "KEY;",
                  "FORMAT H.264 1280x720", "REPLAY from 4 (key frame)", "FRAME 5 (key, again)",
                  "BYE last frame 5"):
        assert words in text, words
    assert "Lua Error" not in tshark(pcap, *DECODE, "-V")


def test_generated_fields(tmp_path):
    pcap = tmp_path / "generated.pcap"
    write_pcap(pcap, runs(load(DATA / "hello.hex") + load(DATA / "frame.hex")))
    rows = show_fields(pcap, ["pcsw.wall", "pcsw.size"], *DECODE)
    assert "Jan  1, 2026 00:00:00.123456000" in rows[0]["pcsw.wall"][0] or \
        "2026-01-01T00:00:00.123456000" in rows[0]["pcsw.wall"][0]
    assert rows[0]["pcsw.size"] == ["23"]


def test_other_ports_are_recognised_by_the_first_message(tmp_path):
    messages = load(DATA / "session.hex")
    pcap = tmp_path / "heuristic.pcap"
    write_pcap(pcap, runs(messages), port=40123)
    rows = show_fields(pcap, ["pcsw.type"])
    assert [v for row in rows for v in row["pcsw.type"]] == [str(m.bytes[4]) for m in messages]


def test_the_usual_port_needs_no_option(tmp_path):
    messages = load(DATA / "session.hex")[3:]  # begins in the middle: nothing to recognise
    pcap = tmp_path / "usual.pcap"
    write_pcap(pcap, runs(messages))
    assert sum(len(row["pcsw.type"]) for row in show_fields(pcap, ["pcsw.type"])) == len(messages)


def test_the_ports_are_a_preference(tmp_path):
    messages = load(DATA / "session.hex")[3:]
    pcap = tmp_path / "ports.pcap"
    write_pcap(pcap, runs(messages), port=6000)
    assert not any(row["pcsw.type"] for row in show_fields(pcap, ["pcsw.type"]))
    rows = show_fields(pcap, ["pcsw.type"], "-o", "pcsw.ports:5000,6000-6001")
    assert sum(len(row["pcsw.type"]) for row in rows) == len(messages)


def with_length(body):
    return struct.pack(">I", len(body)) + body


def complaints(tmp_path, payloads, *args):
    pcap = tmp_path / "bad.pcap"
    write_pcap(pcap, [(SENDER, payload) for payload in payloads])
    assert "Lua Error" not in tshark(pcap, *args, "-V")
    found = experts(pcap, *args)
    assert len(found) == len(payloads)
    return found


def test_messages_cut_short_are_malformed(tmp_path):
    payloads = []
    for path in DATA.glob("*.hex"):
        message = load(path)[0]
        fixed = 40 if message.bytes[4] == 3 else len(message.bytes)  # a FRAME's payload may be shorter
        if path.stem not in ("session", "refused", "key"):
            payloads += [with_length(message.bytes[4:n]) for n in range(5, fixed)]
    assert len(payloads) > 200
    for payload, found in zip(payloads, complaints(tmp_path, payloads, *DECODE), strict=True):
        assert any("ends before its fields" in text for text in found), payload.hex()


def changed(name, at, value):
    raw = load(DATA / f"{name}.hex")[0].bytes
    return raw[:at] + value + raw[at + len(value):]


FAR = b"\x7f" + bytes(7)


@pytest.mark.parametrize("payload, want", [
    (bytes(4) + b"\x09", "Length is zero"),
    (b"\xff\xff\xff\xff\x03" + bytes(60), "beyond the limit"),
    (b"\x00\x00\x01\xfd\x09" + bytes(60), "beyond the limit"),
    (b"\x02\x00\x00\x25\x03" + bytes(60), "beyond the limit"),
    (b"GET / HTTP/1.1\r\n\r\n", "beyond the limit"),
    (with_length(b"\x00"), "Unknown message type"),
    (with_length(b"\x0c" + bytes(20)), "Unknown message type"),
    (with_length(b"\x03" + bytes(35)), "Length is zero"),
    (changed("hello", 5, b"PCSX"), "not PCSW"),
    (changed("welcome", 9, b"\x00\x02"), "Another version"),
    (changed("frame", 8, bytes(8)), "out of range"),
    (changed("frame", 8, FAR), "out of range"),
    (changed("frame", 16, FAR), "out of range"),
    (changed("format", 5, b"\x07"), "out of range"),
    (changed("format", 9, b"\x00\x00"), "out of range"),
    (changed("format", 11, b"\x20\x01"), "out of range"),
    (changed("bye", 5, bytes(8)), "out of range"),
    (changed("pong", 21, b"\xff" * 8), "out of range"),
    (with_length(load(DATA / "ack.hex")[0].bytes[4:] + b"more"), "later version"),
    (load(DATA / "error.hex")[0].bytes, "gave up"),
], ids=lambda value: value.hex()[:24] if isinstance(value, bytes) else "")
def test_nonsense_is_named(tmp_path, payload, want):
    found = complaints(tmp_path, [payload], *DECODE)[0]
    assert any(want in text for text in found), found


def test_what_the_capture_lacks_is_said(tmp_path):
    frame = load(DATA / "frame.hex")[0].bytes
    pcap = tmp_path / "snapped.pcap"
    write_pcap(pcap, [(SENDER, frame)], snap=40 + 50)
    assert any("not complete" in text for text in experts(pcap, *DECODE)[0])
    found = complaints(tmp_path, [frame[:30], frame[30:]], *DECODE, "-o",
                       "tcp.desegment_tcp_streams:FALSE")
    assert any("not complete" in text for text in found[0])


def test_noise_does_no_harm(tmp_path):
    choose = random.Random(1)
    payloads = []
    for _ in range(400):
        raw = bytearray(choose.choice(golden()).bytes)
        for _ in range(choose.randint(1, 4)):
            raw[choose.randrange(len(raw))] = choose.randrange(256)
        payloads.append(bytes(raw))
    for args in (DECODE, (*DECODE, "-o", "tcp.desegment_tcp_streams:FALSE")):
        pcap = tmp_path / "noise.pcap"
        write_pcap(pcap, [(SENDER, payload) for payload in payloads])
        assert "Lua Error" not in tshark(pcap, *args, "-V")


def test_the_documents_example_is_golden():
    example = (ROOT / "docs" / "protocol.md").read_text().split("```hex\n")[1].split("```")[0]
    assert example == (DATA / "frame.hex").read_text()


def field_offsets(name):
    """Where each field of a golden message begins, by the last part of its name."""
    at, offsets = 0, {}
    for line in (DATA / f"{name}.hex").read_text().splitlines():
        data, _, comment = line.partition("#")
        if data[:1] in (SENDER, RECEIVER) or not data.strip():
            continue
        for field in re.findall(r"pcsw\.(?:\w+\.)?(\w+) = ", comment):
            offsets.setdefault(field, at)
        at += len(bytes.fromhex(data))
    text = offsets.get("text_length")  # the tables name a text where its length stands
    return {**offsets, "name": text, "text": text, "format": offsets.get("codec")}


@pytest.mark.parametrize("name", ["hello", "welcome", "frame", "format", "bye", "ack", "replay", "error"])
def test_the_documents_tables_fit_the_golden_bytes(name):
    text = (ROOT / "docs" / "protocol.md").read_text()
    raw, offsets = load(DATA / f"{name}.hex")[0].bytes, field_offsets(name)
    section = re.split(rf"### 4\.\d+ {name.upper()} ", text)[1].split("###")[0]
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| (\w+) \| ([^|]*) \|", section, re.M)
    assert len(rows) >= 3
    for offset, _, field, meaning in rows:
        assert offsets[field] == int(offset), field
        if field == "length" and meaning.isdigit():
            assert len(raw) - 4 == int(meaning)
    ends = [int(offset) + int(size) for offset, size, _, _ in rows if size.isdigit()]
    total = re.search(rf"^\| {raw[4]} \| {name.upper()} .* \| (\d+)(?: … (\d+))? \|$", text, re.M)
    least, most = int(total[1]), int(total[2] or total[1])
    assert least <= len(raw) <= most
    texts = len(re.findall(r"\| 1 \+ [nm] \|", section))
    assert least == max(ends) + texts + (1 if name == "frame" else 0)


@pytest.mark.parametrize("name", ["ping", "pong", "key"])
def test_the_documents_totals_are_right(name):
    text = (ROOT / "docs" / "protocol.md").read_text()
    raw = load(DATA / f"{name}.hex")[0].bytes
    assert re.search(rf"^\| {raw[4]} \| {name.upper()} .* \| {len(raw)} \|$", text, re.M)
