"""Exports in Google Cloud Storage: `gs://<bucket>/<folder>`."""

from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from google.api_core.exceptions import NotFound
from google.cloud import storage

from kubecost_pipelines.clouds.exports import ExportFile
from kubecost_pipelines.clouds.gcp_credentials import google_credentials, in_google_words
from kubecost_pipelines.settings import CloudStoreSettings


class GcsExport:
    """See `Export`."""

    def __init__(self, uri: str, settings: CloudStoreSettings) -> None:
        _, self._bucket_name, path, *_ = urlsplit(uri)
        self.uri, self.path = uri, unquote(path).strip("/")
        self._settings = settings

    @cached_property
    def _bucket(self) -> storage.Bucket:
        options = {"api_endpoint": self._settings.endpoint} if self._settings.endpoint else None
        client = storage.Client(
            project=self._settings.id, credentials=google_credentials(self._settings), client_options=options
        )
        return client.bucket(self._bucket_name)

    def list_folder(self, folder: str, *, deep: bool = False) -> list[ExportFile]:
        with self._in_google_words():
            blobs = self._bucket.list_blobs(prefix=f"{folder}/".lstrip("/"), delimiter=None if deep else "/")
            return [
                ExportFile(blob.name, blob.size, str(blob.generation), blob.updated)
                for blob in blobs
                if not blob.name.endswith("/")
            ]

    def list_folders(self, folder: str) -> list[str]:
        with self._in_google_words():
            blobs = self._bucket.list_blobs(prefix=f"{folder}/".lstrip("/"), delimiter="/")
            list(blobs)  # the prefixes come with the pages
            return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in blobs.prefixes)

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        with self._in_google_words():
            # Raw: a file that says it is gzip would otherwise be unpacked on the way.
            return bytes(self._bucket.blob(path).download_as_bytes(end=limit - 1, raw_download=True))

    def fetch(self, path: str, scratch: Path) -> str:
        target = scratch / path.replace("/", "-")
        with self._in_google_words():
            self._bucket.blob(path).download_to_filename(str(target), raw_download=True)
        return str(target)

    def check_root(self) -> None:
        with self._in_google_words():
            next(iter(self._bucket.list_blobs(max_results=1)), None)

    def _in_google_words(self) -> AbstractContextManager[None]:
        return in_google_words(self.uri, _cure)


def _cure(error: Exception) -> str:
    if isinstance(error, NotFound):
        return "Check the address in `export`."
    return "Check the credentials, and that they may list and get objects there (Storage Object Viewer)."
