"""Azure's cost details by hand. Headers: Microsoft's field lists, as OpenCost's fixtures have them."""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import ibis
import pytest
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds.keeping import keep
from kubecost_pipelines.clouds.star_schema import take_apart
from kubecost_pipelines.core.bills.azure_costs import canonical_name, normalise, star_columns
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.window import Window

OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
GROUP = "/subscriptions/S1/resourceGroups/MC_shop_prod-aks_westeurope/providers"
SCALE_SET = f"{GROUP}/Microsoft.Compute/virtualMachineScaleSets/aks-pool1-12345678-vmss"
ROW = {
    "SubscriptionId": "s1",
    "Date": "10/05/2026",
    "MeterCategory": "Virtual Machines",
    "MeterName": "D2 v3",
    "ResourceId": SCALE_SET,
    "Quantity": "24",
    "CostInBillingCurrency": "9.6",
    "ChargeType": "Usage",
    "PricingModel": "OnDemand",
    "ReservationId": "",
    "BillingCurrencyCode": "EUR",
    "BillingPeriodStartDate": "10/01/2026",
    "Tags": '"team": "web","env": "prod"',
    "AdditionalInfo": '{"VMName": "aks-pool1-12345678-vmss_7"}',
}


def normalised(engine: Backend, *changes: dict[str, Any], rename: dict[str, str] | None = None) -> list[dict[str, Any]]:
    names = {name: (rename or {}).get(name, name) for name in ROW}
    names = {name: new for name, new in names.items() if new}
    engine.con.execute("CREATE TEMP TABLE export (" + ", ".join(f'"{name}" VARCHAR' for name in names.values()) + ")")
    for change in changes or ({},):
        values = [{**ROW, **change}[name] for name in names]
        engine.con.execute(f"INSERT INTO export VALUES ({', '.join('?' * len(values))})", values)
    columns = star_columns(list(names.values()))
    export = take_apart([engine.table("export").to_pyarrow()], columns, engine)
    rows = normalise(export, OCTOBER, ("team", "env"), partial(keep, engine))
    found: list[dict[str, Any]] = rows.order_by("date", ibis.desc("billed_cost")).to_pyarrow().to_pylist()
    return found


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("SubscriptionGuid", "subscriptionguid"),
        ("\ufeffSubscriptionGuid", "subscriptionguid"),
        ("costInBillingCurrency", "costinbillingcurrency"),
        ("Genutzter Dienst (ConsumedService)", "consumedservice"),
        ("Abonnement-GUID (SubscriptionGuid)", "subscriptionguid"),
        ("UsageDateTime (UsageDateTime)", "usagedatetime"),
    ],
)
def test_headers_of_every_agreement_and_language(header: str, name: str) -> None:
    assert canonical_name(header) == name


@pytest.mark.parametrize(
    "rename",
    [
        {"SubscriptionId": "SubscriptionGuid", "Date": "UsageDateTime", "CostInBillingCurrency": "PreTaxCost",
         "ResourceId": "InstanceId", "BillingCurrencyCode": "Currency", "Quantity": "UsageQuantity", "ChargeType": "",
         "PricingModel": "", "ReservationId": "", "BillingPeriodStartDate": ""},
        {"SubscriptionId": "Abonnement-GUID (SubscriptionGuid)", "MeterCategory": "Kategorie (MeterCategory)",
         "ResourceId": "InstanceName", "AdditionalInfo": "Zusätzliche Informationen (AdditionalInfo)"},
        {"Date": "date", "ResourceId": "resourceId", "CostInBillingCurrency": "costInBillingCurrency", "Tags": "tags"},
    ],
    ids=["pay as you go", "German", "customer agreement"],
)  # fmt: skip
def test_every_agreement_reads_alike(engine: Backend, rename: dict[str, str]) -> None:
    [row] = normalised(engine, rename=rename)

    assert (row["date"], row["billed_cost"], row["billing_currency"]) == (date(2026, 10, 5), Decimal("9.6"), "EUR")
    assert row["provider_id"] == f"{SCALE_SET}/virtualMachines/7".lower()
    assert (row["label_team"], row["cluster"], row["is_kubernetes"]) == ("web", "prod-aks", True)


@pytest.mark.parametrize(
    ("text", "day"),
    [("2026-10-13", 13), ("2026-10-13T00:00:00Z", 13), ("10/13/2026", 13), ("13/10/2026", 13), ("10/5/2026", 5),
     ("11/10/2026", 11), ("10/11/2026", 11)],
)  # fmt: skip
def test_days_in_either_order(engine: Backend, text: str, day: int) -> None:
    # The last: month first, as Azure writes it, where both could be.
    [row] = normalised(engine, {"Date": text})

    assert row["date"] == date(2026, 10, day)


def test_a_late_charge_counts_within_its_billing_period(engine: Backend) -> None:
    late, november = {"Date": "09/30/2026"}, {"Date": "11/01/2026", "BillingPeriodStartDate": "11/01/2026"}
    odd_period = {"Date": "10/20/2026", "BillingPeriodStartDate": "09/14/2026"}

    first, second = normalised(engine, late, november, odd_period)

    assert (first["date"], first["charge_period_start"]) == (date(2026, 10, 1), date(2026, 9, 30))
    assert second["date"] == date(2026, 10, 20)


@pytest.mark.parametrize(
    ("changes", "provider_id", "category"),
    [
        ({}, f"{SCALE_SET}/virtualMachines/7", "Compute"),
        ({"AdditionalInfo": '{"VmName": "my_own_pool_12"}'}, f"{SCALE_SET}/virtualMachines/12", "Compute"),
        ({"AdditionalInfo": '{"VMName": null}'}, SCALE_SET, "Compute"),
        ({"AdditionalInfo": '""'}, SCALE_SET, "Compute"),
        ({"ResourceId": f"{GROUP}/Microsoft.Compute/virtualMachines/vm_1", "AdditionalInfo": '{"VMName": "vm_1"}'},
         f"{GROUP}/Microsoft.Compute/virtualMachines/vm_1", "Compute"),
        ({"MeterCategory": "Virtual Network", "AdditionalInfo": '"IpAddress": "20.1.2.3"'}, "20.1.2.3", "Network"),
        ({"MeterCategory": "Storage", "AdditionalInfo": "", "Tags": '"creationSource": "aks-aks-pool1-1-vmss"'},
         "aks-pool1-1-vmss", "Storage"),
        ({"MeterCategory": "Bandwidth", "AdditionalInfo": "",
          "Tags": '{"aks-managed-creationSource": "vmssclient-aks-pool1-1-vmss"}'}, "aks-pool1-1-vmss", "Network"),
        ({"MeterCategory": "Azure Kubernetes Service", "AdditionalInfo": "",
          "ResourceId": f"{GROUP}/Microsoft.ContainerService/managedClusters/prod-aks"},
         f"{GROUP}/Microsoft.ContainerService/managedClusters/prod-aks", "Management"),
    ],
    ids=["instance", "underscores", "no name", "not an object", "plain machine", "address", "shared disk",
         "shared traffic", "fee"],
)  # fmt: skip
def test_ids_as_kubernetes_has_them(engine: Backend, changes: dict[str, str], provider_id: str, category: str) -> None:
    [row] = normalised(engine, changes)

    assert (row["provider_id"], row["category"]) == (provider_id.lower(), category)


COVERED = {"PricingModel": "Reservation", "ReservationId": "r-1"}


@pytest.mark.parametrize(
    ("changes", "billed", "effective", "status", "missing"),
    [
        ({}, "9.6", "9.6", None, 0),
        (COVERED, "0", "9.6", "Used", 0),
        ({**COVERED, "CostInBillingCurrency": "0"}, "0", "0", "Used", 1),
        ({**COVERED, "ChargeType": "UnusedReservation"}, "0", "9.6", "Unused", 0),
        ({**COVERED, "ChargeType": "Purchase"}, "9.6", "0", None, 0),
        ({**COVERED, "ChargeType": "Refund", "CostInBillingCurrency": "-9.6"}, "-9.6", "0", None, 0),
        ({"PricingModel": "SavingsPlan"}, "0", "9.6", "Used", 0),
        ({"CostInBillingCurrency": ""}, "0", "0", None, 1),
    ],
    ids=["usage", "amortized", "actual", "unused", "purchase", "refund", "savings plan", "no cost"],
)
def test_what_a_commitment_pays_for_is_billed_once(
    engine: Backend, changes: dict[str, str], billed: str, effective: str, status: str | None, missing: int
) -> None:
    [row] = normalised(engine, changes)

    assert (row["billed_cost"], row["effective_cost"]) == (Decimal(billed), Decimal(effective))
    assert (row["commitment_discount_status"], row["missing_cost_lines"]) == (status, missing)


def test_negative_costs_and_unknown_types_are_kept(engine: Backend) -> None:
    [row] = normalised(engine, {"CostInBillingCurrency": "-1.5", "ChargeType": "Mystery"})

    assert (row["billed_cost"], row["charge_category"], row["charge_type"]) == (
        Decimal("-1.5"),
        "Adjustment",
        "Mystery",
    )


def test_tags_with_dots_and_slashes(engine: Backend) -> None:
    tags = '{"k8s-azure-service": "shop/web", "kubernetes.io-created-for-pv-name": "pvc-1", "n": 5, "x": null}'

    [row] = normalised(engine, {"Tags": tags})

    assert (row["kubernetes_service"], row["persistent_volume"]) == ("shop/web", "pvc-1")


def test_tags_that_are_no_json_leave_the_row(engine: Backend) -> None:
    [row] = normalised(engine, {"Tags": '{"team": '})

    assert (row["label_team"], row["billed_cost"]) == (None, Decimal("9.6"))


@pytest.mark.parametrize("change", [{"Date": ""}, {"Date": "yesterday"}, {"CostInBillingCurrency": "a lot"}])
def test_a_row_without_a_day_or_with_words_for_a_cost_is_an_error(engine: Backend, change: dict[str, str]) -> None:
    import duckdb

    with pytest.raises(duckdb.ConversionException):
        normalised(engine, change)


def test_every_missing_column_is_named(engine: Backend) -> None:
    with pytest.raises(UnknownBillError, match=r"lacks subscriptionid, metercategory, tags"):
        normalised(engine, rename={"SubscriptionId": "", "MeterCategory": "", "Tags": ""})
