"""One running demo and one browser for all of the dashboard's tests.

They end with their module: Playwright keeps an event loop running, in which nothing else could start its own.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from kubecost_pipelines_tests.dashboard.running import RunningDemo, open_browser, open_demo
from kubecost_pipelines_tests.demo.made import MadeDemo

expect.set_options(timeout=30_000)
"""For a machine with other work; what is there at once is seen at once."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(browser: Browser, made_demo: MadeDemo) -> Iterator[RunningDemo]:
    with open_demo(made_demo.folder) as running:
        yield running


@pytest.fixture
def page(browser: Browser, demo: RunningDemo) -> Iterator[Page]:
    """A new page; whatever the browser complains about fails the test, unless it is what the test is about."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=demo.dashboard)
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert [one for one in complaints if "ERR_FAILED" not in one] == []
