"""Small tables for tests: give the columns that matter, the rest takes a plain value."""

from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ASSET_COSTS,
    ASSET_INVENTORY,
    CLOUD_BILLING,
    COST_NAMES,
    RECONCILED_ALLOCATIONS,
    Table,
)

DAY = date(2026, 10, 5)


def asset_table(assets: list[dict[str, Any]]) -> ir.Table:
    plain = {
        "cluster": "prod",
        "asset_type": "Node",
        "category": "Compute",
        "currency": "USD",
        "cost": 0.0,
        "name": "",
        "account": "111122223333",
    }
    rows = [{"date": DAY, **plain, **asset} for asset in assets]
    for row in rows:
        row.setdefault("asset_id", f"{row['cluster']}/{row['asset_type']}/{row.get('provider_id', '')}/{row['name']}")
    return _table(ASSET_INVENTORY, rows)


def cost_table(assets: list[dict[str, Any]]) -> ir.Table:
    """Return rows of `asset_costs`: by default settled nodes, billed at their estimate."""
    plain = {
        "cluster": "prod",
        "asset_type": "Node",
        "currency": "USD",
        "minutes": 1440.0,
        "is_settled": True,
        "cost_basis": "billed",
    }
    rows = [{"date": DAY, "name": "", **plain, **asset} for asset in assets]
    for row in rows:
        row.setdefault("asset_id", f"{row['cluster']}/{row['asset_type']}/{row.get('provider_id') or ''}/{row['name']}")
        row.setdefault("total_cost", row["cost"])
        row.setdefault("adjustment", row["total_cost"] - row["cost"])
        row.setdefault("is_reconciled", row["cost_basis"] == "billed")
    return _table(ASSET_COSTS, rows)


def allocation_table(allocations: list[dict[str, Any]]) -> ir.Table:
    """Return rows of `allocations` with `row`; what is not given is 0, and the day 24 hours."""
    amounts = {
        c.name: 0.0 for c in ALLOCATIONS.columns if c.type == "float64" and not c.name.endswith("efficiency")
    } | {"minutes": 1440.0}
    plain = {"cluster": "prod", "currency": "USD", "services": [], "pvs": [], "load_balancers": []}
    rows = [{"date": DAY, **plain, **amounts, **allocation} for allocation in allocations]
    for row in rows:
        row.setdefault("name", "/".join(str(row.get(part) or "") for part in ("cluster", "node", "namespace", "pod")))
    return _table(ALLOCATIONS, rows).mutate(row=ibis.row_number())


def reconciled_table(found: list[dict[str, Any]]) -> ir.Table:
    """Return rows of `reconciled_allocations`; what is not given is 0, and the total follows from the costs."""
    amounts = [c.name for c in RECONCILED_ALLOCATIONS.columns if c.type == "float64" and "efficiency" not in c.name]
    plain = {"cluster": "prod", "currency": "USD", "is_settled": True, "is_reconciled": True, "cost_basis": "billed"}
    rows = [{"date": DAY, **plain, **dict.fromkeys(amounts, 0.0), **one} for one in found]
    for row in rows:
        parts = [name for name in amounts if name.endswith(("_cost", "_adjustment")) and name != "total_cost"]
        row["total_cost"] = sum(
            row[name] for name in parts if not name.startswith("network_cross") and "internet" not in name
        )
    return _table(RECONCILED_ALLOCATIONS, rows)


def bill_table(charges: list[dict[str, Any]]) -> ir.Table:
    """Return bill rows; `cost` stands for every cost that is not given."""
    plain = {
        "charge_category": "Usage",
        "charge_type": "Usage",
        "category": "Compute",
        "billing_currency": "USD",
        "sub_account_id": "111122223333",
        "billing_account_id": "111122223333",
        "is_kubernetes": False,
        "missing_cost_lines": 0,
        "line_items": 1,
    }
    rows = [
        {"date": DAY, **plain, **dict.fromkeys(COST_NAMES, charge.get("cost", "0")), **charge} for charge in charges
    ]
    return _table(CLOUD_BILLING, rows)


def _table(table: Table, rows: list[dict[str, Any]]) -> ir.Table:
    schema = ibis.schema({"date": "date", **table.schema()})
    arrow: Any = schema.to_pyarrow()
    columns: list[Any] = []
    for field in arrow:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_decimal(field.type):
            columns.append(pa.array([None if v is None else str(v) for v in values], pa.string()).cast(field.type))
        elif pa.types.is_map(field.type):
            columns.append(pa.array([list((v or {}).items()) for v in values], field.type))
        else:
            columns.append(pa.array(values, field.type))
    return ibis.memtable(pa.Table.from_arrays(columns, schema=arrow))


def rows(table: ir.Table) -> list[dict[str, Any]]:
    """Return the rows in a stable order."""
    found: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return sorted(found, key=lambda row: str(sorted((k, str(v)) for k, v in row.items())))
