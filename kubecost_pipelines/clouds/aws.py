"""AWS: Cost and Usage Reports, legacy and 2.0, and FOCUS exports, from a local folder or S3."""

from datetime import date

from kubecost_pipelines.clouds.cur_manifest import find_manifest
from kubecost_pipelines.clouds.file_store import Delivery, FileStore


class AwsStore(FileStore):
    """Reads one payer account's report, found through its manifest."""

    AUTHOR = "AWS"

    def _find(self, month: date) -> Delivery | None:
        manifest = find_manifest(self._export, month)
        return Delivery(manifest.path, manifest.files) if manifest else None
