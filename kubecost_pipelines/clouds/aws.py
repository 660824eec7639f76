"""AWS: Cost and Usage Reports, legacy and 2.0, and FOCUS exports, from a local folder or S3."""

from collections.abc import Sequence
from datetime import date

from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill
from kubecost_pipelines.clouds.cur_manifest import find_manifest
from kubecost_pipelines.clouds.file_store import Delivery, FileStore, read_files
from kubecost_pipelines.core.bills.aws_lines import normalise, residual
from kubecost_pipelines.core.bills.focus import is_focus
from kubecost_pipelines.core.window import Window


class AwsStore(FileStore):
    """Reads one payer account's report, found through its manifest."""

    AUTHOR = "AWS"

    def _find(self, month: date) -> Delivery | None:
        manifest = find_manifest(self._export, month)
        return Delivery(manifest.path, manifest.files) if manifest else None

    def _normalise(self, paths: Sequence[str], kind: str, window: Window, engine: Backend) -> Bill:
        lines = read_files(paths, kind, engine)
        if is_focus(lines.columns):
            return self._read_focus(lines, window)
        return Bill(normalise(lines, window, self._label_keys), complete=residual)
