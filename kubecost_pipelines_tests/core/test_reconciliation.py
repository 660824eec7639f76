"""From estimate to bill: every expected figure is worked out by hand."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubecost_pipelines.core.claiming import claim
from kubecost_pipelines.core.coverage import match_coverage, unmatched
from kubecost_pipelines.core.reconciliation import (
    cost_assets,
    for_claiming,
    for_reconciling,
    leave_unclaimed,
    reconcile,
    sum_by_asset,
)
from kubecost_pipelines_tests.core.tables import DAY, asset_table, bill_table, rows

CHARGE = {"provider_id": "i-1", "cost": "7.2"}
NODE = {"asset_id": "node", "provider_id": "i-1", "cost": 10.0}


def reconciled(
    assets: list[dict[str, Any]], charges: list[dict[str, Any]], *, metric: str = "effective", is_settled: bool = True
) -> list[dict[str, Any]]:
    inventory = asset_table(assets)
    billed = sum_by_asset(claim(bill_table(charges), inventory), metric)
    return rows(
        reconcile(
            billed,
            inventory,
            provider_key="aws/111122223333",
            last_settled=DAY if is_settled else DAY - timedelta(days=1),
        )
    )


def test_an_asset_on_the_bill_costs_what_was_billed() -> None:
    hours = [{"provider_id": "i-1", "cost": "0.3"} for _ in range(24)]

    [node] = reconciled([NODE], hours)

    assert node["total_cost"] == 7.2
    assert node["adjustment"] == pytest.approx(-2.8, abs=1e-12)
    assert (node["billed_cost"], node["bill_rows"]) == (Decimal("7.2"), 24)
    assert (node["is_reconciled"], node["match_rule"]) == (True, "provider_id")


def test_a_day_that_is_not_settled_keeps_its_estimate_and_says_what_the_bill_has_so_far() -> None:
    [node] = reconciled([NODE], [{"provider_id": "i-1", "cost": "3"}], is_settled=False)

    assert (node["adjustment"], node["total_cost"], node["is_reconciled"]) == (0.0, 10.0, False)
    assert node["billed_cost"] == 3


def test_an_empty_effective_cost_means_not_known_and_never_free() -> None:
    [node] = reconciled([NODE], [{"provider_id": "i-1", "cost": "0", "missing_cost_lines": 24}])

    assert (node["adjustment"], node["total_cost"], node["is_reconciled"]) == (0.0, 10.0, False)
    assert node["match_rule"] == "provider_id"


def test_a_bill_in_another_currency_moves_nothing() -> None:
    [node] = reconciled([NODE], [{"provider_id": "i-1", "cost": "3", "billing_currency": "EUR"}])

    assert (node["adjustment"], node["is_reconciled"], node["billing_currency"]) == (0.0, False, "EUR")


@pytest.mark.parametrize(("metric", "total"), [("effective", 6.0), ("billed", 0.0), ("list", 12.0)])
def test_the_configured_metric_is_the_target(metric: str, total: float) -> None:
    charge = {"provider_id": "i-1", "effective_cost": "6", "billed_cost": "0", "list_cost": "12"}

    [node] = reconciled([NODE], [charge], metric=metric)

    assert node["total_cost"] == total
    assert (node["billed_cost"], node["effective_cost"]) == (0, 6)


def test_a_nodes_traffic_becomes_an_asset_of_its_own_with_the_nodes_id() -> None:
    charges = [{"provider_id": "i-1", "cost": "8"}, {"provider_id": "i-1", "cost": "1.5", "category": "Network"}]

    by_type = {row["asset_type"]: row for row in reconciled([NODE], charges)}

    assert by_type["Node"]["total_cost"] == 8.0
    network = by_type["Network"]
    assert (network["provider_id"], network["cluster"], network["asset_id"]) == ("i-1", "prod", "node/network")
    assert (network["cost"], network["adjustment"], network["total_cost"]) == (0.0, 1.5, 1.5)


def test_an_asset_that_the_bill_does_not_name_keeps_its_estimate() -> None:
    billed = sum_by_asset(claim(bill_table([]), asset_table([NODE])), "effective")
    nothing = reconcile(billed, asset_table([NODE]), provider_key="aws/1", last_settled=DAY)

    [node] = rows(cost_assets(asset_table([NODE]), [nothing], DAY))

    assert (node["adjustment"], node["total_cost"], node["is_reconciled"], node["match_rule"]) == (
        0.0,
        10.0,
        False,
        None,
    )
    assert node["is_settled"]


def test_without_any_bill_every_asset_stays_estimated() -> None:
    [node] = rows(cost_assets(asset_table([NODE]), [], DAY))

    assert (node["total_cost"], node["billed_cost"], node["is_reconciled"]) == (10.0, None, False)


def test_the_daily_asset_store_has_every_asset_once_and_adds_two_payers() -> None:
    assets = asset_table([NODE, {"asset_id": "other", "provider_id": "i-2", "cost": 4.0}])

    def bill_of(cost: str) -> ir.Table:
        return bill_table([{"provider_id": "i-1", "cost": cost}, CHARGE | {"cost": "1", "category": "Network"}])

    halves = [
        reconcile(sum_by_asset(claim(bill, assets), "effective"), assets, provider_key=key, last_settled=DAY)
        for key, bill in (("aws/1", bill_of("5")), ("aws/2", bill_of("0.5")))
    ]

    by_id = {row["asset_id"]: row for row in rows(cost_assets(assets, halves, DAY))}

    assert {id_: row["total_cost"] for id_, row in by_id.items()} == {"node": 5.5, "node/network": 2.0, "other": 4.0}
    assert by_id["node"]["billed_cost"] == Decimal("5.5")


def test_what_nobody_claims_is_cloud_cost_with_every_column() -> None:
    bill = bill_table(
        [
            {"provider_id": "i-1", "cost": "8"},
            {"provider_id": "db-1", "cost": "3", "tags": '{"team":"web"}'},
            {"cost": "2"},
        ]
    )

    left = rows(leave_unclaimed(claim(bill, asset_table([NODE]))))

    assert sorted(row["billed_cost"] for row in left) == [2, 3]
    assert set(left[0]) == set(bill.columns)


cents = st.decimals(min_value=-5, max_value=50, places=6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["i-1", "i-2", "vol-1", "db-1", None]), cents), min_size=1, max_size=10))
def test_every_dollar_is_claimed_or_left_exactly_once(charges: list[tuple[str | None, Decimal]]) -> None:
    bill = [{"provider_id": id_, "cost": str(cost), "resource_id": f"r{n}"} for n, (id_, cost) in enumerate(charges)]
    assets = [NODE, {"asset_id": "two", "provider_id": "i-2", "cost": 1.0}]

    claimed = reconciled(assets, bill)
    left = rows(leave_unclaimed(claim(bill_table(bill), asset_table(assets))))

    total = sum((cost for _, cost in charges), Decimal(0))
    assert sum(row["billed_cost"] for row in claimed) + sum(row["billed_cost"] for row in left) == total


def test_running_twice_changes_nothing() -> None:
    charges = [{"provider_id": "i-1", "cost": "7.1"}]

    assert reconciled([NODE], charges) == reconciled([NODE], charges)


def test_coverage_counts_what_the_bill_knows_and_leaves_network_out() -> None:
    assets = asset_table([NODE, {"asset_id": "lost", "provider_id": "i-9", "cost": 30.0, "name": "worker-9"}])
    charges = [{"provider_id": "i-1", "cost": "8"}, {"provider_id": "i-1", "cost": "1", "category": "Network"}]
    billed = sum_by_asset(claim(bill_table(charges), assets), "effective")
    found = reconcile(billed, assets, provider_key="aws/1", last_settled=DAY)
    costs = cost_assets(assets, [found], DAY)

    [coverage] = rows(match_coverage(costs))
    [lost] = rows(unmatched(costs))

    assert (coverage["assets"], coverage["matched"], coverage["share"]) == (2, 1, 0.25)
    assert (lost["name"], lost["cost"], lost["days"]) == ("worker-9", 30.0, 1)


def test_a_label_is_the_assets_own_or_else_its_bills() -> None:
    node = NODE | {"labels": {"env": "prod", "label_app": "web"}}
    bare = NODE | {"asset_id": "bare", "provider_id": "i-2", "labels": None}
    unbilled = NODE | {"asset_id": "unbilled", "provider_id": "i-3", "labels": {"label_team": "books"}}
    of_bill = {"label_env": "dev", "label_app": "api", "label_team": "payments"}
    charges = [CHARGE, CHARGE | {"provider_id": "i-2"}, CHARGE | {"category": "Network"}]
    bill = bill_table(charges).mutate(**{name: ibis.literal(value) for name, value in of_bill.items()})
    assets, keys = asset_table([node, bare, unbilled]), ("env", "app", "team", "added_since")

    billed = sum_by_asset(claim(for_reconciling(bill, "effective", keys), assets), "effective", keys)
    inventory = for_claiming(assets, keys)
    found = reconcile(billed, inventory, provider_key="aws/1", last_settled=DAY, label_keys=keys)

    wanted = {
        "node": ("prod", "web", "payments", None),
        "node/network": ("prod", "web", "payments", None),
        "bare": ("dev", "api", "payments", None),
    }
    assert labels_of(found, keys) == wanted
    stored = cost_assets(assets, [found.drop("label_added_since"), found.filter(False)], DAY, keys)
    assert labels_of(stored, keys) == wanted | {"unbilled": (None, None, "books", None)}
    assert labels_of(cost_assets(assets, [], DAY, keys), keys)["node"] == ("prod", "web", None, None)
    assert dict({row["asset_id"]: row["labels"] for row in rows(stored)}["node/network"]) == node["labels"]


def labels_of(table: ir.Table, keys: Sequence[str]) -> dict[str, tuple[str | None, ...]]:
    return {row["asset_id"]: tuple(row[f"label_{key}"] for key in keys) for row in rows(table)}
