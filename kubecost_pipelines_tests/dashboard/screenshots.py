"""The pictures of README.md: `make screenshots` makes a demo, opens it in Chromium and writes docs/images."""

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from kubecost_pipelines_tests.dashboard.running import open_browser, open_demo
from kubecost_pipelines_tests.demo.made import make_demo

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LINEAGE = "/assets/asset_costs?view=lineage&lineageScope=neighbors"
"""The middle of the graph: what the Daily Asset Store is made from, and what is made from it."""

COLORS = 128
"""Enough for flat areas and text, in a third of the bytes."""


def main() -> None:
    """Write the dashboard's overview and Dagster's asset graph."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory())) / "demo"
        make_demo(folder, days=14)
        browser, demo = opened.enter_context(open_browser()), opened.enter_context(open_demo(folder))
        pages = (
            ("dashboard.png", f"{demo.dashboard}/", ".legend li", (1280, 800)),
            ("why.png", f"{demo.dashboard}/?view=why&cluster=prod-eks-1&namespace=web", ".waterfall svg", (1280, 800)),
            ("asset-graph.png", f"{demo.dagster}{LINEAGE}", "[data-testid='asset-graph'], svg", (1400, 1150)),
        )
        for name, address, awaited, (width, height) in pages:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(address)
            page.locator(awaited).first.wait_for(timeout=60_000)
            page.wait_for_timeout(4_000)
            page.get_by_text("fetching statuses").first.wait_for(state="hidden", timeout=60_000)
            target = IMAGES / name
            page.screenshot(path=target)
            Image.open(target).convert("P", palette=Image.Palette.ADAPTIVE, colors=COLORS).save(target, optimize=True)
            sys.stderr.write(f"{target}: {target.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    main()
