"""What every test may use, and two rules: CI skips nothing, and no secret is printed."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.lake import Engine, open_engine
from kubecost_pipelines_tests.dagster_run import Deployment, deploy
from kubecost_pipelines_tests.demo.made import MadeDemo, made_once
from kubecost_pipelines_tests.s3 import S3Server, serve_s3
from kubecost_pipelines_tests.servers import BlobServer, serve_blobs, serve_gcs, serve_postgres

PLANTED = "PLANTED-"
"""How the secrets of the tests begin. No test may print one."""

# Dagster ends its servers by SIGINT, which whoever starts the tests in the background may have had ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Expressions are many small objects, hardly any of them garbage: looking for it takes a tenth of the time.
gc.set_threshold(100_000, 50, 50)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine("600MB", tmp_path) as opened:
        yield opened


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that wait for Dagster's daemon among the first of the others, whose work fills the waits."""
    files = dict.fromkeys(item.path for item in items)
    waiting = [path for path in files if path.parent.name == "operations"]
    others = [path for path in files if path not in waiting]
    order = {path: position for position, path in enumerate(others)} | {path: 5 * i for i, path in enumerate(waiting)}
    items.sort(key=lambda item: (order[item.path], item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    if PLANTED in "".join(text for _, text in report.sections) + report.longreprtext:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} printed a secret"
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not accept: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> MadeDemo:
    """Return the demo, which all workers have in common. Tests may run its days again, but change nothing of it."""
    base = tmp_path_factory.getbasetemp()
    return made_once(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with serve_s3() as server:
        yield server


@pytest.fixture
def dagster_run(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Deploy stores and clusters over a lake of this test: see `deploy`."""
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(deploy(tmp_path, **options))


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobServer]:
    with serve_blobs(tmp_path_factory.mktemp("blobs")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[str]:
    with serve_gcs() as address:
        yield address


@pytest.fixture
def postgres_port() -> Iterator[int]:
    """Start a PostgreSQL of this test's own."""
    with serve_postgres() as port:
        yield port
