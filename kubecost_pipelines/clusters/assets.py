"""Assets: from the JSON of Kubecost and OpenCost to the rows of `in_cluster_assets`.

Kept are the types that a cluster estimates. Cloud, Network and Shared assets are products of the server's own
reconciliation, which would bring the bill in a second time. The JSON has no unadjusted cost: a node's follows
from its parts, that of the others is `totalCost − adjustment`.
Fields: OpenCost `core/pkg/opencost/asset_json.go`.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from kubecost_pipelines.clusters.columns import constant, maps, numbers, record_batch, texts, times
from kubecost_pipelines.clusters.items import Item, Kind, Labels, Number, Properties, Text
from kubecost_pipelines.core.provider_ids import normalise_provider_id
from kubecost_pipelines.core.provider_key import PROVIDERS
from kubecost_pipelines.core.tables import IN_CLUSTER_ASSETS
from kubecost_pipelines.settings import ClusterSettings

CATEGORIES = {
    "Node": "Compute",
    "Disk": "Storage",
    "LoadBalancer": "Network",
    "ClusterManagement": "Management",
}
"""The types that we keep, with the category in which the bill has them."""

SPOT_SHARE = 0.5
"""`preemptible` is a share of the time where nodes were merged."""


class AssetProperties(Properties):
    """What identifies an asset."""

    provider: Text = None
    account: Text = None
    project: Text = None
    name: Text = None


class Asset(Item):
    """One node, disk, load balancer or management fee of a day."""

    type: str = ""
    properties: AssetProperties = msgspec.field(default_factory=AssetProperties)
    labels: Labels = None
    node_type: Text = None
    preemptible: Number = 0.0
    discount: Number = 0.0
    cpu_core_hours: Number = 0.0
    ram_byte_hours: Number = 0.0
    gpu_hours: Number = msgspec.field(default=0.0, name="GPUHours")
    cpu_cost: Number = 0.0
    ram_cost: Number = 0.0
    gpu_cost: Number = 0.0
    bytes: Number = 0.0
    byte_hours: Number = 0.0
    storage_class: Text = None
    volume_name: Text = None
    claim_name: Text = None
    claim_namespace: Text = None
    adjustment: Number = 0.0

    @property
    def cost(self) -> float:
        """The estimate, before any adjustment of the cluster's own."""
        if self.type != "Node":
            return (self.reported_cost or 0.0) - (self.adjustment or 0.0)
        discounted = ((self.cpu_cost or 0.0) + (self.ram_cost or 0.0)) * (1 - (self.discount or 0.0))
        return discounted + (self.gpu_cost or 0.0)

    @property
    def provider_id(self) -> str | None:
        """The id in the cloud. CSI drivers of GCP and Azure give none, and their bills know the volume's name."""
        found = normalise_provider_id(self.type, self.properties.provider_id)
        is_disk = self.type == "Disk"
        return found or (is_disk and (self.volume_name or self.properties.name)) or None

    @property
    def provider(self) -> str | None:
        found = (self.properties.provider or "").lower()
        return found if found in PROVIDERS else None

    @property
    def account(self) -> str | None:
        return (self.properties.account or self.properties.project or "").lower() or None


NODE_AMOUNTS = ("cpu_core_hours", "ram_byte_hours", "gpu_hours", "cpu_cost", "ram_cost", "gpu_cost", "discount")
DISK_AMOUNTS = ("bytes", "byte_hours")
TEXTS = ("node_type", "storage_class", "volume_name", "claim_name", "claim_namespace")


def to_rows(items: Sequence[Asset], cluster: ClusterSettings) -> pa.RecordBatch:
    """Return the rows of `in_cluster_assets` that the items make; what a type does not have is null."""
    ids = [item.provider_id for item in items]
    names = [item.properties.name or "" for item in items]
    columns: dict[str, pa.Array[Any]] = {
        "cluster": constant(cluster.name, len(items)),
        "currency": constant(cluster.currency, len(items)),
        "asset_id": texts(
            "/".join((cluster.name, item.type, provider_id or "", name))
            for item, provider_id, name in zip(items, ids, names, strict=True)
        ),
        "asset_type": texts(item.type for item in items),
        "category": texts(CATEGORIES[item.type] for item in items),
        "name": texts(names),
        "provider_id": texts(ids),
        "provider": texts(cluster.provider or item.provider for item in items),
        "account": texts(cluster.account or item.account for item in items),
        "labels": maps(item.labels or {} for item in items),
        "start": times(item.start for item in items),
        "end": times(item.end for item in items),
        "minutes": numbers(item.minutes or 0.0 for item in items),
        "is_spot": pa.array(
            [(item.preemptible or 0.0) >= SPOT_SHARE if item.type == "Node" else None for item in items], pa.bool_()
        ),
        "cost": numbers(item.cost for item in items),
        **{name: numbers(_only("Node", name, items)) for name in NODE_AMOUNTS},
        **{name: numbers(_only("Disk", name, items)) for name in DISK_AMOUNTS},
        **{name: texts(map(attrgetter(name), items)) for name in TEXTS},
    }
    return record_batch(IN_CLUSTER_ASSETS.arrow_schema(), columns)


def _only(asset_type: str, name: str, items: Iterable[Asset]) -> Iterable[float | None]:
    amount: Callable[[Asset], float | None] = attrgetter(name)
    return (amount(item) or 0.0 if item.type == asset_type else None for item in items)


KIND = Kind(
    table=IN_CLUSTER_ASSETS,
    cost_column="cost",
    decoder=msgspec.json.Decoder(dict[str, Asset]),
    to_rows=to_rows,
    cluster_of=lambda item: item.properties.cluster,
    skipped_type=lambda item: None if item.type in CATEGORIES else item.type or "Asset",
)
