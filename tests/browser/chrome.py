# SPDX-License-Identifier: MIT
"""A Chromium without a window, driven by its DevTools protocol over two pipes: no driver, no WebSocket,
no package beside the browser itself.
https://chromedevtools.github.io/devtools-protocol/
"""
import base64
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading

CHROMIUM = shutil.which(os.environ.get("PCS_CHROMIUM", "chromium"))

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--mute-audio",
         "--remote-debugging-pipe"]


class Chrome:
    """One browser with an empty profile."""

    def __init__(self, *flags):
        assert CHROMIUM, "there is no chromium"
        self.profile = tempfile.mkdtemp(prefix="pcs-chromium-")
        theirs, self.to = os.pipe()
        self.back, ours = os.pipe()

        def adopt():  # it reads from 3 and writes to 4
            os.dup2(theirs, 63)  # by way of others, in case ours are 3 and 4
            os.dup2(ours, 64)
            os.dup2(63, 3)
            os.dup2(64, 4)
        self.process = subprocess.Popen([CHROMIUM, *FLAGS, *flags, f"--user-data-dir={self.profile}",
                                         "about:blank"], preexec_fn=adopt, close_fds=False,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(ours)
        self.ids = itertools.count(1)
        self.answers = {}
        self.pages = {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with os.fdopen(self.back, "rb") as pipe:
            rest = b""
            while chunk := os.read(pipe.fileno(), 1 << 16):
                *messages, rest = (rest + chunk).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))
        for waiting in list(self.answers.values()):
            waiting.put({"error": {"message": "the browser has ended"}})

    def _take(self, message):
        if "id" in message:
            self.answers[message["id"]].put(message)
        elif message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].heard(message["method"], message["params"])

    def call(self, method, params=None, session=None, seconds=60):
        number = next(self.ids)
        waiting = self.answers[number] = queue.Queue()
        message = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        answer = waiting.get(timeout=seconds)
        del self.answers[number]
        assert "error" not in answer, f"{method}: {answer['error']['message']}"
        return answer["result"]

    def page(self, **kw):
        return Page(self, **kw)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        self.reader.join(10)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    """A tab. `errors` collects what a developer would see in red; `requests` every address asked for."""

    def __init__(self, chrome, width=1280, height=900, phone=False, dark=False, script=None):
        self.chrome = chrome
        self.errors = []
        self.requests = []
        self.methods = []  # of these
        self.target = chrome.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = chrome.call("Target.attachToTarget",
                                   {"targetId": self.target, "flatten": True})["sessionId"]
        chrome.pages[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone})
        self.look(dark)
        if script:
            self.call("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def heard(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
            self.methods.append(params["request"]["method"])
        elif method == "Network.webSocketCreated":
            self.requests.append(params["url"])

    def call(self, method, params=None):
        return self.chrome.call(method, params, self.session)

    def open(self, url):
        self.call("Page.navigate", {"url": url})

    def js(self, expression):
        """Its value; promises are waited for."""
        answer = self.call("Runtime.evaluate", {"expression": expression, "awaitPromise": True,
                                                "returnByValue": True, "userGesture": True})
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def look(self, dark):
        self.call("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def key(self, key, ctrl=False):
        code = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}.get(key, 0)
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", {"type": kind, "key": key, "text": text if kind == "keyDown" else "",
                                                 "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0})

    def screenshot(self, path, full=True):
        data = self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": full})["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def close(self):
        self.chrome.call("Target.closeTarget", {"targetId": self.target})
        self.chrome.pages.pop(self.session, None)
