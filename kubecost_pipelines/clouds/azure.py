"""Azure: "Cost and usage details" and FOCUS exports of Cost Management, from a local folder or Blob Storage.

An export delivers the month so far, every day anew, into a folder `YYYYMMDD-YYYYMMDD`: one file, or a folder per run
with a manifest of its parts. Only the newest delivery counts; all of them together would be many times the bill.
"""

import json
import posixpath
from collections.abc import Sequence
from datetime import date
from functools import partial

from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError
from kubecost_pipelines.clouds.exports import ExportFile
from kubecost_pipelines.clouds.file_store import Delivery, FileStore, kind_of, read_files
from kubecost_pipelines.clouds.keeping import keep
from kubecost_pipelines.clouds.star_schema import column_names, read_lines, take_apart
from kubecost_pipelines.core.bills.azure_costs import normalise, star_columns
from kubecost_pipelines.core.bills.focus import is_focus
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.window import DAY, Window, next_month

MANIFEST = "manifest.json"


class AzureStore(FileStore):
    """Reads one subscription's export."""

    AUTHOR = "Azure"

    def _find(self, month: date) -> Delivery | None:
        folder = self._month_folder(f"{month:%Y%m%d}-{next_month(month) - DAY:%Y%m%d}")
        if folder:
            files = self._export.list_folder(folder, deep=True)
            manifests = [file for file in files if file.name.endswith(MANIFEST)]
            if manifests:
                return self._by_manifest(max(manifests, key=_age), files)
            known = [file for file in files if kind_of(file)]
            newest = (max(known, key=_age),) if known else ()
            return Delivery(newest[0].path if newest else folder, newest)
        # No months: files that somebody put there, each of whatever months it has.
        loose = self._one_kind(self._export.list_folder(self._export.path), self._export.uri)
        with_rows = tuple(file for file in loose if self._has_rows(file))
        if len(with_rows) > 1:
            names = ", ".join(file.name for file in with_rows)
            raise BillError(
                f"{self._export.uri} holds several exports ({names}), which may tell the same charges: actual and "
                "amortized ones, or a later delivery. Keep one of them, or let `export` name the folder of one export."
            )
        if not with_rows:
            self._export.check_root()
        return Delivery(with_rows[0].path, with_rows) if with_rows else None

    def _normalise(self, paths: Sequence[str], kind: str, window: Window, engine: Backend) -> Bill:
        names = column_names(paths, kind, engine)
        if is_focus(names):
            return self._read_focus(read_files(paths, kind, engine), window)
        columns = star_columns(names)
        if any(star_columns(column_names([path], kind, engine)) != columns for path in paths[1:]):
            # The columns of one would stand in for those that another lacks, and their costs would be lost.
            raise UnknownBillError("the parts of it have other columns than one another. Run the export again.")
        export = take_apart(read_lines(paths, kind, columns, engine), columns, engine)
        return Bill(normalise(export, window, self._label_keys, partial(keep, engine)), is_computed=True)

    def _month_folder(self, month: str) -> str | None:
        """Return the month's folder, in `export` itself or in the one export below it."""
        root = self._export.path
        folders = self._export.list_folders(root)
        if month in folders:
            return posixpath.join(root, month)
        below = [name for name in folders if month in self._export.list_folders(posixpath.join(root, name))]
        if len(below) > 1:
            raise BillError(
                f"{self._export.uri} holds several exports ({', '.join(sorted(below))}): actual and amortized cost "
                "together would count twice. Let `export` name the folder of one, best the amortized one."
            )
        return posixpath.join(root, below[0], month) if below else None

    def _by_manifest(self, manifest: ExportFile, there: Sequence[ExportFile]) -> Delivery:
        try:
            names = [str(blob["blobName"]) for blob in json.loads(self._export.read_start(manifest.path))["blobs"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BillError(
                f"{manifest.path}: not a readable manifest ({type(error).__name__}: {error}). Run the export again in "
                "Cost Management."
            ) from error
        # Parts lie beside their manifest, wherever the folder was copied to.
        parts = {posixpath.join(posixpath.dirname(manifest.path), posixpath.basename(name)) for name in names}
        found = tuple(file for file in there if file.path in parts)
        if missing := sorted(parts - {file.path for file in found}):
            raise BillError(
                f"{manifest.path} names {missing[0]}, which is not there. Wait for Azure to finish its delivery, or "
                "restore the blob; the earlier partitions stay as they are."
            )
        return Delivery(manifest.path, found)


def _age(file: ExportFile) -> tuple[object, str]:
    return file.modified, file.path
