"""Google Cloud: files of the detailed billing export (CSV, JSON lines or Parquet) in a folder or a bucket."""

import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from uuid import uuid4

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, Connection, unreadable
from kubecost_pipelines.clouds.exports import ExportFile, open_export
from kubecost_pipelines.core.bills.gcp_export import FIELDS, UnknownExportError, check_fields, normalise
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings

KINDS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "json",
    ".jsonl.gz": "json",
    ".json": "json",
    ".json.gz": "json",
    ".parquet": "parquet",
}
"""Endings of the names of export files; others are not looked at."""


class GcpStore:
    """Reads one project's export files."""

    def __init__(self, settings: CloudStoreSettings, label_keys: Sequence[str], scratch: Path) -> None:
        self._key = settings.key
        self._export = open_export(settings)
        self._label_keys = label_keys
        self._scratch = scratch

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """See `CloudStore.read_billing`."""
        files = self._files()
        if not files:
            return Bill(None, missing=f"{self._key}: {self._export.uri} has no export files")
        inputs = {file.name: file.fingerprint for file in files}
        try:
            rows = normalise(self._open(files, engine), window, self._label_keys)
        except UnknownExportError as error:
            raise BillError(f"{self._key}: {self._export.uri}: {error}") from error
        except duckdb.Error as error:
            raise unreadable(self._export.uri, error) from error
        return Bill(rows, inputs, source=self._export.uri)

    def check_connection(self, today: date) -> Connection:  # noqa: ARG002 - the files do not tell their months
        """See `CloudStore.check_connection`: lists the export, and reads the starts of its files until one has rows."""
        files = self._files()
        if any(self._has_rows(file) for file in files):
            return Connection(ConnectionEvent.DATA, f"{self._export.uri}: {len(files)} files")
        return Connection(ConnectionEvent.EMPTY, f"{self._export.uri} has no export files with rows")

    def _files(self) -> list[ExportFile]:
        files = [file for file in self._export.list_folder(self._export.path) if _kind(file)]
        if not files:
            self._export.check_root()
        if len(kinds := sorted({_kind(file) for file in files})) > 1:
            raise BillError(
                f"{self._export.uri} holds {' and '.join(kinds)} files: two exports of one bill would count twice. Let "
                "`export` name the folder of one of them."
            )
        return files

    def _has_rows(self, file: ExportFile) -> bool:
        start = self._export.read_start(file.path, limit=1 << 16)
        if _kind(file) == "parquet":
            return bool(start)
        text = zlib.decompressobj(wbits=47).decompress(start) if file.name.endswith(".gz") else start
        return (b"\n" in text.strip()) if _kind(file) == "csv" else bool(text.strip())

    def _open(self, files: Sequence[ExportFile], engine: Backend) -> ir.Table:
        paths = [self._export.fetch(file.path, self._scratch) for file in files]
        kind = _kind(files[0])
        if kind == "json":
            # BigQuery leaves a null field out, so that only all files together show the fields of the export.
            check_fields(engine.read_json(paths, table_name=f"fields_{uuid4().hex}", union_by_name=True))
        else:
            # Each by itself: together, the columns of one would stand in for those that another lacks.
            for path in paths:
                check_fields(_read([path], kind, engine))
        return _read(paths, kind, engine)


def _read(paths: Sequence[str], kind: str, engine: Backend) -> ir.Table:
    name = f"export_{uuid4().hex}"
    match kind:
        case "parquet":
            return engine.read_parquet(paths, table_name=name, union_by_name=True, hive_partitioning=False)
        case "json":
            return engine.read_json(paths, table_name=name, columns=_json_columns(), format="newline_delimited")
    return engine.read_csv(
        paths, table_name=name, all_varchar=True, header=True, delim=",", quote='"', escape='"', union_by_name=True
    )


def _kind(file: ExportFile) -> str:
    return next((kind for ending, kind in KINDS.items() if file.name.endswith(ending)), "")


def _json_columns() -> dict[str, str]:
    """Return the fields as DuckDB must read them: text, whatever they look like, so that no decimal is lost."""
    members: dict[str, list[str]] = {}
    for name in FIELDS:
        parent, _, member = name.partition(".")
        members.setdefault(parent, []).extend([member] if member else [])
    return {
        parent: "STRUCT(" + ", ".join(f"{name} VARCHAR" for name in names) + ")" if names else "VARCHAR"
        for parent, names in members.items()
    }
