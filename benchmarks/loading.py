"""Loading the dashboard in Chromium: what comes over the wire, and when the first chart can be read."""

import shutil
from dataclasses import dataclass

from playwright.sync_api import Browser, Request, sync_playwright

QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
CHART = "main [role=group] svg"
FIRST_CHART = f"""
addEventListener("DOMContentLoaded", () => {{
    const seen = new MutationObserver(() => {{
        if (!document.querySelector("{CHART} rect, {CHART} path")) return;
        window.firstChart = performance.now();
        seen.disconnect();
    }});
    seen.observe(document, {{ subtree: true, childList: true }});
}});
"""
"""Notes when the first chart is drawn, in milliseconds since the address was asked for."""


@dataclass(frozen=True)
class Loading:
    """One visit with an empty cache: compressed bytes, and milliseconds until a reader can use the page and read it."""

    size: int
    interactive: float
    first_chart: float


def measure_loading(url: str, visits: int) -> Loading | None:
    """Return the best of so many visits, or None where Chromium is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        found = [_visit(browser, url) for _ in range(visits)]
        browser.close()
    return min(found, key=lambda one: one.first_chart)


def _visit(browser: Browser, url: str) -> Loading:
    loaded = list[Request]()

    def note(request: Request) -> None:
        loaded.append(request)

    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        context.add_init_script(FIRST_CHART)
        page = context.new_page()
        page.on("requestfinished", note)
        page.goto(url)
        page.wait_for_selector(f"{CHART} rect, {CHART} path", state="attached")
        page.wait_for_load_state("networkidle")
        interactive = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
        size = sum(request.sizes()["responseBodySize"] for request in loaded)
        return Loading(size, interactive, page.evaluate("window.firstChart"))
