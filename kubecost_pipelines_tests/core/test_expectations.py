"""Every expectation passes on good rows and names the bad ones."""

from datetime import date, timedelta
from typing import Any

import ibis
import pytest

from kubecost_pipelines.core.bills.aws_lines import RESIDUAL
from kubecost_pipelines.core.claiming import claim
from kubecost_pipelines.core.expectations import (
    ALLOCATION_EXPECTATIONS,
    ASSET_EXPECTATIONS,
    BILL_EXPECTATIONS,
    EXTERNAL_EXPECTATIONS,
    PRICE_EXPECTATIONS,
    RECONCILED_ALLOCATION_EXPECTATIONS,
    RECONCILED_EXPECTATIONS,
    Expectation,
    expect_coverage,
    expect_currency,
    expect_monitored_clusters,
)
from kubecost_pipelines.core.reconciliation import cost_assets, reconcile, sum_by_asset
from kubecost_pipelines.core.workload_costs import price_assets
from kubecost_pipelines_tests.core.tables import (
    DAY,
    allocation_table,
    asset_table,
    bill_table,
    cost_table,
    reconciled_table,
    rows,
)
from kubecost_pipelines_tests.core.test_allocating import NODE as WORKER
from kubecost_pipelines_tests.core.test_allocating import pod

GOOD: dict[str, Any] = {"provider_id": "i-1", "resource_id": "i-1", "cost": "1"}
NODE: dict[str, Any] = {"asset_id": "node", "provider_id": "i-1", "cost": 10.0}
BILL = {one.name: one for one in (*BILL_EXPECTATIONS, expect_currency(["USD"]))}
ASSETS = {one.name: one for one in ASSET_EXPECTATIONS}


@pytest.mark.parametrize("expectation", BILL.values(), ids=BILL)
def test_a_good_bill_meets_it(expectation: Expectation) -> None:
    assert rows(expectation.offenders(bill_table([GOOD]))) == []


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("focus_costs_are_present", {"list_cost": None}),
        ("commitments_are_complete", {"missing_cost_lines": 24, "charge_type": "DiscountedUsage"}),
        ("negations_cancel", {"charge_type": RESIDUAL, "billed_cost": "0.02"}),
        ("charge_types_are_known", {"charge_type": "DiscountedMoonlight"}),
        ("totals_are_not_negative", {"effective_cost": "-2"}),
        ("currency_is_expected", {"billing_currency": "EUR"}),
    ],
)
def test_a_bad_bill_breaks_it(name: str, bad: dict[str, Any]) -> None:
    assert len(rows(BILL[name].offenders(bill_table([GOOD | {"provider_id": "i-2"}, GOOD | bad])))) == 1


def test_a_residual_below_a_cent_is_rounding() -> None:
    rounding = GOOD | {"charge_type": RESIDUAL, "billed_cost": "0.001"}

    assert rows(BILL["negations_cancel"].offenders(bill_table([rounding]))) == []


def test_a_discount_may_be_negative_as_long_as_its_resource_is_not() -> None:
    charges = [GOOD | {"cost": "10"}, GOOD | {"cost": "-0.5", "charge_type": "EdpDiscount"}]

    assert rows(BILL["totals_are_not_negative"].offenders(bill_table(charges))) == []


def test_an_unmonitored_cluster_is_named_with_its_cost() -> None:
    charge = GOOD | {"is_kubernetes": True}
    charges = [
        charge | {"cluster": "prod_eks_1"},
        charge | {"cluster": "forgotten", "cost": "3"},
        charge | {"cluster": None, "cost": "4"},
        GOOD,
    ]

    found = rows(expect_monitored_clusters(["prod-eks-1"]).offenders(bill_table(charges)))

    assert {row["cluster"]: int(row["billed_cost"]) for row in found} == {"forgotten": 3, None: 4}


@pytest.mark.parametrize(
    ("name", "assets"),
    [
        ("asset_ids_are_unique", [NODE, NODE]),
        ("estimates_are_possible", [NODE | {"cost": -1.0}]),
        ("estimates_are_possible", [NODE | {"cost": float("nan")}]),
        ("estimates_are_possible", [NODE | {"cost": None}]),
    ],
)
def test_bad_assets_break_it(name: str, assets: list[dict[str, Any]]) -> None:
    assert len(rows(ASSETS[name].offenders(asset_table(assets)))) == 1
    assert rows(ASSETS[name].offenders(asset_table([NODE]))) == []


def test_a_foreign_currency_is_named() -> None:
    [expectation] = RECONCILED_EXPECTATIONS
    billed = sum_by_asset(claim(bill_table([GOOD | {"billing_currency": "EUR"}]), asset_table([NODE])), "effective")
    found = reconcile(billed, asset_table([NODE]), provider_key="aws/1", last_settled=DAY)

    [row] = rows(expectation.offenders(found))

    assert (row["currency"], row["billing_currency"]) == ("USD", "EUR")


@pytest.mark.parametrize(("last_settled", "offenders"), [(DAY, 1), (DAY - timedelta(days=1), 0)])
def test_low_coverage_counts_on_settled_days_only(last_settled: date, offenders: int) -> None:
    costs = cost_assets(asset_table([NODE]), [], last_settled)

    assert len(rows(expect_coverage(0.9).offenders(costs))) == offenders


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -0.01])
def test_an_allocation_that_cannot_cost_what_it_says_is_named(cost: float) -> None:
    [expectation] = ALLOCATION_EXPECTATIONS
    good, bad = {"pod": "api", "total_cost": 1.0}, {"pod": "web", "total_cost": cost}

    [found] = rows(expectation.offenders(allocation_table([good, bad])))

    assert found["name"].endswith("/web")


def test_a_node_whose_workloads_took_more_than_it_has_is_named() -> None:
    # 144 of 96 core-hours on worker-1; worker-2 is full to the last core.
    nodes = [WORKER, {**WORKER, "name": "worker-2", "provider_id": "i-2", "asset_id": "node-2"}]
    pods = [pod("a", cores=4), pod("b", cores=2), pod("c", cores=4, node="worker-2", provider_id="i-2")]

    prices = price_assets(cost_table(nodes), allocation_table(pods))

    [found] = rows(PRICE_EXPECTATIONS["nodes"].offenders(prices.nodes))
    assert (found["node"], found["cpu_used"], found["cpu_capacity"]) == ("worker-1", 144.0, 96.0)


def test_a_workload_without_a_node_is_named_by_the_node_that_it_says() -> None:
    prices = price_assets(
        cost_table([WORKER]), allocation_table([pod("a"), pod("b", node="worker-9", provider_id="i-9")])
    )

    [found] = rows(PRICE_EXPECTATIONS["lost"].offenders(prices.lost))

    assert (found["node"], found["provider_id"], found["workloads"]) == ("worker-9", "i-9", 1)


def test_idle_below_nothing_is_named() -> None:
    [expectation] = RECONCILED_ALLOCATION_EXPECTATIONS
    idle = {"allocation_type": "idle", "node": "worker-1", "cpu_cost": -0.5}

    found = rows(expectation.offenders(reconciled_table([idle, {**idle, "node": "worker-2", "cpu_cost": 0.5}])))

    assert [(one["node"], one["total_cost"]) for one in found] == [("worker-1", -0.5)]


def test_a_label_that_names_nothing_that_ran_is_listed_with_its_cost() -> None:
    [expectation] = EXTERNAL_EXPECTATIONS
    charge = {"cluster": "prod", "namespace": "shop", "matched_label": "kubernetes_namespace", "provider_key": "gcp/p"}
    nobody = dict.fromkeys(("controller", "service", "pod", "container"), "")
    charges = [
        {"date": DAY, **nobody, **charge, "is_matched": True, "cost": 9.0},
        {"date": DAY, **nobody, **charge, "is_matched": False, "namespace": "gone", "cost": 2.5},
    ]

    [found] = rows(expectation.offenders(ibis.memtable(charges)))

    assert (found["namespace"], found["days"], found["cost"]) == ("gone", 1, 2.5)
