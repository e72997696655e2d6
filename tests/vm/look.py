#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""On the host, after a guest: are its recordings and summaries what the case expects?

    look.py FOLDER

FOLDER/expect has a line for each recording: its name, then KEY=VALUE:
    codec=h264|mjpeg   size=WxH
    pictures=all|N     as many as its sender says it sent (all, also when not named), or at least N
    bars=color|grey    vivid's colour bars, in the colours that they have
    copied=CLIP        every frame is one of CLIP's, byte for byte, in the clip's order
    lost=no            nothing may be missing on the way
Every FOLDER/NAME.json of a sender is added up, and held against the receiver's. Prints a line for each check.
"""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

# 75 % colour bars from left to right, as R'G'B' of 0..255 (ITU-R BT.801, 75/0/75/0 with a 75 % white bar)
BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191),
        (0, 0, 0)]
# What ffmpeg says of every full-range JPEG, and of every grey one, its own too.
HARMLESS = ("deprecated pixel format", "EOI missing, emulating")
TOLERANCE = 14  # of 255: twice subsampled, compressed


def report(good, text):
    print(("ok    " if good else "FAIL  ") + text, flush=True)


def read_json(path):
    text = path.read_text()
    if text.count("\n") != 1:
        raise ValueError(f"not one line: {text!r}")
    return json.loads(text)


def probe(path):
    done = subprocess.run(["ffprobe", "-v", "error", "-count_packets", "-select_streams", "v:0", "-show_entries",
                           "stream=codec_name,width,height,nb_read_packets", "-of", "json", path],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["streams"][0]


def decode(path, pixels):
    """All pictures of a file as one array, with what the decoder complained about."""
    info = probe(path)
    done = subprocess.run(["ffmpeg", "-v", "warning", "-i", path, "-fps_mode", "passthrough", "-enc_time_base",
                           "1/90000", "-f", "rawvideo", "-pix_fmt", pixels, "-"], capture_output=True, check=True)
    complaints = [l for l in done.stderr.decode().splitlines() if not any(h in l for h in HARMLESS)]
    shape = (-1, info["height"], info["width"], 3)
    return np.frombuffer(done.stdout, np.uint8).reshape(shape), complaints


def mean_bars(picture):
    """The colour in the middle of each of eight bars, from a band where vivid writes no text."""
    height, width, _ = picture.shape
    band = picture[height * 6 // 10:height * 9 // 10]
    step = width / 8
    return [band[:, int((i + 0.35) * step):int((i + 0.65) * step)].mean(axis=(0, 1)) for i in range(8)]


def check_bars(path, kind):
    pictures, complaints = decode(path, "rgb24")
    if complaints:
        return complaints[0]
    for colour, wanted in zip(mean_bars(pictures[-1]), BARS):
        if kind == "grey":
            luma = float(np.dot(wanted, (0.299, 0.587, 0.114)))
            wanted = (luma, luma, luma)
        if max(abs(colour - wanted)) > TOLERANCE:
            return f"colour {colour.round().astype(int).tolist()} in place of {[round(w) for w in wanted]}"
    return None


def frames_of(path):
    """The hash of each packet; of H.264 without parameter sets, which move between file and stream."""
    pictures_only = "h264_mp4toannexb,filter_units=pass_types=1-5" if probe(path)["codec_name"] == "h264" else "null"
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-c", "copy", "-bsf:v",
                           pictures_only, "-f", "framehash", "-hash", "md5", "-"], capture_output=True, text=True,
                          check=True)
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if line and line[0] != "#"]


def check_copied(path, clip):
    source, got = frames_of(clip), frames_of(path)
    last = None
    for number, frame in enumerate(got):
        if frame not in source:
            return f"frame {number} of {len(got)} is none of the clip's"
        at = source.index(frame)
        if last is not None and at == last and source.count(frame) == 1:
            return f"frame {number} is there twice"
        last = at
    return None if got else "it is empty"


def check_recording(folder, name, wanted, sent):
    path = folder / f"{name}.mp4"
    if not path.exists():
        report(False, f"{name}: there is no recording")
        return
    info = probe(path)
    packets = int(info["nb_read_packets"])
    faults = []
    if wanted.get("codec", info["codec_name"]) != info["codec_name"]:
        faults.append(f"codec {info['codec_name']}")
    size = f"{info['width']}x{info['height']}"
    if wanted.get("size", size) != size:
        faults.append(f"size {size}")
    count = wanted.get("pictures", "all")
    if packets != sent if count == "all" else packets < int(count):
        faults.append(f"{packets} pictures, {sent} were sent")
    if "bars" in wanted:
        faults.append(check_bars(path, wanted["bars"]))
    if "copied" in wanted:
        faults.append(check_copied(path, folder / wanted["copied"]))
    faults = [f for f in faults if f]
    report(not faults, f"{name}: the recording ({size} {info['codec_name']}, {packets} pictures)" +
           "".join(": " + f for f in faults))


def check_sums(name, sender, streams):
    faults = []
    if sender["captured"] != sender["encoded"] + sender["dropped"]:
        faults.append("captured is not encoded + dropped")
    for output in sender["outputs"]:
        if sender["encoded"] != output["sent"] + output["dropped"]:
            faults.append("encoded is not sent + dropped")
    sent = sum(output["sent"] for output in sender["outputs"])
    received = sum(s["received"] + s["lost"] for s in streams if s["name"] == name)
    if received != sent:
        faults.append(f"sent {sent}, received and lost {received}")
    lost = sum(s["lost"] for s in streams if s["name"] == name)
    if lost:
        faults.append(f"{lost} lost on the way")
    report(not faults, f"{name}: the sums ({sender['captured']} captured, {sent} sent)" +
           "".join(": " + f for f in faults))
    return sent


def main():
    folder = Path(sys.argv[1])
    streams = read_json(folder / "receiver.json")["streams"]
    sent = {}
    for path in sorted(folder.glob("*.json")):
        if path.stem == "receiver":
            continue
        try:
            sent[path.stem] = check_sums(path.stem, read_json(path), streams)
        except (ValueError, KeyError) as error:
            report(False, f"{path.stem}: the summary: {error}")
    for line in (folder / "expect").read_text().splitlines():
        name, *pairs = line.split()
        check_recording(folder, name, dict(p.split("=", 1) for p in pairs), sent.get(name, 0))


main()
