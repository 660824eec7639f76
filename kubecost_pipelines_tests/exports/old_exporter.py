"""What `containers-cost-allocation-dashboard` makes of a day's JSON, in plain Python: written from its behaviour,
cell by cell, and from none of our code.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

NUMBERS = [
    "minutes",
    "cpuCores",
    "cpuCoreRequestAverage",
    "cpuCoreUsageAverage",
    "cpuCoreHours",
    "cpuCost",
    "cpuCostAdjustment",
    "cpuEfficiency",
    "gpuCount",
    "gpuHours",
    "gpuCost",
    "gpuCostAdjustment",
    "networkTransferBytes",
    "networkReceiveBytes",
    "networkCost",
    "networkCrossZoneCost",
    "networkCrossRegionCost",
    "networkInternetCost",
    "networkCostAdjustment",
    "loadBalancerCost",
    "loadBalancerCostAdjustment",
    "pvBytes",
    "pvByteHours",
    "pvCost",
    "pvCostAdjustment",
    "ramBytes",
    "ramByteRequestAverage",
    "ramByteUsageAverage",
    "ramByteHours",
    "ramCost",
    "ramCostAdjustment",
    "ramEfficiency",
    "sharedCost",
    "externalCost",
    "totalCost",
    "totalEfficiency",
]
PROPERTIES = [
    "provider",
    "region",
    "cluster",
    "clusterid",
    "eksClusterName",
    "container",
    "namespace",
    "pod",
    "node",
    "node_instance_type",
    "node_availability_zone",
    "node_capacity_type",
    "node_architecture",
    "node_os",
    "node_nodegroup",
    "node_nodegroup_image",
    "controller",
    "controllerKind",
    "providerID",
]
FROM_LABELS = {
    "region": ["topology_kubernetes_io_region"],
    "node_instance_type": ["node_kubernetes_io_instance_type"],
    "node_availability_zone": ["topology_kubernetes_io_zone"],
    "node_architecture": ["kubernetes_io_arch"],
    "node_os": ["kubernetes_io_os"],
    "node_capacity_type": ["eks_amazonaws_com_capacityType", "karpenter_sh_capacity_type"],
    "node_nodegroup": ["eks_amazonaws_com_nodegroup", "karpenter_sh_provisioner_name"],
    "node_nodegroup_image": ["eks_amazonaws_com_nodegroup_image", "karpenter_k8s_aws_instance_ami_id"],
}
FIXED = ["name", "window.start", "window.end", *NUMBERS, *(f"properties.{name}" for name in PROPERTIES)]


def old_rows(
    items: Mapping[str, Any], arn: str, labels: Sequence[str] = (), annotations: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the rows of the old exporter's file for a set of allocations, its columns in its order."""
    return [_row(item, arn, labels, annotations) for item in items.values()]


def _row(item: Mapping[str, Any], arn: str, labels: Sequence[str], annotations: Sequence[str]) -> dict[str, Any]:
    properties = item["properties"]
    carried = properties.get("labels") or {}
    special = {
        "provider": "AWS" if properties.get("providerID", "").startswith("i-") else "",
        "clusterid": arn,
        "eksClusterName": arn.rsplit("/", maxsplit=1)[-1],
        **{name: "".join(carried.get(key, "") for key in keys) for name, keys in FROM_LABELS.items()},
    }
    row = {"name": item["name"]}
    for end in ("start", "end"):
        row[f"window.{end}"] = datetime.fromisoformat(item["window"][end].removesuffix("Z"))
    row |= {name: item.get(name) or 0.0 for name in NUMBERS}
    row |= {f"properties.{name}": special.get(name, properties.get(name) or "") for name in PROPERTIES}
    for kind, keys in (("labels", labels), ("annotations", annotations)):
        known = properties.get(kind) or {}
        row |= {f"properties.{kind}.{key}": known.get(re.sub(r"[^\w]", "_", key), "") for key in keys}
    return row
