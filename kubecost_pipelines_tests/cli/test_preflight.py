"""`kubecost-pipelines check` as a user and CI run it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines_tests.replay import DATA, serve_replay

COMMAND = Path(sys.executable).parent / "kubecost-pipelines"


def check(folder: Path, settings: dict[str, Any] | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TZ": "UTC"}
    environment.pop("KUBECOST_PIPELINES_CONFIG", None)
    if settings is not None:
        (folder / "kubecost-pipelines.yaml").write_text(json.dumps(settings))  # JSON is YAML
    return subprocess.run(
        [COMMAND, "check", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def settings(stores: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "lake": "file:///tmp/lake",
        "start_date": "2026-10-01",
        "settle_hours": "48",
        "cloud_stores": stores,
        "clusters": clusters,
    }


GOOD = {"provider": "gcp", "id": "acme-gke", "name": "payments-prod", "export": (DATA / "gcp/csv").as_uri()}


def test_all_is_well(tmp_path: Path) -> None:
    with serve_replay() as replay:
        done = check(tmp_path, settings([GOOD], [{"name": "prod-eks-1", "endpoint": replay.endpoint}]))

    assert (done.returncode, done.stderr) == (0, "")
    bill, cluster = done.stdout.splitlines()
    assert bill.startswith("ok   bill     payments-prod (gcp/acme-gke)  SUCCESSFUL_CONNECTION")
    assert cluster.startswith("ok   cluster  prod-eks-1  SUCCESSFUL_CONNECTION")


def test_each_failure_is_one_line_with_its_cure_and_the_others_are_still_asked(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        stores = [
            GOOD,
            {"provider": "aws", "id": "111122223333", "access_key_id": "AKIA", "export": "s3://x/y"},
            {"provider": "azure", "id": "sub-1", "export": (tmp_path / "nowhere").as_uri()},
            {"provider": "aws", "id": "222233334444", "export": tmp_path.as_uri()},
        ]
        done = check(tmp_path, settings(stores, [{"name": "a", "endpoint": f"http://127.0.0.1:{port}"}]), "--json")

    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [one["status"] for one in found] == [
        "SUCCESSFUL_CONNECTION", "INCOMPLETE_CONFIGURATION", "FAILED_CONNECTION", "MISSING_DATA", "FAILED_CONNECTION",
    ]  # fmt: skip
    assert "`secret_access_key`" in found[1]["detail"]
    assert all(one["cure"] or one["kind"] == "cluster" for one in found[1:])


def test_without_settings(tmp_path: Path) -> None:
    done = check(tmp_path, None)

    assert done.returncode == 1
    assert "MISSING_CONFIGURATION" in done.stdout


def test_bad_settings_name_the_field(tmp_path: Path) -> None:
    done = check(tmp_path, {"lake": "file:///x", "start_date": "2026-10-01", "cloud_store": []})

    assert done.returncode == 2
    assert "cloud_store" in done.stderr


@pytest.mark.timeout(60)
def test_fifty_bills_take_no_longer_than_the_slowest_answer(tmp_path: Path) -> None:
    stores = [{**GOOD, "id": f"project-{number}"} for number in range(50)]

    start = time.monotonic()
    done = check(tmp_path, settings(stores, []))

    assert done.returncode == 0, done.stdout
    assert time.monotonic() - start < 10
