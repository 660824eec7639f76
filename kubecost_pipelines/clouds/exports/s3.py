"""Exports in S3, or on a server that speaks its protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.clouds.aws_session import open_session
from kubecost_pipelines.clouds.exports import ExportFile
from kubecost_pipelines.settings import CloudStoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CURES = {
    "NoSuchBucket": "Check the address in `export`.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
}
"""What to do, by the code of AWS's answer."""


class S3Export:
    """See `Export`."""

    def __init__(self, uri: str, settings: CloudStoreSettings) -> None:
        _, self._bucket, path, *_ = urlsplit(uri)
        self.uri, self.path = uri, f"{self._bucket}/{path.strip('/')}".rstrip("/")
        self._settings = settings

    @cached_property
    def _client(self) -> "S3Client":
        return open_session(self._settings).client("s3", endpoint_url=self._settings.endpoint)

    def list_folder(self, folder: str, *, deep: bool = False) -> list[ExportFile]:
        with self._in_aws_words():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._key(folder)}/".lstrip("/"), Delimiter="" if deep else "/"
            )
            return [
                ExportFile(
                    f"{self._bucket}/{found['Key']}", found["Size"], found["ETag"].strip('"'), found["LastModified"]
                )
                for page in pages
                for found in page.get("Contents", [])
            ]

    def list_folders(self, folder: str) -> list[str]:
        with self._in_aws_words():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._key(folder)}/".lstrip("/"), Delimiter="/"
            )
            prefixes = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]
        return [prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes]

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        with self._in_aws_words():
            return self._client.get_object(Bucket=self._bucket, Key=self._key(path))["Body"].read(limit)

    def fetch(self, path: str, scratch: Path) -> str:
        target = scratch / path.replace("/", "-")
        with self._in_aws_words():
            self._client.download_file(self._bucket, self._key(path), str(target))
        return str(target)

    def check_root(self) -> None:
        with self._in_aws_words():
            self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def _key(self, path: str) -> str:
        return path.removeprefix(self._bucket).strip("/")

    @contextmanager
    def _in_aws_words(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise BillError(f"{self.uri}: {error}. {_cure(error)}") from error


def _cure(error: Any) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    access = "Check the credentials, and that they may list and get objects there (s3:ListBucket, s3:GetObject)."
    return CURES.get(code, access)
