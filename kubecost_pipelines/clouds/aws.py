"""AWS: Cost and Usage Reports, legacy and 2.0, CSV and Parquet, from a local folder or S3."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend
from pyarrow import fs

from kubecost_pipelines.clouds import Bill, BillError, unreadable
from kubecost_pipelines.clouds.cur_manifest import Manifest, find_manifest
from kubecost_pipelines.core.bills.aws_lines import UnknownBillError, normalise
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines.settings.locations import locate


class AwsStore:
    """Reads one payer account's Cost and Usage Report."""

    def __init__(self, settings: CloudStoreSettings, label_keys: Sequence[str], scratch: Path) -> None:
        assert settings.export  # noqa: S101 - `open_store` has checked it
        self._key = settings.key
        self._export = locate(settings.export, settings)
        self._label_keys = label_keys
        self._scratch = scratch

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """See `CloudStore.read_billing`."""
        month = window.start.date().replace(day=1)
        manifest = find_manifest(self._export, month)
        if manifest is None or not manifest.files:
            return Bill(None, missing=f"{self._key}: AWS has not delivered {month:%Y-%m} to {self._export}")
        inputs = {file.path.removeprefix(self._export.path + "/"): _fingerprint(file) for file in manifest.files}
        try:
            report = self._open_report(manifest, engine)
            return Bill(normalise(report, window, self._label_keys), inputs, source=manifest.path)
        except UnknownBillError as error:
            raise BillError(f"{self._key}: {manifest.path}: {error}") from error
        except (duckdb.Error, OSError) as error:
            raise unreadable(manifest.path, error) from error

    def _open_report(self, manifest: Manifest, engine: Backend) -> ir.Table:
        paths = [file.path if self._export.is_local else self._download(file) for file in manifest.files]
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

    def _download(self, file: fs.FileInfo) -> str:
        target = self._scratch / f"{uuid4().hex}-{file.base_name}"
        with (
            self._export.filesystem.open_input_stream(file.path, compression=None) as source,
            target.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 8 << 20)
        return str(target)


def _fingerprint(file: fs.FileInfo) -> str:
    return f"{file.size}-{file.mtime_ns}"
