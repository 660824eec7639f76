"""The drop-in layout: the columns that `containers-cost-allocation-dashboard` writes, in its order and types.

Existing Athena tables, views and dashboards read such files unchanged. `COLUMNS` is the mapping; a change here breaks
somebody's dashboard. What differs from that exporter, on purpose: of two labels that say the same, the first that is
set counts, where it glues them together; rows of clusters in Google Cloud and Azure have their provider.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute

from kubecost_pipelines.core.exports.identity import ExportedCluster
from kubecost_pipelines.core.window import DAY

pc: Any = pyarrow.compute
Values: TypeAlias = Any
"""An Arrow array: the stubs do not follow one through functions of strings."""

Kind = Literal["text", "number", "label", "time", "cluster"]

_TYPES: Mapping[str, tuple[pa.DataType, str]] = {
    "number": (pa.float64(), "double"),
    "time": (pa.timestamp("ns"), "timestamp"),
}
_TEXT: tuple[pa.DataType, str] = (pa.string(), "string")
_PROVIDERS = {"gcp": "GCP", "azure": "Azure"}


@dataclass(frozen=True)
class DropInColumn:
    """One column: the exporter's name for it, and where it comes from.

    Args:
        name: as in the file; Glue's name for it is the same in lower case.
        kind: `text` and `number` copy a column ("" and 0 for null), `label` takes the first of several labels,
            `time` and `cluster` are the same in every row.
        sources: our column; for `label` the keys, the first that is set, perhaps after `labels` or `annotations`.
        estimated: our column in an export of estimates, where it is another.
    """

    name: str
    kind: Kind
    sources: tuple[str, ...] = ()
    estimated: str | None = None

    @property
    def type(self) -> pa.DataType:
        return _TYPES.get(self.kind, _TEXT)[0]

    @property
    def glue_name(self) -> str:
        return self.name.lower()

    @property
    def glue_type(self) -> str:
        return _TYPES.get(self.kind, _TEXT)[1]


def _columns(kind: Kind, *rows: str) -> tuple[DropInColumn, ...]:
    """Read lines of `name: source, source | source in an export of estimates`."""
    split = [re.fullmatch(r"([^:]+)(?:: ([^|]+?)(?: \| (.+))?)?", row) for row in rows]
    found = [line.groups() for line in split if line]
    return tuple(DropInColumn(name, kind, tuple((sources or "").split(", ")), other) for name, sources, other in found)


# `reconciled | estimated`: an adjustment is ours in an export of reconciled rows, and else the cluster's own.
COLUMNS = (
    *_columns("text", "name: name"),
    *_columns("time", "window.start", "window.end"),
    *_columns(
        "number",
        "minutes: minutes",
        "cpuCores: cpu_cores",
        "cpuCoreRequestAverage: cpu_core_request_average",
        "cpuCoreUsageAverage: cpu_core_usage_average",
        "cpuCoreHours: cpu_core_hours",
        "cpuCost: cpu_cost",
        "cpuCostAdjustment: cpu_cost_adjustment | reported_cpu_adjustment",
        "cpuEfficiency: cpu_efficiency",
        "gpuCount: gpu_count",
        "gpuHours: gpu_hours",
        "gpuCost: gpu_cost",
        "gpuCostAdjustment: gpu_cost_adjustment | reported_gpu_adjustment",
        "networkTransferBytes: network_transfer_bytes",
        "networkReceiveBytes: network_receive_bytes",
        "networkCost: network_cost",
        "networkCrossZoneCost: network_cross_zone_cost",
        "networkCrossRegionCost: network_cross_region_cost",
        "networkInternetCost: network_internet_cost",
        "networkCostAdjustment: network_cost_adjustment | reported_network_adjustment",
        "loadBalancerCost: load_balancer_cost",
        "loadBalancerCostAdjustment: load_balancer_cost_adjustment | reported_load_balancer_adjustment",
        "pvBytes: pv_bytes",
        "pvByteHours: pv_byte_hours",
        "pvCost: pv_cost",
        "pvCostAdjustment: pv_cost_adjustment | reported_pv_adjustment",
        "ramBytes: ram_bytes",
        "ramByteRequestAverage: ram_byte_request_average",
        "ramByteUsageAverage: ram_byte_usage_average",
        "ramByteHours: ram_byte_hours",
        "ramCost: ram_cost",
        "ramCostAdjustment: ram_cost_adjustment | reported_ram_adjustment",
        "ramEfficiency: ram_efficiency",
        "sharedCost: shared_cost",
        "externalCost: external_cost",
        "totalCost: total_cost | reported_total_cost",
        "totalEfficiency: total_efficiency",
    ),
    *_columns("cluster", "properties.provider: provider_id"),
    *_columns("label", "properties.region: topology_kubernetes_io_region"),
    *_columns("cluster", "properties.cluster", "properties.clusterid", "properties.eksClusterName"),
    *_columns(
        "text",
        "properties.container: container",
        "properties.namespace: namespace",
        "properties.pod: pod",
        "properties.node: node",
    ),
    *_columns(
        "label",
        "properties.node_instance_type: node_kubernetes_io_instance_type",
        "properties.node_availability_zone: topology_kubernetes_io_zone",
        "properties.node_capacity_type: eks_amazonaws_com_capacityType, karpenter_sh_capacity_type",
        "properties.node_architecture: kubernetes_io_arch",
        "properties.node_os: kubernetes_io_os",
        "properties.node_nodegroup: eks_amazonaws_com_nodegroup, karpenter_sh_provisioner_name, karpenter_sh_nodepool",
        "properties.node_nodegroup_image: eks_amazonaws_com_nodegroup_image, karpenter_k8s_aws_instance_ami_id",
    ),
    *_columns(
        "text",
        "properties.controller: controller",
        "properties.controllerKind: controller_kind",
        "properties.providerID: provider_id",
    ),
)


def drop_in_columns(labels: Sequence[str], annotations: Sequence[str]) -> tuple[DropInColumn, ...]:
    """Return the columns of a file: the fixed ones, then one per label and annotation, in their original keys."""
    chosen = {"labels": labels, "annotations": annotations}
    return (
        *COLUMNS,
        *(
            DropInColumn(f"properties.{kind}.{key}", "label", (kind, *dict.fromkeys((key, kubecost_key(key)))))
            for kind, keys in chosen.items()
            for key in keys
        ),
    )


def kubecost_key(key: str) -> str:
    """Return a Kubernetes key as Prometheus, and so Kubecost, writes it: `app.kubernetes.io/name` with underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", key)


def to_drop_in(
    rows: pa.RecordBatch, cluster: ExportedCluster, day: date, columns: Sequence[DropInColumn]
) -> pa.RecordBatch:
    """Return allocations, reconciled or estimated, as rows of the drop-in layout.

    Args:
        rows: columns of `allocations` or `reconciled_allocations`.
        cluster: whose they are.
        day: which day they are.
        columns: what `drop_in_columns` returns.
    """
    make: Mapping[Kind, Callable[[DropInColumn], Values]] = {
        "text": lambda column: _copy(rows, column).fill_null(""),
        "number": lambda column: _copy(rows, column).fill_null(0.0),
        "label": lambda column: _label(rows, column.sources),
        "time": lambda column: _constant(_MIDNIGHTS[column.name](day), column.type, rows),
        "cluster": lambda column: _of_cluster(rows, column.name, cluster),
    }
    schema = pa.schema([(column.name, column.type) for column in columns])
    return pa.RecordBatch.from_arrays([make[column.kind](column) for column in columns], schema=schema)


_MIDNIGHTS: Mapping[str, Callable[[date], datetime]] = {
    "window.start": lambda day: datetime(day.year, day.month, day.day),  # noqa: DTZ001 - the column has no zone
    "window.end": lambda day: _MIDNIGHTS["window.start"](day + DAY),
}


def _copy(rows: pa.RecordBatch, column: DropInColumn) -> Values:
    is_estimated = "cpu_cost_adjustment" not in rows.schema.names
    source = column.estimated if column.estimated and is_estimated else column.sources[0]
    return rows.column(source)


def _label(rows: pa.RecordBatch, sources: Sequence[str]) -> Values:
    column, keys = (sources[0], sources[1:]) if sources[0] in ("labels", "annotations") else ("labels", sources)
    maps = rows.column(column)
    found = [pc.map_lookup(maps, pa.scalar(key), "first") for key in keys]
    return reduce(_or_else, found).fill_null("")


def _or_else(first: Values, second: Values) -> Values:
    """An empty label counts as none."""
    return pc.if_else(pc.not_equal(first, "").fill_null(False), first, second)


def _of_cluster(rows: pa.RecordBatch, name: str, cluster: ExportedCluster) -> Values:
    match name:
        case "properties.clusterid":
            return _constant(cluster.cluster_id, pa.string(), rows)
        case "properties.eksClusterName":
            return _constant(cluster.name, pa.string(), rows)
        case "properties.cluster" if "reported_cluster" in rows.schema.names:
            return rows.column("reported_cluster").fill_null("")
        case "properties.cluster":
            # The cluster's own name for itself is how its names begin; rows that we add may have no such name.
            names = rows.column("name").fill_null("")
            own = pc.struct_field(pc.extract_regex(names, "^(?P<cluster>[^/]+)/"), "cluster")
            return pc.coalesce(own, rows.column("cluster"))
    ids = rows.column("provider_id").fill_null("")
    is_known = pc.starts_with(ids, "i-") if cluster.provider in (None, "aws") else pc.not_equal(ids, "")
    return pc.if_else(is_known, _PROVIDERS.get(cluster.provider or "", "AWS"), "")


def _constant(value: object, type_: pa.DataType, rows: pa.RecordBatch) -> Values:
    scalar: Any = pa.scalar(value, type_)
    return pa.repeat(scalar, rows.num_rows)
