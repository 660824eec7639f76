"""`kubecost-pipelines serve` as a process: what it prints, writes down and refuses."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from kubecost_pipelines_tests.servers import free_port

COMMAND = str(Path(sys.executable).parent / "kubecost-pipelines")
TOKEN = "PLANTED-operate-token-of-serve"
REBUILD = "/model/etl/asset/cloud/rebuild"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return what names a deployment whose lake cannot be read yet: there is a file in its place."""
    (tmp_path / "lake").write_text("no folder", encoding="utf-8")
    settings = {
        "lake": (tmp_path / "lake").as_uri(),
        "start_date": "2026-10-01",
        "dagster_url": "http://dagster:PLANTED-password@127.0.0.1:9",
    }
    (tmp_path / "kubecost-pipelines.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KUBECOST_PIPELINES_")}
    return {**ours, "KUBECOST_PIPELINES_CONFIG": str(tmp_path / "kubecost-pipelines.yaml")}


def test_without_a_token_it_does_not_listen_where_others_can_reach_it(environment: dict[str, str]) -> None:
    command = [COMMAND, "serve", "--host", "0.0.0.0", "--port", str(free_port())]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "0.0.0.0 can be reached from elsewhere, and no token protects it: set KUBECOST_PIPELINES_READ_TOKEN or "
        "KUBECOST_PIPELINES_OPERATE_TOKEN (or the same with _FILE), or listen on 127.0.0.1.\n"
    )


def test_it_says_in_json_what_it_is_asked_and_writes_operations_down(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    port, audit, log = free_port(), tmp_path / "audit.log", tmp_path / "stderr.log"
    command = [COMMAND, "serve", "--port", str(port), "--audit-log", str(audit)]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, env={**environment, "KUBECOST_PIPELINES_OPERATE_TOKEN": TOKEN}, stderr=stderr
        )
    try:
        health = _first_answer(f"http://127.0.0.1:{port}/healthz", process)
        own = {"Authorization": f"Bearer {TOKEN}", "X-Request-Id": "request-7"}
        started = requests.post(f"http://127.0.0.1:{port}{REBUILD}", {}, params={"commit": "true"}, headers=own)
        refused = requests.get(f"http://127.0.0.1:{port}/metrics")
    finally:
        process.terminate()
        process.wait(timeout=60)

    assert (health.status_code, health.headers["Retry-After"]) == (503, "5")
    assert "the serving store is not built yet" in health.json()["message"]
    assert (started.status_code, refused.status_code) == (503, 401)
    said = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert all({"time", "level", "logger"} <= set(line) for line in said)
    asked = {line["request"]: (line["method"], line["path"], line["status"]) for line in said if "milliseconds" in line}
    assert asked["request-7"] == ("POST", REBUILD, 503)
    assert asked[refused.headers["X-Request-Id"]] == ("GET", "/metrics", 401)
    assert [line["level"] for line in said if "not refreshed" in line.get("message", "")] == ["ERROR"]
    [written] = [json.loads(line) for line in audit.read_text(encoding="utf-8").splitlines()]
    assert (written["request"], written["operation"]) == ("request-7", "rebuild cloud-assets")
    assert written["parameters"] == {"commit": "true", "provider": None}
    assert written["result"].startswith("503 no Dagster answers at http://127.0.0.1:9 ")
    assert "PLANTED" not in log.read_text(encoding="utf-8") + audit.read_text(encoding="utf-8") + started.text


def _first_answer(url: str, process: "subprocess.Popen[bytes]") -> requests.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return requests.get(url, timeout=10)
        except requests.ConnectionError:
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
