"""Questions by the hour over HTTP, against what a hand computes.

The cluster `one` on 5 October: in hour h, web on node n1 costs CPU h + 1, api on node n2 costs CPU 1; the idle of n1
costs 3 and that of n2 1. `two` has no hours.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS_HOURLY
from kubecost_pipelines_tests.api.served import DAY, WINDOW, Server, serve, write_allocations, write_days

SIX = "2026-10-05T03:00:00Z,2026-10-05T09:00:00Z"
PLAIN = {"cluster": "one", "minutes": 60.0, "currency": "USD", "is_reconciled": True, "is_settled": True}
WEB = {"name": "web", "node": "n1", "namespace": "web", "pod": "web-1", "allocation_type": "workload"}
API = {"name": "api", "node": "n2", "namespace": "api", "pod": "api-1", "allocation_type": "workload"}
IDLE_1 = {"name": "n1/__idle__", "node": "n1", "namespace": "__idle__", "allocation_type": "idle"}
IDLE_2 = {"name": "n2/__idle__", "node": "n2", "namespace": "__idle__", "allocation_type": "idle"}
WEB_DAY, API_DAY, IDLE_1_DAY, IDLE_2_DAY = 300.0, 24.0, 72.0, 24.0


def hour_of(row: dict[str, Any], day: date, hour: int, cost: float) -> dict[str, Any]:
    return {**PLAIN, **row, "date": day, "hour": hour, "cpu_cost": cost, "total_cost": cost, "labels": {"team": "shop"}}


def write_hours(lake: Path, day: date = DAY) -> None:
    rows = [
        hour_of(row, day, hour, cost)
        for hour in range(24)
        for row, cost in ((WEB, hour + 1.0), (API, 1.0), (IDLE_1, 3.0), (IDLE_2, 1.0))
    ]
    write_days(lake, RECONCILED_ALLOCATIONS_HOURLY, ["one"], rows)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("hours") / "lake"
    lake.mkdir()
    days = ((WEB, WEB_DAY), (API, API_DAY), (IDLE_1, IDLE_1_DAY), (IDLE_2, IDLE_2_DAY))
    write_allocations(lake, "one", [{**row, "cpu_cost": cost} for row, cost in days])
    write_allocations(lake, "two", [{"node": "n9", "namespace": "batch", "pod": "b-1", "cpu_cost": 10.0}])
    write_hours(lake)
    return lake


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[Server]:
    with serve(lake) as running:
        yield running


def totals(server: Server, path: str = "/model/allocation", **parameters: Any) -> list[dict[str, float]]:
    sets = server.data(path, **{"window": SIX, "accumulate": "hour", "aggregate": "namespace", **parameters})
    return [{name: item["totalCost"] for name, item in one.items()} for one in sets]


def test_a_window_within_a_day_has_one_set_for_each_of_its_hours(server: Server) -> None:
    sets = server.data("/model/allocation", window=SIX, accumulate="hour", aggregate="namespace")

    assert [one["web"]["window"] for one in sets] == [
        {"start": f"2026-10-05T{hour:02}:00:00Z", "end": f"2026-10-05T{hour + 1:02}:00:00Z"} for hour in range(3, 9)
    ]
    assert [{name: item["totalCost"] for name, item in one.items()} for one in sets] == [
        {"__idle__": 4.0, "web": hour + 1.0, "api": 1.0} for hour in range(3, 9)
    ]
    assert (sets[0]["web"]["start"], sets[0]["web"]["minutes"]) == ("2026-10-05T03:00:00Z", 60.0)


def test_an_hour_that_a_window_touches_is_answered_whole(server: Server) -> None:
    window = "2026-10-05T03:30:00Z,2026-10-05T04:15:00Z"

    assert [one["web"] for one in totals(server, window=window)] == [4.0, 5.0]


def test_idle_is_shared_within_its_hour(server: Server) -> None:
    by_cluster = totals(server, shareIdle="true")
    by_node = totals(server, shareIdle="true", idleByNode="true")

    # At 3, web costs 4 and api 1: they take 4 of idle cost as 4 : 1. At 8 it is 9 : 1.
    assert by_cluster[0] == pytest.approx({"web": 4 + 3.2, "api": 1 + 0.8})
    assert by_cluster[5] == pytest.approx({"web": 9 + 3.6, "api": 1 + 0.4})
    assert by_node[5] == pytest.approx({"web": 9 + 3.0, "api": 1 + 1.0})
    assert totals(server, splitIdle="true", idleByNode="true")[0] == pytest.approx(
        {"web": 4.0, "api": 1.0, "one/n1/__idle__": 3.0, "one/n2/__idle__": 1.0}
    )


def test_a_shared_namespace_and_a_flat_cost_are_divided_within_each_set(server: Server) -> None:
    # api's 1 goes to web. 730 a month are 1 an hour, 2 in two of them: 1 to each item.
    shared = totals(server, shareNamespaces="api", idle="false")
    flat = totals(server, shareCost="730", shareSplit="even", idle="false", window=SIX, step="2h")

    assert shared[0] == pytest.approx({"web": 5.0})
    assert flat == [pytest.approx({"web": a + 1.0, "api": 2.0 + 1.0}) for a in (4 + 5, 6 + 7, 8 + 9)]


def test_a_filter_and_a_page_hold_for_every_hour(server: Server) -> None:
    assert totals(server, filter='namespace:"api"')[0] == pytest.approx({"api": 1.0, "__idle__": 0.8})
    assert totals(server, offset="1", limit="1", idle="false") == [{"api": 1.0}] * 6
    assert totals(server, aggregate="label:team", idle="false")[0] == {"team=shop": 5.0}


def test_the_hours_of_a_day_add_up_to_it(server: Server) -> None:
    for parameters in ({}, {"shareIdle": "true", "idleByNode": "true"}):
        by_hour = totals(server, window=WINDOW, filter='cluster:"one"', **parameters)
        [day] = totals(server, window=WINDOW, filter='cluster:"one"', accumulate="day", **parameters)

        assert len(by_hour) == 24
        assert sum(sum(one.values()) for one in by_hour) == pytest.approx(420.0, abs=1e-6)
        assert sum(day.values()) == pytest.approx(420.0, abs=1e-6)


@pytest.mark.parametrize(
    ("parameters", "web"),
    [
        ({"step": "2h"}, [9.0, 13.0, 17.0]),
        ({"step": "6h"}, [39.0]),
        ({"step": "4h"}, [4.0 + 5 + 6 + 7, 8.0 + 9]),
        ({"step": "12h", "window": WINDOW}, [78.0, 222.0]),
        ({"step": "1h", "accumulate": "true"}, [39.0]),
        ({"step": "1d"}, [WEB_DAY]),
        ({"accumulate": "true"}, [WEB_DAY]),
    ],
)
def test_steps_of_hours_are_counted_from_the_start_of_the_window(
    server: Server, parameters: dict[str, str], web: list[float]
) -> None:
    for path in ("/model/allocation", "/allocation"):
        assert [one["web"] for one in totals(server, path, **{"accumulate": "false", **parameters})] == web


def test_the_other_routes_answer_hours_too(server: Server) -> None:
    asked = {"window": SIX, "accumulateBy": "hour", "aggregate": "namespace", "idle": "false"}
    summary = server.data("/model/allocation/summary", **asked)
    topline = server.data("/model/allocation/summary/topline", **asked)
    computed = server.data("/allocation/compute", window=SIX, step="6h", aggregate="namespace")

    assert summary["step"] == 3600 * 10**9
    assert summary["window"] == {"start": "2026-10-05T03:00:00Z", "end": "2026-10-05T09:00:00Z"}
    assert [one["allocations"]["web"]["totalCost"] for one in summary["sets"]] == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert topline["combined"]["allocations"]["total"]["totalCost"] == 45.0
    assert topline["combined"]["window"] == summary["window"]
    assert computed[0]["web"]["totalCost"] == 39.0


def test_csv_has_the_hours_of_the_window_and_a_line_for_each_in_the_summary(server: Server) -> None:
    asked = {"window": SIX, "accumulate": "hour", "aggregate": "namespace", "idle": "false", "format": "csv"}
    window = server.get("/model/allocation", **asked).text.splitlines()
    by_hour = server.get("/model/allocation/summary", **asked).text.splitlines()

    assert [line.split(",")[0] for line in window] == ["name", "web", "api"]
    assert "2026-10-05T03:00:00Z" in window[1]
    assert "2026-10-05T09:00:00Z" in window[1]
    assert len(by_hour) == 1 + 6 * 2


def test_costs_per_month_are_those_of_the_hour(server: Server) -> None:
    assert totals(server, costMetric="monthly", idle="false")[0]["api"] == pytest.approx(730.0)


def test_a_cluster_without_hours_is_named(server: Server) -> None:
    answer = server.get("/model/allocation", window=SIX, accumulate="hour").json()
    filtered = server.get("/model/allocation", window=SIX, accumulate="hour", filter='cluster:"one"').json()
    daily = server.get("/model/allocation", window=SIX).json()

    assert "no hours of them: two (2026-10-05). Set `step: 1h`" in answer["warning"]
    assert "warning" not in filtered
    assert "warning" not in daily


def test_hours_that_nobody_has_are_refused_with_the_cure(server: Server, tmp_path: Path) -> None:
    asked = {"accumulate": "hour", "window": SIX}
    old = server.get("/model/allocation", accumulate="hour", window="2026-09-28T23:00:00Z,2026-09-29T01:00:00Z")
    long = server.get("/model/allocation", accumulate="hour", window="2026-10-05T00:00:00Z,9999-12-31T23:59:59Z")
    ten_days = server.get("/model/allocation", step="1h", window="2026-10-05T00:00:00Z,2026-10-15T00:00:00Z")
    assets = server.get("/model/assets", **asked)
    bills = server.get("/model/cloudCost", **asked)
    (tmp_path / "lake").mkdir()
    write_allocations(tmp_path / "lake", "two", [{"node": "n9", "namespace": "batch", "cpu_cost": 10.0}])
    with serve(tmp_path / "lake") as without:
        none = without.get("/model/allocation", **asked)

    assert {one.status_code for one in (old, long, ten_days, assets, bills, none)} == {400}
    assert "from 2026-09-29 on" in old.json()["message"]
    assert "`reconciled_allocations_hourly`" in old.json()["message"]
    assert "10 days by the hour, at most 9" in ten_days.json()["message"]
    assert all("assets and cloud costs have no hours" in one.json()["message"] for one in (assets, bills))
    assert "`step: 1h`" in none.json()["message"]


def test_the_store_follows_the_newest_days_that_have_hours(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    write_hours(tmp_path / "lake")
    with serve(tmp_path / "lake") as server:
        newest = DAY + timedelta(days=7)
        write_hours(tmp_path / "lake", newest)
        server.serving.refresh()
        [kept] = server.serving.reader.query(
            "SELECT min(date) AS first, max(hour) AS last, count(*) AS rows FROM hours"
        )

    assert (kept["first"], kept["rows"]) == (newest, 96)
    assert str(kept["last"]) == "2026-10-12 23:00:00"
