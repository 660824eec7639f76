"""No secret leaves: every kind of store and cluster fails with a planted one, and nothing that is written has it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.conftest import PLANTED
from kubecost_pipelines_tests.dagster_run import deploy
from kubecost_pipelines_tests.s3 import S3Server
from kubecost_pipelines_tests.servers import BlobServer

COMMAND = Path(sys.executable).parent / "kubecost-pipelines"
KEY = f"{PLANTED}c2VjcmV0c2VjcmV0c2VjcmV0"
AZURE_KEY = "UExBTlRFRC1hLXN0b3JhZ2Uta2V5LW9mLW5vYm9keQ=="
GOOGLE_KEY = json.dumps(
    {"type": "service_account", "private_key": KEY, "client_email": "a@b", "token_uri": "http://127.0.0.1:9"}
)
BLOBS = "abfss://nowhere@devstoreaccount1.dfs.core.windows.net/x"


def stores(s3: S3Server, blobs: BlobServer) -> list[dict[str, Any]]:
    aws = {
        "provider": "aws",
        "access_key_id": "AKIA",
        "secret_access_key": KEY,
        "endpoint": s3.endpoint,
        "region": "eu-west-1",
    }
    azure = {"provider": "azure", "export": BLOBS, "endpoint": blobs.endpoint}
    google = {"provider": "gcp", "service_account_key": GOOGLE_KEY}
    return [
        {**aws, "id": "1", "export": "s3://nowhere-at-all/cur"},
        {**aws, "id": "2", "table": "nowhere.cur", "results": "s3://nowhere-at-all/x"},
        {**aws, "id": "3", "export": "s3://nowhere-at-all/cur", "role_arns": ["arn:aws:iam::1:role/R"]},
        {**azure, "id": "5", "account_key": AZURE_KEY},
        {**azure, "id": "6", "sas_token": f"sv=2024-01-01&sig={KEY}&se=2020-01-01&sr=c&sp=rl"},
        {**azure, "id": "7", "account_key": KEY},
        {**azure, "id": "8", "sas_token": f"sig={KEY}"},
        {**google, "id": "g9", "export": "gs://nowhere/x"},
        {**google, "id": "g10", "table": "a.b"},
    ]


def test_nothing_that_is_written_has_a_secret(
    s3: S3Server, blobs: BlobServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", KEY)
    entries = stores(s3, blobs)
    dead = {"endpoint": "http://127.0.0.1:9", "max_attempts": 1}
    clusters = [{"name": "a", "token_env": "PLANTED_TOKEN", **dead},
                {"name": "b", "username": "u", "password_env": "PLANTED_TOKEN", **dead}]  # fmt: skip
    settings = {
        "lake": (tmp_path / "lake").as_uri(),
        "start_date": "2026-10-01",
        "cloud_stores": entries,
        "clusters": clusters,
    }
    (tmp_path / "kubecost-pipelines.yaml").write_text(json.dumps(settings, default=str).replace(": 1,", ': "1",'))

    told = []
    with deploy(
        tmp_path,
        [CloudStoreSettings.model_validate(entry) for entry in entries],
        [ClusterSettings.model_validate(cluster) for cluster in clusters],
    ) as deployment:
        recorded = deployment()
        told += [repr(deployment.settings), repr(recorded)]
        for run in deployment.instance.get_runs():
            told += [repr(record) for record in deployment.instance.all_logs(run.run_id)]
    environment = {**os.environ, "KUBECOST_PIPELINES_CONFIG": str(tmp_path / "kubecost-pipelines.yaml")}
    for arguments in (["check"], ["check", "--json"]):
        done = subprocess.run([COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        told += [done.stdout, done.stderr]
    told += [*capfd.readouterr()]
    told += [path.read_bytes().decode("latin-1") for path in (tmp_path / "lake").rglob("*.parquet")]

    assert not recorded.success
    assert sum(map(len, told)) > 10_000
    assert [text[:200] for text in told if PLANTED in text or AZURE_KEY in text] == []
