"""Exports in Azure Blob Storage: `abfss://<container>@<account>.dfs.core.windows.net/<folder>`.

The host names the cloud: `.windows.net`, `.usgovcloudapi.net` (government) or `.chinacloudapi.cn`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError
from azure.identity import AzureAuthorityHosts, DefaultAzureCredential
from azure.storage.blob import BlobPrefix, BlobProperties, ContainerClient

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.clouds.exports import ExportFile
from kubecost_pipelines.settings import CloudStoreSettings

AUTHORITIES = {
    "usgovcloudapi.net": AzureAuthorityHosts.AZURE_GOVERNMENT,
    "chinacloudapi.cn": AzureAuthorityHosts.AZURE_CHINA,
}
"""Who signs people in, by the end of the storage host; everywhere else the public cloud does."""

TIMEOUTS: dict[str, Any] = {
    "connection_timeout": 10,
    "read_timeout": 120,
    "retry_total": 3,
    "initial_backoff": 1,
    "increment_base": 1.5,
    "random_jitter_range": 1,
}
"""Seconds, and tries after the first; two to four seconds lie between them (the client's own default: a minute)."""


class BlobExport:
    """See `Export`."""

    def __init__(self, uri: str, settings: CloudStoreSettings) -> None:
        _, netloc, path, *_ = urlsplit(uri)
        self._container, _, self._host = netloc.partition("@")
        self.uri, self.path = uri, unquote(path).strip("/")
        self._settings = settings
        if not self._host:
            raise BillError(
                f"{settings.title}: `export` is {uri}, without a storage account. Write it as "
                "abfss://<container>@<account>.dfs.core.windows.net/<folder>."
            )

    @cached_property
    def _client(self) -> ContainerClient:
        url = self._settings.endpoint or f"https://{self._host.replace('.dfs.', '.blob.')}"
        return ContainerClient(url, self._container, credential=self._credential(), **TIMEOUTS)

    def _credential(self) -> Any:
        for secret in (self._settings.account_key, self._settings.sas_token):
            if secret:
                return secret.get_secret_value().lstrip("?")
        authority = next((host for end, host in AUTHORITIES.items() if self._host.endswith(end)), None)
        return DefaultAzureCredential(**({"authority": authority} if authority else {}))

    def list_folder(self, folder: str, *, deep: bool = False) -> list[ExportFile]:
        prefix = f"{folder}/".lstrip("/")
        with self._in_azure_words():
            found = (
                self._client.list_blobs(name_starts_with=prefix)
                if deep
                else self._client.walk_blobs(name_starts_with=prefix)
            )
            return [
                ExportFile(one.name, one.size, one.etag.strip('"'), one.last_modified)
                for one in found
                if isinstance(one, BlobProperties) and not one.name.endswith("/") and one.size is not None
            ]

    def list_folders(self, folder: str) -> list[str]:
        with self._in_azure_words():
            found = list(self._client.walk_blobs(name_starts_with=f"{folder}/".lstrip("/")))
        return [one.name.rstrip("/").rpartition("/")[2] for one in found if isinstance(one, BlobPrefix)]

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        with self._in_azure_words():
            return self._client.download_blob(path, offset=0, length=limit).readall()

    def fetch(self, path: str, scratch: Path) -> str:
        target = scratch / path.replace("/", "-")
        with self._in_azure_words(), target.open("wb") as file:
            self._client.download_blob(path, max_concurrency=4).readinto(file)
        return str(target)

    def check_root(self) -> None:
        with self._in_azure_words():
            next(iter(self._client.list_blobs(results_per_page=1)), None)

    @contextmanager
    def _in_azure_words(self) -> Iterator[None]:
        try:
            yield
        except AzureError as error:
            raise BillError(f"{self.uri}: {_words(error)} {_cure(error)}") from error


def _words(error: AzureError) -> str:
    text = str(error.message).split("\n", 1)[0].strip()
    code = getattr(error, "error_code", None)
    return f"{code.value if hasattr(code, 'value') else code}: {text}" if code else text


def _cure(error: AzureError) -> str:
    if isinstance(error, ServiceRequestError):
        return "Check the storage account in `export` and that this machine reaches it."
    if isinstance(error, HttpResponseError) and error.status_code == 404:
        return "Check the container and the folder in `export`."
    return (
        "Check `account_key` or `sas_token` (and this machine's clock), or give the identity the role Storage Blob "
        "Data Reader on the container."
    )
