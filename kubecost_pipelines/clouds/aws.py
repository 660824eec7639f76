"""AWS: Cost and Usage Reports, legacy and 2.0, CSV and Parquet, from a local folder or S3."""

import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from uuid import uuid4

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, Connection, unreadable
from kubecost_pipelines.clouds.cur_manifest import Manifest, find_manifest
from kubecost_pipelines.clouds.exports import ExportFile, open_export
from kubecost_pipelines.core.bills.aws_lines import UnknownBillError, normalise, residual
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.settings import CloudStoreSettings

RECENT_MONTHS = 3
"""How far back a check looks for a bill. An export that has had nothing for longer has stopped."""


class AwsStore:
    """Reads one payer account's Cost and Usage Report."""

    def __init__(self, settings: CloudStoreSettings, label_keys: Sequence[str], scratch: Path) -> None:
        self._key = settings.key
        self._export = open_export(settings)
        self._label_keys = label_keys
        self._scratch = scratch

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """See `CloudStore.read_billing`."""
        month = window.start.date().replace(day=1)
        manifest = find_manifest(self._export, month)
        if manifest is None or not manifest.files:
            return Bill(None, missing=f"{self._key}: AWS has not delivered {month:%Y-%m} to {self._export.uri}")
        inputs = {file.path.removeprefix(self._export.path + "/"): file.fingerprint for file in manifest.files}
        try:
            report = self._open_report(manifest, engine)
            return Bill(normalise(report, window, self._label_keys), inputs, residual, source=manifest.path)
        except UnknownBillError as error:
            raise BillError(f"{self._key}: {manifest.path}: {error}") from error
        except duckdb.Error as error:
            raise unreadable(manifest.path, error) from error

    def check_connection(self, today: date) -> Connection:
        """See `CloudStore.check_connection`: reads the newest manifest and the start of one of its files."""
        month = today.replace(day=1)
        for _ in range(RECENT_MONTHS):
            manifest = find_manifest(self._export, month)
            if manifest and any(self._has_rows(file) for file in manifest.files):
                return Connection(ConnectionEvent.DATA, f"{manifest.path}: {len(manifest.files)} files")
            month = (month - DAY).replace(day=1)
        return Connection(ConnectionEvent.EMPTY, f"{self._export.uri} has no bill of the last {RECENT_MONTHS} months")

    def _has_rows(self, file: ExportFile) -> bool:
        start = self._export.read_start(file.path, limit=1 << 16)
        if file.path.endswith(".parquet"):
            return bool(start)  # AWS writes no Parquet file without rows
        lines = zlib.decompressobj(wbits=47).decompress(start)
        return b"\n" in lines.strip()

    def _open_report(self, manifest: Manifest, engine: Backend) -> ir.Table:
        paths = [self._export.fetch(file.path, self._scratch) for file in manifest.files]
        name = f"report_{uuid4().hex}"
        if manifest.is_parquet:
            return engine.read_parquet(paths, table_name=name, union_by_name=True, hive_partitioning=False)
        # Everything is read as text: AWS writes words into numeric columns, and our tables say what must parse.
        options = {
            "all_varchar": True,
            "header": True,
            "delim": ",",
            "quote": '"',
            "escape": '"',
            "union_by_name": True,
        }
        return engine.read_csv(paths, table_name=name, **options)
