"""What the stores that read export files share: a month's files, opened as one table and normalised."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import ClassVar

import duckdb
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, Connection, answer, fingerprint_of, name_bill, unreadable
from kubecost_pipelines.clouds.exports import ExportFile, open_export
from kubecost_pipelines.core.bill_changes import Answer
from kubecost_pipelines.core.bills import focus
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.settings import CloudStoreSettings

RECENT_MONTHS = 3
"""How far back a check looks for a bill. An export that has had nothing for longer has stopped."""

KINDS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "json",
    ".jsonl.gz": "json",
    ".json": "json",
    ".json.gz": "json",
    ".parquet": "parquet",
}
"""Endings of the names of export files, and how they are read."""


@dataclass(frozen=True)
class Delivery:
    """The files of one delivery of a bill, and where it came from, for messages."""

    source: str
    files: tuple[ExportFile, ...]

    @property
    def kind(self) -> str:
        return kind_of(self.files[0])


class FileStore(ABC):
    """Reads a bill from files. What is left to a provider: which files make up a month, and what its format says."""

    AUTHOR: ClassVar[str]
    """Who delivers the files."""

    def __init__(self, settings: CloudStoreSettings, label_keys: Sequence[str], scratch: Path) -> None:
        self._settings = settings
        self._export = open_export(settings)
        self._label_keys = label_keys
        self._scratch = scratch

    @abstractmethod
    def _find(self, month: date) -> Delivery | None:
        """Return the delivery of the month that `month` is the first day of; None when there is none yet."""

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """See `CloudStore.read_billing`."""
        month = window.start.date().replace(day=1)
        return self._read(self._find(month), window, engine)

    def changes(self, window: Window, since: str, engine: Backend, limit_bytes: int) -> Answer:
        """See `CloudStore.changes`: lists the month's delivery; reads it only when its files are other ones."""
        delivery = self._find(window.start.date().replace(day=1))
        files = delivery.files if delivery else ()
        return answer(
            fingerprint_of(self._inputs(files)),
            since,
            sum(file.size for file in files),
            limit_bytes,
            lambda: self._read(delivery, window, engine),
        )

    def _read(self, delivery: Delivery | None, window: Window, engine: Backend) -> Bill:
        if delivery is None or not delivery.files:
            month = f"{window.start:%Y-%m}"
            return Bill(
                None, missing=f"{self._settings.title}: {self.AUTHOR} has not delivered {month} to {self._export.uri}"
            )
        inputs = self._inputs(delivery.files)
        try:
            bill = self._normalise(self._fetch(delivery), delivery.kind, window, engine)
        except UnknownBillError as error:
            raise BillError(f"{self._settings.title}: {delivery.source}: {error}") from error
        except (duckdb.Error, pa.ArrowException) as error:
            raise unreadable(delivery.source, error) from error
        return replace(bill, inputs=inputs, source=delivery.source)

    def check_connection(self, today: date) -> Connection:
        """See `CloudStore.check_connection`: lists the newest delivery, and reads the starts of its files."""
        for month in _recent_months(today):
            delivery = self._find(month)
            if delivery and any(self._has_rows(file) for file in delivery.files):
                return Connection(ConnectionEvent.DATA, f"{delivery.source}: {_how_many(delivery.files)}")
        return Connection(ConnectionEvent.EMPTY, f"{self._export.uri} has no bill of the last {RECENT_MONTHS} months")

    def _inputs(self, files: Sequence[ExportFile]) -> dict[str, str]:
        return {self._name(file): file.fingerprint for file in files}

    def _name(self, file: ExportFile) -> str:
        return file.path.removeprefix(self._export.path).lstrip("/")

    def _has_rows(self, file: ExportFile) -> bool:
        start = self._export.read_start(file.path, limit=1 << 16)
        if kind_of(file) == "parquet":
            return bool(start)  # nobody exports a Parquet file without rows
        text = zlib.decompressobj(wbits=47).decompress(start) if file.name.endswith(".gz") else start
        return (b"\n" in text.strip()) if kind_of(file) == "csv" else bool(text.strip())

    @abstractmethod
    def _normalise(self, paths: Sequence[str], kind: str, window: Window, engine: Backend) -> Bill:
        """Return what local files of one kind say of the days of `window`: the provider's own format, or FOCUS."""

    def _read_focus(self, lines: ir.Table, window: Window) -> Bill:
        return Bill(focus.normalise(lines, window, self._label_keys, self._settings.provider))

    def _fetch(self, delivery: Delivery) -> list[str]:
        return [self._export.fetch(file.path, self._scratch) for file in delivery.files]

    def _one_kind(self, files: Sequence[ExportFile], where: str) -> list[ExportFile]:
        """Return the files that are export files; they must be of one kind."""
        known = [file for file in files if kind_of(file)]
        if len(kinds := sorted({kind_of(file) for file in known})) > 1:
            raise BillError(
                f"{where} holds {' and '.join(kinds)} files: two exports of one bill would count twice. Let `export` "
                "name the folder of one of them."
            )
        return known


def read_files(paths: Sequence[str], kind: str, engine: Backend) -> ir.Table:
    """Open files of one kind as one table. CSV comes as text: our mappings say what must parse."""
    name = name_bill(engine)
    if kind == "parquet":
        return engine.read_parquet(paths, table_name=name, union_by_name=True, hive_partitioning=False)
    if kind == "json":
        return engine.read_json(paths, table_name=name, union_by_name=True)
    return engine.read_csv(
        paths, table_name=name, all_varchar=True, header=True, delim=",", quote='"', escape='"', union_by_name=True
    )


def kind_of(file: ExportFile) -> str:
    """Return how a file is read; empty for what is not an export file."""
    return next((kind for ending, kind in KINDS.items() if file.name.endswith(ending)), "")


def _recent_months(today: date) -> Iterator[date]:
    month = today.replace(day=1)
    for _ in range(RECENT_MONTHS):
        yield month
        month = (month - DAY).replace(day=1)


def _how_many(files: Sequence[ExportFile]) -> str:
    return f"{len(files)} file{'' if len(files) == 1 else 's'}"
