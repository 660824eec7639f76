"""Allocations: from the JSON of Kubecost and OpenCost to the rows of `allocations`.

`totalCost` of the JSON holds the adjustments that the cluster made itself. Ours is the sum of the unadjusted
costs, since we reconcile, and theirs is kept apart as `reported_adjustment`.
Fields: OpenCost `core/pkg/opencost/allocation_json.go`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kubecost_pipelines.clusters.columns import amounts, constant, maps, numbers, record_batch, texts, times
from kubecost_pipelines.clusters.items import Item, Kind, Labels, Number, Part, Properties, Text
from kubecost_pipelines.core.provider_ids import normalise_node_id, normalise_volume_id
from kubecost_pipelines.core.tables import ALLOCATIONS
from kubecost_pipelines.settings import ClusterSettings


class AllocationProperties(Properties):
    """What ran, and where."""

    node: Text = None
    namespace: Text = None
    pod: Text = None
    container: Text = None
    controller: Text = None
    controller_kind: Text = None
    services: list[str] | None = None
    labels: Labels = None
    annotations: Labels = None
    namespace_labels: Labels = None
    namespace_annotations: Labels = None


class Volume(Part):
    """A persistent volume that the pod mounted."""

    byte_hours: Number = 0.0
    cost: Number = 0.0
    provider_id: Text = msgspec.field(default=None, name="providerID")


class LoadBalancer(Part):
    """A load balancer of one of the pod's services."""

    service: Text = None
    ip: Text = None
    private: bool | None = None
    hours: Number = 0.0
    cost: Number = 0.0


class Maxima(Part):
    """The most that a container used at once; only the cluster's finest answer has it."""

    cpu_core_usage_max: Number = None
    ram_byte_usage_max: Number = None


class Allocation(Item):
    """One container of a day, or what a node has left."""

    name: str = ""
    properties: AllocationProperties | None = None
    cpu_cores: Number = 0.0
    cpu_core_request_average: Number = 0.0
    cpu_core_usage_average: Number = 0.0
    cpu_core_hours: Number = 0.0
    cpu_cost: Number = 0.0
    cpu_cost_adjustment: Number = 0.0
    cpu_cost_idle: Number = None
    cpu_efficiency: Number = None
    gpu_count: Number = 0.0
    gpu_hours: Number = 0.0
    gpu_cost: Number = 0.0
    gpu_cost_adjustment: Number = 0.0
    gpu_cost_idle: Number = None
    gpu_request_average: Number = None
    gpu_usage_average: Number = None
    gpu_efficiency: Number = None
    ram_bytes: Number = 0.0
    ram_byte_request_average: Number = 0.0
    ram_byte_usage_average: Number = 0.0
    ram_byte_hours: Number = 0.0
    ram_cost: Number = 0.0
    ram_cost_adjustment: Number = 0.0
    ram_cost_idle: Number = None
    ram_efficiency: Number = None
    network_transfer_bytes: Number = 0.0
    network_receive_bytes: Number = 0.0
    network_cost: Number = 0.0
    network_cross_zone_cost: Number = 0.0
    network_cross_region_cost: Number = 0.0
    network_internet_cost: Number = 0.0
    network_cost_adjustment: Number = 0.0
    load_balancer_cost: Number = 0.0
    load_balancer_cost_adjustment: Number = 0.0
    pv_bytes: Number = 0.0
    pv_byte_hours: Number = 0.0
    pv_cost: Number = 0.0
    pv_cost_adjustment: Number = 0.0
    shared_cost: Number = 0.0
    external_cost: Number = 0.0
    total_efficiency: Number = None
    pvs: dict[str, Volume] | None = None
    lb_allocations: dict[str, LoadBalancer] | None = None
    raw_allocation_only: Maxima | None = None


_NO_PROPERTIES = AllocationProperties()
_NO_MAXIMA = Maxima()

COSTS = ("cpu", "gpu", "ram", "network", "load_balancer", "pv", "shared", "external")
ADJUSTED = ("cpu", "gpu", "ram", "network", "load_balancer", "pv")
TEXTS = ("node", "namespace", "pod", "container", "controller", "controller_kind")
MAXIMA = ("cpu_core_usage_max", "ram_byte_usage_max")
KNOWN_OR_NULL = (
    *("cpu_efficiency", "ram_efficiency", "gpu_efficiency", "total_efficiency"),
    *("gpu_request_average", "gpu_usage_average"),
)
IDLE = ("cpu", "gpu", "ram")
AMOUNTS = tuple(
    c.name
    for c in ALLOCATIONS.columns
    if c.type == "float64"
    and c.name not in (*KNOWN_OR_NULL, *MAXIMA, "total_cost")
    and not c.name.startswith("reported_")
)
"""The columns that are a field of the JSON, an unknown one counting as 0."""


def to_rows(items: Sequence[Allocation], cluster: ClusterSettings) -> pa.RecordBatch:
    """Return the rows of `allocations` that the items make."""
    properties = [item.properties or _NO_PROPERTIES for item in items]
    by_amount = {name: amounts(map(attrgetter(name), items)) for name in AMOUNTS}
    adjustments = {
        f"reported_{name}_adjustment": amounts(map(attrgetter(f"{name}_cost_adjustment"), items)) for name in ADJUSTED
    }
    maxima = [item.raw_allocation_only or _NO_MAXIMA for item in items]
    schema = ALLOCATIONS.arrow_schema()
    columns: dict[str, pa.Array[Any]] = {
        "cluster": constant(cluster.name, len(items)),
        "currency": constant(cluster.currency, len(items)),
        "name": texts(item.name for item in items),
        "provider_id": texts(_node_ids(properties)),
        "services": pa.array([p.services or [] for p in properties], pa.list_(pa.string())),
        "labels": maps(_merged(p.namespace_labels, p.labels) for p in properties),
        "annotations": maps(_merged(p.namespace_annotations, p.annotations) for p in properties),
        "namespace_labels": maps(p.namespace_labels or {} for p in properties),
        "namespace_annotations": maps(p.namespace_annotations or {} for p in properties),
        "start": times(item.start for item in items),
        "end": times(item.end for item in items),
        "total_cost": reduce(pc.add, [by_amount[f"{name}_cost"] for name in COSTS]),
        "reported_adjustment": reduce(pc.add, adjustments.values()),
        "reported_total_cost": amounts(item.reported_cost for item in items),
        "reported_cluster": texts(p.cluster for p in properties),
        **adjustments,
        "pvs": pa.array([_volumes(item.pvs) if item.pvs else [] for item in items], schema.field("pvs").type),
        "load_balancers": pa.array(
            [_load_balancers(item.lb_allocations) if item.lb_allocations else [] for item in items],
            schema.field("load_balancers").type,
        ),
        **by_amount,
        **{name: numbers(map(attrgetter(name), items)) for name in KNOWN_OR_NULL},
        **{name: numbers(map(attrgetter(name), maxima)) for name in MAXIMA},
        **{f"reported_{name}_idle_cost": numbers(map(attrgetter(f"{name}_cost_idle"), items)) for name in IDLE},
        **{name: texts(map(attrgetter(name), properties)) for name in TEXTS},
    }
    return record_batch(schema, columns)


def _node_ids(properties: Sequence[AllocationProperties]) -> Iterator[str]:
    """Yield the normalised id of each item's node; many items share one."""
    known = {given: normalise_node_id(given or "") for given in {p.provider_id for p in properties}}
    return (known[p.provider_id] for p in properties)


def _merged(of_namespace: Labels, own: Labels) -> dict[str, str]:
    return of_namespace | own if of_namespace and own else own or of_namespace or {}


def _volumes(volumes: Mapping[str, Volume]) -> list[dict[str, object]]:
    return [
        {
            "name": key.rpartition("name=")[2],
            "provider_id": normalise_volume_id(volume.provider_id or "") or None,
            "byte_hours": volume.byte_hours or 0.0,
            "cost": volume.cost or 0.0,
        }
        for key, volume in volumes.items()
    ]


def _load_balancers(load_balancers: Mapping[str, LoadBalancer]) -> list[dict[str, object]]:
    return [
        {
            "name": key,
            "service": load_balancer.service or None,
            "ip": load_balancer.ip or None,
            "is_private": load_balancer.private,
            "hours": load_balancer.hours or 0.0,
            "cost": load_balancer.cost or 0.0,
        }
        for key, load_balancer in load_balancers.items()
    ]


KIND = Kind(
    table=ALLOCATIONS,
    cost_column="total_cost",
    decoder=msgspec.json.Decoder(dict[str, Allocation]),
    to_rows=to_rows,
    cluster_of=lambda item: item.properties.cluster if item.properties else None,
)
