"""What the rows of a cluster's tables say, from the JSON of its API."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.core.tables import ALLOCATIONS, IN_CLUSTER_ASSETS
from kubecost_pipelines_tests.clusters.api_server import DAY, ApiServer, Item, allocation, asset, data
from kubecost_pipelines_tests.clusters.conftest import Connect


class Cluster:
    """Fetches what the server is told to answer, as rows."""

    def __init__(self, server: ApiServer, connect: Connect, file: Path) -> None:
        self._server, self._connect, self._file = server, connect, file

    def allocations(self, *items: Item, **settings: Any) -> list[dict[str, Any]]:
        self._server.on("/model/allocation", data([{f"{i}": item for i, item in enumerate(items)}]))
        self._connect(**settings).fetch_allocations(DAY, self._file)
        return self.rows()

    def assets(self, *items: Item, **settings: Any) -> list[dict[str, Any]]:
        self._server.on("/model/assets", data([{f"{i}": item for i, item in enumerate(items)}]))
        self._connect(**settings).fetch_assets(DAY, self._file)
        return self.rows()

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self._file).to_pylist()
        return rows


@pytest.fixture
def cluster(server: ApiServer, connect: Connect, file: Path) -> Cluster:
    return Cluster(server, connect, file)


def test_a_container_reads_as_the_cluster_estimates_it(cluster: Cluster) -> None:
    [row] = cluster.allocations(allocation(), currency="EUR")

    assert row["cluster"] == "prod-eks-1"
    assert row["name"] == "prod/n1/shop/web-1/web"
    assert (row["node"], row["namespace"], row["pod"], row["container"]) == ("n1", "shop", "web-1", "web")
    assert (row["controller"], row["controller_kind"], row["services"]) == ("web", "deployment", ["web"])
    assert row["provider_id"] == "i-0abc"
    assert row["start"] == datetime(2026, 10, 1, tzinfo=UTC)
    assert row["end"] == datetime(2026, 10, 1, 12, 30, tzinfo=UTC)
    assert (row["minutes"], row["cpu_core_hours"], row["cpu_efficiency"]) == (750.0, 12.5, 0.5)
    assert row["currency"] == "EUR"


def test_the_total_is_unadjusted_and_what_the_cluster_adjusted_is_kept_apart(cluster: Cluster) -> None:
    costs: dict[str, Any] = {
        "cpuCost": 1,
        "gpuCost": 2,
        "ramCost": 4,
        "networkCost": 8,
        "loadBalancerCost": 16,
        "pvCost": 32,
    }
    adjustments: dict[str, Any] = {f"{name}Adjustment": -0.5 for name in costs}
    costs |= {"sharedCost": 64, "externalCost": 128}
    not_added: dict[str, Any] = {"cpuCostIdle": 1000, "networkInternetCost": 8}

    [row] = cluster.allocations(allocation(**costs, **adjustments, **not_added, totalCost=252))

    assert row["total_cost"] == 255
    assert row["reported_adjustment"] == -3
    assert row["reported_cpu_adjustment"] == row["reported_pv_adjustment"] == -0.5
    assert row["reported_total_cost"] == 252
    assert (row["cluster"], row["reported_cluster"]) == ("prod-eks-1", "prod")


def test_a_namespace_gives_the_labels_that_the_pod_does_not_have(cluster: Cluster) -> None:
    [row] = cluster.allocations(allocation())

    assert dict(row["labels"]) == {"app": "web", "team": "shop", "env": "prod"}
    assert dict(row["annotations"]) == {"owner": "ann"}


def test_a_cost_that_is_not_a_number_counts_as_nothing_and_a_ratio_is_unknown(cluster: Cluster) -> None:
    [row] = cluster.allocations(allocation(cpuCost=None, ramCost=2.0, cpuEfficiency=None, cpuCores=None))

    assert (row["cpu_cost"], row["cpu_cores"], row["total_cost"]) == (0.0, 0.0, 2.0)
    assert row["cpu_efficiency"] is None
    assert row["ram_efficiency"] is None


def test_idle_cost_is_a_row_without_a_pod(cluster: Cluster) -> None:
    idle = {"name": "prod/n1/__idle__", "properties": {"cluster": "prod", "node": "n1"}, "cpuCost": 3.0}

    [row] = cluster.allocations(idle)

    assert (row["name"], row["node"], row["pod"], row["provider_id"]) == ("prod/n1/__idle__", "n1", None, None)
    assert (row["labels"], row["services"], row["pvs"], row["load_balancers"]) == ([], [], [], [])
    assert (row["start"], row["total_cost"]) == (None, 3.0)


def test_the_volumes_and_load_balancers_of_a_pod_are_lists(cluster: Cluster) -> None:
    volume = {"byteHours": 24.0, "cost": 0.5, "providerID": "aws://us-east-1a/vol-0abc", "adjustment": -0.1}
    balancer = {"service": "shop/web", "cost": 0.6, "private": False, "ip": "", "hours": 24, "adjustment": 0}

    [row] = cluster.allocations(
        allocation(pvs={"cluster=prod:name=pvc-1": volume}, lbAllocations={"prod/shop/web": balancer})
    )

    assert row["pvs"] == [{"name": "pvc-1", "provider_id": "vol-0abc", "byte_hours": 24.0, "cost": 0.5}]
    assert row["load_balancers"] == [
        {"name": "prod/shop/web", "service": "shop/web", "ip": None, "is_private": False, "hours": 24.0, "cost": 0.6}
    ]


def test_a_time_that_the_cluster_does_not_know_is_null(cluster: Cluster) -> None:
    known, unknown = cluster.allocations(allocation(), allocation(start="null", end=""))

    assert known["start"]
    assert (unknown["start"], unknown["end"]) == (None, None)


NODE = asset(
    "Node",
    "Compute",
    cost=0.5,
    properties={"name": "n1", "providerID": "aws:///us-east-1a/i-0abc"},
    labels={"label_team": "shop"},
    nodeType="m5.large",
    cpuCoreHours=48.0,
    ramByteHours=24.0,
    GPUHours=24.0,
    cpuCost=10.0,
    ramCost=5.0,
    gpuCost=2.0,
    discount=0.2,
    preemptible=1.0,
    adjustment=-13.5,
)


def test_a_nodes_estimate_takes_the_discount_off_cpu_and_ram_only(cluster: Cluster) -> None:
    [row] = cluster.assets(NODE)

    assert row["cost"] == pytest.approx(14.0)
    assert row["asset_id"] == "prod-eks-1/Node/i-0abc/n1"
    assert (row["category"], row["provider_id"], row["node_type"]) == ("Compute", "i-0abc", "m5.large")
    assert (row["cpu_core_hours"], row["ram_byte_hours"], row["gpu_hours"]) == (48.0, 24.0, 24.0)
    assert row["is_spot"] is True
    assert dict(row["labels"]) == {"label_team": "shop"}
    assert (row["bytes"], row["volume_name"]) == (None, None)


def test_what_the_cluster_adjusted_is_taken_off_the_other_assets(cluster: Cluster) -> None:
    balancer = asset("LoadBalancer", "Network", cost=0.4, adjustment=-0.2, properties={"name": "shop/web"})

    [row] = cluster.assets(balancer)

    assert row["cost"] == pytest.approx(0.6)
    assert (row["provider_id"], row["is_spot"], row["cpu_cost"]) == (None, None, None)


def test_a_csi_disk_without_an_id_goes_by_the_name_of_its_volume(cluster: Cluster) -> None:
    disk = asset("Disk", "Storage", 1.0, volumeName="pvc-1", claimName="db", claimNamespace="shop", bytes=1.0)

    [row] = cluster.assets(disk)

    assert row["provider_id"] == "pvc-1"
    assert (row["claim_name"], row["claim_namespace"], row["bytes"], row["byte_hours"]) == ("db", "shop", 1.0, 0.0)


def test_the_management_fee_has_neither_id_nor_name(cluster: Cluster) -> None:
    [row] = cluster.assets(asset("ClusterManagement", "Management", 2.4))

    assert row["asset_id"] == "prod-eks-1/ClusterManagement//"
    assert (row["name"], row["provider_id"], row["cost"]) == (None, None, 2.4)


def test_products_of_the_clusters_own_reconciliation_are_left_out_and_counted(
    server: ApiServer, connect: Connect, file: Path
) -> None:
    others = [asset("Cloud", "Compute", 7.0), asset("Cloud", "Storage", 7.0), asset("Network", "Network", 7.0)]
    server.on("/model/assets", data([{str(i): item for i, item in enumerate([NODE, *others])}]))

    fetched = connect().fetch_assets(DAY, file)

    assert fetched.rows == 1
    assert fetched.total_cost == pytest.approx(14.0)
    assert fetched.skipped == {"Cloud": 2, "Network": 1}


def test_the_settings_say_where_a_cluster_runs_before_its_assets_do(cluster: Cluster) -> None:
    [asserted] = cluster.assets(NODE, provider="aws", account="999900001111")
    [found] = cluster.assets(NODE)
    [on_gcp] = cluster.assets({**NODE, "properties": {"provider": "GCP", "project": "Guestbook-1"}})
    [at_home] = cluster.assets({**NODE, "properties": {"provider": "custom"}})

    assert (asserted["provider"], asserted["account"]) == ("aws", "999900001111")
    assert (found["provider"], found["account"]) == ("aws", "111122223333")
    assert (on_gcp["provider"], on_gcp["account"]) == ("gcp", "guestbook-1")
    assert (at_home["provider"], at_home["account"]) == (None, None)


def test_the_files_have_the_columns_that_the_tables_promise(cluster: Cluster, file: Path) -> None:
    cluster.allocations(allocation())
    assert pq.read_schema(file) == ALLOCATIONS.schema().to_pyarrow()

    cluster.assets(NODE)
    assert pq.read_schema(file) == IN_CLUSTER_ASSETS.schema().to_pyarrow()


def test_a_day_of_many_batches_is_whole(cluster: Cluster) -> None:
    items = [allocation(f"prod/n1/shop/web-{i}/web") for i in range(12_001)]

    rows = cluster.allocations(*items)

    assert [row["name"] for row in rows] == [item["name"] for item in items]
