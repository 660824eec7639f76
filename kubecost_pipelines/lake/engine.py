"""Engine: a DuckDB that stays within its memory, spills where it is told to, and is told the same thing once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend
from ibis.expr.operations.relations import DatabaseTable, Namespace

COMPILED = 256
"""How many statements are kept: more than one asset asks, and some megabytes."""

TEMPORARY = Namespace("temp", "main")
IS_VIEW = "SELECT 1 FROM duckdb_views() WHERE view_name = ?"


class Engine(Backend):  # type: ignore[misc] # Ibis tells no types of its backends
    """DuckDB, as Ibis knows it, which compiles an expression only if no engine of this process has done so.

    A run asks the same of every day, cluster and bill, and a small day takes longer to compile than to compute. A table
    has the lowest number that is free, so that the same work has the same words again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._taken: set[str] = set()

    def new_name(self, what: str) -> str:
        """Return a name that no table of this engine has."""
        name = next(name for number in count(1) if (name := f"{what}_{number}") not in self._taken)
        self._taken.add(name)
        return name

    def compute(self, what: str, rows: ir.Table) -> ir.Table:
        """Return the rows, computed once, as a temporary table named after `what` it holds."""
        name = self.new_name(what)
        schema = rows.schema()
        columns = ", ".join(column.sql(self.name) for column in schema.to_sqlglot_column_defs(self.name))
        self._run_pre_execute_hooks(rows)
        self.con.execute(f"CREATE TEMP TABLE {name} ({columns})").fetchall()
        self.con.execute(f"INSERT INTO {name} {self.compile(rows)}").fetchall()
        return DatabaseTable(name, schema, self, TEMPORARY).to_expr()

    def view(self, what: str, query: str) -> ir.Table:
        """Return what a query gives whenever it is read, as a temporary view named after `what` it holds."""
        name = self.new_name(what)
        self.con.execute(f"CREATE TEMP VIEW {name} AS {query}").fetchall()
        return self.table(name)

    def drop(self, table: ir.Table) -> None:
        """Give back what `compute` or `view` made, and its name."""
        name = table.op().name
        kind = "VIEW" if self.con.execute(IS_VIEW, [name]).fetchall() else "TABLE"
        self.con.execute(f"DROP {kind} {name}").fetchall()
        self._taken.discard(name)

    def compile(
        self,
        expr: ir.Expr,
        /,
        *,
        limit: int | None = None,
        params: Mapping[ir.Expr, Any] | None = None,
        pretty: bool = False,
    ) -> str:
        """Return the expression as SQL; see Ibis."""
        if limit is not None or params or pretty:
            return str(super().compile(expr, limit=limit, params=params, pretty=pretty))
        return _compile(expr.as_table().op())


@lru_cache(COMPILED)
def _compile(operation: Any) -> str:
    # Operations are equal when all that they consist of is; engines are when they were opened with the same options.
    return str(Backend.compiler.to_sqlglot(operation.to_expr()).sql(dialect=Backend.name))


@contextmanager
def open_engine(memory_limit: str, scratch: Path, threads: int | None = None) -> Iterator[Engine]:
    """Open an in-process DuckDB that works in UTC, in `memory_limit` and, past that, on disk in `scratch`.

    It works with `threads`, or with one per core.
    """
    engine = Engine().connect(preserve_insertion_order=False)
    # Not among the options: what differs from run to run would make every engine another one to `_compile`.
    engine.con.execute("SET memory_limit = ?", [memory_limit])
    engine.con.execute("SET temp_directory = ?", [str(scratch / "spill")])
    if threads:
        engine.con.execute(f"SET threads = {threads}")
    # It would answer a sum over a day by reading the whole bill a second time.
    engine.con.execute("SET disabled_optimizers = 'window_self_join'")
    try:
        yield engine
    finally:
        engine.disconnect()


def quoted(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
