"""The company's Google Cloud project: the detailed billing export as CSV, a line per day and price.

Its second node is under a committed use discount: credits take back its list price, and the commitment's own fee is
what it really costs.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from kubecost_pipelines.demo.company import COMPANY, GKE, PROJECT_ID
from kubecost_pipelines.demo.model import Node, Purchase

COLUMNS = (
    *("billing_account_id", "service.description", "sku.description", "usage_start_time", "project.id"),
    *("project.labels", "labels", "location.region", "location.zone", "resource.name", "resource.global_name"),
    *("cost", "cost_at_list", "currency", "usage.amount_in_pricing_units", "credits", "invoice.month", "cost_type"),
)
LABELS = {"goog-k8s-cluster-name": GKE.name, "goog-gke-node": ""}
ZERO = Decimal(0)

Line = dict[str, str]


def write_gcp_bill(folder: Path, days: Sequence[date]) -> None:
    """Write the lines of `days` as one CSV into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "export.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for day in days:
            writer.writerows(_lines(day))


def _lines(day: date) -> Iterator[Line]:
    compute, region = "Compute Engine", {"location.region": "us-central1", "location.zone": "us-central1-a"}
    for node in GKE.nodes:
        list_cost = 24 * node.instance_type.hour_price
        for part, share in (("Core", Decimal("0.6")), ("Ram", Decimal("0.4"))):
            sku = f"N2 Instance {part} running in Americas"
            covered = node.purchase is Purchase.RESERVED
            line = _line(day, compute, sku, _instance(node), list_cost * share, LABELS, is_covered=covered)
            yield {**line, **region}
        if node.purchase is Purchase.RESERVED:
            yield _line(day, compute, "Commitment v1: N2 Cpu in Americas for 1 Year", "", 24 * node.hour_cost)
    for volume in GKE.volumes:
        cost = 24 * volume.gib * COMPANY.volume_gib_hour_price
        disk = f"projects/101/disks/{volume.name}"
        yield {**_line(day, compute, "Balanced PD Capacity", disk, cost, {"goog-k8s-cluster-name": GKE.name}), **region}
    fee = 24 * COMPANY.management_hour_price
    cluster = f"projects/101/clusters/{GKE.name}"
    yield _line(
        day, "Kubernetes Engine", "Zonal Kubernetes Clusters", cluster, fee, {"goog-k8s-cluster-name": GKE.name}
    )
    yield _line(day, "BigQuery", "Analysis", "projects/101/datasets/clicks", Decimal("3.125"), {"team": "discovery"})


def _instance(node: Node) -> str:
    return f"projects/101/instances/{node.instance_id}"


def _line(
    day: date, service: str, sku: str, resource: str, cost: Decimal, labels: dict[str, str] | None = None, *,
    is_covered: bool = False,
) -> Line:  # fmt: skip
    credit = {"type": "COMMITTED_USAGE_DISCOUNT", "name": "N2 commitment", "id": "cud-1", "amount": str(-cost)}
    return {
        "billing_account_id": "01A2B3-LANTERN",
        "service.description": service,
        "sku.description": sku,
        "usage_start_time": f"{day} 00:00:00 UTC",
        "project.id": PROJECT_ID,
        "project.labels": json.dumps([{"key": "env", "value": "prod"}]),
        "labels": json.dumps([{"key": key, "value": value} for key, value in (labels or {}).items()]),
        "resource.name": resource,
        "resource.global_name": f"//compute.googleapis.com/{resource}" if resource else "",
        "cost": str(cost),
        "cost_at_list": str(cost),
        "currency": "USD",
        "usage.amount_in_pricing_units": "24",
        "credits": json.dumps([credit] if is_covered else []),
        "invoice.month": f"{day:%Y%m}",
        "cost_type": "regular",
    }
