# SPDX-License-Identifier: MIT
"""What the tests of the live page share: a camera's program, and what a person sees and does."""
import json
import os
import re
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import chrome  # noqa: E402
import pcs  # noqa: E402

SHOTS = os.environ.get("PCS_SCREENSHOTS")
SPY = (HERE / "spy.js").read_text()
SMALL = ("--width", 320, "--height", 180)
FAKE_CAMERA = ("--device", "/dev/video-fake")


def serving(*args, port=0, env=None):
    """A sender with a page, and .url, the page's address."""
    source = [] if "--device" in args else ["--source", "test"]
    p = pcs.Program(pcs.SENDER, *source, "--http-port", port, *args, env=env)
    p.url = p.wait_log(r"(https?://\S+)")
    return p


def ask(url):
    """The JSON that is there."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def setting(url, name):
    return next(s["value"] for s in ask(url + "api/v1/settings")["settings"] if s["name"] == name)


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def ages(page):
    """How old each picture was when it was shown, in ms: by its own marker and this machine's clocks."""
    monotonic_to_wall = time.time() - time.monotonic()
    return [m["at"] - (m["capture"] / 1000 + monotonic_to_wall * 1000) for m in page.js("window.seen")]


def text(page, name):
    return page.js(f"document.getElementById('{name}')?.textContent ?? ''")


def figure(page, name):
    return float(re.search(r"[\d.]+|$", text(page, name))[0] or "nan")


def collect(page, seconds):
    """What was shown during that time, and what the page said of it: [(when, age)], [(when, figure)]."""
    page.js("window.said = []; window.seen.length = 0;"
            "new MutationObserver(() => said.push([trueOrigin + performance.now(), parseFloat(latency.textContent)]))"
            ".observe(latency, { childList: true })")
    wanted = seconds * 30
    pcs.wait_for(lambda: len(page.js("window.seen")) >= wanted * 0.7 and len(page.js("said")) >= seconds - 1,
                 f"{seconds} s of pictures", seconds * 4)
    said = [(at, figure) for at, figure in page.js("said") if figure]
    return [(m["at"], age) for m, age in zip(page.js("window.seen"), ages(page))], said


def mistakes(shown, said):
    """By how much each figure differs from the median age of what was shown in the second before."""
    for when, figure in said:
        of_then = [age for at, age in shown if when - 1000 < at <= when]
        if len(of_then) > 10:
            yield abs(figure - statistics.median(of_then))


def shoot(page, name):
    if SHOTS:
        os.makedirs(SHOTS, exist_ok=True)
        page.screenshot(os.path.join(SHOTS, f"{name}.png"))


def check_age(page, player):
    """Watch for 6 s: nothing goes back, and what the page says is true. How old the picture is, in ms."""
    shown, said = collect(page, 6)
    numbers = [m["number"] for m in page.js("window.seen")]
    assert numbers == sorted(set(numbers)), "the picture went back"
    ranked = sorted(age for _, age in shown)
    age, mistake = statistics.median(ranked), statistics.median(mistakes(shown, said))
    print(f"{player}: age p50 {age:.1f} p95 {ranked[int(len(ranked) * 0.95)]:.1f} ms, the page is wrong by "
          f"{mistake:.1f} ms, {len(numbers)} of {numbers[-1] - numbers[0] + 1} frames, {figure(page, 'fps')} fps")
    assert mistake <= 10 * pcs.SLOW, f"the page is wrong by {mistake:.1f} ms: {said}"
    return age


def turn(page, name, value):
    """Do to an input what a person does."""
    page.js(f"""(() => {{ const e = document.getElementById('field-{name}'); e.focus(); e.value = {value};
            for (const t of ['input', 'change']) e.dispatchEvent(new Event(t, {{ bubbles: true }})); }})()""")


def player_of(page):
    return page.js("document.documentElement.dataset.player")
