#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""On the host, after a guest: are its recordings and summaries what the case expects?

    look.py FOLDER

FOLDER/expect has a line for each recording: its name, then KEY=VALUE:
    codec=h264|mjpeg
    size=WxH           and +WxH for each further file, which begins where size or format change
    bars=color|grey    vivid's colour bars, in the colours that they have, or the greys it makes of them (BT.709)
    copied=CLIP        every frame is one of CLIP's, byte for byte, in the clip's order, few left out, none twice
    skipped=yes        the sender left out some on purpose
    latency=MS         95 % arrived within that time
All that was sent must be in the files. Every FOLDER/NAME.json of a sender is added up, and held against the receiver's. Without
a receiver.json every recording just has to play. Prints a line for each check.
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
HARMLESS = ("deprecated pixel format", "EOI missing, emulating", "Last message repeated")
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
            luma = float(np.dot(wanted, (0.2126, 0.7152, 0.0722)))
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
    """uvcvideo finishes buffers on several processors at once, so neighbours may have changed places."""
    source, got = frames_of(clip), frames_of(path)
    last = None
    for number, frame in enumerate(got):
        if frame not in source:
            return f"frame {number} of {len(got)} is none of the clip's"
        at = source.index(frame)
        step = 1 if last is None else (at - last + 2) % len(source) - 2
        if step == 0 or step > 10:
            return f"frame {number} is the clip's {at}, after {last}"
        last = at
    return None if got else "it is empty"


def check_way(wanted, sender, stream):
    skipped = sum(output["dropped"] for output in sender["outputs"])
    if wanted.get("skipped", "no") != ("yes" if skipped else "no"):
        yield f"{skipped} were left out"
    p95 = stream["latency_ms"]["p95"]
    if p95 > float(wanted.get("latency", "inf")):
        yield f"latency {p95:.0f} ms"


def check_recording(folder, name, wanted, sender, stream):
    """The files that the receiver says it wrote: one, or several after a break or a change of the picture."""
    paths = [folder / Path(file).name for file in stream["files"]]
    if not paths or not all(path.exists() for path in paths):
        report(False, f"{name}: there is no recording")
        return
    infos = [probe(path) for path in paths]
    packets = sum(int(info["nb_read_packets"]) for info in infos)
    sent = sum(output["sent"] for output in sender["outputs"])
    codec, sizes = infos[0]["codec_name"], "+".join(f"{info['width']}x{info['height']}" for info in infos)
    faults = list(check_way(wanted, sender, stream))
    if wanted.get("codec", codec) != codec:
        faults.append("the codec")
    if wanted.get("size", sizes) != sizes:
        faults.append("the size")
    if packets != sent:
        faults.append(f"{sent} were sent")
    if "bars" in wanted:
        faults.append(check_bars(paths[-1], wanted["bars"]))
    if "copied" in wanted:
        faults.append(check_copied(paths[0], folder / wanted["copied"]))
    faults = [f for f in faults if f]
    report(not faults, f"{name}: the recording ({sizes} {codec}, {packets} pictures)" +
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


def check_playable(folder):
    for path in sorted(folder.glob("*.mp4")):
        pictures, complaints = decode(path, "rgb24")
        report(len(pictures) > 0 and not complaints, f"{path.name} plays: {len(pictures)} pictures" +
               "".join(": " + c for c in complaints[:1]))


def main():
    folder = Path(sys.argv[1])
    if not (folder / "receiver.json").exists():
        check_playable(folder)
        return
    streams = read_json(folder / "receiver.json")["streams"]
    senders = {}
    for path in sorted(folder.glob("*.json")):
        if path.stem == "receiver":
            continue
        try:
            senders[path.stem] = read_json(path)
            check_sums(path.stem, senders[path.stem], streams)
        except (ValueError, KeyError) as error:
            report(False, f"{path.stem}: the summary: {error}")
    for line in (folder / "expect").read_text().splitlines():
        name, *pairs = line.split()
        stream = next((s for s in streams if s["name"] == name), None)
        if name in senders and stream:
            check_recording(folder, name, dict(p.split("=", 1) for p in pairs), senders[name], stream)
        else:
            report(False, f"{name}: there is no summary")


main()
