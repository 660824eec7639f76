"""Locations: a URI and how to get in, as a `pyarrow` filesystem and a path on it."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pyarrow import fs


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


def locate(uri: str) -> Location:
    """Return the location that `uri` names, with the credentials of the provider's default chain.

    Secrets are in no URI. For Azure the chain is that of its identities, unless there is a key or a token in the
    variables that its command line reads.
    """
    scheme, netloc, path, *_ = urlsplit(uri)
    match scheme:
        case "file":
            return Location(fs.LocalFileSystem(), unquote(path).rstrip("/") or "/", uri)
        case "s3":
            return Location(fs.S3FileSystem(**_s3_options()), f"{netloc}{path}".rstrip("/"), uri)
        case "abfs" | "abfss":
            container, _, host = netloc.partition("@")
            return Location(fs.AzureFileSystem(**_azure_options(host)), f"{container}{path}".rstrip("/"), uri)
    filesystem, path = fs.FileSystem.from_uri(uri)
    return Location(filesystem, path.rstrip("/"), uri)


def _s3_options() -> dict[str, Any]:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options = {"endpoint_override": endpoint, "region": region or ("us-east-1" if endpoint else None)}
    return {name: value for name, value in options.items() if value}


def _azure_options(host: str) -> dict[str, Any]:
    """Return the options for `<account>.dfs.core.windows.net`, or the same in another of Azure's clouds."""
    account, _, service = host.partition(".")
    cloud = service.partition(".")[2]
    scheme, _, emulator = os.environ.get("AZURE_STORAGE_SERVICE_ENDPOINT", "").rstrip("/").partition("://")
    options = {
        "account_name": account,
        "account_key": os.environ.get("AZURE_STORAGE_KEY"),
        "sas_token": os.environ.get("AZURE_STORAGE_SAS_TOKEN"),
    }
    for kind in ("blob", "dfs"):
        options[f"{kind}_storage_authority"] = emulator or f".{kind}.{cloud}"
        options[f"{kind}_storage_scheme"] = scheme
    return {name: value for name, value in options.items() if value}
