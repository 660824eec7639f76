"""Random clusters against a second opinion: the rules in plain Python, container by container."""

from collections import defaultdict
from datetime import date
from typing import Any

import pytest

from kubecost_pipelines.core.tables import ADJUSTED_RESOURCES
from kubecost_pipelines_tests.core.oracle import cost_of_day
from kubecost_pipelines_tests.core.random_clusters import Row, random_days
from kubecost_pipelines_tests.core.reconciling import reconcile_days, trace_days


def by_name(found: list[Row]) -> dict[Any, float]:
    costs: dict[Any, float] = defaultdict(float)
    for row in found:
        costs[row["date"], row["allocation_type"], row["name"]] += row["total_cost"]
    return dict(costs)


Day = tuple[date, list[Row], list[Row]]


@pytest.fixture(scope="module")
def reconciled() -> tuple[list[Day], list[Row]]:
    """Return 200 random cluster-days, and their rows: all of them in one go, as a month is."""
    days = random_days(seed=1, days=200)
    return days, reconcile_days(days)


def test_every_row_costs_what_the_second_opinion_says(reconciled: tuple[list[Day], list[Row]]) -> None:
    days, rows = reconciled

    found = by_name(rows)

    expected = {
        (day, *key): cost for day, assets, allocations in days for key, cost in cost_of_day(assets, allocations).items()
    }
    assert {key for key, cost in expected.items() if cost} <= set(found) <= set(expected)
    for key, cost in found.items():
        assert cost == pytest.approx(expected[key], rel=1e-9, abs=1e-9), key


def test_every_day_adds_up_to_its_assets_and_no_idle_is_negative(reconciled: tuple[list[Day], list[Row]]) -> None:
    days, rows = reconciled

    found: dict[date, float] = defaultdict(float)
    for row in rows:
        found[row["date"]] += row["total_cost"]

    for day, assets, _ in days:
        assert found[day] == pytest.approx(sum(asset["total_cost"] for asset in assets), abs=1e-9)
    assert all(row["total_cost"] >= 0 for row in rows)


def test_every_total_is_the_sum_of_its_parts(reconciled: tuple[list[Day], list[Row]]) -> None:
    _, rows = reconciled

    for row in rows:
        parts = [row[f"{name}_cost"] + row[f"{name}_cost_adjustment"] for name in ADJUSTED_RESOURCES]
        assert row["total_cost"] == pytest.approx(sum(parts) + row["shared_cost"] + row["external_cost"], abs=1e-9)
        for entries, resource in (("pvs", "pv"), ("load_balancers", "load_balancer")):
            paid = sum(entry["cost"] + entry["adjustment"] for entry in row[entries] or [])
            if row["allocation_type"] == "workload":
                assert paid == pytest.approx(row[f"{resource}_cost"] + row[f"{resource}_cost_adjustment"], abs=1e-9)


def test_who_pays_for_which_part_of_an_asset_adds_up_to_it() -> None:
    days = random_days(seed=2, days=60)

    paid: dict[Any, float] = defaultdict(float)
    for part in trace_days(days):
        paid[part["date"], part["asset_id"]] += part["total_cost"]

    owned: dict[Any, float] = defaultdict(float)
    for day, assets, _ in days:
        for asset in assets:
            owned[day, asset["asset_id"]] += asset["total_cost"]
    assert len(owned) > 200
    for key in {*paid, *owned}:
        assert paid.get(key, 0.0) == pytest.approx(owned.get(key, 0.0), abs=1e-9), key
