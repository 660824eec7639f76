"""What Prometheus is told of a lake, against what a hand computes.

The bill of the 5th: ten disks of 0.1, which `one` claims together as 1, and a database of 0.7. In binary ten times 0.1
is less than 1; in decimals it is not. Of the cluster's estimate of 4, settled, 3 found its bill row.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from kubecost_pipelines.core.tables import ASSET_COSTS, CLOUD_ASSETS, CONNECTION_STATUS
from kubecost_pipelines_tests.api.served import DAY, WINDOW, Server, serve, write_bill, write_days

KEY = "aws/111122223333"
SETTLED = {"date": DAY, "cluster": "one", "asset_type": "Node", "currency": "USD", "is_settled": True}


def line(resource: str, cost: str) -> dict[str, Any]:
    named = {"service_name": "S", "resource_id": resource}
    return {"date": DAY, "billing_currency": "USD", "effective_cost": cost, **named}


def metrics(server: Server) -> dict[str, dict[tuple[str, ...], float]]:
    """Return name -> values of its labels, in the order of their names -> value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(server.get("/metrics").text):
        for sample in family.samples:
            name = sample.name.removeprefix("kubecost_pipelines_")
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(name, {})[labels] = sample.value
    return found


def test_the_metrics_are_what_the_lake_has_and_a_missing_line_is_a_difference(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    key, disks = KEY.split("/"), [line(f"vol-{number}", "0.1") for number in range(10)]
    write_bill(lake, key, [*disks, line("db", "0.7")], is_claimed=True)
    write_days(lake, CLOUD_ASSETS, key, [line("db", "0.7")])
    claimed = {"provider_key": KEY, "match_rule": "provider_id", "effective_cost": "1"}
    assets = [
        {**SETTLED, "asset_id": "a", "cost": 3.0, **claimed},
        {**SETTLED, "asset_id": "b", "cost": 1.0},
        {**SETTLED, "asset_id": "c", "cost": 9.0, "cluster": "two", "is_settled": False},
    ]
    write_days(lake, ASSET_COSTS, [], assets)
    checks = [(5, "FAILED_CONNECTION"), (6, "SUCCESSFUL_CONNECTION")]
    for day, status in checks:
        checked = datetime(2026, 10, day, 8, tzinfo=UTC)
        row = {"date": checked.date(), "provider_key": KEY, "status": status, "checked_at": checked}
        write_days(lake, CONNECTION_STATUS, key, [row])

    with serve(lake) as server:
        for _ in range(2):
            server.data("/model/cloudCost", window=WINDOW)
        whole = metrics(server)
        write_days(lake, CLOUD_ASSETS, key, [line("db", "0")])
        server.serving.refresh()
        lacking = metrics(server)

    end_of_day = datetime(2026, 10, 6, tzinfo=UTC).timestamp()
    assert whole["newest_day_timestamp_seconds"] == {
        ("", "assets"): end_of_day,
        (KEY, "cloud_costs"): end_of_day,
        (KEY, "connection_status"): end_of_day + 86_400,
        (KEY, "out_of_cluster"): end_of_day,
    }
    assert whole["days"] == {
        ("", "assets"): 1,
        (KEY, "cloud_costs"): 1,
        (KEY, "connection_status"): 2,
        (KEY, "out_of_cluster"): 1,
    }
    assert whole["match_coverage_ratio"] == {("one",): 0.75}
    assert whole["connection_is_successful"] == {(KEY, "SUCCESSFUL_CONNECTION"): 1}
    assert whole["conservation_difference"] == {(KEY,): 0}
    assert lacking["conservation_difference"] == {(KEY,): 0.7}
    assert whole["request_seconds_bucket"][("+Inf", "/model/cloudCost")] == 2
    assert whole["requests_total"][("/model/cloudCost", "200")] == 2
