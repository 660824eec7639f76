"""Answers from the lake: a question run over the days it is about, wherever the lake lies."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import ibis.expr.types as ir

from kubecost_pipelines.core.tables import TABLES, Table
from kubecost_pipelines.defs.workbench import Tools
from kubecost_pipelines.operations.questions import Question
from kubecost_pipelines.settings import Settings

_BY_NAME = {table.name: table for table in TABLES}


def answer(tools: Tools, question: Question, days: Sequence[date]) -> list[dict[str, Any]]:
    """Return the rows of the answer, read from `days` of the question's tables."""
    for name in question.tables:
        tools.engine.create_view(name, _rows(tools, _BY_NAME[name], days), overwrite=True)
    cursor = tools.engine.con.execute(question.sql)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def keys_of(settings: Settings, table: Table) -> list[tuple[str, ...]]:
    """Return the keys that a deployment has of a table: its bills, its clusters, or the one without a name."""
    match table.key:
        case "provider/account id":
            return [store.key.parts for store in settings.cloud_stores]
        case "cluster":
            return [(cluster.name,) for cluster in settings.clusters]
    return [()]


def _rows(tools: Tools, table: Table, days: Sequence[date]) -> ir.Table:
    parts = []
    for key in keys_of(tools.settings, table) or [("", "")]:
        rows = tools.lake.read(table, key, days, tools.engine)
        if table.key == "provider/account id":
            rows = rows.mutate(store_provider=_text(key[0]), store_account=_text(key[1]))
        parts.append(rows)
    # A label column that only one bill has cannot stand in a union; what is asked here asks for none.
    shared = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    union = parts[0].select(shared)
    for part in parts[1:]:
        union = union.union(part.select(shared))
    return union


def _text(value: str) -> Any:
    import ibis  # noqa: PLC0415 - as the types say

    return ibis.literal(value, "string")
