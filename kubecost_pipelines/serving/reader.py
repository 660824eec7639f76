"""Serving reader: asks the current file of the serving store, each question within its time.

A question that begins on one file ends on it, whatever is swapped in meanwhile. A file that is found to be damaged is
no longer the current one, so that the next refresh makes another from the lake.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import duckdb

from kubecost_pipelines.serving.deadlines import Deadlines

if TYPE_CHECKING:
    import numpy as np

Answer = TypeVar("Answer")

MEMORY_LIMIT = "200MB"
QUERY_SECONDS = 30.0
STATEMENTS = 512
"""Kept parsed, for parsing forty sums takes time, and the same questions come again with other days and names."""


CURRENT = "current"
"""Symbolic link to the file that answers now."""


def store_folder(lake_uri: str, scratch: str | None) -> Path:
    """Return where the store of a lake is kept: beside a local lake's tables, else among the temporary files."""
    scheme, _, path, *_ = urlsplit(lake_uri)
    if scheme == "file":
        return Path(unquote(path)) / "_serving"
    slug = "".join(letter if letter.isalnum() else "_" for letter in lake_uri)
    return Path(scratch or gettempdir()) / f"kubecost-pipelines-{slug}"


def current_file(folder: Path) -> Path | None:
    """Return the file to read now, or None before the first refresh."""
    missed: Path | None = None
    while True:
        try:
            target = folder / (folder / CURRENT).readlink()
        except OSError:
            return None
        if target.is_file():
            return target
        # It was swept after the link was read, and the link says another now; or it is gone.
        if target == missed:
            return None
        missed = target


_DEADLINES = Deadlines()
_SETTING_UP = threading.Lock()
_CURE = (
    "Ask for a shorter window, aggregate, or filter by what the store keeps sums of: cluster, namespace, controller or "
    "a configured label."
)


class StoreNotReadyError(Exception):
    """There is no store yet, or no longer one. The message ends with the cure."""


class QueryTooLongError(Exception):
    """The question took longer, or more memory, than it may. The message ends with the cure."""


class ServingReader:
    """Reads the store in `folder`; safe for many threads."""

    def __init__(self, folder: Path, *, query_seconds: float = QUERY_SECONDS, memory_limit: str = MEMORY_LIMIT) -> None:
        self._folder, self.query_seconds, self._memory_limit = folder, query_seconds, memory_limit
        self._lock = threading.Lock()
        self._open: tuple[str, duckdb.DuckDBPyConnection] | None = None
        self._parsed: dict[str, duckdb.Statement] = {}

    @property
    def version(self) -> str:
        """The name of the file that answers now: another one after every change of the lake.

        Raises:
            StoreNotReadyError: nothing has been stored yet.
        """
        return self._connection()[0]

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows that a query gives.

        Args:
            sql: composed from our own words; what a user typed is in `parameters`.
            parameters: values of its question marks.

        Raises:
            StoreNotReadyError: nothing has been stored yet.
            QueryTooLongError: it took longer than a question may.
        """

        def fetch(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return self._ask(sql, parameters, fetch)

    def columns(self, sql: str, parameters: Sequence[object] = ()) -> "Mapping[str, np.ndarray[Any, Any]]":
        """Return the same as columns, masked where they have nulls; raises the same."""

        def fetch(cursor: duckdb.DuckDBPyConnection) -> "Mapping[str, np.ndarray[Any, Any]]":
            return cursor.fetchnumpy()  # type: ignore[return-value] # Categorical is for ENUMs, which we have none of

        return self._ask(sql, parameters, fetch)

    def _ask(
        self, sql: str, parameters: Sequence[object], fetch: Callable[[duckdb.DuckDBPyConnection], Answer]
    ) -> Answer:
        name, connection = self._connection()
        cursor = connection.cursor()
        try:
            with _DEADLINES.within(self.query_seconds, cursor):
                cursor.execute(self._parse(sql, cursor), list(parameters))
                return fetch(cursor)
        except duckdb.InterruptException as error:
            raise QueryTooLongError(f"the question took more than {self.query_seconds:g} s. {_CURE}") from error
        except duckdb.OutOfMemoryException as error:
            raise QueryTooLongError(f"the question needs more than {self._memory_limit} of memory. {_CURE}") from error
        except duckdb.Error as error:
            if _is_damage(error):
                raise self._give_up(name) from error
            raise
        finally:
            cursor.close()

    def _parse(self, sql: str, cursor: duckdb.DuckDBPyConnection) -> duckdb.Statement:
        statement = self._parsed.get(sql)
        if statement is None:
            [statement] = cursor.extract_statements(sql)
            if len(self._parsed) >= STATEMENTS:
                self._parsed.clear()
            self._parsed[sql] = statement
        return statement

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._open:
                self._open[1].close()
            self._open = None

    def _connection(self) -> tuple[str, duckdb.DuckDBPyConnection]:
        path = current_file(self._folder)
        if path is None:
            raise StoreNotReadyError(
                "the serving store is not built yet. It is built when `serve` starts; if this lasts, see the log, and "
                "materialise some days."
            )
        with self._lock:
            if self._open is None or self._open[0] != path.name:
                # The old one is closed by the last question that still reads it.
                self._open = self._opened(path)
            return self._open

    def _opened(self, path: Path) -> tuple[str, duckdb.DuckDBPyConnection]:
        try:
            return path.name, self._connect(path)
        except duckdb.Error as error:
            newer = current_file(self._folder)
            if newer is None or newer == path:
                raise self._give_up(path.name) from error
        # Another was swapped in between looking and opening.
        return newer.name, self._connect(newer)

    def _give_up(self, name: str) -> StoreNotReadyError:
        """Let the next refresh make another file than the damaged one."""
        if (damaged := current_file(self._folder)) and damaged.name == name:
            with suppress(OSError):
                (self._folder / CURRENT).unlink()
        return StoreNotReadyError("the serving store is damaged, and is made anew from the lake: ask again soon.")

    def _connect(self, path: Path) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            str(path),
            read_only=True,
            config={
                "memory_limit": self._memory_limit,
                "enable_external_access": False,
                "lock_configuration": False,
                # Questions are small, and many at once: each has one core.
                "threads": 1,
            },
        )
        with _SETTING_UP:  # DuckDB has one instance per file: another reader of this process may set it up.
            [(is_locked,)] = connection.execute("SELECT current_setting('lock_configuration')").fetchall()
            if not is_locked:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET lock_configuration = true")
        return connection


def _is_damage(error: duckdb.Error) -> bool:
    """Say whether the file is at fault, not the question: a wrong checksum is an error without a kind of its own."""
    return type(error) is duckdb.Error or isinstance(error, (duckdb.IOException, duckdb.FatalException))
