"""Hours beside days, through the real graph: what `step: 1h` adds, and what it does when the cluster has no hours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubecost_pipelines.defs import reconciled_allocations_hourly
from kubecost_pipelines.settings import ClusterSettings
from kubecost_pipelines_tests.clusters.api_server import ApiServer, Item, Reply, allocation, asset, data, serving
from kubecost_pipelines_tests.dagster_run import Deployment, deploy

HOURLY = "reconciled_allocations_hourly/prod"
TWO_DAYS = ("2026-10-01", "2026-10-02")


def container(day: str, core_hours: float, first: int, last: int) -> Item:
    """A container that ran from one hour to another, at 0.10 per core-hour."""
    midnight = datetime.fromisoformat(f"{day}T00:00:00")
    start, end = (f"{midnight + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in (first, last))
    cost: dict[str, Any] = {"cpuCost": core_hours / 10, "totalCost": core_hours / 10, "cpuCostAdjustment": 0.0}
    return allocation(cpuCoreHours=core_hours, **cost, start=start, end=end, minutes=60.0 * (last - first))


class Hours(ApiServer):
    """A cluster of one node of 4 cores, billed by nobody; a container takes 1 core at night and 3 by day."""

    has_hours = True

    def answer(self, route: str, query: Mapping[str, str]) -> Reply:
        day = query.get("window", "")[:10]
        if route == "/model/assets":
            start, end = query["window"].split(",")
            costs: dict[str, Any] = {"start": start, "end": end, "minutes": 1440.0}
            costs |= {"cpuCost": 9.6, "cpuCoreHours": 96.0, "ramCost": 0.0, "gpuCost": 0.0, "discount": 0.0}
            of_node = {"name": "n1", "providerID": "aws:///us-east-1a/i-0abc"}
            return data([{"n": asset("Node", "Compute", 9.6, **costs, properties=of_node)}])
        if query.get("step") == "1h" and self.has_hours:
            return data([{"web": container(day, 1.0 if hour < 12 else 3.0, hour, hour + 1)} for hour in range(24)])
        return data([{"web": container(day, 48.0, 0, 24)}])


@contextmanager
def deployed(folder: Path, **settings: Any) -> Iterator[tuple[Deployment, Hours]]:
    with serving(Hours()) as server:
        cluster = ClusterSettings(name="prod", endpoint=server.endpoint, flavour="kubecost", max_attempts=1, **settings)
        with deploy(folder, [], [cluster], days=TWO_DAYS) as deployment:
            yield deployment, server


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as engine:
        for table in (folder / "lake").glob("reconciled_allocations*"):
            files = f"{table}/prod/*/data.parquet"
            engine.execute(f"CREATE VIEW {table.name} AS FROM read_parquet('{files}', hive_partitioning = true)")
        return engine.execute(query).fetchall()


@pytest.mark.parametrize("rows_in_memory", [200_000, 1])
def test_with_a_step_of_an_hour_each_hour_costs_what_it_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_memory: int
) -> None:
    monkeypatch.setattr(reconciled_allocations_hourly, "ROWS_IN_MEMORY", rows_in_memory)
    with deployed(tmp_path, step="1h") as (deployment, _):
        ran = deployment()

    assert ran.success, ran.description
    assert ran.checks["hours_add_up_to_the_day"]
    assert ran.checks["hours_are_known"]
    by_hour = ask(
        tmp_path,
        "SELECT date::VARCHAR, hour, allocation_type, round(total_cost, 6) FROM reconciled_allocations_hourly "
        "WHERE date = '2026-10-02' AND hour IN (3, 15) ORDER BY ALL",
    )
    # 9.60 are 0.10 per core-hour, of which there are 4 an hour: 1 is used at night, 3 by day.
    assert by_hour == [
        ("2026-10-02", 3, "idle", 0.3),
        ("2026-10-02", 3, "workload", 0.1),
        ("2026-10-02", 15, "idle", 0.1),
        ("2026-10-02", 15, "workload", 0.3),
    ]
    totals = "SELECT round(sum(total_cost), 6), count(DISTINCT date) FROM {}"
    assert ask(tmp_path, totals.format("reconciled_allocations_hourly")) == [(19.2, 2)]
    assert ask(tmp_path, totals.format("reconciled_allocations")) == [(19.2, 2)]


def test_a_cluster_that_has_no_hours_loses_them_and_nothing_else(tmp_path: Path) -> None:
    with deployed(tmp_path, step="1h") as (deployment, server):
        server.has_hours = False
        ran = deployment()
        days = deployment.materialized_days("reconciled_allocations/prod")

    assert not ran.success
    assert "items of 1440 minutes where hours were asked for" in ran.error
    assert days == set(TWO_DAYS)
    assert not (tmp_path / "lake" / "reconciled_allocations_hourly").exists()


def test_without_the_setting_nobody_asks_for_hours(tmp_path: Path) -> None:
    with deployed(tmp_path) as (deployment, server):
        ran = deployment()

    assert ran.success, ran.description
    assert {asked.get("step") for asked in server.asked["/model/allocation"]} == {"1d"}
    assert not any(asset.startswith(HOURLY.partition("/")[0]) for asset, _ in ran.materialized)
