"""A day of hours: asked for in one question, read as it streams, and refused where the cluster has no hours."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.clusters import ClusterError
from kubecost_pipelines_tests.clusters.api_server import DAY, END, START, ApiServer, Item, allocation, data
from kubecost_pipelines_tests.clusters.conftest import Connect


def hour(number: int, cost: float = 1.0) -> dict[str, Item]:
    times: dict[str, Any] = {
        "start": f"2026-10-01T{number:02}:00:00Z",
        "end": f"2026-10-01T{number + 1:02}:00:00Z",
        "minutes": 60.0,
    }
    return {"web": allocation(cpuCost=cost, totalCost=cost, cpuCostAdjustment=0.0, **times)}


def test_the_hours_of_a_day_are_one_question_and_one_row_each(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", data([hour(0), {}, hour(2, cost=3.0)]))

    fetched = connect().fetch_hourly_allocations(DAY, file)

    [asked] = server.asked["/model/allocation"]
    assert (asked["step"], asked["window"], asked["accumulate"]) == ("1h", f"{START},{END}", "false")
    found = {row["start"]: row["cpu_cost"] for row in pq.read_table(file).to_pylist()}
    assert found == {datetime(2026, 10, 1, 0, tzinfo=UTC): 1.0, datetime(2026, 10, 1, 2, tzinfo=UTC): 3.0}
    assert (fetched.rows, fetched.total_cost) == (2, 4.0)


def test_hours_have_to_add_up_to_the_clusters_own_total_of_all_hours(
    server: ApiServer, connect: Connect, file: Path
) -> None:
    server.on("/model/allocation", data([hour(0), hour(1)]))
    server.on("/model/allocation?total", data([hour(0), hour(1)]))
    whole = connect(verify_totals=True).fetch_hourly_allocations(DAY, file)
    server.on("/model/allocation?total", data([hour(0), hour(1), hour(2)]))

    with pytest.raises(ClusterError, match="half a day"):
        connect(verify_totals=True, max_attempts=1).fetch_hourly_allocations(DAY, file)

    assert whole.rows == 2
    assert not file.exists()


def test_a_day_where_hours_were_asked_for_is_refused_with_the_cure(
    server: ApiServer, connect: Connect, file: Path
) -> None:
    server.on("/model/allocation", data([{"web": allocation(minutes=1440.0)}]))

    with pytest.raises(ClusterError, match=r"items of 1440 minutes where hours were asked for.*ETL_HOURLY_STORE"):
        connect().fetch_hourly_allocations(DAY, file)

    assert not file.exists()
