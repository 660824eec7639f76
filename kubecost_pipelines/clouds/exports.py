"""Exports: the folder that a provider delivers its bill to, on a disk or in S3, seen alike.

S3 is read with boto3, for its credential chain (profiles, web identity, chains of roles) is the one that AWS users
have set up; errors keep AWS's own words.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.settings import CloudStoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class ExportFile:
    """A file of an export: where, how large (bytes), and what changes when its content does."""

    path: str
    size: int
    fingerprint: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Export(Protocol):
    """Reads an export. Every method raises `BillError`, with the provider's words and the cure."""

    uri: str
    path: str

    def list_folder(self, folder: str) -> list[ExportFile]:
        """Return the files that lie directly in `folder`; none when there is no such folder."""
        ...

    def find(self, paths: Sequence[str]) -> dict[str, ExportFile]:
        """Return, by path, those of the files that are there."""
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


def open_export(settings: CloudStoreSettings) -> Export:
    """Return the export that the settings name. Nobody is asked yet."""
    uri = settings.export or ""
    scheme, netloc, path, *_ = urlsplit(uri)
    if scheme == "file":
        return _LocalExport(uri, unquote(path).rstrip("/"))
    if scheme == "s3":
        return _S3Export(uri, netloc, path.strip("/"), settings)
    raise BillError(f"{settings.key}: `export` is {uri}; bills are read from file:// or s3://.")


class _LocalExport:
    def __init__(self, uri: str, path: str) -> None:
        self.uri, self.path = uri, path

    def list_folder(self, folder: str) -> list[ExportFile]:
        root = Path(folder)
        return [_local_file(path) for path in sorted(root.iterdir()) if path.is_file()] if root.is_dir() else []

    def find(self, paths: Sequence[str]) -> dict[str, ExportFile]:
        return {path: _local_file(Path(path)) for path in paths if Path(path).is_file()}

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        with Path(path).open("rb") as file:
            return file.read(limit)

    def fetch(self, path: str, scratch: Path) -> str:  # noqa: ARG002 - nothing to copy
        return path

    def check_root(self) -> None:
        if not Path(self.path).is_dir():
            raise BillError(f"{self.uri}: there is no folder {self.path}. Check the address in `export`.")


def _local_file(path: Path) -> ExportFile:
    found = path.stat()
    return ExportFile(str(path), found.st_size, f"{found.st_size}-{found.st_mtime_ns}")


class _S3Export:
    def __init__(self, uri: str, bucket: str, path: str, settings: CloudStoreSettings) -> None:
        self.uri, self.path = uri, f"{bucket}/{path}".rstrip("/")
        self._bucket = bucket
        self._settings = settings
        self._client: S3Client | None = None

    @property
    def client(self) -> "S3Client":
        from kubecost_pipelines.clouds.aws_session import open_session  # noqa: PLC0415 - boto3 loads when it is used

        if self._client is None:
            self._client = open_session(self._settings).client("s3", endpoint_url=self._settings.endpoint)
        return self._client

    def list_folder(self, folder: str) -> list[ExportFile]:
        with self._in_aws_words():
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._key(folder) + "/", Delimiter="/"
            )
            return [
                ExportFile(f"{self._bucket}/{found['Key']}", found["Size"], found["ETag"].strip('"'))
                for page in pages
                for found in page.get("Contents", [])
            ]

    def find(self, paths: Sequence[str]) -> dict[str, ExportFile]:
        folders = {path.rpartition("/")[0] for path in paths}
        there = {file.path: file for folder in folders for file in self.list_folder(folder)}
        return {path: there[path] for path in paths if path in there}

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        with self._in_aws_words():
            answer = self.client.get_object(Bucket=self._bucket, Key=self._key(path))
            return answer["Body"].read(limit)

    def fetch(self, path: str, scratch: Path) -> str:
        target = scratch / path.replace("/", "-")
        with self._in_aws_words():
            self.client.download_file(self._bucket, self._key(path), str(target))
        return str(target)

    def check_root(self) -> None:
        with self._in_aws_words():
            self.client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def _key(self, path: str) -> str:
        return path.removeprefix(f"{self._bucket}/")

    @contextmanager
    def _in_aws_words(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise BillError(f"{self.uri}: {error}. {_cure(error)}") from error


def _cure(error: Any) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if "NoSuchBucket" in code:
        return "Check the address in `export`."
    return "Check the credentials, and that they may list and get objects there (s3:ListBucket, s3:GetObject)."
