"""Answers from the lake: a question run over the days it is about, wherever the lake lies, within its time."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import ibis.expr.types as ir

from kubecost_pipelines.core.tables import TABLES, Table
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.operations.questions import Question
from kubecost_pipelines.serving.reader import QUERY_SECONDS, QueryTooLongError
from kubecost_pipelines.settings import Settings

_BY_NAME = {table.name: table for table in TABLES}
_CURE = "Ask for fewer days, or for less of a cluster."
_INTERRUPT_SECONDS = 0.01


@dataclass(frozen=True)
class QuestionBench(Workbench):
    """A workbench for questions that somebody waits for: each has its time, from opening it to closing it."""

    query_seconds: float = QUERY_SECONDS

    @contextmanager
    def open(self, threads: int | None = None) -> Iterator[Tools]:
        """Open the tools.

        Raises:
            QueryTooLongError: what was asked took longer, or more memory, than a question may.
        """
        with super().open(threads) as tools, _interrupted_after(tools.engine.con, self.query_seconds):
            try:
                yield tools
            except duckdb.InterruptException as error:
                raise QueryTooLongError(f"the question took more than {self.query_seconds:g} s. {_CURE}") from error
            except duckdb.OutOfMemoryException as error:
                limit = self.settings.memory_limit
                raise QueryTooLongError(f"the question needs more than {limit} of memory. {_CURE}") from error


@contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    ended = threading.Event()

    def interrupt() -> None:
        # An interrupt ends what runs, and is forgotten where nothing does: one question is many queries.
        wait = seconds
        while not ended.wait(wait):
            connection.interrupt()
            wait = _INTERRUPT_SECONDS

    timer = threading.Thread(target=interrupt, daemon=True)
    timer.start()
    try:
        yield
    finally:
        ended.set()
        timer.join()


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
