"""What an hour costs: each row of a day over its hours, worked out by hand."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from kubecost_pipelines.core.hourly import hour_gaps, place_in_hours, spread_over_hours, unknown_hours, use_by_hour
from kubecost_pipelines_tests.core.tables import allocation_table, reconciled_table, rows

Row = dict[str, Any]
NODE = {"node": "n1", "provider_id": "i-1"}
API = {**NODE, "name": "prod/n1/web/api/api", "namespace": "web", "pod": "api", "container": "api"}
TOLD = {"allocation_type": "workload", **API}


def at(hour: float) -> datetime:
    return datetime(2026, 10, 5, int(hour), int(hour % 1 * 60), tzinfo=UTC)


def in_hour(hour: int, **values: Any) -> Row:
    return {**API, "start": at(hour), "minutes": 60.0, **values}


def spread(daily: list[Row], hourly: list[Row]) -> dict[str, dict[int, Row]]:
    """Return name -> hour -> row; the day's gaps and unknown workloads are in `gaps` and `unknown`."""
    engine, numbers = ibis.duckdb.connect(), count()

    def keep(table: ir.Table) -> ir.Table:
        return engine.create_table(f"kept_{next(numbers)}", table, temp=True)

    day = keep(reconciled_table(daily).mutate(row=ibis.row_number()))
    used = keep(use_by_hour(keep(allocation_table(hourly))))
    spread_out = keep(spread_over_hours(day, keep(place_in_hours(day, used))))
    found: dict[str, dict[int, Row]] = {
        "gaps": dict(enumerate(rows(hour_gaps(day, spread_out)))),
        "unknown": dict(enumerate(rows(unknown_hours(day, used)))),
    }
    for row in rows(spread_out):
        found.setdefault(row["name"], {})[row["hour"]] = row
    engine.disconnect()
    return found


def test_a_workload_pays_for_each_hour_what_it_used_in_it() -> None:
    day = {**TOLD, "cpu_core_hours": 6.0, "cpu_cost": 3.0, "cpu_cost_adjustment": -1.5, "ram_cost": 0.5}

    found = spread([day], [in_hour(0, cpu_core_hours=2.0, ram_byte_hours=1e9), in_hour(1, cpu_core_hours=4.0)])

    first, second = found[API["name"]][0], found[API["name"]][1]
    assert (first["cpu_cost"], first["cpu_cost_adjustment"]) == pytest.approx((1.0, -0.5))
    assert (first["cpu_core_hours"], second["cpu_core_hours"]) == pytest.approx((2.0, 4.0))
    assert (first["ram_cost"], second["ram_cost"]) == (0.5, 0.0)
    assert (first["total_cost"], second["total_cost"]) == pytest.approx((1.0, 1.0))
    assert set(found[API["name"]]) == {0, 1}
    assert not found["gaps"]
    assert not found["unknown"]


def test_an_hour_of_a_node_leaves_idle_what_its_workloads_left() -> None:
    idle: Row = {**NODE, "name": "prod/n1/__idle__", "allocation_type": "idle", "namespace": "__idle__"}
    idle |= {"cpu_core_hours": 90.0, "cpu_cost": 45.0, "start": at(0), "end": datetime(2026, 10, 6, tzinfo=UTC)}
    day = {**TOLD, "cpu_core_hours": 6.0, "cpu_cost": 3.0}

    found = spread([day, idle], [in_hour(0, cpu_core_hours=2.0), in_hour(1, cpu_core_hours=4.0)])["prod/n1/__idle__"]

    # 96 core-hours are 4 an hour, at 0.50 each; 2 of the first hour were used, and all 4 of the second.
    assert found[0]["total_cost"] == pytest.approx(1.0)
    assert found[1]["total_cost"] == 0.0
    assert {round(found[hour]["total_cost"], 9) for hour in range(2, 24)} == {2.0}
    assert sum(one["cpu_core_hours"] for one in found.values()) == pytest.approx(90.0)


def test_a_node_that_joined_at_noon_is_idle_from_noon() -> None:
    idle: Row = {**NODE, "name": "idle", "allocation_type": "idle", "cpu_core_hours": 48.0, "cpu_cost": 24.0}

    found = spread([{**idle, "start": at(12), "end": datetime(2026, 10, 6, tzinfo=UTC)}, TOLD], [in_hour(12)])["idle"]

    assert set(found) == set(range(12, 24))
    assert {round(one["total_cost"], 9) for one in found.values()} == {2.0}


def test_shared_and_external_cost_falls_evenly_on_every_hour() -> None:
    shared = {"name": "fee", "allocation_type": "shared", "shared_cost": 2.4}
    external = {"name": "bucket", "allocation_type": "external", "external_cost": 4.8}

    found = spread([shared, external, TOLD], [in_hour(0)])

    assert {round(one["shared_cost"], 9) for one in found["fee"].values()} == {0.1}
    assert {round(one["total_cost"], 9) for one in found["bucket"].values()} == {0.2}
    assert len(found["fee"]) == len(found["bucket"]) == 24


def test_a_workload_without_hours_is_spread_over_its_time_and_named() -> None:
    day = {**TOLD, "cpu_core_hours": 5.0, "cpu_cost": 5.0, "start": at(12), "end": at(14.5)}

    found = spread([day], [{**in_hour(3), "name": "prod/n1/web/other/other"}])

    costs = {hour: one["total_cost"] for hour, one in found[API["name"]].items()}
    assert costs == pytest.approx({12: 2.0, 13: 2.0, 14: 1.0})
    assert [one["name"] for one in found["unknown"].values()] == [API["name"]]
    assert not found["gaps"]


def test_hours_that_lack_a_cent_of_the_day_are_found() -> None:
    day = reconciled_table([{**TOLD, "cpu_cost": 3.0}])
    hours = reconciled_table([{**TOLD, "cpu_cost": 1.0}, {**TOLD, "cpu_cost": 1.99}])

    [gap] = rows(hour_gaps(day, hours))

    assert (gap["namespace"], gap["cost"]) == ("web", 3.0)
    assert gap["gap"] == pytest.approx(-0.01)
