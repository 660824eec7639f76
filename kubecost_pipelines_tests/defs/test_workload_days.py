"""Days of workload costs that are not like others: too large to hold, without external cost, with foreign cost."""

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.core.tables import EXTERNAL_COSTS, Table
from kubecost_pipelines.core.workload_costs import reconcile_allocations
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


def test_a_day_that_is_not_conserved_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def lose_idle(*values: Any) -> Any:
        rows = reconcile_allocations(*values)
        return rows.filter(rows.allocation_type != "idle")

    with deployed(tmp_path) as (deployment, _):
        deployment()
        files = {path: path.read_bytes() for path in (tmp_path / "lake/reconciled_allocations").rglob("*.parquet")}
        monkeypatch.setattr(reconciled_allocations, "reconcile_allocations", lose_idle)
        ran = deployment(WORKLOADS)
        is_conserved = deployment.last_check(WORKLOADS, "cluster_is_conserved")

    assert not ran.success
    assert "the cluster is not conserved: its assets cost" in ran.error
    assert is_conserved is False
    assert len(files) == 2
    assert all(path.read_bytes() == content for path, content in files.items())


def test_a_day_without_allocations_fails_and_the_others_are_written(tmp_path: Path) -> None:
    with deployed(tmp_path) as (deployment, _):
        deployment()
        for table in ("allocations", "reconciled_allocations"):
            shutil.rmtree(tmp_path / "lake" / table / "prod/date=2026-10-02")
        written = tmp_path / "lake/reconciled_allocations/prod/date=2026-10-01/data.parquet"
        written.unlink()
        ran = deployment(WORKLOADS)

    assert not ran.success
    assert "2026-10-02: prod has no allocations of that day. Materialise them" in ran.error
    assert written.exists()


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
