"""Reconcile small clusters in an engine that keeps what is read twice, as the asset does."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import count
from typing import Any

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.tracing import trace, trace_unused
from kubecost_pipelines.core.workload_costs import Prices, price_assets, reconcile_allocations
from kubecost_pipelines_tests.core.tables import allocation_table, cost_table, rows

Row = dict[str, Any]


Days = list[tuple[date, list[Row], list[Row]]]
"""(day, assets, allocations) each."""


def reconcile_days(days: Days) -> list[Row]:
    """Return the rows of all days at once."""
    settled = [row["date"] for _, found, _ in days for row in found if row.get("is_settled", True)]
    with _priced(days) as (allocations, prices):
        return rows(reconcile_allocations(allocations, prices, max(settled, default=date.min)))


def trace_days(days: Days) -> list[Row]:
    """Return which part of each asset who pays, of all days at once: used and unused."""
    with _priced(days) as (allocations, prices):
        return rows(trace(allocations, prices)) + rows(trace_unused(prices))


@contextmanager
def _priced(days: Days) -> Iterator[tuple[ir.Table, Prices]]:
    engine, numbers = ibis.duckdb.connect(), count()
    engine.con.execute("SET threads = 1")

    def keep(table: ir.Table) -> ir.Table:
        return engine.create_table(f"kept_{next(numbers)}", table, temp=True)

    def load(table: ir.Table) -> ir.Table:
        return keep(table.select(*table.columns).filter(True))

    assets = load(cost_table([asset for _, found, _ in days for asset in found]))
    allocations = load(allocation_table([one for _, _, found in days for one in found]))
    try:
        yield allocations, price_assets(assets, allocations, keep)
    finally:
        engine.disconnect()
