"""The client against the demo's clusters: a whole API, which knows nothing of this client."""

from datetime import date
from pathlib import Path

import pytest

from kubecost_pipelines.clusters import ClusterClient, EmptyDayError
from kubecost_pipelines.demo.cluster_api import serve_cluster
from kubecost_pipelines.demo.cluster_estimates import allocations, assets
from kubecost_pipelines.demo.company import PROD, STAGING
from kubecost_pipelines.demo.model import Cluster
from kubecost_pipelines.settings import ClusterSettings

DAY = date(2026, 10, 1)


@pytest.mark.parametrize("cluster", [PROD, STAGING], ids=lambda cluster: cluster.name)
def test_a_demo_cluster_is_read_whole(cluster: Cluster, tmp_path: Path) -> None:
    with serve_cluster(cluster.name, [DAY]) as endpoint:
        client = ClusterClient(ClusterSettings(name=cluster.name, endpoint=endpoint), pause_seconds=0.001)

        workloads = client.fetch_allocations(DAY, tmp_path / "allocations.parquet")
        inventory = client.fetch_assets(DAY, tmp_path / "assets.parquet")

    expected = allocations(cluster, DAY, with_idle=True).values()
    assert workloads.rows == len(expected)
    assert workloads.total_cost == pytest.approx(float(sum(item["totalCost"] for item in expected)))
    assert inventory.rows == len(assets(cluster, DAY))


def test_a_day_that_a_demo_cluster_forgot_is_empty(tmp_path: Path) -> None:
    with serve_cluster(PROD.name, []) as endpoint, pytest.raises(EmptyDayError):
        ClusterClient(ClusterSettings(name="prod", endpoint=endpoint)).fetch_assets(DAY, tmp_path / "a.parquet")
