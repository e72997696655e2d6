# SPDX-License-Identifier: MIT
"""The live page in a real browser: by each way of playing, the picture moves, is live, and is as old as the
page says."""
import os
import statistics
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import chrome  # noqa: E402
import pcs  # noqa: E402

SHOTS = os.environ.get("PCS_SCREENSHOTS")
SPY = (HERE / "spy.js").read_text()

pytestmark = pytest.mark.skipif(not chrome.CHROMIUM, reason="there is no chromium")


@pytest.fixture(scope="module")
def browser():
    with chrome.Chrome() as b:
        yield b


@pytest.fixture(scope="module")
def camera():
    """(program, its address)"""
    with pcs.Program(pcs.SENDER, "--source", "test", "--width", 640, "--height", 360, "--http-port", 0) as p:
        yield p, p.wait_log(r"(http://\S+)")


@pytest.fixture
def view(browser, camera):
    """Opens the page: view(player, …)."""
    pages = []

    def open_page(player="auto", url=None, **kw):
        page = browser.page(script=SPY, **kw)
        pages.append(page)
        page.open(f"{url or camera[1] + '?'}&player={player}")
        pcs.wait_for(lambda: len(page.js("window.seen ?? []")) > 30, f"a moving picture by {player}", 30)
        return page
    yield open_page
    for page in pages:
        page.close()


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


def figure(page, name):
    return float(page.js(f"document.getElementById('{name}').textContent.match(/[\\d.]+/)?.[0] ?? 'NaN'"))


def collect(page, seconds):
    """Medians over that time: (age of the picture by its marker, what the page says it is)."""
    page.js("window.said = []; window.seen.length = 0;"
            "new MutationObserver(() => said.push(parseFloat(latency.textContent.replace('≈ ', ''))))"
            ".observe(latency, { childList: true })")
    wanted = seconds * 30
    pcs.wait_for(lambda: len(page.js("window.seen")) >= wanted * 0.7 and len(page.js("said")) >= seconds - 1,
                 f"{seconds} s of pictures", seconds * 4)
    said = [v for v in page.js("said") if v == v]
    return ages(page), said


def shoot(page, name):
    if SHOTS:
        os.makedirs(SHOTS, exist_ok=True)
        page.screenshot(os.path.join(SHOTS, f"{name}.png"))


def check_age(page, player):
    """Watch for 6 s: nothing goes back, and what the page says is true. How old the picture is, in ms."""
    shown, said = collect(page, 6)
    numbers = [m["number"] for m in page.js("window.seen")]
    assert numbers == sorted(set(numbers)), "the picture went back"
    age, claim = statistics.median(shown), statistics.median(said)
    print(f"{player}: age p50 {age:.1f} p95 {sorted(shown)[int(len(shown) * 0.95)]:.1f} ms, page says "
          f"{claim:.0f} ms, {len(numbers)} of {numbers[-1] - numbers[0] + 1} frames, {figure(page, 'fps')} fps")
    assert abs(age - claim) <= 10 * pcs.SLOW, f"the picture is {age:.1f} ms old, the page says {claim:.1f}"
    return age


@pytest.mark.measures
@pytest.mark.parametrize("player", ["webcodecs", "mse", "mjpeg"])
def test_plays(view, camera, player):
    page = view(player)
    assert page.js("document.documentElement.dataset.player") == player
    for _ in range(4):  # a busy machine may hold the browser up: that it catches up again is what counts
        age = check_age(page, player)
        if age <= 200:
            break
    assert age <= 200 * pcs.SLOW, f"the picture is {age:.1f} ms old"
    assert figure(page, "fps") > 10
    assert figure(page, "bitrate") > 0
    assert page.js("document.getElementById('state').textContent") == "Live"
    assert "≈" not in page.js("latency.textContent"), "the camera's clock is not known"
    assert page.errors == []


@pytest.mark.parametrize("player", ["webcodecs", "mjpeg"])
def test_shows_its_token_everywhere(view, player):
    with pcs.Program(pcs.SENDER, "--source", "test", "--width", 320, "--height", 180, "--http-port", 0,
                     "--auth-token", "a+b&c d") as p:
        url = p.wait_log(r"(http://\S+)")
        assert status_of(url + "stream") == 401
        page = view(player, f"{url}?token={urllib.parse.quote('a+b&c d', safe='')}")
        assert page.js("fetch(document.querySelector('#licence').href).then(a => a.status)") == 200
        assert [e for e in page.errors if " 401 " in e] == []


@pytest.mark.parametrize("player", ["webcodecs", "mse", "mjpeg"])
def test_connects_again(view, player):
    args = (pcs.SENDER, "--source", "test", "--width", 320, "--height", 180, "--http-port")
    with pcs.Program(*args, 0) as first:
        url = first.wait_log(r"(http://\S+)")
        page = view(player, url + "?")
        first.stop()
    state = "document.getElementById('state').textContent"
    pcs.wait_for(lambda: page.js(state) == "No connection", "the page to notice")
    page.js("seen.length = 0")
    with pcs.Program(*args, urllib.parse.urlsplit(url).port):
        pcs.wait_for(lambda: page.js(state) == "Live" and len(page.js("seen")) > 10, "pictures again", 20)


def test_snapshot_is_saved(view, browser, tmp_path):
    page = view("webcodecs")
    browser.call("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.js("document.getElementById('snapshot').click()")
    file = pcs.wait_for(lambda: next(tmp_path.glob("*.jpg"), None), "the snapshot")
    assert file.read_bytes()[:3] == b"\xff\xd8\xff"


def turn(page, name, value):
    """Do to an input what a person does."""
    page.js(f"""(() => {{ const e = document.getElementById('field-{name}'); e.focus(); e.value = {value};
            for (const t of ['input', 'change']) e.dispatchEvent(new Event(t, {{ bubbles: true }})); }})()""")


def grey(page):
    """Mean of the emulated camera's band that takes the brightness."""
    return page.js("""(() => {
        const p = document.getElementById('picture'), c = document.createElement('canvas').getContext('2d');
        const [w, h] = [p.width ?? p.videoWidth, p.height ?? p.videoHeight];
        c.drawImage(p, 0, h * 0.89, w, h * 0.03, 0, 0, 100, 10);
        const d = c.getImageData(0, 0, 100, 10).data;
        return d.reduce((sum, v, i) => sum + (i % 4 === 1 ? v : 0), 0) / 1000; })()""")


@pytest.mark.skipif(not pcs.FAKE, reason="the emulated camera was not built")
def test_controls_change_the_picture(view, tmp_path):
    env = pcs.fake_camera(set=tmp_path / "set", formats="YUYV", sizes="640x480")
    with pcs.Program(pcs.SENDER, "--device", "/dev/video-fake", "--http-port", 0, env=env) as p:
        url = p.wait_log(r"(http://\S+)")
        page = view("webcodecs", url + "?")
        pcs.wait_for(lambda: page.js("!!document.getElementById('field-brightness')"), "the controls")
        before = grey(page)
        turn(page, "brightness", 228)
        pcs.wait_for(lambda: grey(page) > before + 50, "a brighter picture")
        page.key("ArrowRight")
        said = tmp_path / "set"
        pcs.wait_for(lambda: "Brightness=229" in said.read_text(), "the key to change it")
        # one control switches another on, and back to its default
        exposure = "document.getElementById('field-exposure_time_absolute')"
        assert page.js(f"{exposure}.disabled")
        turn(page, "auto_exposure", 1)
        pcs.wait_for(lambda: not page.js(f"{exposure}.disabled"), "the exposure to be free")
        page.js("document.getElementById('field-brightness').closest('.field').querySelector('.undo').click()")
        pcs.wait_for(lambda: abs(grey(page) - before) < 5, "the old picture")
        shoot(page, "controls")
        assert page.errors == []


def test_settings_change_the_stream(view):
    with pcs.Program(pcs.SENDER, "--source", "test", "--width", 640, "--height", 360, "--http-port", 0) as p:
        url = p.wait_log(r"(http://\S+)")
        page = view("webcodecs", url + "?")
        pcs.wait_for(lambda: figure(page, "bitrate") > 2, "4 Mbit/s")
        turn(page, "bitrate", 0.5)
        # in Mbit/s or, below 1, in kbit/s
        pcs.wait_for(lambda: "kbit" in page.js("bitrate.textContent") or figure(page, "bitrate") < 1.2, "0.5 Mbit/s")
        page.js("document.getElementById('field-bitrate').value = 99;"
                "document.getElementById('field-bitrate').dispatchEvent(new Event('change'))")
        assert page.errors == []


MODULES = {
    "h264.js": """
        const idr = new Uint8Array([0,0,0,1, 0x67,0x42,0xc0,0x1f,0xaa, 0,0,1, 0x68,1, 0,0,1, 0x65,9]);
        const delta = new Uint8Array([0,0,1, 0x41,0,0,3,1]);
        return [m.inspect(idr), m.inspect(delta), m.inspect(new Uint8Array([0,0,1])), m.inspect(new Uint8Array(0))]""",
    "clock.js": """
        const c = new m.CameraClock(), before = c.measured;
        for (const [trip, error] of [[80, 30], [2, 0.5], [40, -15]]) c.add(1000, 1000 + 5000 + trip / 2 + error, 1000 + trip);
        return [before, c.measured, c.at(100)]""",
    "cadence.js": """
        const c = new m.Cadence(), missed = [];
        for (const t of [0, 33, 67, 100, 133, 167, 200, 300, 333]) missed.push(c.add(1000 + t));
        return [Math.round(c.interval), missed]""",
    "player_mjpeg.js": """
        const got = [], p = new m.PartParser((head, body) => got.push([head['x-frame-number'], ...body]));
        const text = '--b\\r\\nContent-Length: 3\\r\\nX-Frame-Number: 1\\r\\n\\r\\nabc\\r\\n--b\\r\\n'
          + 'content-length:2\\r\\nX-Frame-Number: 2\\r\\n\\r\\nde\\r\\n--b';
        for (const byte of new TextEncoder().encode(text)) p.add(new Uint8Array([byte]));
        let refused = 0;
        for (const head of ['Content-Length: 99999999999', 'Content-Length: x', 'X: y'.repeat(2000)]) {
          try { new m.PartParser(() => {}).add(new TextEncoder().encode(head + '\\r\\n\\r\\nabc')); } catch { refused++; }
        }
        return [got, refused]""",
}
EXPECTED = {
    "h264.js": [{"key": True, "codec": "avc1.42c01f", "sps": "6742c01faa"}, {"key": False, "codec": "", "sps": ""},
                {"key": False, "codec": "", "sps": ""}, {"key": False, "codec": "", "sps": ""}],
    "clock.js": [False, True, 5100.5],
    "cadence.js": [33, [0, 0, 0, 0, 0, 0, 0, 2, 0]],
    "player_mjpeg.js": [[["1", 97, 98, 99], ["2", 100, 101]], 3],
}


@pytest.mark.parametrize("module", MODULES)
def test_module(browser, camera, module):
    page = browser.page()
    page.open(camera[1])
    pcs.wait_for(lambda: page.js("location.href") == camera[1], "the page")
    assert page.js(f"import('/web/{module}').then(m => {{ {MODULES[module]} }})") == EXPECTED[module]
    page.close()


def test_best_way_is_taken(view):
    page = view("auto")
    assert page.js("document.documentElement.dataset.player") == "webcodecs"


def test_asks_no_other_host(view, camera):
    page = view("mse")
    ours = urllib.parse.urlsplit(camera[1]).netloc
    hosts = {urllib.parse.urlsplit(u).netloc for u in page.requests if not u.startswith(("blob:", "data:", "about:"))}
    assert hosts == {ours}


@pytest.mark.measures
@pytest.mark.parametrize("away", [2, 6])  # while it still takes the stream, and after it has let go
@pytest.mark.parametrize("player", ["webcodecs", "mse", "mjpeg"])
def test_live_again_after_background(view, browser, player, away):
    page = view(player)
    other = browser.page()
    other.call("Page.bringToFront")
    pcs.wait_for(lambda: page.js("document.hidden"), "the page to be hidden")
    if away < 5:
        page.call("Page.setWebLifecycleState", {"state": "frozen"})  # as browsers do to save power
    time.sleep(away)  # the time to be away
    if away < 5:
        page.call("Page.setWebLifecycleState", {"state": "active"})
    back = time.time() * 1000
    page.call("Page.bringToFront")
    other.close()
    # at the latest one second later pictures are of now
    pcs.wait_for(lambda: sum(m["at"] > back + 1000 for m in page.js("window.seen")) > 10, "pictures when back")
    late = [a for a, m in zip(ages(page), page.js("window.seen")) if m["at"] > back + 1000]
    print(f"{player}, away {away} s: {late[0]:.0f} ms old")
    assert statistics.median(late) <= 200 * pcs.SLOW, f"{late[0]:.0f} ms behind"


@pytest.mark.parametrize("look", ["desk-light", "desk-dark", "phone-light", "phone-dark"])
def test_looks(view, look):
    phone, dark = look.startswith("phone"), look.endswith("dark")
    page = view("webcodecs", width=390 if phone else 1360, height=844 if phone else 900, phone=phone, dark=dark)
    page.js("window.count = 0; new MutationObserver(() => count++).observe(fps, { childList: true })")
    pcs.wait_for(lambda: page.js("count") >= 6, "figures")
    assert page.js("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    back = page.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(back) < 80) == dark
    shoot(page, look)


def test_keyboard_reaches_everything(view):
    page = view("webcodecs")
    wanted = set(page.js("[...document.querySelectorAll('button, select, input, a, summary, #stage')]"
                         ".filter(e => e.checkVisibility() && !e.disabled).map(e => e.id || e.name || e.tagName)"))
    reached = set()
    for _ in range(len(wanted) + 40):
        page.key("Tab")
        reached.add(page.js("document.activeElement.id || document.activeElement.name || document.activeElement.tagName"))
        if wanted <= reached:
            break
    assert wanted <= reached, wanted - reached
