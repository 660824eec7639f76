"""The company's Azure subscription: an amortized export of cost details, as Cost Management writes it.

Both machines are of one scale set, one of them under a reservation; the traffic is billed to the set as a whole.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from kubecost_pipelines.core.window import next_month
from kubecost_pipelines.demo.company import AKS, AKS_GROUP, COMPANY, SCALE_SET, SUBSCRIPTION_ID
from kubecost_pipelines.demo.model import Purchase

COLUMNS = (
    *("BillingAccountId", "SubscriptionId", "ResourceLocation", "Date", "MeterCategory", "MeterName", "ResourceId"),
    *("Quantity", "CostInBillingCurrency", "PaygCostInBillingCurrency", "BillingCurrency", "ChargeType"),
    *("PricingModel", "ReservationId", "BillingPeriodStartDate", "ConsumedService", "Tags", "AdditionalInfo"),
)
TAGS = {"aks-managed-cluster-name": AKS.name, "env": "prod"}
TRAFFIC_COST = Decimal("0.60")
"""Of the scale set, per day."""

Line = dict[str, str]


def write_azure_bill(folder: Path, days: Sequence[date]) -> None:
    """Write the lines of `days` into `folder`, the export's: a file in each month's folder."""
    for month in sorted({day.replace(day=1) for day in days}):
        last = next_month(month) - timedelta(days=1)
        file = folder / f"{month:%Y%m%d}-{last:%Y%m%d}" / "lantern-books_amortized.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as sink:
            writer = csv.DictWriter(sink, COLUMNS, restval="")
            writer.writeheader()
            for day in days:
                if day.replace(day=1) == month:
                    writer.writerows(_lines(day))


def _lines(day: date) -> Iterator[Line]:
    machines, compute = f"{AKS_GROUP}/virtualMachineScaleSets/{SCALE_SET}", "Microsoft.Compute"
    for number, node in enumerate(AKS.nodes):
        is_reserved = node.purchase is Purchase.RESERVED
        yield {
            **_line(day, "Virtual Machines", "D4s v5", machines, 24 * node.hour_cost, compute, TAGS),
            "PaygCostInBillingCurrency": str(24 * node.instance_type.hour_price),
            "AdditionalInfo": json.dumps({"VMName": f"{SCALE_SET}_{number}", "ServiceType": "Standard_D4s_v5"}),
            "PricingModel": "Reservation" if is_reserved else "OnDemand",
            "ReservationId": "res-1" if is_reserved else "",
        }
    for volume in AKS.volumes:
        cost = 24 * volume.gib * COMPANY.volume_gib_hour_price
        yield _line(day, "Storage", "P6 LRS Disk", volume.volume_id, cost, compute, TAGS)
    shared = {**TAGS, "aks-managed-creationSource": f"vmssclient-{SCALE_SET}"}
    yield _line(day, "Bandwidth", "Standard Data Transfer Out", machines, TRAFFIC_COST, compute, shared)
    managed = (
        f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/shop/providers/Microsoft.ContainerService/managedClusters"
    )
    fee = 24 * COMPANY.management_hour_price
    yield _line(
        day, "Azure Kubernetes Service", "Uptime SLA", f"{managed}/{AKS.name}", fee, "Microsoft.ContainerService"
    )
    server = f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/finance/providers/Microsoft.Sql/servers/ledger"
    yield _line(
        day, "SQL Database", "vCore", server, Decimal("8.40"), "Microsoft.Sql", {"team": "finance", "env": "prod"}
    )


def _line(
    day: date, category: str, meter: str, resource: str, cost: Decimal, service: str, tags: dict[str, str] | None = None
) -> Line:
    return {
        "BillingAccountId": "7000001",
        "SubscriptionId": SUBSCRIPTION_ID,
        "ResourceLocation": "westeurope",
        "Date": f"{day:%m/%d/%Y}",
        "MeterCategory": category,
        "MeterName": meter,
        "ResourceId": resource,
        "Quantity": "24",
        "CostInBillingCurrency": str(cost),
        "PaygCostInBillingCurrency": str(cost),
        "BillingCurrency": "USD",
        "ChargeType": "Usage",
        "PricingModel": "OnDemand",
        "BillingPeriodStartDate": f"{day.replace(day=1):%m/%d/%Y}",
        "ConsumedService": service,
        "Tags": json.dumps(tags or {}),
    }
