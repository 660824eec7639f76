"""Days of workload costs that are not like others: too large to hold, without external cost, with foreign cost."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.core.tables import EXTERNAL_COSTS, Table
from kubecost_pipelines.defs import reconciled_allocations
from kubecost_pipelines.lake import Lake, open_engine
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.defs.test_hourly import ask, deployed

WORKLOADS = "reconciled_allocations/prod"
WITHOUT_EXTERNAL = ("in_cluster_assets/prod", "allocations/prod", "asset_inventory", "asset_costs", WORKLOADS)
ROWS = "SELECT date::VARCHAR, name, allocation_type, cpu_cost, total_cost FROM reconciled_allocations ORDER BY ALL"


def test_a_day_that_is_too_large_to_hold_costs_what_it_does_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    stage = Lake.stage

    def watched(lake: Lake, table: Table, *values: Any, **options: Any) -> Any:
        if table.name == "reconciled_allocations":
            held.append(options["is_held"])
        return stage(lake, table, *values, **options)

    monkeypatch.setattr(Lake, "stage", watched)
    with deployed(tmp_path) as (deployment, _):
        deployment()
        small = ask(tmp_path, ROWS)
        monkeypatch.setattr(reconciled_allocations, "ROWS_IN_MEMORY", 0)
        ran = deployment(WORKLOADS)
        large = ask(tmp_path, ROWS)

    assert ran.success, ran.error
    assert ran.checks["cluster_is_conserved"]
    assert held == [True, False, False]  # both days at once, then each by itself
    assert len(small) == 4
    assert large == small


def test_a_day_without_external_costs_says_so(tmp_path: Path) -> None:
    with deployed(tmp_path) as (deployment, _):
        ran = deployment(*WITHOUT_EXTERNAL)

    assert ran.success, ran.error
    assert ran.checks["external_costs_are_there"] is False
    assert ran.materialized[WORKLOADS, "2026-10-01"]["missing"] == ["external_costs"]


def test_foreign_external_cost_is_no_cost_of_a_workload(tmp_path: Path) -> None:
    day = date(2026, 10, 1)
    charge = {"cluster": "prod", "namespace": "shop", "is_matched": True, "resource_id": "db", "service_name": "RDS"}
    charges = [
        {**charge, "cost": cost, "billed_cost": Decimal(cost), "billing_currency": currency}
        for cost, currency in ((5.0, "USD"), (7.0, "EUR"))
    ]
    pq.write_table(pa.Table.from_pylist(charges, EXTERNAL_COSTS.arrow_schema()), tmp_path / "charges.parquet")
    with deployed(tmp_path) as (deployment, _):
        deployment(*WITHOUT_EXTERNAL)
        lake = Lake(locate(deployment.settings.lake), tmp_path)
        with open_engine("200MB", tmp_path) as engine:
            table = engine.read_parquet(tmp_path / "charges.parquet").mutate(date=day)
            lake.publish(lake.stage(EXTERNAL_COSTS, table, engine), [], [day])
        ran = deployment(WORKLOADS)

    assert ran.success, ran.error
    query = "SELECT sum(external_cost) FROM reconciled_allocations WHERE date = '2026-10-01'"
    assert ask(tmp_path, query) == [(5.0,)]
