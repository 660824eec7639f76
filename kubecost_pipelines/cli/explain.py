"""The command `explain`: an explanation as tables for people, or as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.operations.errors import NothingToExplainError
from kubecost_pipelines.operations.explain import WORKLOADS, Explanation, explain
from kubecost_pipelines.settings import load_settings

SHOWN = 40
"""Rows of one table; `--json` has all of them."""


def run_explain(cluster: str, day: date, *, namespace: str | None, pod: str | None, as_json: bool) -> None:
    """Print the explanation.

    Raises:
        OperationError: there is nothing to explain.
    """
    settings = load_settings()
    if settings is None:
        raise NothingToExplainError(
            "there is no kubecost-pipelines.yaml here, and KUBECOST_PIPELINES_CONFIG names none. Write one."
        )
    found = explain(Workbench(settings), cluster, day, namespace=namespace, pod=pod)
    if as_json:
        print(json.dumps(found.as_dict(), default=_as_json, indent=2))
    else:
        _print(found)


def _as_json(value: object) -> str:
    return str(value)


def _print(found: Explanation) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    what = "/".join(filter(None, (found.cluster, found.namespace, found.pod)))
    state = "settled" if found.is_settled else "provisional"
    console.print(
        f"{what} on {found.day} ({state}): estimated {found.estimate:,.4f}, adjusted by "
        f"{found.total_cost - found.estimate:+,.4f}, costs [bold]{found.total_cost:,.4f}[/bold]"
    )
    names = {row["asset_id"]: row["asset_name"] or row["asset_type"] for row in found.assets if row["asset_id"]}
    _grid(console, "From estimate to total", found.resources, ("resource", "estimate", "adjustment", "total_cost"))
    shares = [
        {
            "asset": f"{row['asset_type']} {row['asset_name'] or ''}" if row["asset_id"] else "no asset",
            "resource": _resource(row),
            "theirs": _amount(row["amount"], row["unit"]),
            "of": _amount(row["whole"], row["unit"]),
            "share": f"{row['share']:.2%}" if row["share"] is not None else "",
            "asset estimated": row["asset_cost"],
            "asset costs": row["asset_total_cost"],
            "price": row["asset_cost_basis"],
            "rule": row["asset_match_rule"],
            "they pay": row["total_cost"],
        }
        for row in found.assets
    ]
    _grid(console, "Their share of each asset", shares, tuple(shares[0]) if shares else ())
    bill = [
        {
            "asset": names.get(row["asset_id"], row["asset_id"]),
            "rule": row["match_rule"],
            "charge": row["charge_type"],
            "meter": row["sku_meter"] or row["service_name"],
            "quantity": row["usage_quantity"],
            "list": row["list_cost"],
            "billed": row["billed_cost"],
            "effective": row["effective_cost"],
        }
        for row in found.bill
    ]
    _grid(console, "The bill rows behind these assets", bill, tuple(bill[0]) if bill else ())


def _grid(console: Console, title: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    if not rows:
        console.print(f"{title}: none.")
        return
    note = f"{len(rows) - SHOWN} more: --json has all of them." if len(rows) > SHOWN else None
    grid = Grid(title=title, title_justify="left", caption=note, caption_justify="left")
    for name in names:
        is_number = any(isinstance(row[name], float | Decimal) for row in rows)
        grid.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
    for row in rows[:SHOWN]:
        grid.add_row(*(_cell(row[name]) for name in names))
    console.print(grid)


def _resource(row: Mapping[str, Any]) -> str:
    name, used_by = row["resource"], row["used_by"]
    return str(name) if used_by in (WORKLOADS, f"__{name}__") else f"{name} {used_by}"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    is_bytes = unit.startswith("byte")
    return f"{value / 2**30 if is_bytes else value:,.2f} {unit.replace('bytes', 'GiB').replace('byte', 'GiB')}"


def _cell(value: Any) -> str:
    if isinstance(value, float | Decimal):
        return f"{value:,.4f}"
    return "" if value is None else str(value)
