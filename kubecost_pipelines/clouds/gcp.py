"""Google Cloud: files of the detailed billing export, or of its FOCUS view, in a folder or a bucket."""

from collections.abc import Sequence
from datetime import date
from functools import partial

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, name_bill
from kubecost_pipelines.clouds.file_store import Delivery, FileStore, read_files
from kubecost_pipelines.clouds.keeping import keep
from kubecost_pipelines.core.bills.focus import is_focus
from kubecost_pipelines.core.bills.gcp_export import FIELDS, check_fields, normalise
from kubecost_pipelines.core.window import Window


class GcpStore(FileStore):
    """Reads one project's export files."""

    AUTHOR = "Google Cloud"

    def _find(self, month: date) -> Delivery | None:  # noqa: ARG002 - people export what months they like into a file
        files = self._one_kind(self._export.list_folder(self._export.path), self._export.uri)
        if not files:
            self._export.check_root()
        return Delivery(self._export.uri, tuple(files)) if files else None

    def _normalise(self, paths: Sequence[str], kind: str, window: Window, engine: Backend) -> Bill:
        lines = read_files(paths, kind, engine)
        if is_focus(lines.columns):
            return self._read_focus(lines, window)
        if kind == "json":
            # BigQuery leaves a null field out, so that only all files together show the fields of the export.
            check_fields(lines)
            lines = _read_json_as_text(paths, engine)
        else:
            for path in paths:
                # Each by itself: together, the columns of one would stand in for those that another lacks.
                check_fields(read_files([path], kind, engine))
        return Bill(normalise(lines, window, self._label_keys, partial(keep, engine)))


def _read_json_as_text(paths: Sequence[str], engine: Backend) -> ir.Table:
    name = name_bill(engine)
    return engine.read_json(paths, table_name=name, columns=_json_columns(), format="newline_delimited")


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
