# SPDX-License-Identifier: MIT
"""What the live page does when something around it is not as it should be: another address, a token, no encoder,
a camera or a program that goes and comes, a tab in the background."""
import statistics
import time
import urllib.parse

import pytest
from lab import FAKE_CAMERA, SMALL, ages, ask, chrome, pcs, player_of, serving, status_of, text

import web  # of e2e, where lab has looked

pytestmark = pytest.mark.skipif(not chrome.CHROMIUM, reason="there is no chromium")
WAYS = ["webcodecs", "mse", "mjpeg"]


def elsewhere(url):
    """The same by a name of which the browser does not know that it is this machine."""
    return url.replace("127.0.0.1", "camera.local")


# ---- where it comes from, and who may see it ----

def test_best_way_is_taken(view, camera):
    assert player_of(view("auto")) == "webcodecs"
    assert player_of(view("auto", elsewhere(camera.url))) == "mse"


def test_best_way_over_https(view, tmp_path):
    cert, key = web.certificate(tmp_path)
    with serving(*SMALL, "--tls-cert", cert, "--tls-key", key) as p:
        page = view("auto", elsewhere(p.url))
        assert player_of(page) == "webcodecs"
        assert page.errors == []


def test_asks_no_other_host(view, camera):
    page = view("mse")
    ours = urllib.parse.urlsplit(camera.url).netloc
    hosts = {urllib.parse.urlsplit(u).netloc for u in page.requests if not u.startswith(("blob:", "data:", "about:"))}
    assert hosts == {ours}


@pytest.mark.parametrize("player", ["webcodecs", "mjpeg"])
def test_shows_its_token_everywhere(view, player):
    with serving(*SMALL, "--auth-token", "a+b&c d") as p:
        assert status_of(p.url + "stream") == 401
        page = view(player, f"{p.url}?token={urllib.parse.quote('a+b&c d', safe='')}")
        assert page.js("fetch(document.querySelector('#licence').href).then(a => a.status)") == 200
        assert [e for e in page.errors if " 401 " in e] == []


@pytest.mark.parametrize("player", ["webcodecs", "mjpeg"])
def test_plays_for_who_logs_in(view, player):
    with serving(*SMALL, "--auth-token", "secret") as p:
        page = view(player, p.url.replace("//", "//any:secret@"))
        assert player_of(page) == player
        pcs.wait_for(lambda: not page.js("settings.hidden"), "the settings")
        assert text(page, "state") == "Live" and page.errors == []


# ---- who is not there ----

def test_plays_without_an_encoder(view):
    """No H.264 comes, but JPEGs would: these it is then, and the page says so."""
    with serving(*SMALL, "--codec", "mjpeg", "--encoder", "v4l2m2m") as p:
        page = view("webcodecs", p.url)
        assert player_of(page) == "mjpeg"
        assert "no picture comes" in text(page, "said")


@pytest.mark.parametrize("player,away", [*((way, 0) for way in WAYS), ("webcodecs", 9)])
def test_connects_again(view, player, away):
    with serving(*SMALL) as first:
        page = view(player, first.url)
        first.stop()
    pcs.wait_for(lambda: text(page, "state") == "No connection", "the page to notice")
    page.js("seen.length = 0")
    time.sleep(away)  # the time to be away
    # of another size: the decoder has to be told
    with serving("--width", 480, "--height", 270, port=urllib.parse.urlsplit(first.url).port):
        pcs.wait_for(lambda: text(page, "state") == "Live" and len(page.js("seen")) > 10, "pictures again", 20)
    assert player_of(page) == player


def test_says_that_others_have_all_places(view):
    with serving(*SMALL, "--max-clients", 1) as p:
        port = urllib.parse.urlsplit(p.url).port
        with web.visit(port) as one, web.visit(port) as other:
            one.upgrade("/ws")
            other.stream()
            page = view("auto", p.url, moves=False)
            pcs.wait_for(lambda: "too many" in text(page, "cover"), "it to be said")
        pcs.wait_for(lambda: text(page, "state") == "Live", "a place")


@pytest.mark.skipif(not pcs.FAKE, reason="the emulated camera was not built")
def test_camera_goes_and_comes(view, tmp_path):
    control = tmp_path / "control"
    control.write_text("")

    def tell(what):
        with open(control, "a") as f:
            f.write(what + "\n")
    env = pcs.fake_camera(control=control, formats="YUYV", sizes="640x480")
    with serving(*FAKE_CAMERA, env=env) as p:
        p.wait_log("640x480")
        tell("unplug")
        pcs.wait_for(lambda: status_of(p.url + "healthz") == 503, "the camera to be away")
        page = view("webcodecs", p.url, moves=False)  # pictures come that say so
        pcs.wait_for(lambda: text(page, "state") == "Not live", "the page to say so")
        assert page.js("document.getElementById('controls').hidden")
        tell("plug")
        pcs.wait_for(lambda: text(page, "state") == "Live", "a live picture", 20)
        pcs.wait_for(lambda: not page.js("document.getElementById('controls').hidden"), "its controls")


# ---- who does not look ----

def watching(url):
    return [c["kind"] for c in ask(url + "stats")["clients"]]


def test_lets_go_when_opened_in_the_background(view, small):
    view("webcodecs", small.url, more="Object.defineProperty(document, 'hidden', { get: () => true });")
    assert watching(small.url)
    pcs.wait_for(lambda: not watching(small.url), "the stream to be let go", 15)


@pytest.mark.measures
@pytest.mark.parametrize("away", [2, 6])  # while it still takes the stream, and after it has let go
@pytest.mark.parametrize("player", WAYS)
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


def test_many_tabs(view, small):
    """A browser has six connections for a place; a hidden page keeps none."""
    for _ in range(8):
        view("mjpeg", small.url)


def test_keeps_little_of_what_was_shown(view):
    page = view("mse")
    kept = "(v => v.buffered.end(v.buffered.length - 1) - v.buffered.start(0))(document.querySelector('video'))"
    pcs.wait_for(lambda: page.js(kept) > 15, "15 s of video", 30)
    pcs.wait_for(lambda: page.js(kept) < 14, "the oldest of it to go", 30)
    assert text(page, "state") == "Live" and page.errors == []


# ---- who records ----

def test_records(view, tmp_path):
    with serving(*SMALL, "--archive", tmp_path, "--archive-ram", "4M") as p:
        page = view("webcodecs", p.url)
        pcs.wait_for(lambda: text(page, "record") == "Stop recording", "the button to know")
        page.js("record.click()")
        pcs.wait_for(lambda: text(page, "record") == "Record", "it to stop")
        assert not ask(p.url + "api/v1/recording")["recording"]
        page.js("dump.click()")
        pcs.wait_for(lambda: text(page, "said").startswith("Kept as"), "the last seconds to be kept")
        assert page.errors == []


def test_offers_no_record_without_an_archive(view, camera):
    page = view("webcodecs")
    assert ask(camera.url + "api/v1/recording")["state"] == "none"
    assert page.js("record.hidden && dump.hidden")


def test_leaves_the_browser_its_keys(view):
    page = view("webcodecs")
    page.js("stage.focus()")
    page.key("s", ctrl=True)
    page.key("f", ctrl=True)
    page.key("s")
    pcs.wait_for(lambda: text(page, "said").startswith("Saved"), "a snapshot")
    assert sum("/snapshot" in url for url in page.requests) == 1
    assert not page.js("document.fullscreenElement")
