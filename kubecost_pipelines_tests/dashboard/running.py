"""A running demo: the demo's lake, `dev` over it (Dagster and the dashboard), and a browser."""

import os
import shutil
import socket
import subprocess
import sys
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

COMMAND = Path(sys.executable).parent / "kubecost-pipelines"
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
def run_demo(folder: Path, days: int) -> Iterator[RunningDemo]:
    """Make the demo of so many days, and open Dagster and the dashboard on it."""
    environment = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes"}
    environment.pop("KUBECOST_PIPELINES_CONFIG", None)
    made = subprocess.run(
        [COMMAND, "demo", str(folder), "--days", str(days)],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    port, api_port = _free_port(), _free_port()
    running = RunningDemo(folder, f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{port}")
    with (folder / "kubecost-pipelines.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"dagster_url: {running.dagster}\n")
    command = [str(COMMAND), "dev", str(folder), "--port", str(port), "--api-port", str(api_port)]
    with (folder / "dev.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder.parent, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"{running.dashboard}/model/assets?window=7d", process)
        _wait_for(f"{running.dagster}/server_info", process)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=150)


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
