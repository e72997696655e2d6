# SPDX-License-Identifier: MIT
"""The live page in a real browser: by each way of playing, the picture moves, is live, and is as old as the
page says; controls and settings; how it looks."""
import statistics
import time
import urllib.parse

import pytest
from lab import FAKE_CAMERA, ages, check_age, chrome, figure, pcs, player_of, serving, setting, shoot, text, turn

pytestmark = pytest.mark.skipif(not chrome.CHROMIUM, reason="there is no chromium")


@pytest.mark.measures
@pytest.mark.parametrize("player", ["webcodecs", "mse", "mjpeg"])
def test_plays(view, player):
    page = view(player)
    assert player_of(page) == player
    for _ in range(4):  # a busy machine may hold the browser up: that it catches up again is what counts
        age = check_age(page, player)
        if age <= 200:
            break
    assert age <= 200 * pcs.SLOW, f"the picture is {age:.1f} ms old"
    assert figure(page, "fps") > 10
    assert figure(page, "bitrate") > 0
    assert text(page, "state") == "Live"
    assert "≈" not in text(page, "latency"), "the camera's clock is not known"
    assert page.errors == []


SKEW = """(() => {
    const real = performance.timeOrigin, now = Date.now;
    Object.defineProperty(Performance.prototype, 'timeOrigin', { get: () => real + 5000 });
    Date.now = () => now() + 5000;
})();"""


@pytest.mark.measures
@pytest.mark.parametrize("player", ["webcodecs", "mse", "mjpeg"])
def test_age_is_true_when_clocks_differ(view, player):
    page = view(player, more=SKEW)
    assert page.js("performance.timeOrigin + performance.now()") > time.time() * 1000 + 4000
    check_age(page, player)


def test_snapshot_is_saved(view, browser, tmp_path):
    page = view("webcodecs")
    browser.call("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.js("document.getElementById('snapshot').click()")
    file = pcs.wait_for(lambda: next(tmp_path.glob("*.jpg"), None), "the snapshot")
    assert file.read_bytes()[:3] == b"\xff\xd8\xff"


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
    with serving(*FAKE_CAMERA, env=env) as p:
        page = view("webcodecs", p.url)
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
        assert page.js("[...document.querySelectorAll('input, select')].every(e => e.labels.length || e.ariaLabel)")
        shoot(page, "controls")
        assert page.errors == []


def test_settings_change_the_stream(view, tmp_path):
    with serving("--width", 640, "--height", 360, "--archive", tmp_path, "--archive-size", "3G") as p:
        page = view("webcodecs", p.url)
        pcs.wait_for(lambda: figure(page, "bitrate") > 2, "4 Mbit/s")
        turn(page, "bitrate", 0.5)
        pcs.wait_for(lambda: figure(page, "bitrate") < 1.2, "0.5 Mbit/s")
        page.js("""(box => { box.value = 99; box.dispatchEvent(new Event('change')); })
                (document.querySelector('.field input[name=bitrate][type=number]'))""")
        assert page.js("document.querySelector('.field :invalid').name") == "bitrate"
        turn(page, "bitrate", 0)  # the slider stops at its least
        pcs.wait_for(lambda: setting(p.url, "bitrate") == 100000, "the least bit rate")
        assert page.methods.count("PATCH") == 2, "what is out of range was sent"
        label, shown = page.js("(box => [box.labels[0].textContent, box.value])(document.getElementById('field-archive-size'))")
        assert (label, shown) == ("Archive size (MiB)", "3072")
        turn(page, "archive-size", 2500.3)
        pcs.wait_for(lambda: setting(p.url, "archive-size") == round(2500.3 * 2 ** 20), "that many bytes")
        assert page.errors == []


MODULES = {
    "h264.js": """
        const idr = new Uint8Array([0,0,0,1, 0x67,0x42,0xc0,0x1f,0xaa, 0,0,1, 0x68,1, 0,0,1, 0x65,9]);
        const delta = new Uint8Array([0,0,1, 0x41,0,0,3,1]);
        return [m.inspect(idr), m.inspect(delta), m.inspect(new Uint8Array([0,0,1])), m.inspect(new Uint8Array(0))]""",
    "clock.js": """
        const c = new m.CameraClock(), before = c.measured;
        for (const [trip, error] of [[80, 30], [2, 0.5], [40, -15]]) c.add(1000, 1000 + 5000 + trip / 2 + error, 1000 + trip);
        const best = c.at(100);
        c.add(1000, 1000 + 3600000 + 30, 1060); // after an hour of sleep nothing of before counts
        return [before, c.measured, best, c.at(100)]""",
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
    "clock.js": [False, True, 5100.5, 3600100],
    "cadence.js": [33, [0, 0, 0, 0, 0, 0, 0, 2, 0]],
    "player_mjpeg.js": [[["1", 97, 98, 99], ["2", 100, 101]], 3],
}


@pytest.mark.parametrize("module", MODULES)
def test_module(browser, camera, module):
    page = browser.page()
    page.open(camera.url)
    pcs.wait_for(lambda: page.js("location.href") == camera.url, "the page")
    assert page.js(f"import('/web/{module}').then(m => {{ {MODULES[module]} }})") == EXPECTED[module]
    page.close()


# Every text that is seen: its contrast to what is behind it (WCAG 2.2, 1.4.3), unless it is switched off.
PALE = """(() => {
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = numbers(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] > 0.5) return c;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.disabled
            && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
        const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
        return { ratio: (a + 0.05) / (b + 0.05), what: e.textContent.trim() };
    }).filter(({ ratio }) => ratio < 4.5).map(({ ratio, what }) => `${what}: ${ratio.toFixed(1)}`);
})()"""


@pytest.mark.parametrize("look", ["desk-light", "desk-dark", "phone-light", "phone-dark"])
def test_looks(view, look):
    phone, dark = look.startswith("phone"), look.endswith("dark")
    page = view("webcodecs", width=390 if phone else 1360, height=844 if phone else 900, phone=phone, dark=dark)
    page.js("window.count = 0; new MutationObserver(() => count++).observe(fps, { childList: true })")
    pcs.wait_for(lambda: page.js("count") >= 6, "figures")
    assert page.js("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    back = page.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(back) < 80) == dark
    assert page.js(PALE) == []
    assert page.js("[...document.querySelectorAll('.figures dd')].every(e => e.scrollWidth <= e.clientWidth)")
    shoot(page, look)


def test_a_phone_on_its_side_is_filled(view):
    page = view("webcodecs", width=844, height=390, phone=True)
    pcs.wait_for(lambda: page.js("stage.clientHeight") > 340, "a large picture")
    assert page.js("stage.clientHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth")
    page.js("scrollTo(0, 1000)")
    assert page.js("stage.getBoundingClientRect().top") < 0, "it hides what is below it"
    shoot(page, "phone-aside")


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
