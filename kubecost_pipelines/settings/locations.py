"""Locations: a URI and how to get in, as a `pyarrow` filesystem and a path on it."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from kubecost_pipelines.settings.model import CloudStoreSettings


@dataclass(frozen=True)
class Location:
    """A folder on some filesystem. Making one asks nobody anything."""

    filesystem: fs.FileSystem
    path: str
    uri: str

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def __str__(self) -> str:
        return self.uri


def locate(uri: str, store: CloudStoreSettings | None = None) -> Location:
    """Return the location that `uri` names, with the credentials of `store`, else those of the default chain."""
    scheme, netloc, path, *_ = urlsplit(uri)
    match scheme:
        case "file":
            return Location(fs.LocalFileSystem(), unquote(path).rstrip("/") or "/", uri)
        case "s3":
            return Location(fs.S3FileSystem(**_s3_options(store)), f"{netloc}{path}".rstrip("/"), uri)
    filesystem, path = fs.FileSystem.from_uri(uri)
    return Location(filesystem, path.rstrip("/"), uri)


def _s3_options(store: CloudStoreSettings | None) -> dict[str, Any]:
    endpoint = (store and store.endpoint) or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"endpoint_override": endpoint} if endpoint else {}
    region = (store and store.region) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region or endpoint:
        options["region"] = region or "us-east-1"
    if store and store.access_key_id and store.secret_access_key:
        options |= {"access_key": store.access_key_id, "secret_key": store.secret_access_key.get_secret_value()}
    if store and store.role_arn:
        options |= {"role_arn": store.role_arn, "external_id": store.external_id or ""}
    return options
