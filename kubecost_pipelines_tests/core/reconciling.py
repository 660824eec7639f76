"""Reconcile small clusters in an engine that keeps what is read twice, as the asset does."""

from datetime import date
from itertools import count
from typing import Any

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.workload_costs import price_assets, reconcile_allocations
from kubecost_pipelines_tests.core.tables import allocation_table, cost_table, rows

Row = dict[str, Any]


def reconcile_days(days: list[tuple[date, list[Row], list[Row]]]) -> list[Row]:
    """Return the rows of all days at once: (day, assets, allocations) each."""
    engine, numbers = ibis.duckdb.connect(), count()
    engine.con.execute("SET threads = 1")

    def keep(table: ir.Table) -> ir.Table:
        return engine.create_table(f"kept_{next(numbers)}", table, temp=True)

    def load(table: ir.Table) -> ir.Table:
        return engine.create_table(f"kept_{next(numbers)}", table.select(*table.columns).filter(True), temp=True)

    assets = load(cost_table([asset for _, found, _ in days for asset in found]))
    allocations = load(allocation_table([one for _, _, found in days for one in found]))
    settled = sorted({row["date"] for _, found, _ in days for row in found if row.get("is_settled", True)})
    try:
        return rows(reconcile_allocations(allocations, price_assets(assets, allocations, keep), settled))
    finally:
        engine.disconnect()
