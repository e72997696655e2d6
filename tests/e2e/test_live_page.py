# SPDX-License-Identifier: MIT
"""The live page as bytes: what is built in, with which headers. How it behaves is tests/browser's."""
import gzip
import http.client
import re
from pathlib import Path

import pytest

import pcs

WEB = Path(__file__).resolve().parents[2] / "web"
FILES = sorted(str(f.relative_to(WEB)) for f in WEB.rglob("*") if f.is_file())


@pytest.fixture(scope="module")
def port():
    with pcs.Program(pcs.SENDER, "--source", "test", "--width", 320, "--height", 180, "--http-port", 0,
                     "--auth-token", "secret") as p:
        yield int(p.wait_log(r"listening on 127\.0\.0\.1 port (\d+)"))


def get(port, path, **headers):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = c.getresponse()
    body = answer.read()
    c.close()
    return answer, body


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_built_in(port, name):
    want = (WEB / name).read_bytes()
    answer, body = get(port, f"/web/{name}")
    assert (answer.status, body) == (200, want)
    packed, body = get(port, f"/web/{name}", Accept_Encoding="gzip")
    assert packed.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == want and len(body) < len(want)
    tag = answer.getheader("ETag")
    again, body = get(port, f"/web/{name}", If_None_Match=tag)
    assert (again.status, body) == (304, b"")


def test_the_page_is_strict(port):
    assert get(port, "/", Accept="text/html")[0].status == 401
    answer, body = get(port, "/?token=secret", Accept="text/html")
    assert answer.status == 200 and body == (WEB / "index.html").read_bytes()
    policy = answer.getheader("Content-Security-Policy")
    assert policy.startswith("default-src 'self';") and "unsafe" not in policy
    assert not re.search(rb"<script(?![^>]*src=)|\sstyle=|\son[a-z]+=", body), "inline script or style"


@pytest.mark.parametrize("path", ["/web/", "/web", "/web/nothing.js", "/web/../CMakeLists.txt", "/web/vendor/",
                                  "/web/%2e%2e/x", "/web/app.js/", "/web/app.js%00"])
def test_nothing_else_is_there(port, path):
    assert get(port, path)[0].status in (400, 404)


def test_names_no_other_host():
    for name in FILES:
        for address in re.findall(r"https?://[^\s\"'`)]+", (WEB / name).read_text()):
            assert address.startswith(("http://www.w3.org/", "http://pi:")), f"{name}: {address}"
