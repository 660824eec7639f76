"""The drop-in layout, against what the old exporter makes of the same JSON."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.core.exports.drop_in import COLUMNS, drop_in_columns, to_drop_in
from kubecost_pipelines.core.exports.identity import ExportedCluster, exported_cluster
from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS
from kubecost_pipelines.settings import ClusterSettings
from kubecost_pipelines_tests.clusters.api_server import DAY, ApiServer, Item, allocation, data, serve
from kubecost_pipelines_tests.exports.old_exporter import FIXED, NUMBERS, old_rows

ARN = "arn:aws:eks:us-east-1:111122223333:cluster/prod"
PROD = exported_cluster("prod-eks-1", "aws", None, None, ARN)
EKS_NODE = {
    "node_kubernetes_io_instance_type": "m5.large",
    "topology_kubernetes_io_region": "us-east-1",
    "topology_kubernetes_io_zone": "us-east-1a",
    "kubernetes_io_arch": "arm64",
    "kubernetes_io_os": "linux",
    "eks_amazonaws_com_capacityType": "SPOT",
    "eks_amazonaws_com_nodegroup": "ng-1",
    "eks_amazonaws_com_nodegroup_image": "ami-1",
}
KARPENTER_NODE = {
    "karpenter_sh_capacity_type": "on-demand",
    "karpenter_sh_provisioner_name": "default",
    "karpenter_k8s_aws_instance_ami_id": "ami-2",
}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serve() as running:
        yield running


def container(name: str, labels: dict[str, str], **fields: Any) -> Item:
    """An allocation whose every number is another one."""
    item = allocation(name, **{number: round(1.1**at, 5) for at, number in enumerate(NUMBERS)})
    item["properties"] |= {"labels": labels, "namespaceLabels": {}, "providerID": "i-0abc"}
    item["properties"]["annotations"] = {"example_com_owner": "ann"}
    return item | fields


def a_day() -> dict[str, Item]:
    idle = allocation("prod/n1/a/b/__idle__", cpuCost=2.5, totalCost=2.5)
    idle["name"], idle["properties"] = "prod/n1/__idle__", {"cluster": "prod", "node": "n1", "providerID": "i-0abc"}
    bare = {"name": "prod/__unmounted__", "window": idle["window"], "totalCost": 0.25, "pvCost": 0.25}
    bare |= {"start": idle["start"], "end": idle["end"], "properties": {"cluster": "prod", "pod": "__unmounted__"}}
    items = [
        container("prod/n1/shop/web-1/web", EKS_NODE | {"app": "web", "app_kubernetes_io_name": "web"}),
        container("prod/n2/shop/web-2/web", KARPENTER_NODE | {"app": ""}, cpuEfficiency=None, gpuCost=None),
        container("prod/n3/shop/web-3/web", {}),
        idle,
        bare,
    ]
    return {item["name"]: item for item in items}


def fetched(server: ApiServer, folder: Path, items: dict[str, Item]) -> pa.RecordBatch:
    server.on("/model/allocation", data([items]))
    settings = ClusterSettings(
        name="prod-eks-1", endpoint=server.endpoint, flavour="kubecost", verify_totals=False, max_attempts=1
    )
    ClusterClient(settings).fetch_allocations(DAY, folder / "day.parquet")
    [batch] = pq.read_table(folder / "day.parquet").combine_chunks().to_batches()
    return batch


def test_every_cell_is_the_old_exporters(server: ApiServer, tmp_path: Path) -> None:
    labels, annotations = ("app", "app.kubernetes.io/name", "x"), ("example.com/owner",)
    batch = fetched(server, tmp_path, a_day())

    ours = to_drop_in(batch, PROD, DAY, drop_in_columns(labels, annotations)).to_pylist()

    theirs = old_rows(a_day(), ARN, labels, annotations)
    assert len(ours) == len(theirs) == 5
    for mine, old in zip(ours, theirs, strict=True):
        assert list(mine) == list(old)
        for name, value in old.items():
            assert mine[name] == (pytest.approx(value, rel=1e-9, abs=0) if isinstance(value, float) else value), name


def test_the_58_columns_have_the_order_and_types_that_glue_knows(server: ApiServer, tmp_path: Path) -> None:
    batch = fetched(server, tmp_path, a_day())

    schema = to_drop_in(batch, PROD, DAY, COLUMNS).schema

    assert schema.names == FIXED
    assert len(FIXED) == 58
    times = [pa.field(name, pa.timestamp("ns")) for name in ("window.start", "window.end")]
    numbers = [pa.field(name, pa.float64()) for name in NUMBERS]
    texts = [pa.field(name, pa.string()) for name in FIXED[39:]]
    assert list(schema) == [pa.field("name", pa.string()), *times, *numbers, *texts]
    assert [(c.glue_name, c.glue_type) for c in COLUMNS if "CoreHours" in c.name] == [("cpucorehours", "double")]


def test_of_two_labels_that_say_the_same_the_first_that_is_set_counts(server: ApiServer, tmp_path: Path) -> None:
    both = EKS_NODE | KARPENTER_NODE
    nodepool = {"karpenter_sh_nodepool": "general"}
    items = {name: container(name, labels) for name, labels in (("p/n/a/b/c", both), ("p/n/a/b/d", nodepool))}

    first, second = to_drop_in(fetched(server, tmp_path, items), PROD, DAY, COLUMNS).to_pylist()

    assert (first["properties.node_capacity_type"], first["properties.node_nodegroup"]) == ("SPOT", "ng-1")
    assert second["properties.node_nodegroup"] == "general"


def test_an_export_of_reconciled_rows_has_our_adjustments_and_totals() -> None:
    row: Item = dict.fromkeys(RECONCILED_ALLOCATIONS.names)
    row |= {"name": "kube-1/n1/shop/web/web", "cluster": "prod-eks-1", "labels": [], "annotations": []}
    row |= {"cpu_cost": 1.0, "cpu_cost_adjustment": -0.25, "pv_cost_adjustment": 0.5, "total_cost": 1.25}
    added = row | {"name": "__shared__"}
    batch = pa.RecordBatch.from_pylist([row, added], RECONCILED_ALLOCATIONS.arrow_schema())

    first, second = to_drop_in(batch, PROD, DAY, COLUMNS).to_pylist()

    assert (first["cpuCost"], first["cpuCostAdjustment"], first["pvCostAdjustment"]) == (1.0, -0.25, 0.5)
    assert first["totalCost"] == 1.25
    assert first["window.start"] == datetime.fromisoformat("2026-10-01")
    assert (first["properties.cluster"], second["properties.cluster"]) == ("kube-1", "prod-eks-1")


@pytest.mark.parametrize(
    ("settings", "account", "region", "cluster_id", "name"),
    [
        (("prod", "aws", "1", "eu-west-3", None), "1", "eu-west-3", "arn:aws:eks:eu-west-3:1:cluster/prod", "prod"),
        (("x", "aws", None, None, ARN), "111122223333", "us-east-1", ARN, "prod"),
        (("p", "aws", "1", "cn-north-1", None), "1", "cn-north-1", "arn:aws-cn:eks:cn-north-1:1:cluster/p", "p"),
        (
            ("p", "aws", "1", "us-gov-east-1", None),
            "1",
            "us-gov-east-1",
            "arn:aws-us-gov:eks:us-gov-east-1:1:cluster/p",
            "p",
        ),
        (("p", "aws", "1", "il-central-1", None), "1", "il-central-1", "arn:aws:eks:il-central-1:1:cluster/p", "p"),
        (("gke-1", "gcp", "acme-prod", "europe-west1", None), "acme-prod", "europe-west1", "gke-1", "gke-1"),
        (("lab", None, None, None, None), "unknown", "unknown", "lab", "lab"),
        (("prod", "aws", "1", None, None), "1", "unknown", "prod", "prod"),
    ],
)
def test_every_cluster_has_an_account_a_region_and_an_id(
    settings: tuple[str | None, ...], account: str, region: str, cluster_id: str, name: str
) -> None:
    found = exported_cluster(*settings)  # type: ignore[arg-type]

    assert found == ExportedCluster(name, account, region, cluster_id, settings[1])


def test_a_cluster_outside_aws_has_its_provider_in_every_row_with_a_node() -> None:
    row: Item = dict.fromkeys(RECONCILED_ALLOCATIONS.names) | {"labels": [], "annotations": []}
    rows = [row | {"provider_id": "gke-node-1"}, row]
    batch = pa.RecordBatch.from_pylist(rows, RECONCILED_ALLOCATIONS.arrow_schema())
    gke = exported_cluster("gke-1", "gcp", "acme-prod", "europe-west1", None)

    assert to_drop_in(batch, gke, DAY, COLUMNS).column("properties.provider").to_pylist() == ["GCP", ""]
