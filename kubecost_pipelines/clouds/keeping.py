"""Keeping: what a bill is made of, computed once, in temporary tables that those of the next bill replace."""

from collections.abc import Sequence
from typing import Any

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

FEW = 1_000
"""So many values of a text are few."""


def table_of(what: str) -> str:
    """Return the name of the table that holds something of the bill that is being read."""
    return f"{what}_of_bill"


def keep(engine: Backend, what: str, rows: ir.Table, *, is_repeated: bool = False) -> ir.Table:
    """Compute rows; see `core.bills.source.Keep`.

    What is repeated keeps texts of few values as numbers (ENUM): they read as texts, and are a third of the work to
    write.
    """
    name = table_of(what)
    make = f"CREATE OR REPLACE TEMP TABLE {name} AS"
    engine.con.execute(f"{make} {engine.compile(rows)}").fetchall()
    if is_repeated and (numbered := _number_texts(engine, name, rows)):
        engine.con.execute(f"{make} SELECT * REPLACE ({numbered}) FROM {name}").fetchall()
    return engine.table(name)


def _number_texts(engine: Backend, table: str, rows: ir.Table) -> str:
    """Return SQL that makes numbers of the texts that have few values."""

    def ask(aggregate: str, columns: Sequence[str]) -> dict[str, Any]:
        if not columns:
            return {}
        asked = ", ".join(aggregate.format(column) for column in columns)
        [answers] = engine.con.execute(f"SELECT {asked} FROM {table}").fetchall()
        return dict(zip(columns, answers, strict=True))

    texts = [f'"{name}"' for name, type_ in rows.schema().items() if type_.is_string()]
    few = [name for name, count in ask("approx_count_distinct({})", texts).items() if count <= FEW]
    values = ask("list(DISTINCT {0}) FILTER ({0} IS NOT NULL)", few)
    return ", ".join(f"{name}::ENUM({_listed(found or [''])}) AS {name}" for name, found in values.items())


def _listed(values: Sequence[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
