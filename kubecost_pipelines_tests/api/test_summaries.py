"""Summaries and toplines over several steps, against what a hand computes.

Three days of the cluster `one`, from Monday 5 October: web costs CPU 6 − 1, 4 and 2 + 1, api RAM 2 a day, the idle CPU
3 a day; the first day has a fee of 0.7, of which web bears 5 of 7. Of 2 cores that web asked for it used 1, 2 and 2.
"""

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from kubecost_pipelines_tests.api.served import Server, serve, write_allocations

WINDOW = "2026-10-05T00:00:00Z,2026-10-08T00:00:00Z"
DAY_NANOSECONDS = 86_400 * 10**9


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("summaries") / "lake"
    lake.mkdir()
    rows: list[dict[str, Any]] = []
    for day, cpu, adjustment, used in ((5, 6.0, -1.0, 1.0), (6, 4.0, 0.0, 2.0), (7, 2.0, 1.0, 2.0)):
        on = {"date": date(2026, 10, day)}
        averages = {"cpu_core_request_average": 2.0, "cpu_core_usage_average": used}
        web = {"namespace": "web", "pod": "w", "cpu_cost": cpu, "cpu_cost_adjustment": adjustment, **averages}
        api = {"namespace": "api", "pod": "a", "ram_cost": 2.0, "is_reconciled": day != 7}
        idle = {"allocation_type": "idle", "namespace": "__idle__", "cpu_cost": 3.0}
        rows += [{**on, **row} for row in (web, api, idle)]
    rows.append({"date": date(2026, 10, 5), "allocation_type": "shared", "namespace": "__shared__", "shared_cost": 0.7})
    write_allocations(lake, "one", rows)
    with serve(lake) as running:
        yield running


def summary(server: Server, path: str = "/model/allocation/summary", **parameters: str) -> dict[str, Any]:
    return dict(server.data(path, window=WINDOW, aggregate="namespace", **parameters))


def costs(found: dict[str, Any], name: str, field: str = "totalCost") -> list[float]:
    return [one["allocations"][name][field] for one in found["sets"]]


@pytest.mark.parametrize("given", [{}, {"accumulate": "false"}, {"accumulate": "day"}, {"step": "1d"}])
def test_a_summary_has_a_set_for_every_day_with_adjustments_in_its_costs(server: Server, given: dict[str, str]) -> None:
    found = summary(server, **given)

    assert found["step"] == DAY_NANOSECONDS
    assert found["window"] == {"start": "2026-10-05T00:00:00Z", "end": "2026-10-08T00:00:00Z"}
    assert [one["window"] for one in found["sets"]] == [
        {"start": f"2026-10-0{day}T00:00:00Z", "end": f"2026-10-0{day + 1}T00:00:00Z"} for day in (5, 6, 7)
    ]
    assert costs(found, "web", "cpuCost") == pytest.approx([5.0, 4.0, 3.0])
    assert costs(found, "web", "sharedCost") == pytest.approx([0.5, 0.0, 0.0])
    assert costs(found, "web") == pytest.approx([5.5, 4.0, 3.0])
    assert costs(found, "api") == pytest.approx([2.2, 2.0, 2.0])
    assert costs(found, "__idle__") == pytest.approx([3.0, 3.0, 3.0])
    assert costs(found, "web", "totalEfficiency") == pytest.approx([0.5, 1.0, 1.0])
    assert costs(found, "api", "reconciled") == [True, True, False]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/model/allocation/summary", {"accumulate": "true"}),
        # OpenCost's step is the window unless it is told otherwise.
        ("/allocation/summary", {}),
    ],
)
def test_a_summary_of_the_window_in_one(server: Server, path: str, given: dict[str, str]) -> None:
    found = summary(server, path, **given)

    assert found["step"] == 3 * DAY_NANOSECONDS
    [only] = found["sets"]
    assert only["window"] == found["window"]
    assert costs(found, "web", "cpuCost") == pytest.approx([12.0])
    assert costs(found, "web") == pytest.approx([12.5])
    assert costs(found, "api") == pytest.approx([6.2])
    # 5 of 6 core-days.
    assert costs(found, "web", "totalEfficiency") == pytest.approx([5 / 6])
    assert costs(found, "api", "reconciled") == [False]


def test_a_summary_by_steps_of_days_weeks_and_months(server: Server) -> None:
    assert costs(summary(server, step="2d"), "web") == pytest.approx([9.5, 3.0])
    assert costs(summary(server, "/allocation/summary", step="1d"), "web") == pytest.approx([5.5, 4.0, 3.0])
    assert costs(summary(server, accumulate="week"), "web") == pytest.approx([12.5])
    assert costs(summary(server, accumulate="month"), "web") == pytest.approx([12.5])


def test_what_is_shared_is_shared_within_each_set(server: Server) -> None:
    # Nobody but web has CPU; 365 a month are 12 a day, half of it to each item.
    idle, flat = summary(server, shareIdle="true"), summary(server, shareCost="365", shareSplit="even", idle="false")

    assert costs(idle, "web") == pytest.approx([8.5, 7.0, 6.0])
    assert costs(idle, "api") == pytest.approx([2.2, 2.0, 2.0])
    assert costs(flat, "api") == pytest.approx([8.2, 8.0, 8.0])


@pytest.mark.parametrize("given", [{}, {"accumulate": "true"}, {"accumulate": "day"}, {"step": "1d"}])
@pytest.mark.parametrize("path", ["/model/allocation/summary/topline", "/allocation/summary/topline"])
def test_a_topline_sums_the_window_whatever_its_steps(server: Server, path: str, given: dict[str, str]) -> None:
    found = server.data(path, window=WINDOW, aggregate="namespace", **given)

    assert found["numResults"] == 3
    assert found["combined"]["window"] == {"start": "2026-10-05T00:00:00Z", "end": "2026-10-08T00:00:00Z"}
    total = found["combined"]["allocations"]["total"]
    # CPU 12 of web and 9 idle, RAM 6, the fee 0.7; web's 5 of 6 for 12 of the 27 of CPU and RAM.
    assert {name: total[name] for name in ("cpuCost", "ramCost", "sharedCost", "totalCost")} == pytest.approx(
        {"cpuCost": 21.0, "ramCost": 6.0, "sharedCost": 0.7, "totalCost": 27.7}
    )
    assert total["totalEfficiency"] == pytest.approx(12 * 5 / 6 / 27)
    assert not total["reconciled"]


def test_a_cost_per_day_is_of_the_days_of_its_set(server: Server) -> None:
    whole = summary(server, accumulate="true", costMetric="daily")
    top = server.data("/model/allocation/summary/topline", window=WINDOW, aggregate="namespace", costMetric="daily")

    assert costs(whole, "web") == pytest.approx([12.5 / 3])
    assert costs(summary(server, costMetric="daily"), "web") == pytest.approx([5.5, 4.0, 3.0])
    assert top["combined"]["allocations"]["total"]["totalCost"] == pytest.approx(27.7 / 3)


def test_the_csv_of_a_summary_has_a_line_for_each_item_of_each_set(server: Server) -> None:
    answer = server.get("/model/allocation/summary", window=WINDOW, aggregate="namespace", format="csv", idle="false")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["name"], row["start"][:10], float(row["totalCost"])) for row in rows] == [
        ("web", "2026-10-05", 5.5),
        ("api", "2026-10-05", 2.2),
        ("web", "2026-10-06", 4.0),
        ("api", "2026-10-06", 2.0),
        ("web", "2026-10-07", 3.0),
        ("api", "2026-10-07", 2.0),
    ]
