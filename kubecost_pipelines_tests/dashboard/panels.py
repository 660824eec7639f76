"""What a panel of the dashboard shows, saves as CSV, and gives as a query: each as rows by column."""

import csv
import io
from collections.abc import Iterable
from typing import Any

import duckdb
from playwright.sync_api import Locator, Page, expect

Row = dict[str, Any]


def panel(page: Page, title: str) -> Locator:
    """Return the panel under a title that begins so."""
    heading = page.get_by_role("heading", level=2).filter(has_text=title)
    return page.locator("section.panel").filter(has=heading)


def saved(page: Page, title: str) -> list[Row]:
    """Save a panel's CSV, and return its rows."""
    with page.expect_download() as download:
        panel(page, title).get_by_role("button", name="CSV of").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def queried(page: Page, title: str) -> list[Row]:
    """Open a panel's query, run its DuckDB SQL, and return the rows."""
    panel(page, title).get_by_role("button", name="Query behind").click()
    sql = page.get_by_label("DuckDB SQL").inner_text()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    with duckdb.connect() as connection:
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def shown(page: Page, title: str) -> list[Row]:
    """Return the rows of a panel's table as they are read, by column."""
    table = panel(page, title).locator("table")
    names = table.locator("thead th").all_inner_texts()
    rows = [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def figure(page: Page, title: str) -> str:
    """Return the sum over a panel's chart."""
    return panel(page, title).locator(".legend-head .num").inner_text()


def by_day(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Return (name, day) -> cost of a CSV with a column per day, without what is zero."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        name, *days = row
        found |= {(row[name], day): float(row[day]) for day in days}
    return without_zeros(found)


def totals(rows: Iterable[Row], value: str, *keys: str) -> dict[tuple[str, ...], float]:
    """Return the sums of a column by others, without what is zero."""
    found: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = tuple(str(row[name]) for name in keys)
        found[key] = found.get(key, 0.0) + float(row[value])
    return without_zeros(found)


def without_zeros(found: dict[Any, float]) -> dict[Any, float]:
    """Return what is not zero: a table leaves out what a chart draws as nothing."""
    return {key: value for key, value in found.items() if abs(value) > 1e-9}


def money(value: float) -> str:
    """Return a cost as the dashboard writes it."""
    return f"{'−' if value < 0 else ''}${abs(value):,.2f}"
