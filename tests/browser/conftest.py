# SPDX-License-Identifier: MIT
import pytest
from lab import SMALL, SPY, chrome, pcs, serving


def pytest_configure(config):
    config.addinivalue_line("markers", "measures: how old pictures are; ctest runs nothing beside it")


@pytest.fixture(scope="session")
def browser():
    with chrome.Chrome("--ignore-certificate-errors", "--host-resolver-rules=MAP camera.local 127.0.0.1") as b:
        yield b


@pytest.fixture(scope="module")
def camera():
    with serving("--width", 640, "--height", 360) as p:
        yield p


@pytest.fixture
def view(browser, camera):
    """Opens the page and waits until the test picture moves: view(player, …). `more`: a script that runs first."""
    pages = []

    def open_page(player="auto", url=None, more="", moves=True, **kw):
        page = browser.page(script=SPY + more, **kw)
        pages.append(page)
        url = url or camera.url
        page.open(f"{url}{'&' if '?' in url else '?'}player={player}")
        if moves:
            pcs.wait_for(lambda: len(page.js("window.seen ?? []")) > 30, f"a moving picture by {player}", 30)
        return page
    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def small():
    """A camera of one's own."""
    with serving(*SMALL) as p:
        yield p
