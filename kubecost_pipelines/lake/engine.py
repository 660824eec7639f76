"""Engine: a DuckDB that stays within its memory and spills where it is told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ibis
from ibis.backends.duckdb import Backend


@contextmanager
def open_engine(memory_limit: str, scratch: Path, threads: int | None = None) -> Iterator[Backend]:
    """Open an in-process DuckDB that works in UTC, in `memory_limit` and, past that, on disk in `scratch`.

    It works with `threads`, or with one per core.
    """
    engine = ibis.duckdb.connect(
        memory_limit=memory_limit,
        temp_directory=str(scratch / "spill"),
        preserve_insertion_order=False,
    )
    if threads:
        engine.con.execute(f"SET threads = {threads}")
    # It would answer a sum over a day by reading the whole bill a second time.
    engine.con.execute("SET disabled_optimizers = 'window_self_join'")
    try:
        yield engine
    finally:
        engine.disconnect()
