"""Buckets: a bucket in S3 or a folder. A file goes to its final key in one step; a reader sees all of it or none."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pyarrow.parquet as pq

from kubecost_pipelines.aws import open_client, open_session
from kubecost_pipelines.settings import AwsIdentitySettings, ExportSettings
from kubecost_pipelines.sinks.errors import in_aws_words, in_file_words
from kubecost_pipelines.sinks.manifest import Manifest

_RETRIES: Any = {"mode": "standard", "max_attempts": 6}


@dataclass(frozen=True)
class Listed:
    """One file of a listing; `tag` changes whenever its content does."""

    key: str
    tag: str


class Bucket(Protocol):
    """Where exports go. Keys are relative to `export.location`."""

    def uri(self, key: str) -> str:
        """Return the address of a key, as Glue and people want it."""
        ...

    def put(self, key: str, file: Path, manifest: Manifest) -> str:
        """Replace the file at `key` in one step; return its tag."""
        ...

    def describe(self, key: str) -> Manifest | None:
        """Return what the file says of itself; None where it is missing or not ours.

        Raises:
            ExportError: it cannot be read.
        """
        ...

    def list(self, prefix: str, after: str) -> list[Listed]:
        """Return the files whose keys begin with `prefix` and sort behind `after`."""
        ...


def open_bucket(export: ExportSettings) -> Bucket:
    """Return where the settings say. Nobody is asked until it is used."""
    scheme, netloc, path, *_ = urlsplit(export.location)
    if scheme == "file":
        return FolderBucket(Path(unquote(path)))
    return S3Bucket(netloc, path.strip("/"), export.identity)


class S3Bucket:
    """A bucket in S3."""

    def __init__(self, name: str, prefix: str, identity: AwsIdentitySettings) -> None:
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""
        self._identity = identity

    @cached_property
    def _client(self) -> Any:
        from botocore.config import Config

        session = open_session(self._identity)
        # Without a region, S3 says itself where the bucket is.
        region = session.region_name or "us-east-1"
        return open_client(session, "s3", self._identity, region, Config(retries=_RETRIES))

    def uri(self, key: str) -> str:
        return f"s3://{self._name}/{self._prefix}{key}"

    def put(self, key: str, file: Path, manifest: Manifest) -> str:
        with in_aws_words(f"write {self.uri(key)}"), file.open("rb") as body:
            answer = self._client.put_object(
                Bucket=self._name, Key=self._prefix + key, Body=body, Metadata=manifest.as_metadata()
            )
        return str(answer["ETag"])

    def describe(self, key: str) -> Manifest | None:
        with in_aws_words(f"read {self.uri(key)}"):
            try:
                head = self._client.head_object(Bucket=self._name, Key=self._prefix + key)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return None
                raise
        return Manifest.from_metadata(head["Metadata"])

    def list(self, prefix: str, after: str) -> list[Listed]:
        with in_aws_words(f"list {self.uri(prefix)}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix, StartAfter=self._prefix + after
            )
            return [
                Listed(found["Key"].removeprefix(self._prefix), found["ETag"])
                for page in pages
                for found in page.get("Contents", [])
            ]


class FolderBucket:
    """A folder that is laid out like a bucket; the manifest is in the file's footer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def uri(self, key: str) -> str:
        return f"file://{self._folder / key}"

    def put(self, key: str, file: Path, manifest: Manifest) -> str:  # noqa: ARG002 - it is in the footer
        with in_file_words(f"write {self.uri(key)}", "Make room there, or correct `export.location`."):
            return _replace(self._folder / key, file)

    def describe(self, key: str) -> Manifest | None:
        with in_file_words(f"read {self.uri(key)}", "It is written anew."):
            try:
                footer: Mapping[bytes, bytes] = pq.read_metadata(self._folder / key).metadata or {}
            except FileNotFoundError:
                return None
        return Manifest.from_metadata({name.decode(): value.decode() for name, value in footer.items()})

    def list(self, prefix: str, after: str) -> list[Listed]:
        files = (self._folder / prefix).rglob("*.parquet")
        keys = sorted(file.relative_to(self._folder).as_posix() for file in files)
        return [Listed(key, _tag(self._folder / key)) for key in keys if key > after]


def _replace(target: Path, file: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{uuid4().hex}.tmp"
    try:
        with file.open("rb") as source, temporary.open("wb") as sink:
            while chunk := source.read(8 << 20):
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return _tag(target)


def _tag(file: Path) -> str:
    status = file.stat()
    return f"{status.st_mtime_ns}-{status.st_size}"
