"""A cluster behind a certificate of its own authority, which Secrets Manager holds."""

import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.clusters import ClusterClient, ClusterError
from kubecost_pipelines.settings import ClusterSettings
from kubecost_pipelines_tests.clusters.api_server import DAY, ApiServer, allocation, data, serving
from kubecost_pipelines_tests.s3 import S3Server


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days",
         "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path


def encrypted(folder: Path) -> ApiServer:
    server = ApiServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.on("/model/allocation", data([{"a": allocation()}]))
    return server


def by_secret(s3: S3Server, secret: str) -> dict[str, Any]:
    identity = {"endpoint": s3.endpoint, "region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}
    return {"ca_secret": {"id": secret, **identity}}


def connect(server: ApiServer, **authority: Any) -> ClusterClient:
    settings: dict[str, Any] = {
        "name": "prod",
        "endpoint": server.endpoint.replace("http:", "https:"),
        "flavour": "kubecost",
        "verify_totals": False,
        "max_attempts": 1,
        **authority,
    }
    return ClusterClient(ClusterSettings.model_validate(settings))


def test_its_authority_comes_from_a_file_and_without_it_the_cluster_is_not_trusted(
    authority: Path, tmp_path: Path
) -> None:
    before = dict(os.environ)

    with serving(encrypted(authority)) as server:
        fetched = connect(server, ca_file=str(authority / "ca.pem")).fetch_allocations(DAY, tmp_path / "day.parquet")
        with pytest.raises(ClusterError, match=r"certificate verify failed"):
            connect(server).fetch_allocations(DAY, tmp_path / "day.parquet")

    assert fetched.rows == 1
    assert dict(os.environ) == before


def test_its_authority_comes_from_a_secret_and_the_environment_stays_as_it_is(
    s3: S3Server, authority: Path, tmp_path: Path
) -> None:
    import boto3

    manager = boto3.client(
        "secretsmanager", endpoint_url=s3.endpoint, region_name="us-east-1", aws_access_key_id="k",
        aws_secret_access_key="s",
    )  # fmt: skip
    manager.create_secret(Name="kubecost-ca", SecretString=(authority / "ca.pem").read_text())
    manager.create_secret(Name="not-a-ca", SecretString="hello")
    before = dict(os.environ)

    with serving(encrypted(authority)) as server:
        fetched = connect(server, **by_secret(s3, "kubecost-ca")).fetch_allocations(DAY, tmp_path / "day.parquet")
        with pytest.raises(ClusterError, match="holds no PEM certificate"):
            connect(server, **by_secret(s3, "not-a-ca")).fetch_allocations(DAY, tmp_path / "day.parquet")
        with pytest.raises(ClusterError, match=r"gone: .*Check its name and region"):
            connect(server, **by_secret(s3, "gone")).fetch_allocations(DAY, tmp_path / "day.parquet")

    assert fetched.rows == 1
    assert dict(os.environ) == before
