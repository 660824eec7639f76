"""FOCUS exports by hand: the costs as they are, and each provider's resources as Kubernetes has them."""

from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import pytest
from ibis.backends.duckdb import Backend

from kubecost_pipelines.core.bills.focus import is_focus, normalise
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.provider_key import Provider
from kubecost_pipelines.core.window import Window

OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
ROW = {
    "ProviderName": "AWS",
    "BillingAccountId": "111122223333",
    "SubAccountId": "444455556666",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-10-01T00:00:00Z",
    "ChargePeriodStart": "2026-10-05T07:00:00Z",
    "ChargeCategory": "Usage",
    "ServiceName": "Amazon Elastic Compute Cloud",
    "SkuMeter": "Compute",
    "ResourceId": "i-1",
    "ListCost": "4",
    "ContractedCost": "3",
    "BilledCost": "2",
    "EffectiveCost": "1",
    "ConsumedQuantity": "24",
    "Tags": '{"team": "web", "user:env": "prod"}',
    "x_ServiceCode": "AmazonEC2",
    "x_UsageType": "BoxUsage:m5.large",
}


def normalised(
    engine: Backend, *changes: dict[str, Any], provider: Provider = "aws", absent: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    names = [name for name in ROW if name not in absent]
    engine.con.execute("CREATE TEMP TABLE export (" + ", ".join(f'"{name}" VARCHAR' for name in names) + ")")
    for change in changes or ({},):
        values = [{**ROW, **change}[name] for name in names]
        engine.con.execute(f"INSERT INTO export VALUES ({', '.join('?' * len(values))})", values)
    rows = normalise(engine.table("export"), OCTOBER, ("team", "env"), provider)
    found: list[dict[str, Any]] = rows.order_by("date", ibis.desc("billed_cost")).to_pyarrow().to_pylist()
    return found


def test_costs_are_taken_as_they_are(engine: Backend) -> None:
    [row] = normalised(engine, {}, {})

    costs = [row[f"{name}_cost"] for name in ("list", "contracted", "billed", "effective", "amortized", "net")]
    assert costs == [Decimal(cost) for cost in (8, 6, 4, 2, 2, 4)]
    assert (row["date"], row["line_items"], row["missing_cost_lines"]) == (date(2026, 10, 5), 2, 0)
    assert (row["label_team"], row["label_env"]) == ("web", "prod")
    assert (row["service_name"], row["sku_meter"]) == ("Amazon Elastic Compute Cloud", "Compute")


CLUSTER_ARN = "arn:aws:eks:us-east-1:1:cluster/prod"
VM = "/subscriptions/S/resourceGroups/MC_g_prod_we/providers/Microsoft.Compute/virtualMachines/VM1"


@pytest.mark.parametrize(
    ("provider", "changes", "provider_id", "category", "cluster"),
    [
        ("aws", {}, "i-1", "Compute", None),
        ("aws", {"x_UsageType": "DataTransfer-Out-Bytes"}, "i-1", "Network", None),
        ("aws", {"ResourceId": "vol-1"}, "vol-1", "Storage", None),
        ("aws", {"ResourceId": CLUSTER_ARN, "x_ServiceCode": "AmazonEKS"}, CLUSTER_ARN, "Management", "prod"),
        ("aws", {"Tags": '{"kubernetes.io/cluster/prod-2": "owned"}'}, "i-1", "Compute", "prod-2"),
        ("gcp", {"ResourceId": "//compute.googleapis.com/projects/p/zones/z/instances/worker-1",
                 "ServiceName": "Compute Engine", "SkuMeter": "N1 Core", "Tags": '{"goog-k8s-cluster-name": "gke"}'},
         "worker-1", "Compute", "gke"),
        ("azure", {"ResourceId": VM, "ServiceName": "Virtual Machines"}, VM.lower(), "Compute", "prod"),
    ],
)  # fmt: skip
def test_resources_are_those_of_kubernetes(
    engine: Backend, provider: Provider, changes: dict[str, str], provider_id: str, category: str, cluster: str | None
) -> None:
    [row] = normalised(engine, changes, provider=provider)

    assert (row["provider_id"], row["category"], row["cluster"]) == (provider_id, category, cluster)
    assert row["is_kubernetes"] is (cluster is not None)


def test_an_empty_cost_is_not_nothing(engine: Backend) -> None:
    [row] = normalised(engine, {"EffectiveCost": ""})

    assert (row["effective_cost"], row["missing_cost_lines"]) == (0, 1)


def test_rows_of_other_months_are_left_out(engine: Backend) -> None:
    november = {"ChargePeriodStart": "2026-11-01T00:00:00Z", "BillingPeriodStart": "2026-11-01T00:00:00Z"}
    late = {"ChargePeriodStart": "2026-09-30T00:00:00Z", "BilledCost": "5"}

    assert [row["billed_cost"] for row in normalised(engine, {}, november, late)] == [5, 2]


def test_every_missing_column_is_named(engine: Backend) -> None:
    with pytest.raises(UnknownBillError, match=r"lacks billingcurrency, contractedcost"):
        normalised(engine, absent=("BillingCurrency", "ContractedCost"))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["BilledCost", "EffectiveCost", "ChargePeriodStart"], True),
        (["billed_cost", "effective_cost", "charge_period_start"], True),
        (["line_item_unblended_cost"], False),
    ],
)
def test_focus_is_told_by_its_columns(columns: list[str], expected: bool) -> None:
    assert is_focus(columns) is expected
