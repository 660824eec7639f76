from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.settings import ClusterSettings
from kubecost_pipelines_tests.clusters.api_server import ApiServer, serve

Connect = Callable[..., ClusterClient]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serve() as running:
        yield running


@pytest.fixture
def connect(server: ApiServer) -> Connect:
    """Return how to build a client of the server; by default a Kubecost whose totals are not asked for."""

    def build(**settings: Any) -> ClusterClient:
        plain = {"name": "prod-eks-1", "endpoint": server.endpoint, "flavour": "kubecost", "verify_totals": False}
        return ClusterClient(ClusterSettings(**{**plain, **settings}), pause_seconds=0.001)

    return build


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "day.parquet"
