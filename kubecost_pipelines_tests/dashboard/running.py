"""A running demo: `dev` over the demo's lake (Dagster and the dashboard), and a browser."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, sync_playwright

from kubecost_pipelines.dashboard import SOURCES
from kubecost_pipelines_tests.demo.made import COMMAND, environment

COMPONENTS = Path(__file__).parents[2] / ".components"
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Chromium as root, without a screen, and without the calls home that a closed network refuses."""


@dataclass(frozen=True)
class RunningDemo:
    """Where the demo lies and where it answers."""

    folder: Path
    dashboard: str
    dagster: str


@contextmanager
def open_demo(folder: Path) -> Iterator[RunningDemo]:
    """Open Dagster and the dashboard on the demo in `folder`."""
    port, api_port = _free_port(), _free_port()
    running = RunningDemo(folder, f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{port}")
    _name_dagster(folder / "kubecost-pipelines.yaml", running.dagster)
    command = [str(COMMAND), "dev", str(folder), "--port", str(port), "--api-port", str(api_port)]
    with (folder / "dev.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder.parent, env=environment(), stdout=log, stderr=log)
    try:
        _wait_for(f"{running.dashboard}/model/assets?window=7d", process)
        _wait_for(f"{running.dagster}/server_info", process)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=150)


def _name_dagster(settings: Path, url: str) -> None:
    """Let the settings name a Dagster, and no longer the one of the last time."""
    lines = settings.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("dagster_url:")]
    settings.write_text("\n".join([*kept, f"dagster_url: {url}", ""]), encoding="utf-8")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open Chromium; the test is skipped where it is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: make components")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield browser
        browser.close()


def axe() -> str:
    """Return the script of axe."""
    for folder in (COMPONENTS, SOURCES):
        script = folder / "node_modules/axe-core/axe.min.js"
        if script.exists():
            return script.read_text(encoding="utf-8")
    pytest.skip("axe-core is not installed: make components")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: "subprocess.Popen[bytes]", seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=10):
                return
        except (URLError, TimeoutError, ConnectionError):
            assert process.poll() is None, "`dev` has ended: see dev.log in the demo's folder"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.5)
