"""Exports: the folder that a provider delivers its bill to, on a disk or in an object store, seen alike.

Object stores are read with their providers' own clients: their credential chains are those that people have set
up, and errors keep the provider's words. The client loads when it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.settings import CloudStoreSettings


@dataclass(frozen=True)
class ExportFile:
    """A file of an export: where, how large (bytes), what changes when its content does, and when it last did."""

    path: str
    size: int
    fingerprint: str
    modified: datetime

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Export(Protocol):
    """Reads an export. Every method raises `BillError`, with the provider's words and the cure."""

    uri: str
    path: str

    def list_folder(self, folder: str, *, deep: bool = False) -> list[ExportFile]:
        """Return the files directly in `folder`, or with `deep` everything below it; none when it is not there."""
        ...

    def list_folders(self, folder: str) -> list[str]:
        """Return the names of the folders directly in `folder`."""
        ...

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        """Return the first `limit` bytes of a file."""
        ...

    def fetch(self, path: str, scratch: Path) -> str:
        """Return a local path with the file's content, copied to `scratch` where it must be."""
        ...

    def check_root(self) -> None:
        """Raise when the export is not there at all, as opposed to having nothing yet."""
        ...


def find(export: Export, paths: Sequence[str]) -> dict[str, ExportFile]:
    """Return, by path, those of the files that are there."""
    folders = {path.rpartition("/")[0] for path in paths}
    there = {file.path: file for folder in folders for file in export.list_folder(folder)}
    return {path: there[path] for path in paths if path in there}


def open_export(settings: CloudStoreSettings) -> Export:
    """Return the export that the settings name. Nobody is asked yet."""
    uri = settings.export or ""
    match urlsplit(uri).scheme:
        case "file":
            from kubecost_pipelines.clouds.exports.local import LocalExport  # noqa: PLC0415

            return LocalExport(uri)
        case "s3":
            from kubecost_pipelines.clouds.exports.s3 import S3Export  # noqa: PLC0415

            return S3Export(uri, settings)
        case "abfs" | "abfss":
            from kubecost_pipelines.clouds.exports.blob import BlobExport  # noqa: PLC0415

            return BlobExport(uri, settings)
        case "gs":
            from kubecost_pipelines.clouds.exports.gcs import GcsExport  # noqa: PLC0415

            return GcsExport(uri, settings)
    raise BillError(f"{settings.title}: `export` is {uri}; bills are read from file://, s3://, abfss:// or gs://.")
