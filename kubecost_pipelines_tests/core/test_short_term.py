"""What a node cost recently stands in for a bill that is not there yet: figures worked out by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from kubecost_pipelines.core.short_term import price_recent, recent_days
from kubecost_pipelines_tests.core.tables import DAY, cost_table, rows

NODE = {"asset_id": "node", "name": "worker-1", "provider_id": "i-1", "cost": 4.8}
LATE = {"is_settled": False, "cost_basis": "list"}


def before(days: int) -> date:
    return DAY - timedelta(days=days)


def price(asset: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    [found] = rows(price_recent(cost_table([asset]), cost_table(history)))
    return found


def test_a_provisional_node_costs_what_an_hour_of_it_cost_recently() -> None:
    history = [
        {**NODE, "date": before(4), "total_cost": 2.4},
        {**NODE, "date": before(3), "total_cost": 1.8, "minutes": 720.0},
    ]

    node = price({**NODE, **LATE, "minutes": 600.0, "cost": 2.0}, history)

    assert node["total_cost"] == pytest.approx(10 * 4.2 / 36)
    assert node["adjustment"] == pytest.approx(10 * 4.2 / 36 - 2.0)
    assert (node["cost_basis"], node["is_reconciled"]) == ("recent", False)


def test_estimated_days_say_nothing_about_the_price() -> None:
    history = [{**NODE, "date": before(3), "cost_basis": "list"}]

    node = price({**NODE, **LATE}, history)

    assert (node["total_cost"], node["adjustment"], node["cost_basis"]) == (4.8, 0.0, "list")


def test_a_settled_node_that_no_bill_names_keeps_its_list_price() -> None:
    node = price({**NODE, "cost_basis": "list"}, [{**NODE, "date": before(3), "total_cost": 2.4}])

    assert (node["total_cost"], node["cost_basis"]) == (4.8, "list")


def test_other_assets_keep_their_estimate() -> None:
    disk = {"asset_id": "disk", "asset_type": "Disk", "name": "pvc-1", "cost": 0.5}

    found = price({**disk, **LATE}, [{**disk, "date": before(3), "total_cost": 0.1}])

    assert (found["total_cost"], found["cost_basis"]) == (0.5, "list")


def test_the_recent_days_are_the_last_settled_ones() -> None:
    now = datetime(2026, 11, 10, 12, tzinfo=UTC)  # the 7th ended 60 hours ago, the 8th 36

    found = recent_days([date(2026, 11, 8), date(2026, 11, 9)], now, timedelta(hours=48), 7)

    assert found == [date(2026, 11, day) for day in range(1, 8)]
    assert recent_days([date(2026, 11, 8)], now, timedelta(hours=48), 0) == []
