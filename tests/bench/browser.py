#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The live page in a real Chromium, by each way of playing: how old a picture is when it is drawn, 720p at 30
frames a second of the test source, which paints number and time into each picture (tests/browser/spy.js reads
them there). From capture to canvas it may take one frame interval and what the browser needs to decode one;
that is measured in the same run, by a page that does nothing else.

A video (Media Source, so on plain http) is to stay within 200 ms for as long as it plays, and to be there again
within a second after the tab was in the background and after the network stood still.

    browser.py [--long]    watches the video for 60 s in place of 10
"""
import shutil
import socket
import sys
import threading
import time

import benchlib as b

sys.path.insert(0, str(b.ROOT / "tests/browser"))
import chrome  # noqa: E402

SPY = (b.ROOT / "tests/browser/spy.js").read_text()
FRAME_MS = 1000 / b.FPS
SECONDS = 10
BEHIND_MS, BACK_MS = 200, 1000
AWAY_S, STALL_S = 10, 2
NAME = "camera.local"  # not this machine, as far as the browser knows: no WebCodecs there

H264_DECODE = """(async (count) => {
  const { inspect } = await import('/web/h264.js');
  const socket = new WebSocket(`ws://${location.host}/ws`);
  socket.binaryType = 'arraybuffer';
  return new Promise((resolve, reject) => {
    const begun = new Map(), took = [];
    const decoder = new VideoDecoder({ error: reject, output(frame) {
      took.push(performance.now() - begun.get(frame.timestamp));
      frame.close();
      if (took.length === count) { socket.close(); resolve(took); }
    } });
    socket.onmessage = ({ data }) => {
      const unit = new Uint8Array(data, 0, data.byteLength - 8), { key, codec } = inspect(unit);
      if (key && decoder.state === 'unconfigured') decoder.configure({ codec, optimizeForLatency: true });
      const timestamp = begun.size;
      begun.set(timestamp, performance.now());
      decoder.decode(new EncodedVideoChunk({ type: key ? 'key' : 'delta', timestamp, data: unit }));
    };
  });
})(90)"""
JPEG_DECODE = """(async (count) => {
  const took = [];
  while (took.length < count) {
    const blob = await (await fetch('/snapshot')).blob(), begun = performance.now();
    (await createImageBitmap(blob)).close();
    took.push(performance.now() - begun);
  }
  return took;
})(30)"""


class Relay:
    """Stands between browser and camera, and can stand still."""

    def __init__(self, port):
        self.port_behind = port
        self.going = threading.Event()
        self.going.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near = self.server.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port_behind))
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one, other):
        try:
            while data := one.recv(1 << 16):
                self.going.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.server.close()


def floor(browser, address, script):
    """Median time of one decoding, in ms."""
    page = browser.page()
    page.open(f"{address}healthz")
    b.pcs.wait_for(lambda: page.js("location.pathname") == "/healthz", "a page")
    took = b.median(page.js(script))
    page.close()
    return took


def opened(browser, address, player):
    page = browser.page(script=SPY)
    page.open(f"{address}?player={player}")
    b.pcs.wait_for(lambda: len(page.js("window.seen ?? []")) > 60, f"a moving picture by {player}", 60)
    assert page.js("document.documentElement.dataset.player") == player
    return page


def shown(page, seconds):
    """(when, age in ms) of each picture that was drawn during that time."""
    page.js("seen.length = 0")
    time.sleep(seconds)  # the time that is measured
    return pictures(page)


def pictures(page):
    to_wall = 1000 * (time.time() - time.monotonic())
    return [(m["at"], m["at"] - m["capture"] / 1000 - to_wall) for m in page.js("seen")]


def figures(ages):
    ranked = sorted(ages)
    return {f"p{p}": ranked[min(len(ranked) - 1, len(ranked) * p // 100)] for p in (50, 95, 99)} | {"max": ranked[-1]}


def to_canvas(browser, address, player, decode_ms):
    page = opened(browser, address, player)
    ages = [age for _, age in shown(page, SECONDS)]
    page.close()
    f = figures(ages)
    b.note(f"{player}: " + "  ".join(f"{k} {v:.1f}" for k, v in f.items()) + f" ms, {len(ages) / SECONDS:.1f} fps,"
           f" decoding {decode_ms:.1f} ms")
    for p in ("p50", "p95"):
        b.show_limit(f"{player}: capture to canvas, {p}", f[p], "ms", round(FRAME_MS + decode_ms, 1), 1)


def holds_the_edge(page, seconds):
    seen = shown(page, seconds)
    f = figures([age for _, age in seen])
    each = [b.median([age for at, age in seen if at // 1000 == second])
            for second in sorted({at // 1000 for at, _ in seen})]
    b.note(f"mse: " + "  ".join(f"{k} {v:.1f}" for k, v in f.items()) + f" ms, {len(seen) / seconds:.1f} fps,"
           f" median of the first second {each[1]:.0f}, of the last {each[-2]:.0f} ms")
    b.show_limit(f"mse: behind in {seconds} s, worst second", max(each[1:-1]), "ms", BEHIND_MS, 1)
    b.show_limit(f"mse: behind in {seconds} s, p99", f["p99"], "ms", BEHIND_MS, 1)


def back_after(page, since_ms):
    """Ms until the picture is live, and stays so for 3 s."""
    late = [since_ms]

    def live():
        seen = [s for s in pictures(page) if s[0] > since_ms]
        late[0] = max([at for at, age in seen if age > BEHIND_MS], default=since_ms)
        first = min((at for at, age in seen if at > late[0]), default=None)
        return first if first and seen[-1][0] > first + 3000 else None
    return b.pcs.wait_for(live, "a live picture", 60) - since_ms


def after_background(browser, page):
    other = browser.page()
    other.call("Page.bringToFront")
    b.pcs.wait_for(lambda: page.js("document.hidden"), "the page to be hidden")
    time.sleep(AWAY_S)
    since_ms = time.time() * 1000
    page.call("Page.bringToFront")
    other.close()
    b.show_limit(f"mse: live again after {AWAY_S} s in the background", back_after(page, since_ms), "ms", BACK_MS, 0)


def after_stall(page, relay):
    relay.going.clear()
    time.sleep(STALL_S)
    since_ms = time.time() * 1000
    relay.going.set()
    b.show_limit(f"mse: live again after {STALL_S} s without network", back_after(page, since_ms), "ms", BACK_MS, 0)


def main():
    seconds = 60 if "--long" in sys.argv[1:] else SECONDS
    if not chrome.CHROMIUM or not shutil.which(chrome.CHROMIUM):
        b.note("no chromium: skipped")
        return
    b.begin("browser", "720p30 H.264 and JPEG to the live page in Chromium, ages in ms")
    with b.pcs.Program(b.pcs.SENDER, "--source", "test", "--width", 1280, "--height", 720, "--fps", b.FPS,
                       "--http-port", 0) as camera, \
            chrome.Chrome(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as browser:
        address = camera.wait_log(r"(http://\S+)")
        relay = Relay(int(camera.wait_log(r"listening on .* port (\d+)")))
        to_canvas(browser, address, "webcodecs", floor(browser, address, H264_DECODE))
        to_canvas(browser, address, "mjpeg", floor(browser, address, JPEG_DECODE))
        page = opened(browser, f"http://{NAME}:{relay.port}/", "mse")
        holds_the_edge(page, seconds)
        after_background(browser, page)
        after_stall(page, relay)
        relay.close()


if __name__ == "__main__":
    main()
