"""The worked example of docs/reconciliation.md: the page's own figures, and what the code makes of its cluster."""

import re
from datetime import date
from pathlib import Path

import pytest

from kubecost_pipelines.core.sharing import share_idle
from kubecost_pipelines_tests.core.reconciling import Row, reconcile_days
from kubecost_pipelines_tests.core.tables import reconciled_table, rows
from kubecost_pipelines_tests.core.test_allocating import DISK, FEE, GIB, NODE, pod

PAGE = Path(__file__).parents[2] / "docs" / "reconciliation.md"
DAY = date(2026, 10, 5)
DATABASE = pod("db", cores=2, gib=8) | {
    "pvs": [{"name": "pvc-1", "provider_id": "vol-1", "byte_hours": 2400 * GIB, "cost": 0.5}],
    "pv_cost": 0.5,
}
ASSETS: list[Row] = [{**NODE, "total_cost": 3.0}, {**DISK, "total_cost": 0.4}, FEE]


@pytest.fixture(scope="module")
def example() -> list[Row]:
    assets = [{"date": DAY, **asset} for asset in ASSETS]
    return reconcile_days([(DAY, assets, [{"date": DAY, **one} for one in (pod("api"), DATABASE)])])


def in_page(row: str) -> float:
    """Return the last figure of a row of the page's second table."""
    [line] = re.findall(rf"^\| {re.escape(row)}.*\| \**([\d.]+)\** \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return float(line)


def test_the_pages_figures_are_what_the_code_gives(example: list[Row]) -> None:
    totals = {row["pod"] or row["namespace"]: row["total_cost"] for row in example}

    assert totals == pytest.approx(
        {
            "api": in_page("`api` | 1.125"),
            "db": in_page("`db` (with its volume)"),
            "__idle__": in_page("`__idle__`"),
            "__shared__": in_page("`__shared__`"),
        }
    )
    assert sum(totals.values()) == pytest.approx(in_page("**Σ**"))


def test_the_pages_idle_shared_by_node_is_what_the_code_gives(example: list[Row]) -> None:
    shared = share_idle(reconciled_table([{**row, "labels": {}, "annotations": {}} for row in example]), "node")

    totals = {row["pod"] or row["namespace"]: row["total_cost"] for row in rows(shared)}

    assert totals == pytest.approx({"api": 1.0, "db": 2.4, "__shared__": 2.4})
    assert "0.750 + 0.250 = 1.000" in PAGE.read_text(encoding="utf-8")
